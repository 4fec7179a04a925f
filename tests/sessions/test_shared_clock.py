"""Sessions, limits and verifiers over a store that hosts share, each with a clock of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from jwt_middleware import JWTPayload, KeySet, LoginThrottle, Sessions, TokenIssuer, TokenVerifier
from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from .conftest import ISS, Clock

PAYLOAD = JWTPayload(42)


@pytest.fixture
def store(tmp_path: Path) -> SQLSessions:
    return SQLSessions(f"sqlite:///{tmp_path / 'sessions.db'}")


@pytest.fixture
def sessions(store: SQLSessions, issuer: TokenIssuer, clock: Clock) -> Sessions:
    return Sessions(store=store, issuer=issuer, clock=clock)


@pytest.fixture
def verifier(keys: KeySet, sessions: Sessions, clock: Clock) -> TokenVerifier:
    revoked = sessions.revocations
    return TokenVerifier(keys=keys, issuer=ISS, audience="api", is_revoked=revoked, clock=clock)


def test_what_is_issued_and_verified_is_so_by_the_stores_clock(
    sessions: Sessions, verifier: TokenVerifier
) -> None:
    began = int(time.time())
    claims = verifier.verify(sessions.start(PAYLOAD).issued.token).claims
    assert began <= claims["iat"] <= time.time()
    assert (claims["nbf"], claims["exp"]) == (claims["iat"] - 60, claims["iat"] + 7_200)


def test_sessions_end_by_the_stores_clock(sessions: Sessions, clock: Clock) -> None:
    refresh_token = sessions.start(PAYLOAD).refresh_token
    assert refresh_token is not None
    clock.now += 10**9
    assert sessions.find(refresh_token) is not None
    assert sessions.refresh(refresh_token).refresh_token is not None


def test_limits_are_told_by_the_stores_clock(store: SQLSessions, clock: Clock) -> None:
    counted = LoginThrottle(store, clock=clock).attempt("email", "ann@x", address=None)
    assert counted.reservation.at == pytest.approx(time.time(), abs=60)


def test_no_token_is_good_before_the_store_has_told_its_time(
    keys: KeySet, issuer: TokenIssuer, sessions: Sessions, tmp_path: Path
) -> None:
    token = issuer.issue(PAYLOAD, now=time.time()).token
    missing = SQLSessions(f"sqlite:///{tmp_path / 'missing.db'}", creates_tables=False)
    followed = Sessions(store=missing, issuer=issuer).revocations
    verifier = TokenVerifier(keys=keys, issuer=ISS, audience="api", is_revoked=followed)
    with pytest.raises(UnavailableError, match=r"missing\.db"):
        verifier.verify(token)

"""Sessions over a store, with a clock to set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jwt_middleware import Key, KeySet, TokenIssuer, TokenVerifier
from jwt_middleware.sessions import MemorySessions, Sessions

NOW = 1_800_000_000.0
ISS = "https://auth"


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def keys() -> KeySet:
    return KeySet([Key.from_secret(b"k" * 32, kid="2026-11")])


@pytest.fixture
def issuer(keys: KeySet, clock: Clock) -> TokenIssuer:
    return TokenIssuer(keys=keys, issuer=ISS, audience="api", clock=clock)


@pytest.fixture
def memory() -> MemorySessions:
    return MemorySessions()


@pytest.fixture
def make_sessions(memory: MemorySessions, issuer: TokenIssuer, clock: Clock) -> Callable[..., Any]:
    """Return sessions over the store in memory, which ask it for every request."""

    def make(**settings: Any) -> Sessions:
        parts: dict[str, Any] = {"store": memory, "issuer": issuer, "max_delay_seconds": 0}
        return Sessions(**parts | settings, clock=clock)

    return make


@pytest.fixture
def sessions(make_sessions: Callable[..., Sessions]) -> Sessions:
    return make_sessions()


@pytest.fixture
def verifier(keys: KeySet, sessions: Sessions, clock: Clock) -> TokenVerifier:
    return TokenVerifier(
        keys=keys, issuer=ISS, audience="api", is_revoked=sessions.revocations, clock=clock
    )

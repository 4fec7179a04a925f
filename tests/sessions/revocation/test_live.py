from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from jwt_middleware.core.trust import MAX_LEEWAY_SECONDS
from jwt_middleware.sessions.revocation.live import LiveRevocations, token_revocation
from jwt_middleware.sessions.store import Kind, Revocation, qualified

from ...table import table

NOW = 1_800_000_000
ISS = "https://auth"
OTHER = "https://other"
END_OF_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z


def claims(**changes: Any) -> dict[str, Any]:
    return {"iss": ISS, "sub": "42", "iat": NOW, "jti": "j", "sid": "s"} | changes


def without_session(**changes: Any) -> dict[str, Any]:
    found = claims(**changes)
    del found["sid"]
    return found


def live(kind: Kind, key: str, *, at: int = NOW, until: int = NOW + 60) -> LiveRevocations:
    revocations = LiveRevocations()
    revocations.update([Revocation(kind, key, at, until)])
    return revocations


def forget(revocations: LiveRevocations, now: float) -> None:
    for _ in range(100):  # all the steps that it would take as many seconds for
        revocations._forget_at = 0
        revocations.forget_expired(now)


@table(
    ("kind", "key", "meant", "not_meant"),
    [
        pytest.param("token", f"{ISS}\nj", claims(), claims(jti="J"), id="token"),
        pytest.param("token", f"{ISS}\nj", claims(), claims(iss=OTHER), id="own-token"),
        pytest.param("token", f"{OTHER}\nj", claims(iss=OTHER), claims(), id="token-of-another"),
        pytest.param("token", f"{ISS}\ns", claims(jti="s"), claims(), id="no-session"),
        pytest.param("session", f"{ISS}\ns", claims(jti="x"), claims(sid="t"), id="session"),
        pytest.param("session", f"{ISS}\ns", claims(), claims(iss=OTHER), id="own-session"),
        pytest.param("session", f"{OTHER}\ns", claims(iss=OTHER), claims(), id="other-session"),
        pytest.param("session", f"{ISS}\nj", claims(sid="j"), claims(), id="no-token"),
        pytest.param(
            "subject", f"{ISS}\n42", without_session(), without_session(sub="43"), id="subject"
        ),
        pytest.param(
            "subject",
            f"{OTHER}\n42",
            without_session(iss=OTHER),
            without_session(),
            id="subject-of-another",
        ),
        # Version 0.1 names no issuer of its own.
        pytest.param("token", "j", claims(iss=OTHER), claims(jti="J"), id="any-token"),
        pytest.param("session", "s", claims(iss=OTHER), claims(sid="t"), id="any-session"),
        pytest.param(
            "subject", "42", without_session(iss=OTHER), without_session(sub="43"), id="any-subject"
        ),
    ],
)
def test_covers_what_is_meant_and_nothing_else(
    kind: Kind, key: str, meant: dict[str, Any], not_meant: dict[str, Any]
) -> None:
    revocations = live(kind, key)
    assert revocations.covers(meant)
    assert not revocations.covers(not_meant)


@table(
    ("found", "covered"),
    [
        pytest.param(claims(iat=NOW - 1), True, id="session-before"),
        pytest.param(claims(iat=NOW), False, id="session-in-that-second"),
        pytest.param(claims(iat=NOW + 1), False, id="session-after"),
        pytest.param(without_session(iat=NOW - 1), True, id="before"),
        pytest.param(without_session(iat=NOW), True, id="in-that-second"),
        pytest.param(without_session(iat=NOW + 0.5), False, id="a-moment-after"),
        pytest.param(without_session(iat=NOW + 1), False, id="after"),
        pytest.param(without_session(iat=None), True, id="no-time"),
        pytest.param(claims(sid=7, iat=NOW), True, id="sid-that-is-none-of-ours"),
    ],
)
def test_a_subject_loses_what_it_held_before(found: dict[str, Any], covered: bool) -> None:  # noqa: FBT001
    assert live("subject", "42").covers(found) is covered


@table("name", ["jti", "sid"])
@table("value", [None, 7, [], {}])
def test_claims_of_other_types_are_no_error(name: str, value: object) -> None:
    assert not live("token", "x").covers(claims(**{name: value}))


def test_the_later_times_of_two_count() -> None:
    revocations = live("subject", "42", at=NOW, until=NOW + 600)
    revocations.update([Revocation("subject", "42", NOW - 100, NOW + 60)])
    assert revocations.covers(without_session())
    forget(revocations, NOW + 400)
    assert revocations.covers(without_session())
    assert len(revocations) == 1


@pytest.mark.parametrize("kind", ["token", "session", "subject"])
def test_is_forgotten_after_it_has_expired_and_never_before(kind: Kind) -> None:
    key = {"token": "j", "session": "s", "subject": "42"}[kind]
    revocations = live(kind, key, until=NOW + 60)
    found = claims(iat=NOW - 1)
    forget(revocations, NOW + 59)
    assert revocations.covers(found)
    forget(revocations, NOW + 180)
    assert not revocations.covers(found)
    assert len(revocations) == 0


def test_what_was_made_to_last_longer_outlasts_its_first_end() -> None:
    revocations = live("token", "j", until=NOW + 60)
    revocations.update([Revocation("token", "j", NOW, NOW + 6000)])
    forget(revocations, NOW + 600)
    assert revocations.covers(claims())
    forget(revocations, NOW + 6600)
    assert not revocations.covers(claims())


@pytest.mark.parametrize("kind", ["token", "subject"])
def test_forgets_in_small_steps_once_a_second(kind: Kind) -> None:
    revocations = LiveRevocations()
    revocations.update(Revocation(kind, f"x{number}", NOW, NOW + 60) for number in range(5000))
    left = [len(revocations)]
    for tenth in range(1200):
        revocations.forget_expired(NOW + 600 + tenth / 10)
        left.append(len(revocations))
    steps = [before - after for before, after in pairwise(left)]
    assert sum(steps) == 5000
    assert max(steps) <= 1000
    assert sum(map(bool, steps)) <= 120


def test_a_subject_is_revoked_while_the_expired_are_looked_for() -> None:
    revocations = LiveRevocations()
    ends = {f"x{number}": NOW + 60 + number % 2 * 6000 for number in range(100)}
    revocations.update(Revocation("subject", key, NOW, end) for key, end in ends.items())
    for second in range(5):
        revocations.forget_expired(NOW + 600 + second)
        for key, end in ends.items():
            if end > NOW + 700:
                assert revocations.covers(without_session(sub=key))
    assert len(revocations) == 50


@table(
    ("exp", "until"),
    [
        (NOW, NOW + MAX_LEEWAY_SECONDS),
        (NOW + 0.5, NOW + 1 + MAX_LEEWAY_SECONDS),
        (END_OF_TIME - MAX_LEEWAY_SECONDS, END_OF_TIME),
        (END_OF_TIME - MAX_LEEWAY_SECONDS + 1, END_OF_TIME),
        (2**63, END_OF_TIME),
        (1e300, END_OF_TIME),
    ],
)
def test_a_token_is_revoked_until_nothing_accepts_it_any_more(exp: float, until: int) -> None:
    revocation = token_revocation(claims(exp=exp), now=NOW + 0.9)
    assert revocation == Revocation("token", qualified(ISS, "j"), NOW, until)

"""What every store does when a refresh token is used."""

from __future__ import annotations

import pytest

from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.store import Outcome, Revocation

from ..values import (
    FIRST,
    FOURTH,
    NOW,
    SALT,
    SECOND,
    THIRD,
    a_rotation,
    a_session,
    key_of,
    revoked_sessions,
)

OTHER_SALT = b"t" * 16


def test_the_latest_token_is_rotated(store: SessionStore) -> None:
    store.add(a_session())
    rotation = a_rotation(now=NOW + 5)
    assert store.rotate(rotation) == (Outcome.ROTATED, SALT, "")
    assert store.find("sid") == a_session(
        used_at=NOW + 5, expires_at=NOW + 2_000, tokens_until=NOW + 200, token_hash=SECOND
    )
    assert revoked_sessions(store) == []


def test_each_successor_can_be_rotated(store: SessionStore) -> None:
    store.add(a_session())
    for presented, successor in ((FIRST, SECOND), (SECOND, THIRD), (THIRD, FOURTH)):
        assert store.rotate(a_rotation(presented, successor))[0] is Outcome.ROTATED
    assert store.find("sid") is not None


def test_no_other_session_is_touched(store: SessionStore) -> None:
    store.add(a_session())
    store.add(other := a_session("other"))
    store.rotate(a_rotation())
    store.rotate(a_rotation(FOURTH, THIRD))
    assert store.find("sid") is None
    assert store.find("other") == other


def test_access_tokens_are_never_forgotten_early(store: SessionStore) -> None:
    store.add(a_session(tokens_until=NOW + 500))
    store.rotate(a_rotation(tokens_until=NOW + 200))
    found = store.find("sid")
    assert found is not None
    assert found.tokens_until == NOW + 500


@pytest.mark.parametrize("later", [0, 9.75])
def test_a_repeated_use_within_the_grace_yields_the_first_salt(
    store: SessionStore, later: float
) -> None:
    store.add(a_session())
    store.rotate(a_rotation())
    repeated = a_rotation(
        FIRST,
        THIRD,
        salt=OTHER_SALT,
        now=NOW + later,
        expires_at=NOW + 3_000,
        tokens_until=NOW + 300,
    )
    assert store.rotate(repeated) == (Outcome.REPEATED, SALT, "")
    # The session lasts as long as its refresh token does, and that is the first use's.
    assert store.find("sid") == a_session(
        used_at=NOW + later, expires_at=NOW + 2_000, tokens_until=NOW + 300, token_hash=SECOND
    )


def test_the_grace_ends_at_its_end(store: SessionStore) -> None:
    store.add(a_session())
    store.rotate(a_rotation())
    assert store.rotate(a_rotation(now=NOW + 10)) == (Outcome.REPLAYED, b"", "")


def test_a_repeated_use_does_not_prolong_the_grace(store: SessionStore) -> None:
    store.add(a_session())
    store.rotate(a_rotation())
    assert store.rotate(a_rotation(now=NOW + 9))[0] is Outcome.REPEATED
    assert store.rotate(a_rotation(now=NOW + 10))[0] is Outcome.REPLAYED


def test_without_grace_a_repeated_use_is_a_replay(store: SessionStore) -> None:
    store.add(a_session())
    store.rotate(a_rotation(grace_seconds=0))
    assert store.rotate(a_rotation(grace_seconds=0)) == (Outcome.REPLAYED, b"", "")


def test_the_grace_ends_when_the_successor_is_used(store: SessionStore) -> None:
    store.add(a_session())
    store.rotate(a_rotation(FIRST, SECOND))
    store.rotate(a_rotation(FIRST, THIRD))
    assert store.rotate(a_rotation(SECOND, FOURTH))[0] is Outcome.ROTATED
    assert store.rotate(a_rotation(FIRST, THIRD))[0] is Outcome.REPLAYED


def test_a_replay_ends_the_session_and_revokes_it(store: SessionStore) -> None:
    store.add(a_session())
    store.rotate(a_rotation(FIRST, SECOND))
    store.rotate(a_rotation(SECOND, THIRD))
    assert store.rotate(a_rotation(FIRST, FOURTH, now=NOW + 1)) == (Outcome.REPLAYED, b"", "")
    assert store.find("sid") is None
    assert revoked_sessions(store) == [
        Revocation("session", key_of("sid"), int(NOW) + 1, int(NOW) + 201),
    ]
    assert store.rotate(a_rotation(THIRD, FOURTH)) == (Outcome.GONE, b"", "")


def test_a_token_that_never_was_is_a_replay(store: SessionStore) -> None:
    store.add(a_session())
    assert store.rotate(a_rotation(FOURTH, THIRD))[0] is Outcome.REPLAYED


@pytest.mark.parametrize("presented", [FIRST, b""])
def test_a_session_without_refresh_token_has_none_to_rotate(
    store: SessionStore, presented: bytes
) -> None:
    store.add(a_session(token_hash=None))
    assert store.rotate(a_rotation(presented, SECOND))[0] is not Outcome.ROTATED
    assert store.find("sid") is None


def test_a_session_of_which_nothing_is_known_is_gone(store: SessionStore) -> None:
    assert store.rotate(a_rotation()) == (Outcome.GONE, b"", "")
    assert revoked_sessions(store) == []


def test_a_session_is_good_until_just_before_its_expiry(store: SessionStore) -> None:
    store.add(a_session(expires_at=NOW + 1))
    assert store.rotate(a_rotation(now=NOW + 0.75))[0] is Outcome.ROTATED


@pytest.mark.parametrize("presented", [FIRST, FOURTH])
def test_a_session_is_gone_at_its_expiry(store: SessionStore, presented: bytes) -> None:
    store.add(a_session(expires_at=NOW + 1))
    rotation = a_rotation(presented, SECOND, now=NOW + 1)
    assert store.rotate(rotation) == (Outcome.GONE, b"", "")
    assert revoked_sessions(store) == []


def test_without_grace_a_clock_that_is_behind_makes_none(store: SessionStore) -> None:
    store.add(a_session())
    store.rotate(a_rotation(now=NOW + 5, grace_seconds=0))
    again = a_rotation(now=NOW + 4, grace_seconds=0)
    assert store.rotate(again) == (Outcome.REPLAYED, b"", "")


@pytest.mark.parametrize(
    ("ahead", "outcome"), [(0.25, Outcome.REPEATED), (60, Outcome.REPEATED), (61, Outcome.REPLAYED)]
)
def test_a_use_that_lies_in_the_future_is_in_the_grace_for_a_minute(
    store: SessionStore, ahead: float, outcome: Outcome
) -> None:
    store.add(a_session())
    store.rotate(a_rotation(now=NOW + ahead))
    assert store.rotate(a_rotation(now=NOW)).outcome is outcome

"""What every store does with sessions.  Rotation and all else is next door."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from jwt_middleware import JWTPayload
from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.store import Cursor, Revocation

from ..values import (
    ISS,
    NOW,
    a_revocation,
    a_session,
    end_all,
    key_of,
    read_all,
    revoked_sessions,
)

HOSTILE = ["'; DROP TABLE sessions; --", '"%_\\{}*?[a]$1:x', "Ä\u0308 \U0001f600 ﷽", " ", "0042"]


# --- Keeping -----------------------------------------------------------------------------------


def test_a_session_is_found_as_it_was_added(store: SessionStore) -> None:
    session = a_session()
    store.add(session)
    assert store.find("sid") == session


def test_an_unknown_session_is_not_found(store: SessionStore) -> None:
    store.add(a_session())
    assert store.find("SID") is None
    assert store.find("") is None


@pytest.mark.parametrize("sid", ["s\0d", "\ud800", "sid\n", "\\x73id", "x" * 20_000])
def test_a_sid_that_no_session_can_have_is_unknown(store: SessionStore, sid: str) -> None:
    store.add(a_session())
    assert store.find(sid) is None
    assert not store.end(sid, issuer=ISS, now=NOW)


def test_a_session_may_have_no_refresh_token(store: SessionStore) -> None:
    session = a_session(token_hash=None, credential="")
    store.add(session)
    assert store.find("sid") == session


def test_an_expired_session_may_be_found(store: SessionStore) -> None:
    session = a_session(expires_at=NOW - 1)
    store.add(session)
    assert store.find("sid") in {session, None}


@pytest.mark.parametrize("uid", [42, "42", 0, -1, 2**63, 10**40, "x", *HOSTILE, "é" * 20_000])
def test_a_uid_keeps_its_type_and_value(store: SessionStore, uid: int | str) -> None:
    store.add(a_session(uid=uid))
    found = store.find("sid")
    assert found is not None
    assert found.payload.uid == uid
    assert type(found.payload.uid) is type(uid)
    assert [one.sid for one in store.list(issuer=ISS, subject=str(uid))] == ["sid"]
    assert end_all(store, str(uid), now=NOW, expires_at=NOW + 9) == 1


@pytest.mark.parametrize("text", ["", *HOSTILE, "é" * 20_000])
def test_texts_are_kept_as_they_are(store: SessionStore, text: str) -> None:
    payload = JWTPayload(uid=1, auth=text, ac_type=text, subject=f"x:{text}")
    session = a_session(payload=payload, credential=text)
    store.add(session)
    assert store.find("sid") == session


def test_all_sessions_are_listed(store: SessionStore) -> None:
    sessions = [a_session(f"s{number}", uid=number % 3) for number in range(7)]
    for session in sessions:
        store.add(session)
    assert sorted(store.list(), key=lambda one: one.sid) == sessions


def test_the_sessions_of_a_subject_are_listed(store: SessionStore) -> None:
    uids: dict[str, int | str] = {"a": 42, "b": "42", "c": 4, "d": "42 ", "e": "x"}
    for sid, uid in uids.items():
        store.add(a_session(sid, uid=uid))
    assert sorted(one.sid for one in store.list(issuer=ISS, subject="42")) == ["a", "b"]
    assert [*store.list(issuer=ISS, subject="nobody")] == []


def test_sessions_can_be_ended_while_they_are_listed(store: SessionStore) -> None:
    for sid in "abc":
        store.add(a_session(sid))
    listed = [one.sid for one in store.list() if store.end(one.sid, issuer=ISS, now=NOW)]
    assert sorted(listed) == ["a", "b", "c"]
    assert [*store.list()] == []


# --- Ending ------------------------------------------------------------------------------------


def test_an_ended_session_is_revoked_until_its_last_token_expires(store: SessionStore) -> None:
    store.add(a_session(tokens_until=NOW + 100.5))
    assert store.end("sid", issuer=ISS, now=NOW + 3)
    assert store.find("sid") is None
    assert revoked_sessions(store) == [
        Revocation("session", key_of("sid"), int(NOW) + 3, int(NOW) + 101)
    ]


def test_a_session_is_ended_once(store: SessionStore) -> None:
    store.add(a_session())
    assert store.end("sid", issuer=ISS, now=NOW)
    assert not store.end("sid", issuer=ISS, now=NOW)
    assert not store.end("unknown", issuer=ISS, now=NOW)


def test_all_sessions_of_a_subject_are_ended(store: SessionStore) -> None:
    uids: dict[str, int | str] = {"a": 42, "b": "42", "c": 4, "d": "42 ", "e": 420}
    for sid, uid in uids.items():
        store.add(a_session(sid, uid=uid))
    assert end_all(store, "42", now=NOW + 3, expires_at=NOW + 7_000) == 2
    assert sorted(one.sid for one in store.list()) == ["c", "d", "e"]
    at = int(NOW) + 3
    assert sorted(read_all(store)[0]) == [
        Revocation("session", key_of("a"), at, int(NOW) + 101),
        Revocation("session", key_of("b"), at, int(NOW) + 101),
        Revocation("subject", key_of("42"), at, int(NOW) + 7_001),
    ]


def test_sessions_that_were_not_used_of_late_are_ended_without_a_name_each(
    store: SessionStore,
) -> None:
    for sid, seconds_ago in {"a": -30, "b": 0, "c": 299, "d": 301, "e": 5_000}.items():
        store.add(a_session(sid, used_at=NOW - seconds_ago, tokens_until=NOW + 100))
    assert end_all(store, "42", now=NOW, expires_at=NOW + 7_000) == 5
    assert [*store.list()] == []
    found, _ = read_all(store)
    assert sorted(one.key for one in found if one.kind == "session") == [*map(key_of, "abc")]
    assert [one.key for one in found if one.kind == "subject"] == [key_of("42")]


def test_a_subject_without_sessions_is_revoked_all_the_same(store: SessionStore) -> None:
    assert end_all(store, "42", now=NOW, expires_at=NOW + 7) == 0
    assert read_all(store)[0] == [Revocation("subject", key_of("42"), int(NOW), int(NOW) + 8)]


def test_a_login_after_the_end_of_all_is_kept(store: SessionStore) -> None:
    store.add(a_session("a"))
    end_all(store, "42", now=NOW, expires_at=NOW + 7)
    store.add(later := a_session("b"))
    assert [*store.list(issuer=ISS, subject="42")] == [later]


def test_many_sessions_of_a_subject_are_ended_at_once(store: SessionStore) -> None:
    for number in range(120):
        store.add(a_session(f"s{number}"))
    assert end_all(store, "42", now=NOW, expires_at=NOW + 7) == 120
    assert len(revoked_sessions(store)) == 120


# --- Pruning -----------------------------------------------------------------------------------


def test_an_expired_session_is_pruned_after_the_leeway(store: SessionStore) -> None:
    store.add(a_session(expires_at=NOW + 10))
    store.prune(now=NOW + 10 + 299.75, limit=10)
    assert store.find("sid") is not None
    assert store.end("sid", issuer=ISS, now=NOW)


def test_an_expired_session_is_gone_after_pruning(store: SessionStore) -> None:
    store.add(a_session(expires_at=NOW + 10))
    store.add(later := a_session("later", expires_at=NOW + 1_000))
    store.prune(now=NOW + 10 + 300, limit=10)
    assert [*store.list()] == [later]


def test_what_is_pruned_is_not_revoked(store: SessionStore) -> None:
    store.add(a_session(expires_at=NOW))
    store.prune(now=NOW + 500, limit=10)
    assert read_all(store)[0] == []


def test_pruning_goes_in_steps(store: SessionStore) -> None:
    for number in range(5):
        store.add(replace(a_session(), sid=f"s{number}", expires_at=NOW))
        store.revoke(a_revocation(f"t{number}", expires_at=int(NOW)))
    pruned = [store.prune(now=NOW + 1_000, limit=2) for _ in range(4)]
    assert pruned == [4, 4, 2, 0]


def test_a_live_revocation_is_not_pruned(store: SessionStore) -> None:
    store.revoke(kept := a_revocation("kept", expires_at=int(NOW) + 10))
    store.prune(now=int(NOW) + 9.75, limit=10)
    assert read_all(store)[0] == [kept]


def test_an_expired_revocation_is_pruned_at_its_expiry(store: SessionStore) -> None:
    store.revoke(a_revocation("gone", expires_at=int(NOW) + 10))
    store.prune(now=int(NOW) + 10, limit=10)
    assert read_all(store, Cursor("", 0))[0] == []


def test_a_host_whose_clock_is_fast_prunes_nothing_that_counts_for_others(
    store: SessionStore,
) -> None:
    if store.single_process:
        pytest.skip("no other host shares it")
    now = time.time()
    store.revoke(kept := a_revocation("kept", expires_at=int(now) + 3_600))
    store.add(a_session("kept", expires_at=now + 3_600, ends_at=now + 3_600))
    store.prune(now=now + 3 * 3_600, limit=10)
    assert read_all(store)[0] == [kept]
    assert store.find("kept") is not None

"""What every store does where several issuers share it, and with many sessions of one subject."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.store import Outcome, Revocation, qualified

from ..values import ISS, NOW, SECOND, THIRD, a_rotation, a_session, end_all, key_of, read_all

OTHER = "https://other"


def sids(store: SessionStore, **chosen: str) -> list[str]:
    return sorted(one.sid for one in store.list(**chosen))


def test_the_sessions_of_an_issuer_are_listed(store: SessionStore) -> None:
    store.add(a_session("a"))
    store.add(a_session("b", issuer=OTHER))
    assert sids(store, issuer=ISS) == ["a"]
    assert sids(store, issuer=OTHER, subject="42") == ["b"]
    assert sids(store) == ["a", "b"]


def test_ending_all_of_a_subject_ends_nothing_of_another_issuer(store: SessionStore) -> None:
    store.add(a_session("a"))
    store.add(other := a_session("b", issuer=OTHER))
    assert end_all(store, "42", expires_at=NOW + 9) == 1
    assert store.find("b") == other
    assert {one.key for one in read_all(store)[0]} == {key_of("42"), key_of("a")}


def test_a_session_is_not_ended_by_another_issuer(store: SessionStore) -> None:
    store.add(a_session())
    assert not store.end("sid", issuer=OTHER, now=NOW)
    assert store.end("sid", issuer=ISS, now=NOW)


def test_a_session_keeps_its_subject_and_its_uid(store: SessionStore) -> None:
    session = a_session(uid=42)
    mapped = a_session("mapped", payload=replace(session.payload, subject="ldap:42"))
    store.add(session)
    store.add(mapped)
    assert store.find("mapped") == mapped
    assert sids(store, issuer=ISS, subject="ldap:42") == ["mapped"]
    assert end_all(store, "ldap:42", expires_at=NOW + 9) == 1
    assert sids(store) == ["sid"]


# --- Ended in one write ------------------------------------------------------------------------


def test_all_sessions_are_ended_before_any_is_removed(store: SessionStore) -> None:
    for sid in ("sid", "b", "c"):
        store.add(a_session(sid))
    store.end_all(ISS, "42", now=NOW, expires_at=NOW + 9)
    assert len(read_all(store)[0]) == 1
    assert store.find("sid") is None
    assert sids(store) == []
    assert store.rotate(a_rotation()).outcome is Outcome.GONE
    assert not store.end("b", issuer=ISS, now=NOW)


def test_a_login_after_the_end_of_all_goes_on_whatever_the_clocks_say(store: SessionStore) -> None:
    store.end_all(ISS, "42", now=NOW + 1_000, expires_at=NOW + 9_000)
    store.add(session := a_session())
    assert store.find("sid") == session
    assert store.rotate(a_rotation()).outcome is Outcome.ROTATED
    store.end_all(ISS, "42", now=NOW - 1_000, expires_at=NOW + 9_000)
    assert store.find("sid") is None


def test_ended_sessions_are_removed_in_batches_and_later_ones_kept(store: SessionStore) -> None:
    for number in range(5):
        store.add(a_session(f"s{number}", used_at=NOW - 1_000))
    store.end_all(ISS, "42", now=NOW, expires_at=NOW + 9_000)
    store.add(later := a_session("later"))
    assert [store.clear_ended(ISS, "42", limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert store.find("later") == later
    assert len(read_all(store)[0]) == 1


def test_pruning_removes_ended_sessions(store: SessionStore) -> None:
    for number in range(5):
        store.add(a_session(f"s{number}"))
    store.end_all(ISS, "42", now=NOW, expires_at=NOW + 9_000)
    assert [store.prune(now=NOW, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    # Used just before, they are revoked by name as their tokens may bear the same second.
    assert len(read_all(store)[0]) == 6


def test_what_is_named_is_told_by_when_all_were_ended(store: SessionStore) -> None:
    store.add(a_session("recent", used_at=NOW - 100, tokens_until=NOW + 5_000))
    store.end_all(ISS, "42", now=NOW, expires_at=NOW + 9_000)
    store.prune(now=NOW + 500, limit=9)
    assert [one.key for one in read_all(store)[0] if one.kind == "session"] == [key_of("recent")]


@pytest.mark.parametrize("key", [qualified(ISS, "42"), "42"])
def test_a_recorded_revocation_of_a_subject_ends_its_sessions(
    store: SessionStore, key: str
) -> None:
    store.add(a_session())
    store.revoke(Revocation("subject", key, int(NOW), int(NOW) + 9_000))
    assert store.find("sid") is None
    assert store.rotate(a_rotation()).outcome is Outcome.GONE


# --- A most of sessions ------------------------------------------------------------------------


def test_of_too_many_sessions_the_oldest_is_ended(store: SessionStore) -> None:
    for number in range(5):
        store.add(a_session(f"s{number}", created_at=NOW + number), max_per_subject=3)
    assert sids(store) == ["s2", "s3", "s4"]
    assert [one.key for one in read_all(store)[0]] == [key_of("s0"), key_of("s1")]


def test_a_refresh_makes_no_session_younger(store: SessionStore) -> None:
    for number, sid in enumerate(["sid", "b", "c"]):
        store.add(a_session(sid, created_at=NOW + number), max_per_subject=3)
    store.rotate(a_rotation(now=NOW + 10))
    store.add(a_session("d", created_at=NOW + 11), max_per_subject=3)
    assert sids(store) == ["b", "c", "d"]


def test_each_subject_of_each_issuer_has_as_many(store: SessionStore) -> None:
    for number in range(3):
        store.add(a_session(f"a{number}", created_at=NOW + number), max_per_subject=3)
        store.add(a_session(f"b{number}", uid=43), max_per_subject=3)
        store.add(a_session(f"c{number}", issuer=OTHER), max_per_subject=3)
    store.add(a_session("a3", created_at=NOW + 9), max_per_subject=3)
    assert len(sids(store)) == 9


# --- Uses of a refresh token -------------------------------------------------------------------


def test_the_address_of_the_use_before_is_told(store: SessionStore) -> None:
    store.add(a_session())
    assert store.rotate(a_rotation(address="192.0.2.1")).address == ""
    repeated = store.rotate(a_rotation(successor=THIRD, address="198.51.100.7"))
    assert (repeated.outcome, repeated.address) == (Outcome.REPEATED, "192.0.2.1")
    rotated = store.rotate(a_rotation(SECOND, THIRD, address="198.51.100.7"))
    assert (rotated.outcome, rotated.address) == (Outcome.ROTATED, "192.0.2.1")
    replayed = store.rotate(a_rotation(address="192.0.2.1"))
    assert (replayed.outcome, replayed.address) == (Outcome.REPLAYED, "198.51.100.7")

"""What every store does with revocations, and those that follow them."""

from __future__ import annotations

import pytest

from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.store import Cursor, Revocation

from ..values import NOW, a_revocation, read_all

AT = int(NOW)


@pytest.mark.parametrize("kind", ["token", "session", "subject"])
def test_a_revocation_is_read_as_it_was_recorded(store: SessionStore, kind: str) -> None:
    revocation = a_revocation("a", kind=kind)
    store.revoke(revocation)
    assert read_all(store)[0] == [revocation]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("https://other\n\0 jti", id="nul"),
        pytest.param("\ud800\udfff\ud800", id="surrogates"),
        pytest.param("é\U0001f600'\"%_\\", id="unicode"),
        pytest.param("".join(map(chr, range(256, 8_256))), id="long"),
        pytest.param("", id="empty"),
    ],
)
def test_the_jti_of_another_issuer_may_be_any_string(store: SessionStore, key: str) -> None:
    revocation = a_revocation(key)
    store.revoke(revocation)
    store.revoke(a_revocation("next"))
    assert read_all(store)[0] == [revocation, a_revocation("next")]


def test_one_key_may_be_revoked_in_each_kind(store: SessionStore) -> None:
    revocations = [a_revocation("a", kind=kind) for kind in ("token", "session", "subject")]
    for revocation in revocations:
        store.revoke(revocation)
    assert read_all(store)[0] == revocations


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_revocations_of_one_key_the_later_times_count(
    store: SessionStore, order: int
) -> None:
    for revoked_at, expires_at in [(AT, AT + 100), (AT + 9, AT + 50)][::order]:
        store.revoke(
            a_revocation("a", kind="subject", revoked_at=revoked_at, expires_at=expires_at)
        )
    assert read_all(store)[0] == [Revocation("subject", "a", AT + 9, AT + 100)]


def test_a_store_without_revocations_has_a_cursor_to_go_on_from(store: SessionStore) -> None:
    revocations, cursor = read_all(store)
    assert revocations == []
    assert read_all(store, cursor) == ([], cursor)
    store.revoke(a_revocation("a"))
    assert read_all(store, cursor)[0] == [a_revocation("a")]


def test_only_what_is_new_is_read(store: SessionStore) -> None:
    store.revoke(a_revocation("a"))
    _, cursor = read_all(store)
    store.revoke(a_revocation("b"))
    store.revoke(a_revocation("c"))
    revocations, cursor = read_all(store, cursor)
    assert revocations == [a_revocation("b"), a_revocation("c")]
    assert read_all(store, cursor) == ([], cursor)


def test_revocations_are_read_in_pages_and_in_order(store: SessionStore) -> None:
    recorded = [a_revocation(f"t{number}") for number in range(11)]
    for revocation in recorded:
        store.revoke(revocation)
    for limit in (1, 2, 10, 11, 12):
        assert read_all(store, limit=limit)[0] == recorded


def test_a_page_that_is_not_all_says_so(store: SessionStore) -> None:
    for number in range(3):
        store.revoke(a_revocation(f"t{number}"))
    first = store.changes(None, limit=2)
    assert not first.complete
    second = store.changes(first.cursor, limit=2)
    assert second.complete
    assert [*first.revocations, *second.revocations] == [a_revocation(f"t{n}") for n in range(3)]


def test_what_is_recorded_between_two_pages_is_not_missed(store: SessionStore) -> None:
    for key in "abc":
        store.revoke(a_revocation(key))
    first = store.changes(None, limit=2)
    store.revoke(a_revocation("d"))
    store.revoke(later := a_revocation("a", expires_at=AT + 999))
    assert read_all(store, first.cursor)[0] == [a_revocation("c"), a_revocation("d"), later]


def test_a_change_of_a_revocation_is_new_to_who_has_read_it(store: SessionStore) -> None:
    store.revoke(a_revocation("a"))
    store.revoke(a_revocation("b"))
    _, cursor = read_all(store)
    store.revoke(later := a_revocation("a", expires_at=AT + 999))
    assert read_all(store, cursor)[0] == [later]
    assert read_all(store)[0] == [a_revocation("b"), later]


def test_the_cursor_of_another_store_reads_all(store: SessionStore) -> None:
    store.revoke(a_revocation("a"))
    _, cursor = read_all(store)
    revocations, again = read_all(store, Cursor("another", cursor.number))
    assert revocations == [a_revocation("a")]
    assert again == cursor


def test_a_cursor_ahead_of_the_store_reads_all(store: SessionStore) -> None:
    store.revoke(a_revocation("a"))
    _, cursor = read_all(store)
    revocations, again = read_all(store, cursor._replace(number=cursor.number + 1))
    assert revocations == [a_revocation("a")]
    assert again == cursor


def test_pruning_takes_no_reader_back(store: SessionStore) -> None:
    for key in "abc":
        store.revoke(a_revocation(key))
    _, cursor = read_all(store)
    store.prune(now=NOW + 10_000, limit=100)
    assert read_all(store, cursor)[0] == []
    store.revoke(a_revocation("d"))
    assert read_all(store, cursor)[0] == [a_revocation("d")]


def test_a_reader_goes_on_where_what_it_read_was_pruned(store: SessionStore) -> None:
    for number in range(4):
        store.revoke(a_revocation(f"t{number}", expires_at=AT + number))
    first = store.changes(None, limit=2)
    store.prune(now=AT + 2, limit=100)
    assert read_all(store, first.cursor, limit=1)[0] == [a_revocation("t3", expires_at=AT + 3)]


def test_a_cursor_of_another_history_reads_all_and_says_so(store: SessionStore) -> None:
    for key in "abc":
        store.revoke(a_revocation(key))
    _, cursor = read_all(store)
    for foreign in (
        cursor._replace(tag="another"),
        cursor._replace(store="another"),
        cursor._replace(number=cursor.number + 1),
        cursor._replace(head=cursor.head + 1),
    ):
        changes = store.changes(foreign, limit=9)
        assert [one.key for one in changes.revocations] == ["a", "b", "c"]
        assert changes.lost
        assert changes.cursor == cursor
    assert not store.changes(None, limit=9).lost
    assert not store.changes(cursor, limit=9).lost


def test_a_page_of_another_history_begins_with_the_first(store: SessionStore) -> None:
    for key in "abc":
        store.revoke(a_revocation(key))
    page = store.changes(None, limit=2)
    changes = store.changes(page.cursor._replace(tag="another"), limit=2)
    assert [one.key for one in changes.revocations] == ["a", "b"]
    assert (changes.lost, changes.complete, changes.cursor) == (True, False, page.cursor)


def test_a_cursor_is_good_whatever_became_of_the_revocation_it_names(store: SessionStore) -> None:
    store.revoke(a_revocation("kept", expires_at=AT + 50_000))
    store.revoke(a_revocation("pruned"))
    _, pruned = read_all(store)
    store.revoke(a_revocation("twice", expires_at=AT + 50_000))
    _, moved = read_all(store)
    for key in ("twice", "other", "twice"):
        store.revoke(a_revocation(key, expires_at=AT + 50_000))
    store.prune(now=AT + 20_000, limit=9)
    for cursor in (pruned, moved):
        changes = store.changes(cursor, limit=9)
        assert [one.key for one in changes.revocations] == ["other", "twice"]
        assert not changes.lost


def test_what_no_tag_is_kept_for_any_more_is_read_again_and_not_called_lost(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_middleware.sessions.store.POSITIONS", 4)
    store.revoke(a_revocation("a"))
    _, cursor = read_all(store)
    for key in "bcd":
        store.revoke(a_revocation(key))
    assert len(store.changes(cursor, limit=9).revocations) == 3
    store.revoke(a_revocation("e"))
    changes = store.changes(cursor, limit=9)
    assert [one.key for one in changes.revocations] == [*"abcde"]
    assert not changes.lost

"""What every store does with login attempts."""

from __future__ import annotations

import pytest

from jwt_middleware.sessions import SessionStore

from ..values import NOW, a_session


def attempt(
    store: SessionStore, quotas: dict[str, int], now: float = NOW, *, window_seconds: float = 60
) -> float:
    return store.record_attempt(quotas, window_seconds=window_seconds, now=now)


def test_attempts_are_recorded_up_to_the_quota(store: SessionStore) -> None:
    assert [attempt(store, {"a": 3}) for _ in range(5)] == [0, 0, 0, 60, 60]


def test_other_keys_are_unaffected(store: SessionStore) -> None:
    assert attempt(store, {"a": 1}) == 0
    assert attempt(store, {"a": 1}) == 60
    assert attempt(store, {"A": 1}) == 0
    assert attempt(store, {"a ": 1}) == 0


def test_the_wait_is_until_the_oldest_that_counts_leaves_the_window(store: SessionStore) -> None:
    for later in (0, 10, 20):
        assert attempt(store, {"a": 3}, NOW + later) == 0
    assert attempt(store, {"a": 3}, NOW + 25.5) == 34.5
    assert attempt(store, {"a": 2}, NOW + 25.5) == 44.5
    assert attempt(store, {"a": 1}, NOW + 25.5) == 54.5


def test_an_attempt_counts_until_just_before_the_window_s_end(store: SessionStore) -> None:
    attempt(store, {"a": 1})
    assert attempt(store, {"a": 1}, NOW + 59.75) == 0.25


def test_an_attempt_does_not_count_at_the_window_s_end(store: SessionStore) -> None:
    attempt(store, {"a": 1})
    assert attempt(store, {"a": 1}, NOW + 60) == 0


def test_the_window_slides(store: SessionStore) -> None:
    times = [0, 30, 59, 60, 61, 89, 90, 119, 120]
    waits = [attempt(store, {"a": 2}, NOW + later) for later in times]
    assert waits == [0, 0, 1, 0, 29, 1, 0, 1, 0]


def test_a_refused_attempt_is_not_recorded(store: SessionStore) -> None:
    attempt(store, {"a": 1})
    for later in range(1, 60):
        assert attempt(store, {"a": 1}, NOW + later) == 60 - later
    assert attempt(store, {"a": 1}, NOW + 60) == 0


def test_of_two_keys_both_are_recorded_or_none(store: SessionStore) -> None:
    assert attempt(store, {"full": 1}) == 0
    assert attempt(store, {"free": 2, "full": 1}, NOW + 1) == 59
    assert attempt(store, {"full": 1, "free": 2}, NOW + 1) == 59
    assert attempt(store, {"free": 2, "other": 1}, NOW + 2) == 0
    assert attempt(store, {"free": 2}, NOW + 3) == 0
    assert attempt(store, {"free": 2}, NOW + 4) == 58


def test_the_wait_is_until_every_key_has_room(store: SessionStore) -> None:
    attempt(store, {"a": 1}, NOW)
    attempt(store, {"b": 1}, NOW + 10)
    assert attempt(store, {"a": 1, "b": 1}, NOW + 20) == 50


def test_no_key_means_no_limit(store: SessionStore) -> None:
    assert [attempt(store, {}) for _ in range(3)] == [0, 0, 0]


def test_a_clock_that_lags_behind_opens_nothing(store: SessionStore) -> None:
    attempt(store, {"a": 2}, NOW + 5)
    attempt(store, {"a": 2}, NOW)
    assert attempt(store, {"a": 2}, NOW) > 0


def test_all_attempts_under_a_key_are_forgotten(store: SessionStore) -> None:
    for later in range(3):
        attempt(store, {"a": 3, "b": 3}, NOW + later)
    store.forgive(forgotten="a", taken_back=None, at=NOW)
    assert [attempt(store, {"a": 3}, NOW + 3) for _ in range(4)] == [0, 0, 0, 60]
    assert attempt(store, {"b": 3}, NOW + 3) == 57


def test_one_attempt_is_taken_back(store: SessionStore) -> None:
    for later in (0, 0.125, 0.25):
        attempt(store, {"a": 5, "b": 3}, NOW + later)
    store.forgive(forgotten="a", taken_back="b", at=NOW + 0.125)
    assert attempt(store, {"b": 3}, NOW + 1) == 0
    assert attempt(store, {"b": 3}, NOW + 1) == 59
    assert attempt(store, {"b": 3}, NOW + 60) == 0
    assert attempt(store, {"b": 3}, NOW + 60) == 0.25


def test_of_two_attempts_at_one_time_one_is_taken_back(store: SessionStore) -> None:
    attempt(store, {"b": 2})
    attempt(store, {"b": 2})
    store.forgive(forgotten="a", taken_back="b", at=NOW)
    assert [attempt(store, {"b": 2}) for _ in range(2)] == [0, 60]


@pytest.mark.parametrize("at", [NOW - 1, NOW + 1])
def test_what_was_not_recorded_is_not_taken_back(store: SessionStore, at: float) -> None:
    attempt(store, {"b": 1})
    store.forgive(forgotten="a", taken_back="b", at=at)
    store.forgive(forgotten="a", taken_back="unknown", at=NOW)
    assert attempt(store, {"b": 1}) == 60


def test_attempts_that_still_count_are_not_pruned(store: SessionStore) -> None:
    attempt(store, {"a": 1})
    store.prune(now=NOW + 59.75, limit=10)
    assert attempt(store, {"a": 1}, NOW + 59.75) == 0.25


def test_pruning_forgets_attempts_that_do_not_count(store: SessionStore) -> None:
    attempt(store, {"a": 2})
    attempt(store, {"b": 2}, NOW + 30)
    store.prune(now=NOW + 60, limit=10)
    assert [attempt(store, {"a": 2}, NOW + 60) for _ in range(3)] == [0, 0, 60]
    assert attempt(store, {"b": 2}, NOW + 60) == 0
    assert attempt(store, {"b": 2}, NOW + 60) == 30


def test_attempts_do_not_mingle_with_sessions(store: SessionStore) -> None:
    store.add(a_session("a"))
    attempt(store, {"a": 1})
    store.forgive(forgotten="a", taken_back="a", at=NOW)
    assert store.find("a") == a_session("a")

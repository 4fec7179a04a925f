"""What every store does with login attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.attempts import Attempt, Drip

from ..values import NOW, a_session, an_attempt

THREE = an_attempt(pool=Drip(3, 60.0))


def wait(store: SessionStore, attempt: Attempt, now: float = NOW) -> float:
    """Count an attempt that then fails, or return how long to wait."""
    reservation = store.reserve(attempt, now=now)
    if not reservation.wait_seconds:
        store.settle(attempt, reservation, succeeded=False, now=now)
    return round(reservation.wait_seconds, 2)


def succeed(store: SessionStore, attempt: Attempt, now: float = NOW) -> None:
    reservation = store.reserve(attempt, now=now)
    assert reservation.wait_seconds == 0
    store.settle(attempt, reservation, succeeded=True, now=now)


def test_a_burst_passes_and_then_one_each_interval(store: SessionStore) -> None:
    assert [wait(store, THREE) for _ in range(5)] == [0, 0, 0, 60, 60]
    later = [wait(store, THREE, NOW + 60 * minutes) for minutes in (1, 1, 1.5, 2, 5, 5, 5, 5)]
    assert later == [0, 60, 30, 0, 0, 0, 0, 60]


def test_a_bucket_that_has_dripped_out_holds_no_more_than_its_burst(store: SessionStore) -> None:
    wait(store, THREE)
    assert [wait(store, THREE, NOW + 10_000) for _ in range(4)] == [0, 0, 0, 60]


def test_a_client_that_waits_as_long_as_it_is_told_passes(store: SessionStore) -> None:
    now = NOW + 0.123
    for _ in range(30):
        seconds = wait(store, THREE, now)
        now += seconds + (0.01 if seconds else 0)  # the wait was rounded
        assert not seconds or wait(store, THREE, now) == 0


def test_of_two_buckets_both_are_filled_or_none(store: SessionStore) -> None:
    both = an_attempt(small=Drip(1, 60.0), large=Drip(3, 60.0))
    assert [wait(store, both) for _ in range(9)] == [0] + [60] * 8
    large = an_attempt(large=Drip(3, 60.0))
    assert [wait(store, large) for _ in range(3)] == [0, 0, 60]


def test_no_bucket_means_no_limit(store: SessionStore) -> None:
    assert [wait(store, an_attempt()) for _ in range(3)] == [0, 0, 0]


def test_an_attempt_costs_as_much_as_secrets_are_compared(store: SessionStore) -> None:
    assert wait(store, replace(THREE, cost=2)) == 0
    assert wait(store, replace(THREE, cost=2)) == 60
    assert wait(store, THREE) == 0


def test_a_success_takes_back_its_own_alone(store: SessionStore) -> None:
    two = replace(THREE, leaf=None)
    assert [wait(store, two) for _ in range(2)] == [0, 0]
    for _ in range(20):
        succeed(store, replace(two, cost=1))
    assert [wait(store, two) for _ in range(2)] == [0, 60]


def test_while_an_attempt_is_checked_the_wait_is_a_second(store: SessionStore) -> None:
    reservations = [store.reserve(THREE, now=NOW) for _ in range(3)]
    assert store.reserve(THREE, now=NOW + 1).wait_seconds == 1
    for reservation in reservations[:2]:
        store.settle(THREE, reservation, succeeded=False, now=NOW + 2)
    assert store.reserve(THREE, now=NOW + 3).wait_seconds == 1
    store.settle(THREE, reservations[2], succeeded=False, now=NOW + 4)
    assert store.reserve(THREE, now=NOW + 5).wait_seconds == pytest.approx(55)


def test_an_attempt_whose_process_crashed_stays_counted(store: SessionStore) -> None:
    for _ in range(3):
        store.reserve(THREE, now=NOW)
    assert store.reserve(THREE, now=NOW + 9).wait_seconds == 1
    assert store.reserve(THREE, now=NOW + 11).wait_seconds == pytest.approx(49)


def test_a_success_after_it_has_dripped_out_gives_nothing_back(store: SessionStore) -> None:
    slow = replace(THREE, leaf=None)
    reservation = store.reserve(slow, now=NOW)
    for _ in range(3):
        wait(store, slow, NOW + 60)
    store.settle(slow, reservation, succeeded=True, now=NOW + 61)
    assert wait(store, slow, NOW + 61) > 0


KNOWN = an_attempt(Drip(2, 90.0), pool=Drip(3, 60.0))


def test_a_leaf_is_known_after_a_login_and_limited_by_its_own_bucket(store: SessionStore) -> None:
    succeed(store, KNOWN)
    stranger = replace(KNOWN, leaf="other")
    assert [wait(store, stranger) for _ in range(4)] == [0, 0, 0, 60]
    assert [wait(store, KNOWN) for _ in range(3)] == [0, 0, 90]
    # Nor has the known leaf used anything of the strangers'.
    assert wait(store, stranger, NOW + 60) == 0


def test_a_leaf_is_known_for_a_time_after_the_latest_login(store: SessionStore) -> None:
    succeed(store, KNOWN)
    succeed(store, KNOWN, NOW + 999)
    assert [wait(store, KNOWN, NOW + 1_998) for _ in range(3)] == [0, 0, 90]
    assert [wait(store, KNOWN, NOW + 1_999) for _ in range(4)] == [0, 0, 0, 60]


def test_the_least_recent_leaf_is_forgotten(store: SessionStore) -> None:
    for later, leaf in enumerate(["a", "b", "c", "a", "d"]):
        succeed(store, replace(KNOWN, leaf=leaf), NOW + later)
    is_known = [
        [wait(store, replace(KNOWN, leaf=leaf, known=(f"acct:{leaf}", Drip(2, 90.0))), NOW + 9)
         for _ in range(3)][2] == 90
        for leaf in "abcd"
    ]  # fmt: skip
    assert is_known == [True, False, True, True]


def test_a_failure_makes_no_leaf_known(store: SessionStore) -> None:
    assert [wait(store, KNOWN) for _ in range(4)] == [0, 0, 0, 60]


def test_a_trusted_leaf_is_known_without_a_login(store: SessionStore) -> None:
    trusted = replace(KNOWN, is_trusted=True)
    assert [wait(store, trusted) for _ in range(3)] == [0, 0, 90]


def test_a_known_leaf_may_be_without_a_limit(store: SessionStore) -> None:
    free = replace(KNOWN, known=None)
    succeed(store, free)
    assert [wait(store, free) for _ in range(9)] == [0] * 9


def test_another_account_is_limited_by_itself(store: SessionStore) -> None:
    succeed(store, KNOWN)
    other = replace(KNOWN, account="other", strangers=[("other:pool", Drip(3, 60.0))])
    assert [wait(store, other) for _ in range(4)] == [0, 0, 0, 60]
    assert wait(store, KNOWN) == 0


def test_the_attempts_of_one_account_are_cleared_and_its_leaves_kept(store: SessionStore) -> None:
    succeed(store, KNOWN)
    stranger = replace(KNOWN, leaf="other")
    other = replace(stranger, account="acct2", strangers=[("acct2:pool", Drip(3, 60.0))])
    for attempt in (KNOWN, stranger, other):
        while not wait(store, attempt):
            pass
    store.clear_attempts("acct")
    assert wait(store, stranger) == 0
    assert [wait(store, KNOWN) for _ in range(3)] == [0, 0, 90]
    assert wait(store, other) > 0


@pytest.mark.parametrize("skew", [3 * 3_600, -3 * 3_600])
def test_a_clock_that_is_wrong_elsewhere_closes_a_bucket_for_no_longer(
    store: SessionStore, skew: float
) -> None:
    for _ in range(3):
        wait(store, THREE, NOW + skew)
    assert wait(store, THREE) in {0, 60}


def test_attempts_that_still_count_are_not_pruned(store: SessionStore) -> None:
    for _ in range(3):
        wait(store, THREE)
    store.prune(now=NOW + 100, limit=10)
    assert wait(store, THREE, NOW + 100) == 0
    assert wait(store, THREE, NOW + 100) == 20


def test_pruning_forgets_what_has_dripped_out_and_leaves_that_are_not_known(
    store: SessionStore,
) -> None:
    succeed(store, KNOWN)
    wait(store, KNOWN)
    while store.prune(now=NOW + 2_000, limit=10):
        pass
    assert [wait(store, KNOWN, NOW + 100) for _ in range(4)] in (
        [0, 0, 0, 60],
        [0, 0, 90, 90],  # Redis forgets by itself, by its own clock
    )


def test_attempts_do_not_mingle_with_sessions(store: SessionStore) -> None:
    store.add(a_session("acct"))
    succeed(store, KNOWN)
    store.clear_attempts("acct")
    assert store.find("acct") == a_session("acct")


@pytest.mark.parametrize(("ahead", "wait"), [(0.0, 1.0), (60.0, 1.0), (61.0, 100.0)])
def test_a_check_that_ends_in_the_future_is_one_for_a_minute(
    store: SessionStore, ahead: float, wait: float
) -> None:
    attempt = an_attempt(account=Drip(1, 100.0))
    store.reserve(attempt, now=NOW + ahead)
    assert store.reserve(attempt, now=NOW).wait_seconds == pytest.approx(wait)

"""The store's clock, as one process knows it; and a time that has settled."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.clock import SettledTime, StoreClock, clock_of
from jwt_middleware.sessions.stores.memory import MemorySessions

from .conftest import Clock

DAY = 86_400.0

Settled = Callable[[], float]


class Machines:
    """A host and a store, each with a clock, and a network between them."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.store = self.host = 1_700_000_000.0
        self.asked = 0
        self.delays = [0.0]
        self.is_down = False
        self.followed = 0
        self.clock = StoreClock(
            self.ask,
            store="the store",
            clock=lambda: self.host,
            monotonic=lambda: self.monotonic,
        )
        self.latest = self.clock.following(self.follow)

    def follow(self) -> None:
        self.followed += 1
        self.clock()

    def ask(self) -> float:
        if self.is_down:
            raise UnavailableError("away")
        self.asked += 1
        delay = self.delays[min(self.asked, len(self.delays)) - 1]
        self.pass_time(delay / 2)
        answer = self.store
        self.pass_time(delay / 2)
        return answer

    def pass_time(self, seconds: float) -> None:
        self.monotonic += seconds
        self.store += seconds
        self.host += seconds


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.mark.parametrize("skew", [0, 2, -2, 30, -30, 600, -600, DAY, -DAY])
def test_the_time_is_the_stores(machines: Machines, skew: float) -> None:
    machines.host += skew
    for seconds in (0.0, 0.5, 9.0, 60.0):
        machines.pass_time(seconds)
        assert machines.clock() == machines.latest() == machines.store
    assert machines.clock.seconds_ahead() == skew


def test_it_is_asked_every_ten_seconds(machines: Machines) -> None:
    for _ in range(100):
        machines.clock()
        machines.pass_time(1)
    assert machines.asked == 10


def test_a_host_clock_that_is_set_changes_nothing(machines: Machines) -> None:
    machines.clock()
    machines.host += DAY
    assert machines.latest() == machines.clock() == machines.store
    machines.host -= DAY
    assert machines.latest() == machines.clock() == machines.store


def test_a_store_clock_that_is_corrected_is_followed(machines: Machines) -> None:
    machines.clock()
    machines.store += 60
    machines.pass_time(10)
    assert machines.clock() == machines.store


def test_a_clock_that_drifts_while_no_one_asks_is_followed(machines: Machines) -> None:
    machines.clock()
    machines.pass_time(30 * DAY)
    machines.store += 15 * 60
    assert machines.clock() == machines.store


@pytest.mark.parametrize("jump", [61, -61, DAY, -DAY])
def test_a_jump_of_the_stores_clock_is_followed_once_it_has_lasted(
    machines: Machines, jump: float
) -> None:
    machines.clock()
    machines.store += jump
    machines.host += jump  # SQLite: they are one
    for _ in range(10):
        with pytest.raises(UnavailableError, match=rf"the store was set by \{jump:+.0f} s"):
            machines.clock()
        assert machines.latest() == machines.store - jump
        machines.pass_time(1)
    assert machines.clock() == machines.store


def test_a_jump_that_is_taken_back_is_forgotten(machines: Machines) -> None:
    machines.clock()
    for _ in range(3):
        for jump in (DAY, -DAY):
            machines.store += jump
            machines.host += jump
            machines.pass_time(6)
            if jump > 0:
                with pytest.raises(UnavailableError, match="was set"):
                    machines.clock()
            else:
                assert machines.clock() == machines.store


def test_half_of_the_round_trip_is_on_the_way_back(machines: Machines) -> None:
    machines.delays = [0.8]
    assert machines.clock() == pytest.approx(machines.store)


def test_of_several_answers_the_fastest_counts(machines: Machines) -> None:
    machines.delays = [0.9, 0.0]
    assert machines.clock() == pytest.approx(machines.store)
    assert machines.asked == 2


def test_answers_that_take_too_long_tell_no_time(machines: Machines) -> None:
    machines.delays = [1.5]
    with pytest.raises(UnavailableError, match="the store responds too slowly"):
        machines.clock()


def test_a_better_measurement_is_kept(machines: Machines) -> None:
    machines.clock()
    machines.delays = [0.8]
    machines.pass_time(10)
    machines.store += 0.1  # within what the next one may be off by
    first = machines.clock() - machines.monotonic
    machines.delays = [0.0]
    machines.pass_time(10)
    assert machines.clock() == pytest.approx(machines.store)
    assert first == pytest.approx(1_700_000_000 - 1_000)


def test_what_follows_has_the_store_asked_once(machines: Machines) -> None:
    for _ in range(3):
        assert machines.latest() == machines.store
        machines.pass_time(3_600)
    assert machines.followed == machines.asked == 1


def test_what_a_machine_has_slept_is_known_with_the_next_question(machines: Machines) -> None:
    slept = 0.0
    machines.clock._quick = lambda: machines.monotonic - slept
    latest = machines.clock.following(machines.follow)
    assert latest() == machines.store
    slept = 3_600.0
    machines.pass_time(slept)
    assert machines.clock() == machines.store  # as whatever reads revocations asks
    assert latest() == machines.store
    assert machines.asked == 2


def test_a_store_that_is_away_is_asked_again(machines: Machines) -> None:
    machines.is_down = True
    for read in (machines.clock, machines.latest, machines.clock.seconds_ahead):
        with pytest.raises(UnavailableError, match="away"):
            read()
    machines.is_down = False
    assert machines.clock() == machines.store
    machines.pass_time(20)
    machines.is_down = True
    assert machines.latest() == machines.store
    with pytest.raises(UnavailableError, match="away"):
        machines.clock()


@pytest.mark.parametrize(
    ("skew", "words"), [(600, "600 s ahead of"), (-DAY, "86400 s behind"), (3, "3 s ahead of")]
)
def test_a_host_that_is_off_is_named_once(
    machines: Machines, skew: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    machines.host += skew
    for _ in range(5):
        machines.clock()
        machines.pass_time(10)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(
        'clock.skew store="the store" detail="the clock of the host '
    )
    assert f" is {words} the store's" in record.getMessage()


def test_it_is_named_again_when_that_changes(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jwt_middleware")
    for skew in (600, 610, 700, 0, 1, -600):
        machines.host = machines.store + skew
        machines.clock()
        machines.pass_time(10)
    said = [record.getMessage() for record in caplog.records]
    assert [("600" in one, "700" in one, "again" in one) for one in said] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, False, False),
    ]


def test_two_seconds_are_not_worth_a_line(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    machines.host += 2
    machines.clock()
    assert not caplog.records


def test_a_store_of_one_process_has_its_own_clock(clock: Clock) -> None:
    assert clock_of(MemorySessions(), clock) is clock


# --- Settled -----------------------------------------------------------------------------------


@pytest.fixture
def settled(clock: Clock) -> Settled:
    time = SettledTime()
    return lambda: time(clock.now)


def test_nothing_has_settled_in_the_first_minute(settled: Settled, clock: Clock) -> None:
    begun = clock.now
    for _ in range(60):
        assert settled() == 0
        clock.now += 1
    assert settled() == begun


def test_what_has_settled_is_one_to_two_minutes_ago(settled: Settled, clock: Clock) -> None:
    for _ in range(300):
        clock.now += 1
        settled()
    assert 60 <= clock.now - settled() <= 120


@pytest.mark.parametrize("seconds", [6, 59])
def test_a_jump_ahead_for_a_moment_settles_nothing(
    settled: Settled, clock: Clock, seconds: int
) -> None:
    for _ in range(150):
        clock.now += 1
        settled()
    begun = clock.now
    clock.now += DAY
    for _ in range(seconds):
        assert settled() <= begun
        clock.now += 1
    clock.now -= DAY
    for _ in range(200):
        assert settled() <= clock.now
        clock.now += 1
    assert settled() >= clock.now - 121


def test_a_jump_of_the_first_moment_settles_nothing(settled: Settled, clock: Clock) -> None:
    clock.now += DAY
    settled()
    clock.now -= DAY
    for _ in range(100):
        assert settled() <= clock.now
        clock.now += 1


def test_a_clock_that_is_set_back_is_followed_at_once(settled: Settled, clock: Clock) -> None:
    for _ in range(150):
        clock.now += 1
        settled()
    clock.now -= DAY
    assert settled() == clock.now

"""Processes that are killed and stores that fail; ``python -m tests.faults`` does more of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from .deadlines import TROUBLES, Trouble, endure
from .failovers import PAIRS, promoting
from .kills import Victims
from .outages import FAULTS, Fault, fail_over, suffer
from .propagation import crowd, measure
from .rings import DAMAGES, fill_disk, recycle
from .skew import SKEWS, compare, jump, serve
from .stores import STORES, Store, opened, running
from .upgrade import LAST_VERSION, last_version, upgrade
from .worker_kills import kill_workers


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with running(request.param) as store:
        yield store


def over(short: Sequence[str]) -> pytest.MarkDecorator:
    """Run a test over all stores: slow over those in *short*, and over the rest full."""
    marked = (
        pytest.param(name, marks=pytest.mark.slow if name in short else pytest.mark.full)
        for name in STORES
    )
    return pytest.mark.parametrize("store", [*marked], indirect=True)


@over(["redis"])
def test_nothing_is_lost_or_let_through_wherever_a_process_is_killed(store: Store) -> None:
    with opened(store.url) as sessions:
        counts = Victims(sessions).run(50)
    assert counts.kills >= 50
    assert counts.bad == 0, counts


@over([])
def test_nothing_is_lost_or_let_through_by_two_hundred_kills(store: Store) -> None:
    with opened(store.url) as sessions:
        counts = Victims(sessions).run(200)
    assert counts.kills >= 200
    assert counts.bad == 0, counts


@over(["sqlite"])
def test_clients_go_on_when_workers_are_killed(store: Store, tmp_path: Path) -> None:
    counts = kill_workers(store.url, tmp_path, kills=8)
    assert counts.kills == 8
    assert counts.bad == 0, counts
    assert counts.refreshes > 8


@over(["redis"])
def test_a_pause_is_answered_503_and_forgotten(store: Store, tmp_path: Path) -> None:
    check_outage("paused", store, tmp_path, seconds=2)


@pytest.mark.parametrize("fault", FAULTS)
@over([])
def test_an_outage_is_answered_503_and_forgotten(
    fault: Fault, store: Store, tmp_path: Path
) -> None:
    check_outage(fault, store, tmp_path, seconds=3)


def check_outage(fault: Fault, store: Store, folder: Path, *, seconds: float) -> None:
    outage = suffer(store, fault, folder, seconds=seconds)
    counts = (outage.unexpected, outage.lost, outage.unrecorded)
    assert counts == (0, 0, 0), f"{outage} {outage.statuses}"
    assert outage.refused > 0, str(outage)
    # The bound is 2 s; the rest is for a machine that does other things as well.
    assert outage.slowest_seconds < 4, str(outage)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "redis" else pytest.mark.full)
        for name in PAIRS
    ],
)
def test_a_failover_is_over_when_it_has_ended(kind: str, tmp_path: Path) -> None:
    with promoting(kind) as pair:
        outage = fail_over(pair, tmp_path)
    counts = (outage.unexpected, outage.lost, outage.unrecorded)
    assert counts == (0, 0, 0), f"{outage} {outage.statuses}"
    assert outage.refused > 0, str(outage)
    # The bound is 2 s: as above.
    assert outage.recovered_seconds < 4, str(outage)


@pytest.mark.parametrize("trouble", TROUBLES)
@over([])
def test_no_operation_takes_longer_than_its_deadline(trouble: Trouble, store: Store) -> None:
    slowest = endure(store, trouble)
    assert slowest.refused > 0
    # The bound is 1 s: as above.
    assert slowest.seconds < 2, str(slowest)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(one, marks=pytest.mark.slow if one == "truncated" else pytest.mark.full)
        for one in DAMAGES
    ],
)
def test_a_damaged_ring_stops_no_worker(damage: str, tmp_path: Path) -> None:
    counts = recycle(tmp_path, damage)
    assert {*counts.statuses} == {200}, counts
    assert counts.errors > 0


@pytest.mark.full
def test_a_full_disk_leaves_the_ring_as_it_was(tmp_path: Path) -> None:
    said, is_as_before = fill_disk(tmp_path)
    assert "cannot be written (No space left on device): free some space" in said
    assert is_as_before


@over([])
def test_of_many_uses_of_one_token_none_gets_a_successor_of_its_own(store: Store) -> None:
    assert crowd(store.url, uses=50, grace_seconds=10) == (50, 0, 1)


@over([])
def test_without_grace_one_of_many_uses_is_good(store: Store) -> None:
    assert crowd(store.url, uses=50, grace_seconds=0) == (1, 49, 1)


@over(["redis"])
def test_what_one_server_revokes_another_one_refuses_in_time(store: Store) -> None:
    delays = measure(store.name, store.url, times=1)
    # The bound is 1 s: as above.
    assert delays.longest < 2, delays


@over([])
def test_the_stores_clock_decides_whatever_those_of_hosts_say(store: Store) -> None:
    found = compare(store.url)
    assert [skew for skew in SKEWS if found[skew].wrong] == [], found


@over(["redis"])
def test_a_clock_that_is_a_day_ahead_for_a_moment_brings_no_token_back(store: Store) -> None:
    assert jump(store.url, seconds=3)[:2] == (0, 0)


@over([])
@pytest.mark.parametrize("skew", [600, -600])
def test_a_server_whose_clock_is_off_is_right_and_named(
    store: Store, skew: float, tmp_path: Path
) -> None:
    served = serve(store.url, tmp_path, skew)
    assert served.wrong == 0, served
    (line,) = served.logged
    assert " ERROR clock.skew " in line
    assert f"600 s {'ahead of' if skew > 0 else 'behind'} the store's" in line


@over(["redis"])
def test_the_last_version_and_this_one_work_on_one_store(store: Store, tmp_path: Path) -> None:
    source = last_version(tmp_path)
    if source is None:
        pytest.skip(f"the commit {LAST_VERSION} is not here: fetch the whole history")
    upgraded = upgrade(store.url, tmp_path, source, seconds=1)
    assert not upgraded.wrong, upgraded
    assert {*upgraded.requests} == {"old", "both", "new"}

"""A short form of what ``python -m tests.faults`` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .kills import Victims
from .outages import Fault, suffer
from .propagation import crowd, measure
from .stores import STORES, Store, opened, running
from .worker_kills import kill_workers


@pytest.fixture(params=[*STORES])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with running(request.param) as store:
        yield store


def test_nothing_is_lost_or_let_through_wherever_a_process_is_killed(store: Store) -> None:
    with opened(store.url) as sessions:
        counts = Victims(sessions).run(70)
    assert counts.kills >= 70
    assert counts.bad == 0, counts


def test_clients_go_on_when_workers_are_killed(store: Store, tmp_path: Path) -> None:
    counts = kill_workers(store.url, tmp_path, kills=8)
    assert counts.kills == 8
    assert counts.bad == 0, counts
    assert counts.refreshes > 8


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("stopped", marks=pytest.mark.full),
        "paused",
        pytest.param("full", marks=pytest.mark.full),
    ],
)
def test_an_outage_is_answered_503_and_forgotten(
    fault: Fault, store: Store, tmp_path: Path
) -> None:
    outage = suffer(store, fault, tmp_path, seconds=2.5)
    counts = (outage.unexpected, outage.lost, outage.unrecorded)
    assert counts == (0, 0, 0), f"{outage} {outage.statuses}"
    assert outage.refused > 0, str(outage)
    # The bound is 2 s; the rest is for a machine that does other things as well.
    assert outage.slowest_seconds < 4, str(outage)


@pytest.mark.parametrize(
    ("grace_seconds", "granted"), [(10, 50), pytest.param(0, 1, marks=pytest.mark.full)]
)
def test_of_many_uses_of_one_token_none_gets_a_successor_of_its_own(
    grace_seconds: float, granted: int, store: Store
) -> None:
    counts = crowd(store.url, uses=50, grace_seconds=grace_seconds)
    assert counts == (granted, 50 - granted, 1)


def test_what_one_server_revokes_another_one_refuses_in_time(store: Store) -> None:
    delays = measure(store.name, store.url, times=1)
    # The bound is 1 s: as above.
    assert delays.longest < 2, delays

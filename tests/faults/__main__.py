"""
All faults with all stores, and how soon a revocation is known elsewhere.

Prints a table; the exit code is 1 if anything was lost, issued unrecorded or let through.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .deadlines import TROUBLES, endure
from .failovers import PAIRS, promoting
from .histories import WAYS, remove_log, travel
from .kills import Victims
from .outages import FAULTS, fail_over, suffer
from .propagation import crowd, measure
from .rings import DAMAGES, fill_disk, recycle
from .skew import compare, jump, serve
from .stores import STORES, SQLiteStore, opened, running
from .upgrade import last_version, upgrade
from .worker_kills import kill_workers


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--store", action="append", choices=[*STORES], help="[default: all]")
    parser.add_argument("--kills", type=int, default=200, help="of each kind, with each store")
    parser.add_argument("--seconds", type=float, default=3.0, help="that an outage lasts")
    parser.add_argument("--times", type=int, default=30, help="that a revocation is waited for")
    given = parser.parse_args()
    bad = 0
    for name in given.store or STORES:
        for what, result, good in _results(name, given):
            bad += not good
            sys.stdout.write(f"{name:11} {what:34} {result}{'' if good else '  <-- BAD'}\n")
            sys.stdout.flush()
    for what, result, good in [] if given.store else _other_results():
        bad += not good
        sys.stdout.write(f"{what:46} {result}{'' if good else '  <-- BAD'}\n")
        sys.stdout.flush()
    sys.exit(bool(bad))


def _other_results() -> Iterator[tuple[str, object, bool]]:
    for kind in PAIRS:
        with promoting(kind) as pair, tempfile.TemporaryDirectory() as folder:
            outage = fail_over(pair, Path(folder))
            good = not (outage.lost or outage.unexpected or outage.unrecorded)
            yield f"{kind:11} failover", outage, good and outage.recovered_seconds <= 2
    for damage in DAMAGES:
        with tempfile.TemporaryDirectory() as folder:
            recycled = recycle(Path(folder), damage)
            yield f"ring.json {damage}, workers recycled", recycled, {*recycled.statuses} == {200}
    with tempfile.TemporaryDirectory() as folder:
        said, is_as_before = fill_disk(Path(folder))
        yield "keys rotate on a full disk", said, is_as_before and "free some space" in said


def _results(name: str, given: argparse.Namespace) -> Iterator[tuple[str, object, bool]]:
    with running(name) as store, opened(store.url) as sessions:
        kills = Victims(sessions).run(given.kills)
        yield "process killed at each line", kills, kills.bad == 0
    with running(name) as store, tempfile.TemporaryDirectory() as folder:
        worker = kill_workers(store.url, Path(folder), kills=given.kills)
        yield "gunicorn's workers killed", worker, worker.bad == 0
    for fault in FAULTS:
        with running(name) as store, tempfile.TemporaryDirectory() as folder:
            outage = suffer(store, fault, Path(folder), seconds=given.seconds)
            good = not (outage.lost or outage.unexpected or outage.unrecorded)
            yield f"{fault} for {given.seconds:g} s", outage, good
    yield from _histories(name)
    for trouble in TROUBLES:
        with running(name) as store:
            slowest = endure(store, trouble)
            yield f"answers {trouble}", slowest, slowest.seconds <= 1.1
    for grace in (10, 0):
        with running(name) as store:
            crowded = crowd(store.url, uses=50, grace_seconds=grace)
            good = crowded == ((50, 0, 1) if grace else (1, 49, 1))
            yield f"50 uses at once, grace {grace} s", crowded, good
    with running(name) as store:
        delays = measure(name, store.url, times=given.times)
        yield "known elsewhere after", delays, delays.longest <= 1.0
    with running(name) as store:
        for skew, skewed in compare(store.url).items():
            yield f"clock {skew:+.0f} s off", skewed, not skewed.wrong
        jumped = jump(store.url)
        yield "clock a day ahead for 6 s", jumped, not any(jumped[:2])
    for skew in (600, -600):
        with running(name) as store, tempfile.TemporaryDirectory() as folder:
            served = serve(store.url, Path(folder), skew)
            good = not served.wrong and len(served.logged) == 1
            yield f"servers {skew:+} s apart", served, good
    with running(name) as store, tempfile.TemporaryDirectory() as folder:
        source = last_version(Path(folder))
        if source is not None:
            upgraded = upgrade(store.url, Path(folder), source, seconds=given.seconds)
            yield "rolling upgrade", upgraded, not upgraded.wrong


def _histories(name: str) -> Iterator[tuple[str, object, bool]]:
    for way in WAYS[name]:
        for busy in (False, True):
            with running(name) as store, tempfile.TemporaryDirectory() as folder:
                past = travel(store, way, Path(folder), busy=busy)
                what = f"back in time: {way}{', busy' if busy else ''}"
                yield what, past, past.ignored == 0 and past.reported > 0
    with running(name) as store, tempfile.TemporaryDirectory() as folder:
        if isinstance(store, SQLiteStore):
            lost = remove_log(store, Path(folder))
            yield "-wal removed", lost, lost.gone == 0 and lost.reported > 0


if __name__ == "__main__":
    main()

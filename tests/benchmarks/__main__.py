"""``python -m tests.benchmarks``: the table of what the check costs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from . import (
    first_sight,
    growth,
    imports,
    issuing,
    memory,
    refusals,
    revoked,
    server,
    threads,
    warm,
)
from .plot import write_growth, write_plot
from .table import Row, as_text, heading, write_json

FAILS_BEYOND: Final = 2
"""How many times its target a figure may be before --quick fails."""


def measure_all() -> Iterator[Row]:
    """Measure everything; takes minutes."""
    yield from warm.measure(rounds=100, peers=True)
    yield from first_sight.measure(rounds=150)
    yield from refusals.measure(rounds=60)
    yield from issuing.measure(rounds=40)
    yield from imports.measure(rounds=21)
    yield from server.measure(rounds=31)
    yield from threads.measure(repetitions=40)
    yield from memory.measure(tokens=1_000_000)
    yield from revoked.measure(rounds=60, counts=[1_000_000, 10_000_000])


def measure_growth() -> Iterator[Row]:
    """Measure how cost grows, and what a login, a refresh and a worker's start take."""
    yield from growth.measure(rounds=30)
    yield from issuing.measure(rounds=30)
    yield from imports.measure(rounds=11)
    yield from memory.measure_workers()
    yield from revoked.measure_undelayed(rounds=20)


def measure_quickly() -> Iterator[Row]:
    """Measure what tells within seconds whether something has become dear."""
    measurements: tuple[Callable[[], Iterator[Row]], ...] = (
        lambda: warm.measure(rounds=20, peers=False),
        lambda: first_sight.measure(rounds=15),
        lambda: refusals.measure(rounds=8),
        lambda: issuing.measure(rounds=5),
        lambda: imports.measure(rounds=3),
        lambda: threads.measure(repetitions=4),
        lambda: revoked.measure(rounds=20, counts=[100_000]),
        lambda: growth.measure(rounds=4, most_sessions=10_000),
    )
    for measure in measurements:
        rows = [*measure()]
        # Measured again before it fails: something else may have been running.
        yield from [*measure()] if any(row.distance > FAILS_BEYOND for row in rows) else rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a quick figure is beyond twice its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 25 s; fails beyond 2 × target")
    parser.add_argument("--growth", action="store_true", help="how cost grows, and nothing else")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw it: a PNG, or with --growth an SVG"
    )
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    if options.growth:
        rows = list(measure_growth())
    else:
        rows = list(measure_quickly() if options.quick else measure_all())
    if options.json:
        write_json(rows, options.json)
    if options.plot:
        (write_growth if options.growth else write_plot)(rows, options.plot)
    print(heading(), as_text(rows), f"{time.monotonic() - begun:.0f} s", sep="\n\n")
    return int(options.quick and any(row.distance > FAILS_BEYOND for row in rows))


if __name__ == "__main__":
    sys.exit(main())

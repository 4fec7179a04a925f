"""CPU time in interleaved rounds, so that other load on the machine affects every case alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")

Batch = Callable[[], int]
"""Does the same thing many times, and returns how many."""

Case = Callable[[], Batch]
"""Makes ready what a batch needs, while the clock stands still."""


@dataclass(frozen=True, slots=True)
class Timings:
    """
    What each case took in each round.

    Attributes:
        microseconds: By case, one figure a round: µs for one operation.
    """

    microseconds: Mapping[str, Sequence[float]]

    def median(self, case: str, *, over: str | None = None) -> float:
        """Return the median of *case* in µs; with *over*, of what it takes beyond that case."""
        return median(self._beyond(case, over))

    def least(self, case: str) -> float:
        """Return the quickest round of *case* in µs, for what is held against the clock."""
        return min(self.microseconds[case])

    def ratio(self, case: str, to: str, *, over: str | None = None) -> float:
        """Return the median of the rounds' ratios of two cases, both taken beyond *over*."""
        return median(
            one / other
            for one, other in zip(self._beyond(case, over), self._beyond(to, over), strict=True)
        )

    def _beyond(self, case: str, over: str | None) -> Sequence[float]:
        taken = self.microseconds[case]
        if over is None:
            return taken
        # The median and not each round's: a difference of two small figures may be negative.
        bare = median(self.microseconds[over])
        return [one - bare for one in taken]


def interleaved(cases: Mapping[str, Case], *, rounds: int) -> Timings:
    """Run every case once a round, round after round, and time each."""
    for ready in cases.values():
        ready()()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, ready in cases.items():
            batch = ready()
            gc.collect(0)
            begun = time.process_time()
            count = batch()
            taken[name].append((time.process_time() - begun) / count * 1e6)
    return Timings(taken)


def over_all(operation: Callable[[T], object], things: Sequence[T]) -> Case:
    """Return a case that does *operation* with each of *things*."""

    def batch() -> int:
        for thing in things:
            operation(thing)
        return len(things)

    return lambda: batch

"""At most one fetch at a time in a process, and not too many one after the other."""

from __future__ import annotations

import math
import threading
from typing import Final

from .timing import retry_after

ABANDONED_AFTER_SECONDS: Final = 60.0
"""A fetch that has not ended by then never will, and no longer keeps another from starting."""


class Flight:
    """
    A fetch under way.

    Attributes:
        started_at: By the clock of who started it, seconds.
        landed: Set once it has ended, well or not.
    """

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.landed = threading.Event()
        self._claim = threading.Lock()
        self._awaited: list[str | None] = []

    def claim(self) -> bool:
        """Return whether it is for the caller to carry out: true for one of those who ask."""
        return self._claim.acquire(blocking=False)

    def is_for(self, kid: str | None) -> bool:
        """Return whether tokens with *kid* may wait: the first that asks decides."""
        if not self._awaited:
            self._awaited.append(kid)
        return self._awaited[0] == kid


class Flights:
    """
    The fetches of one key source in one process.  No method waits for a fetch.

    Args:
        cooldown_seconds: Between two looks.

    Attributes:
        reason: Why there is no result of a fetch; that of the last one that failed.
        retry_at: No refresh starts before; in the past if the last fetch succeeded.
    """

    def __init__(self, cooldown_seconds: float) -> None:
        self.reason = "not fetched yet"
        self.retry_at = -math.inf
        self._look_at = -math.inf
        self._cooldown_seconds = cooldown_seconds
        self._failures = 0
        self._current: Flight | None = None
        self._lock = threading.Lock()

    def join_refresh(self, now: float) -> Flight | None:
        """Return the fetch under way, or a new one unless one has failed a moment ago."""
        with self._lock:
            if not self._is_under_way(now) and now >= self.retry_at:
                self._current = Flight(now)
            return self._current

    def join_look(self, now: float, kid: str | None) -> Flight | None:
        """
        Return the fetch under way, or a new one unless there was a look a moment ago.

        Only the first kid that finds a fetch may wait for it: whoever makes up kids must not have
        one request after another wait for a server that hangs.
        """
        with self._lock:
            if not self._is_under_way(now) and now >= self._look_at:
                self._current = Flight(now)
                self._look_at = now + self._cooldown_seconds
            flight = self._current
            return flight if flight is not None and flight.is_for(kid) else None

    def is_current(self, flight: Flight) -> bool:
        """Return whether what *flight* brings counts: another may have taken its place."""
        return self._current is flight

    def record(self, *, now: float, failure: str | None) -> None:
        """Note how the current fetch ends: *failure* is why it failed, ``None`` if it did not."""
        if failure is None:
            self._failures = 0
            self.retry_at = -math.inf
        else:
            self._failures += 1
            self.reason = failure
            self.retry_at = now + retry_after(self._failures)

    def land(self, flight: Flight) -> None:
        """End a fetch: from now on another may start."""
        with self._lock:
            if self._current is flight:
                self._current = None
        flight.landed.set()

    def _is_under_way(self, now: float) -> bool:
        if self._current and now >= self._current.started_at + ABANDONED_AFTER_SECONDS:
            self._current = None
        return self._current is not None

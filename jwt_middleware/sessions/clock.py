"""
One clock for all hosts that share a store: the store's.

Times that one host writes and another compares come from one clock, not from the hosts' own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol, runtime_checkable

from ..errors import ClockSetError, UnavailableError
from ..events import Name, emit, logger

Clock = Callable[[], float]
"""Returns a time in seconds."""

MAX_SKEW_SECONDS: Final = 2.0
"""A larger difference of a host's clock from the store's is logged."""

MAX_AHEAD_SECONDS: Final = 60.0
"""How far a stored time may be ahead; a later one was written by a wrong clock."""

_MEASURED_EVERY_SECONDS: Final = 10.0
_SET_SECONDS: Final = 0.25  # a larger change means that the clock was set
_MAX_ERROR_SECONDS: Final = 0.5
_GOOD_ERROR_SECONDS: Final = 0.05  # more means waiting for a connection, or a pause
_JUMP_SECONDS: Final = 60.0
_JUMP_LASTS_SECONDS: Final = 10.0
_MAX_DRIFT: Final = 0.0005  # as fast as the kernel lets NTP correct a clock (adjtimex)
_SETTLED_SECONDS: Final = 60.0


class _Sample(NamedTuple):
    """
    One measurement of the store's clock.

    Attributes:
        offset: The store's clock minus this machine's monotonic clock.
        error: Maximum error of *offset*.
        taken_at: When it was measured, by the monotonic clock.
        host_offset: The host's clock minus the monotonic clock.
    """

    offset: float
    error: float
    taken_at: float
    host_offset: float


class StoreClock:
    """
    The clock of a store, as measured by this process.

    It is measured every ten seconds, and at once when the host's clock was set; in between, a
    monotonic clock is used.  After a jump of the store's clock there is no time for ten seconds,
    until the clock is stable.  A wrong host clock is logged once, and again when that changes.

    Args:
        ask: Reads the store's time.
        store: Its name, for the log.
        clock: The host's clock.
        monotonic: Returns monotonic seconds, the same for all processes of a machine.
    """

    def __init__(
        self,
        ask: Clock,
        *,
        store: str,
        clock: Clock | None = None,
        monotonic: Clock | None = None,
    ) -> None:
        self._ask = ask
        self._store = store
        self._clock = clock or _host_time
        self._monotonic = monotonic or _steady
        self._quick = monotonic or time.monotonic  # stops while the machine sleeps
        self._quick_offset: float | None = None
        # Valid after a fork: the monotonic clock is the machine's.
        self._sample: _Sample | None = None
        self._jumped: _Sample | None = None  # the sample that showed a jump
        self._logged = 0.0

    def __call__(self) -> float:
        """
        Return the store's time.

        Raises:
            ClockSetError: The store's clock was set within the last seconds.
            UnavailableError: The clock must be measured, and the store is unavailable.
        """
        sample, steady = self._sample, self._monotonic()
        if sample is None or self._is_outdated(sample, steady):
            sample = self._measure()
            steady = self._monotonic()
        return steady + sample.offset

    def following(self, ask: Callable[[], object]) -> Clock:
        """
        Return a clock that uses the last measurement and never waits for the store.

        For the path of every request.  Until there is a measurement, each call waits for *ask*.

        Args:
            ask: Called while there is no measurement; lets the store be measured.
        """
        quick = self._quick

        def latest() -> float:
            offset = self._quick_offset
            if offset is None:
                ask()
                self()
                return latest()
            return quick() + offset

        return latest

    def seconds_ahead(self) -> float:
        """
        Measure how far the host's clock is ahead of the store's.

        Raises:
            UnavailableError: The store is unavailable.
        """
        sample = self._measure()
        return sample.host_offset - sample.offset

    def _is_outdated(self, sample: _Sample, steady: float) -> bool:
        if not 0 <= steady - sample.taken_at < _MEASURED_EVERY_SECONDS:
            return True
        return abs(self._clock() - steady - sample.host_offset) > _SET_SECONDS

    def _measure(self) -> _Sample:
        sample = self._take_sample()
        if sample.error > _GOOD_ERROR_SECONDS:
            sample = min(sample, self._take_sample(), key=_error)
        if sample.error > _MAX_ERROR_SECONDS:
            raise UnavailableError(f"{self._store} responds too slowly to read its clock")
        ahead, last = sample.host_offset - sample.offset, self._sample
        if last is not None and last.error < sample.error >= abs(last.offset - sample.offset):
            # No sign that the clock was set, and the last sample is more exact.
            sample = sample._replace(offset=last.offset, error=last.error)
        if last is not None:
            self._check_jump(last, sample)
        self._sample = sample
        self._quick_offset = sample.offset + self._monotonic() - self._quick()
        self._log(ahead)
        return sample

    def _check_jump(self, last: _Sample, sample: _Sample) -> None:
        drift = _MAX_DRIFT * (sample.taken_at - last.taken_at)
        if abs(sample.offset - last.offset) <= _JUMP_SECONDS + drift:
            self._jumped = None
            return
        since = self._jumped
        if since is None or abs(sample.offset - since.offset) > _JUMP_SECONDS:
            since = self._jumped = sample
        if sample.taken_at < since.taken_at + _JUMP_LASTS_SECONDS:
            raise ClockSetError(
                f"the clock of {self._store} was set by {sample.offset - last.offset:+.0f} s:"
                f" it is used again once it has stayed there for {_JUMP_LASTS_SECONDS:.0f} s"
            )
        self._jumped = None

    def _take_sample(self) -> _Sample:
        started_at = self._monotonic()
        seconds = self._ask()
        host, ended = self._clock(), self._monotonic()
        offset = seconds - (started_at + ended) / 2
        return _Sample(offset, (ended - started_at) / 2, ended, host - ended)

    def _log(self, ahead: float) -> None:
        known = self._logged
        if abs(ahead - known) <= max(MAX_SKEW_SECONDS, abs(known) / 10):
            return
        if abs(ahead) <= MAX_SKEW_SECONDS:
            self._logged = 0.0
            logger.info("the clock of %s agrees with that of %s again", _host(), self._store)
            return
        self._logged = ahead
        emit(
            Name.CLOCK_SKEW,
            store=self._store,
            detail=f"the clock of the host {_host()} is {abs(ahead):.0f} s"
            f" {'ahead of' if ahead > 0 else 'behind'} the store's, which is used: set up NTP",
        )


@runtime_checkable
class TimedStore(Protocol):
    """
    A store shared by hosts, with its own clock.

    Attributes:
        store_clock: The store's clock.
    """

    store_clock: StoreClock


def clock_of(store: object, host_clock: Clock = time.time) -> Clock:
    """
    Return the clock that all users of *store* share.

    Args:
        store: The store that keeps the times to compare.
        host_clock: Used for a store without a clock, which no other host shares.
    """
    return store.store_clock if isinstance(store, TimedStore) else host_clock


class SettledTime:
    """
    A time that a clock returned at least a minute ago and did not go back from.

    For deletions: a clock that jumps ahead for a moment deletes nothing.
    """

    def __init__(self) -> None:
        self._settled, self._pending = 0.0, float("inf")

    def __call__(self, now: float) -> float:
        """Return that time, given the clock's *now*; 0 in the first minute."""
        if now < self._pending:
            self._settled, self._pending = min(self._settled, now), now
        elif now >= self._pending + _SETTLED_SECONDS:
            self._settled, self._pending = self._pending, now
        return self._settled


def _error(sample: _Sample) -> float:
    return sample.error


def _host_time() -> float:
    return time.time()


# Monotonic seconds; where the system supports it, they include sleep.
_steady: Final[Clock] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


def _host() -> str:
    return socket.gethostname()

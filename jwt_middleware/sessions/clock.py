"""
What time it is for all hosts that share a store: the store's.

Times that one host writes and another compares are of one clock, whatever the hosts' own say.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, runtime_checkable

from ..errors import UnavailableError
from ..events import Name, emit

logger: logging.Logger = logging.getLogger(__name__)

Clock = Callable[[], float]

MAX_SKEW_SECONDS: Final = 2.0
"""How far a host's clock may be from the store's before that is logged."""

_MEASURED_EVERY_SECONDS: Final = 10.0
_SET_SECONDS: Final = 0.25  # a clock that moves as far by itself was set
_MAX_ERROR_SECONDS: Final = 0.5
_GOOD_ERROR_SECONDS: Final = 0.01  # a first answer has waited for a connection
_TRIES: Final = 2
_SETTLED_SECONDS: Final = 60.0


@runtime_checkable
class TimedStore(Protocol):
    """A store that hosts share, and that has a clock of its own."""

    def store_time(self) -> float:
        """
        Return the store's time, in seconds since the Unix epoch.

        Raises:
            UnavailableError: The store is unavailable.
        """
        ...


def clock_of(store: object, host_clock: Clock = time.time) -> Clock:
    """Return what tells the time by which all users of *store* decide."""
    return store.store_time if isinstance(store, TimedStore) else host_clock


class _Sample(NamedTuple):
    """
    One measurement.

    Attributes:
        offset: Of the store's clock from this machine's monotonic one.
        error: How far that may be off.
        taken_at: When, by the monotonic clock.
        host_offset: Of the host's clock from the monotonic one.
    """

    offset: float
    error: float
    taken_at: float
    host_offset: float


class StoreClock:
    """
    The clock of a store, as this process knows it.

    It is asked every ten seconds, and at once when the host's clock was set; in between, the
    monotonic clock counts on, which no one can set.  A host's clock that is off is logged: once,
    and again when that changes.

    Args:
        ask: Returns the store's time.
        store: Its name, for the log.
        clock: The host's.
        monotonic: Seconds that never go back, the same for all processes of a machine.
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
        self._monotonic = monotonic or time.monotonic
        # May be inherited by a fork: the monotonic clock is the machine's.
        self._sample: _Sample | None = None
        self._logged = 0.0

    def __call__(self) -> float:
        """
        Return the store's time.

        Raises:
            UnavailableError: It has to be asked, and is unavailable.
        """
        sample, steady = self._sample, self._monotonic()
        if sample is None or self._is_outdated(sample, steady):
            sample = self._measure()
            steady = self._monotonic()
        return steady + sample.offset

    def latest(self) -> float:
        """Return the same without asking again, as long as it has been asked once."""
        sample = self._sample
        return self() if sample is None else self._monotonic() + sample.offset

    def seconds_ahead(self) -> float:
        """
        Return how far the host's clock is ahead of the store's; asks it.

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
        for _ in range(_TRIES):
            if sample.error <= _GOOD_ERROR_SECONDS:
                break
            sample = min(sample, self._take_sample(), key=_error)
        if sample.error > _MAX_ERROR_SECONDS:
            raise UnavailableError(f"{self._store} tells its time too slowly")
        ahead, last = sample.host_offset - sample.offset, self._sample
        if last is not None and last.error < sample.error >= abs(last.offset - sample.offset):
            # Nothing says that the clock was set, and the last one was measured better.
            sample = sample._replace(offset=last.offset, error=last.error)
        self._sample = sample
        self._log(ahead)
        return sample

    def _take_sample(self) -> _Sample:
        began = self._monotonic()
        seconds = self._ask()
        host, ended = self._clock(), self._monotonic()
        offset = seconds - (began + ended) / 2
        return _Sample(offset, (ended - began) / 2, ended, host - ended)

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
            f" {'ahead of' if ahead > 0 else 'behind'} the store's, which decides: set it by NTP",
        )


class SettledClock:
    """
    A time that the clock has told at least a minute ago, and not taken back.

    For what destroys: a clock that jumps ahead for a moment removes nothing.

    Args:
        clock: Seconds since the Unix epoch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settled, self._pending = 0.0, float("inf")

    def __call__(self) -> float:
        """Return that time; 0 in the first minute."""
        now = self._clock()
        if now < self._pending:
            self._settled, self._pending = min(self._settled, now), now
        elif now >= self._pending + _SETTLED_SECONDS:
            self._settled, self._pending = self._pending, now
        return self._settled


def _error(sample: _Sample) -> float:
    return sample.error


def _host_time() -> float:
    return time.time()


def _host() -> str:
    return socket.gethostname()

"""A frozen clock."""

# ruff: noqa: SLF001  replaces the clocks of this package

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from ..sessions.clock import StoreClock
from .find import find_middleware

_PACKAGE: Final = __name__.partition(".")[0]


class FrozenClock:
    """
    A frozen clock that only moves when told to.

    Pass it as *clock*: ``TokenVerifier(…, clock=clock)``.  For an existing app use :func:`frozen`.

    Args:
        now: The initial time: seconds since the epoch, or a datetime with a time zone; by default
            the current time in whole seconds.

    Attributes:
        now: Its time, seconds since the epoch.
    """

    def __init__(self, now: float | datetime | None = None) -> None:
        self.now: float = 0.0
        self.move_to(int(time.time()) if now is None else now)

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def shift(self, by: float | timedelta) -> None:
        """Move the clock by seconds or a timedelta, which may be negative."""
        self.now += by.total_seconds() if isinstance(by, timedelta) else by

    def move_to(self, now: float | datetime) -> None:
        """
        Set the clock.

        Raises:
            ValueError: A datetime has no time zone.
        """
        if isinstance(now, datetime):
            if now.tzinfo is None:
                raise ValueError("the datetime must have a time zone, as in datetime.now(UTC)")
            now = now.timestamp()
        self.now = now


@contextmanager
def frozen(app: object, clock: FrozenClock | None = None) -> Iterator[FrozenClock]:
    """
    Freeze the clock of the middleware that protects *app*, until the end of the block.

    Replaces the clock of the host, of the session store, or another :class:`FrozenClock` in the
    verifier, the issuer, sessions, login limits and key sources.  Revocations and keys are still
    polled at their intervals.

    Args:
        app: The app, as for :class:`~jwt_middleware.testing.TestApp`.
        clock: The clock to use; by default a new one at the current time.
    """
    clock = clock or FrozenClock()
    stopped = [(part, part._clock) for part in _parts(find_middleware(app)) if _tells_time(part)]
    for part, _ in stopped:
        part._clock = clock
    try:
        yield clock
    finally:
        for part, before in stopped:
            part._clock = before


def _tells_time(part: Any) -> bool:
    if isinstance(part, StoreClock):  # it compares the host's clock with the store's
        return False
    clock: Callable[[], float] | None = getattr(part, "_clock", None)
    is_of_store = getattr(clock, "__module__", None) == StoreClock.__module__
    return clock is time.time or isinstance(clock, FrozenClock) or is_of_store


def _parts(whole: object) -> Iterator[Any]:
    """Yield *whole* and every object of this package inside it."""
    seen: dict[int, object] = {}
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            if _is_ours(part):
                yield part
            waiting.extend(_members(part))


def _members(part: object) -> Iterable[object]:
    if isinstance(part, Mapping):
        return part.values()
    if isinstance(part, list | tuple | set | frozenset):
        return part
    if isinstance(part, partial):
        return part.func, *part.args
    if not _is_ours(part):  # of other objects only the owner of a bound method
        return (getattr(part, "__self__", None),)
    slots = (name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ()))
    return (
        (*vars(part).values(),)
        if hasattr(part, "__dict__")
        else (*(getattr(part, name, None) for name in slots),)
    )


def _is_ours(part: object) -> bool:
    return type(part).__module__.partition(".")[0] == _PACKAGE

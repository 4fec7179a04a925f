"""Following what the store says is revoked, at next to no cost for a request."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from ...bounds import check_seconds
from ...core.revocation import RevocationSource
from ...errors import UnavailableError
from ...fork import PerProcess
from ..clock import Clock, ClockSetError, SettledTime, TimedStore, clock_of
from ..store import TIMEOUT_SECONDS, Cursor, SessionStore
from .live import LiveRevocations

logger: logging.Logger = logging.getLogger(__name__)

DEFAULT_MAX_DELAY_SECONDS: Final = 1.0

_PAGE_SIZE: Final = 50_000
_RETRY_SECONDS: Final = 0.1
_READING_SECONDS: Final = 0.5
_WAIT_SECONDS: Final = TIMEOUT_SECONDS + _READING_SECONDS


class Revocations(RevocationSource):
    """
    All live revocations, held in memory and never older than promised.

    A revocation source for :class:`~jwt_middleware.TokenVerifier`.  The store is read by the
    requests themselves, by one of them at a time: when half of *max_delay_seconds* has passed, one
    asks while the others go on; when all of it has, none goes on before the store has answered.
    There is no thread that a fork, or a server without threads, could lose.

    What was revoked is never forgotten before it has expired, even if the store loses it.

    Args:
        store: Where revocations are recorded.
        issuer: Not needed: revocations name their issuer, and those of every issuer that shares
            the store are followed.
        max_delay_seconds: How late this process may learn of a revocation, 0 to 60; 0 asks the
            store for every request.
        clock: Returns seconds since the Unix epoch; a store that hosts share has its own, which
            decides.
        monotonic: Returns seconds that never go back, the same for all processes of a machine.

    Raises:
        ConfigurationError: *max_delay_seconds* is something else.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        issuer: str | None = None,
        max_delay_seconds: float = DEFAULT_MAX_DELAY_SECONDS,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_seconds("max_delay_seconds", max_delay_seconds, maximum=60)
        self.store = store
        self._max_delay_seconds = max_delay_seconds
        self._clock = clock_of(store, clock)
        self._now = 0.0
        self._settled = SettledTime()
        self._monotonic = monotonic
        # All of it may be inherited by a fork; only a lock may not, which another thread may hold.
        self._lock = PerProcess(threading.Lock)
        self._live = LiveRevocations()
        self._cursor: Cursor | None = None
        self._state = object()
        self._asked_at = self._changed_at = -math.inf
        self._ask_at = self._retry_at = -math.inf
        self._down: str | None = None

    def __len__(self) -> int:
        """Return how many revocations are held."""
        return len(self._live)

    def seconds_behind(self) -> float:
        """Return how long ago the store told all that was revoked; infinite before it did."""
        return self._monotonic() - self._asked_at

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """
        Tell whether the verified token with these claims is revoked.

        It may be one part of a function of one's own, which then is the *is_revoked* of a verifier.

        Raises:
            UnavailableError: As for :meth:`current`.
        """
        self.current()
        return self._live.covers(claims)

    def covers(self, claims: Mapping[str, object], /) -> bool:
        """Tell the same by what :meth:`current` has just read."""
        return self._live.covers(claims)

    def token_clock(self, host_clock: Clock) -> Clock:
        """Return what tells the time without waiting for the store, once it has been asked."""
        store = self.store
        return store.store_clock.latest if isinstance(store, TimedStore) else host_clock

    def current(self) -> object:
        """
        Return what stands for all that is revoked: the same object while nothing is added.

        Raises:
            UnavailableError: The store has not answered recently enough.
        """
        if self._monotonic() < self._ask_at:
            return self._state
        self._keep_up()
        return self._state

    def expect_change(self) -> None:
        """Have the next request ask: this process has just revoked something."""
        self._changed_at = self._monotonic()
        self._ask_at = -math.inf

    def _keep_up(self) -> None:
        now = self._monotonic()
        lock = self._lock.get()
        if self._is_good_at(now):
            if lock.acquire(blocking=False):
                try:
                    self._ask()
                except UnavailableError as error:
                    logger.warning("revocations are not up to date, another try follows: %s", error)
                finally:
                    lock.release()
            return
        # While the store is known to be down one request tries, and the others need not wait.
        if not lock.acquire(timeout=_WAIT_SECONDS if self._down is None else 0):
            raise UnavailableError(self._down or "revocations were not read in time")
        try:
            if not self._is_good_at(now):
                self._ask()
        finally:
            lock.release()

    def _is_good_at(self, moment: float) -> bool:
        recent = moment - self._max_delay_seconds <= self._asked_at
        return recent and self._changed_at < self._asked_at

    def _ask(self) -> None:
        """Read what is new.  The caller holds the lock."""
        begun = self._monotonic()
        if begun < self._retry_at:
            raise UnavailableError(self._down)
        try:
            with suppress(ClockSetError):
                self._now = self._clock()
            self._asked_at = self._read_all(begun)
        except UnavailableError as error:
            self._down = str(error)
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            self._ask_at = min(self._retry_at, self._asked_at + self._max_delay_seconds)
            raise
        self._down = None
        self._ask_at = self._asked_at + self._max_delay_seconds / 2
        if self._asked_at <= self._changed_at:  # it may have been asked just before the change
            self._ask_at = -math.inf
        self._live.forget_expired(self._now, before=self._settled(self._now))

    def _read_all(self, begun: float) -> float:
        """Read until there is no more; return when the store was asked last."""
        while True:
            asked_at = self._monotonic()
            if asked_at - begun > _READING_SECONDS:
                raise UnavailableError("there are more revocations to be read")
            changes = self.store.changes(self._cursor, limit=_PAGE_SIZE)
            if changes.revocations:
                self._live.update(changes.revocations)
                self._state = object()
            self._cursor = changes.cursor
            if changes.complete:
                return asked_at

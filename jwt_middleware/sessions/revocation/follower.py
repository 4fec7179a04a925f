"""Follow the store's revocations, at almost no cost per request."""

from __future__ import annotations

import gc
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from ...bounds import check_seconds
from ...core.revocation import RevocationSource
from ...errors import ClockSetError, UnavailableError
from ...events import Name, emit, logger
from ...fork import PerProcess
from ...sql.versions import UNREADABLE, unreadable
from ..clock import Clock, SettledTime, TimedStore, clock_of
from ..store import TIMEOUT_SECONDS, Changes, Cursor, Kind, Revocation, SessionStore
from .live import LiveRevocations

DEFAULT_MAX_DELAY_SECONDS: Final = 1.0

_PAGE_SIZE: Final = 50_000
_RETRY_SECONDS: Final = 0.1
_READING_SECONDS: Final = 10.0  # limit in a request that needs all of them; a million takes a few
_PAGES_SECONDS: Final = 0.05  # limit in other requests, which read one page or a few small ones
_WAIT_SECONDS: Final = TIMEOUT_SECONDS + _READING_SECONDS
_STARTING_SECONDS: Final = 20.0  # before the first request; gunicorn gives a worker 30

_MAX_OWN: Final = 10_000
_MAX_READ: Final = 32

_LOST: Final = (
    "it went back in time (a copy, or a standby that lagged) or was emptied: what this process knew"
    " stays revoked; revoke again what was revoked elsewhere since that copy was made"
)


class Revocations(RevocationSource):
    """
    All live revocations in memory, at most *max_delay_seconds* old.

    A revocation source for :class:`~jwt_middleware.TokenVerifier`.  Requests poll the store, one at
    a time: after half of *max_delay_seconds* one polls while the others continue; after all of it
    every request waits for the store.  There is no background thread that a fork, or a server
    without threads, could lose.

    A revocation is kept until it expires, even if the store loses it: then all is read again from
    where the store's history diverges, and this process stores its own revocations again.

    Args:
        store: The store of revocations.
        issuer: Unused: revocations of every issuer that shares the store are followed.
        max_delay_seconds: Maximum delay of a revocation in this process, 0 to 60; 0 polls the store
            for every request.
        clock: Returns seconds since the Unix epoch; a store that hosts share has its own, which
            decides.
        monotonic: Returns seconds that never go back, the same for all processes of a machine.

    Raises:
        ConfigurationError: *max_delay_seconds* is out of range.
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
        # Safe across a fork, except for locks, which another thread may hold.
        self._lock = PerProcess(threading.Lock)
        self._updating = PerProcess(threading.Lock)  # held for moments
        self._live = LiveRevocations()
        self._cursor: Cursor | None = None
        self._read: list[_Read] = []
        self._own: dict[tuple[Kind, str], _Own] = {}
        self._missing: dict[tuple[Kind, str], Revocation] = {}
        self._state = object()
        self._asked_at = self._changed_at = -math.inf
        self._ask_at = self._retry_at = -math.inf
        self._down: str | None = None

    def __len__(self) -> int:
        """Return how many revocations are held."""
        return len(self._live)

    def seconds_behind(self) -> float:
        """Return the age of the last complete read in seconds; infinite before the first."""
        return self._monotonic() - self._asked_at

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """
        Return whether the verified token with these claims is revoked.

        A custom *is_revoked* function may call it.

        Raises:
            UnavailableError: As for :meth:`current`.
        """
        self.current()
        return self._live.covers(claims)

    def covers(self, claims: Mapping[str, object], /) -> bool:
        """Like a call, but with the state that :meth:`current` has just read."""
        return self._live.covers(claims)

    def token_clock(self, host_clock: Clock) -> Clock:
        """Return the store's clock, as measured by :meth:`current`."""
        store = self.store
        if isinstance(store, TimedStore):
            return store.store_clock.following(self.current)
        return host_clock

    def current(self) -> object:
        """
        Return an object that stays the same until a revocation is added.

        Raises:
            UnavailableError: The last complete read is too old.
        """
        if self._monotonic() < self._ask_at:
            return self._state
        self._keep_up()
        return self._state

    def prepare(self) -> None:
        """
        Read all revocations before the first request, and close the connection.

        Called at server start.  If the store is unavailable, an event is emitted and the first
        requests try again.
        """
        try:
            with self._lock.get(), _no_garbage_collected():
                if not self._ask(_STARTING_SECONDS):
                    logger.warning("%d revocations read, and there are more", len(self))
        except UnavailableError as error:
            logger.warning("revocations were not read before the start: %s", error)
        finally:
            self.store.close()  # a fork that comes now inherits what was read, and nothing else

    def add(self, revocation: Revocation) -> None:
        """
        Keep a revocation of this process, even if the store loses it.

        The next request also polls the store.
        """
        now = self._monotonic()
        self._update([revocation])
        with self._updating.get():
            self._own.pop(revocation[:2], None)
            self._own[revocation[:2]] = _Own(revocation, now)
            if len(self._own) > _MAX_OWN:
                del self._own[next(iter(self._own))]
        self.expect_change()

    def expect_change(self) -> None:
        """Let the next request poll: this process has just revoked something."""
        self._changed_at = self._monotonic()
        self._ask_at = -math.inf

    def _keep_up(self) -> None:
        now = self._monotonic()
        lock = self._lock.get()
        if self._is_fresh_at(now):
            if lock.acquire(blocking=False):
                try:
                    self._ask(_PAGES_SECONDS)
                except UnavailableError as error:
                    logger.warning("revocations are not up to date, another try follows: %s", error)
                finally:
                    lock.release()
            return
        # While the store is down, one request retries and the others do not wait.
        if not lock.acquire(timeout=_WAIT_SECONDS if self._down is None else 0):
            raise UnavailableError(self._down or "revocations were not read in time")
        try:
            if not self._is_fresh_at(now) and not self._ask(_READING_SECONDS):
                raise UnavailableError("there are more revocations to be read")
        finally:
            lock.release()

    def _is_fresh_at(self, moment: float) -> bool:
        recent = moment - self._max_delay_seconds <= self._asked_at
        return recent and self._changed_at < self._asked_at

    def _ask(self, seconds: float) -> bool:
        """
        Read what is new, for so long; return whether it was all.  The caller holds the lock.

        Raises:
            UnavailableError: The store does not answer.
        """
        started_at = self._monotonic()
        if started_at < self._retry_at:
            raise UnavailableError(self._down)
        try:
            try:
                asked_at = self._read_on(until=started_at + seconds)
            except UNREADABLE:
                raise unreadable("revocations") from None
            with suppress(ClockSetError):
                self._now = self._clock()
        except UnavailableError as error:
            self._down = str(error)
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            self._ask_at = min(self._retry_at, self._asked_at + self._max_delay_seconds)
            raise
        self._down = None
        if asked_at is None:
            return False
        self._asked_at = asked_at
        self._ask_at = asked_at + self._max_delay_seconds / 2
        if asked_at <= self._changed_at:  # the poll may have started before the change
            self._ask_at = -math.inf
        with self._updating.get():
            self._live.forget_expired(self._now, before=self._settled(self._now))
        return True

    def _read_on(self, *, until: float) -> float | None:
        """Read pages; return when the store was asked for the last, ``None`` if there are more."""
        while True:
            asked_at = self._monotonic()
            since = self._cursor
            changes = self.store.changes(since, limit=_PAGE_SIZE)
            if changes.lost or (since is not None and since.store != changes.cursor.store):
                changes = self._part_from(changes)
            if changes.revocations:
                self._update(changes.revocations)
                for one in changes.revocations if self._missing else ():
                    self._missing.pop(one[:2], None)
            self._cursor = changes.cursor
            if changes.complete:
                self._note(_Read(changes.cursor, asked_at))
                if self._missing:
                    self._record_again()
                return asked_at
            if self._monotonic() >= until:
                return None

    def _update(self, revocations: Sequence[Revocation]) -> None:
        with self._updating.get():
            self._live.update(revocations)
        self._state = object()

    def _note(self, read: _Read) -> None:
        if not self._read or self._read[-1].cursor != read.cursor:
            self._read.append(read)
            if len(self._read) > _MAX_READ:  # keep fewer old positions
                del self._read[: _MAX_READ // 2 : 2]
        else:
            self._read[-1] = read

    def _part_from(self, changes: Changes) -> Changes:
        """Go on from the latest position that is in the store's history too; say what is lost."""
        parted = bisect_left(
            self._read, x=True, key=lambda one: self.store.changes(one.cursor, limit=1).lost
        )
        if parted:
            changes = self.store.changes(self._read[parted - 1].cursor, limit=_PAGE_SIZE)
        parted_at = self._read[parted - 1].asked_at if parted else -math.inf
        del self._read[parted:]
        # Beside what an earlier loss has left: the store may be lost again before all is recorded.
        with self._updating.get():
            self._missing |= {
                name: own.revocation
                for name, own in self._own.items()
                if own.at >= parted_at and own.revocation.expires_at > self._now
            }
        emit(Name.REVOCATIONS_LOST, store=repr(self.store), detail=_LOST)
        return changes

    def _record_again(self) -> None:
        """Record some of what the store has lost and this process has revoked."""
        until, recorded = self._monotonic() + _PAGES_SECONDS, 0
        try:
            for name, revocation in [*self._missing.items()]:
                now = self._monotonic()
                _record(self.store, revocation)
                with self._updating.get():
                    if name in self._own:  # it is as new in the store as what is revoked now
                        self._own[name] = _Own(revocation, now)
                del self._missing[name]
                recorded += 1
                if self._monotonic() >= until:
                    break
        except UnavailableError as error:
            logger.warning("what %r has lost is not recorded again yet: %s", self.store, error)
        if recorded:
            logger.warning("%r had lost what was revoked here: %d recorded", self.store, recorded)


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Save the search for cycles, of which rows read by the million have none: a quarter of all."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _record(store: SessionStore, revocation: Revocation) -> None:
    kind, key, revoked_at, expires_at = revocation
    issuer, _, name = key.partition("\n")
    # Its sessions may be there again.
    if kind == "subject":
        store.end_all(issuer, name, now=revoked_at, expires_at=expires_at)
        return
    if kind == "session":
        store.end(name, issuer=issuer, now=revoked_at)
    store.revoke(revocation)


class _Read(NamedTuple):
    """A position that was completely read, and when."""

    cursor: Cursor
    asked_at: float


class _Own(NamedTuple):
    """A revocation of this process, and when."""

    revocation: Revocation
    at: float

"""Keys fetched on first use, and refreshed in the background before they expire."""

from __future__ import annotations

import hashlib
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Final, NamedTuple, TypeGuard

from ...bounds import check_seconds
from ...core.keys import Key, KeySet
from ...errors import ConfigurationError, UnavailableError
from ...events import Name, emit
from ...fork import PerProcess
from .fetching import Fetched, FetchError

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 60.0
ABANDONED_AFTER_SECONDS: Final = 60.0
"""A fetch that takes longer counts as lost, so that another can start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """
    When keys are fetched and how long they are valid; all in seconds.

    Attributes:
        max_stale_seconds: How long a fetched set is valid if no later fetch succeeds.  At least
            *min_refresh_seconds*.
        cooldown_seconds: Time between fetches for tokens that match no key.
        wait_seconds: How long requests wait for a fetch whose keys they need.
        min_refresh_seconds: The shortest *max-age* that is honoured, above 0.
        max_refresh_seconds: The longest one.
        default_refresh_seconds: Taken for a *max-age* that is absent.

    Raises:
        ConfigurationError: A value is not a finite number, negative, or contradicts another.
    """

    max_stale_seconds: float = 86_400
    cooldown_seconds: float = 30
    wait_seconds: float = 2.0
    min_refresh_seconds: float = 60
    max_refresh_seconds: float = 86_400
    default_refresh_seconds: float = 600

    def __post_init__(self) -> None:
        for one in fields(self):
            check_seconds(one.name, getattr(self, one.name))
        if not 0 < self.min_refresh_seconds <= self.max_refresh_seconds:
            raise ConfigurationError(
                "min_refresh_seconds must be above 0 and at most max_refresh_seconds"
            )
        if self.max_stale_seconds < self.min_refresh_seconds:
            raise ConfigurationError("max_stale_seconds must be at least min_refresh_seconds")

    def refresh_after(self, max_age_seconds: float | None) -> float:
        """
        Return how long after a fetch the next one is due, somewhat before what it brought expires.

        The chance in it keeps many processes from fetching at the same moment.

        Args:
            max_age_seconds: What the answer said, if it did.
        """
        age = self.default_refresh_seconds if max_age_seconds is None else max_age_seconds
        age = min(max(age, self.min_refresh_seconds), self.max_refresh_seconds)
        early = age * random.uniform(0.8, 0.95)  # noqa: S311  nothing secret
        return min(max(early, self.min_refresh_seconds), self.max_stale_seconds)


def retry_after(failures: int) -> float:
    """
    Return how long to wait after so many failures in a row, at least 1.

    From :data:`FIRST_RETRY_SECONDS`, twice as long each time, to :data:`LONGEST_RETRY_SECONDS`;
    up to a quarter more by chance.
    """
    seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30), LONGEST_RETRY_SECONDS)
    return seconds * random.uniform(1.0, 1.25)  # noqa: S311  nothing secret


class _Held(NamedTuple):
    """Keys that were fetched; times by the source's clock, seconds."""

    keys: KeySet
    digest: bytes
    refresh_at: float
    usable_until: float


class RefreshedKeys:
    """
    A key source that fetches its keys and refreshes them.

    The constructor fetches nothing: the first request does, and waits for it.  After that a request
    starts a due fetch in the background and continues with the current keys; an app without
    requests fetches nothing.  Only a token that matches no key makes a request wait again, for one
    fetch per cool-down, and one request at a time.  A failed fetch is retried with increasing
    delays, and the last good keys stay in use until they are *max_stale_seconds* old.

    Several issuers whose keys are at one URL can share one source.

    Safe in threads, under gevent and across a fork: a child keeps the keys, and fetches for itself.
    uWSGI runs no background thread without ``--enable-threads``.

    Args:
        load: Fetches the document with the keys.
        read: Makes keys of its octets; :class:`ConfigurationError` refuses them.
        name: What to call the source in logs and errors.
        timing: When to fetch.
        clock: Returns seconds; never goes back.
        spawn: Runs a callable in the background.
    """

    def __init__(
        self,
        load: Callable[[], Fetched],
        read: Callable[[bytes], KeySet],
        *,
        name: str,
        timing: Timing,
        clock: Callable[[], float],
        spawn: Callable[[Callable[[], None]], object],
    ) -> None:
        self._load = load
        self._read = read
        self._name = name
        self._timing = timing
        self._clock = clock
        self._spawn = spawn
        self._flights = PerProcess(partial(Flights, timing.cooldown_seconds))
        # Replaced as a whole, so that the path of every request needs no lock.
        self._held: _Held | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def age_seconds(self) -> float | None:
        """How long ago the keys were fetched; ``None`` if there are none yet."""
        held = self._held
        if held is None:
            return None
        return self._clock() - (held.usable_until - self._timing.max_stale_seconds)

    def current(self) -> KeySet:
        """
        Return the current keys: the same object while the published keys do not change.

        Waits only while there are none that are good, and until the fetch under way is
        *wait_seconds* old at most.

        Raises:
            UnavailableError: There are none, or they are older than *max_stale_seconds*.
        """
        held = self._held
        if held is not None and self._clock() < held.refresh_at:
            return held.keys
        flights = self._flights.get()
        flight = self._start(flights, flights.join_refresh(self._clock()))
        if flight is not None and not self._is_usable(self._held):
            self._wait_for(flight)
        return self._usable_keys(flights)

    def peek(self) -> KeySet:
        """
        Return the same as :meth:`current` without waiting, and start the fetch that is due.

        Raises:
            UnavailableError: There are no keys yet, or none that are good.
        """
        flights, held = self._flights.get(), self._held
        if held is None or self._clock() >= held.refresh_at:
            self._start(flights, flights.join_refresh(self._clock()))
        return self._usable_keys(flights)

    def refreshed(self, kid: str | None) -> KeySet:
        """
        Fetch again, at most once per *cooldown_seconds*, and return the keys.

        Waits like :meth:`current` for the fetch that it starts or finds under way, unless another
        request waits for it: made-up tokens never hold more than one thread.

        Raises:
            UnavailableError: As :meth:`current`.
        """
        flights = self._flights.get()
        flight = self._start(flights, flights.join_look(self._clock()))
        if flight is not None and flight.reserve_wait():
            self._wait_for(flight)
        return self._usable_keys(flights)

    def _wait_for(self, flight: Flight) -> None:
        flight.landed.wait(max(0.0, flight.started_at + self._timing.wait_seconds - self._clock()))

    def _is_usable(self, held: _Held | None) -> TypeGuard[_Held]:
        return held is not None and self._clock() < held.usable_until

    def _usable_keys(self, flights: Flights) -> KeySet:
        held = self._held
        if self._is_usable(held):
            return held.keys
        raise UnavailableError(
            f"no keys of {self._name} ({flights.reason})",
            retry_after_seconds=math.ceil(max(1, flights.retry_at - self._clock())),
        )

    def _start(self, flights: Flights, flight: Flight | None) -> Flight | None:
        """Start a fetch, unless another thread has."""
        if flight is not None and flight.claim():
            try:
                self._spawn(partial(self._carry_out, flights, flight))
            except RuntimeError as error:
                self._land(flights, flight, None, f"no thread to fetch in: {error}")
        return flight

    def _carry_out(self, flights: Flights, flight: Flight) -> None:
        fetched, failure = None, "broken off"
        try:
            fetched = self._fetch(flight.started_at)
        except FetchError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001  it is logged
            # Of a fetch that is not ours, whose text may hold a proxy's password.
            failure = f"{self._name}: {type(error).__name__}"
        finally:
            self._land(flights, flight, fetched, failure)

    def _land(self, flights: Flights, flight: Flight, fetched: _Held | None, failure: str) -> None:
        # The keys first, then the end of the fetch, so that a waiting thread finds them.
        if flights.is_current(flight):
            if fetched is not None:
                flights.record(now=self._clock(), failure=None)
                self._held = fetched
            else:
                flights.record(now=self._clock(), failure=failure)
                emit(Name.KEYS_FAILED, url=self._name, detail=failure)
                held = self._held
                if held is not None:
                    # Until the next try is due, requests need not ask whether it is.
                    until = min(max(held.refresh_at, flights.retry_at), held.usable_until)
                    self._held = held._replace(refresh_at=until)
        flights.land(flight)

    def _fetch(self, started_at: float) -> _Held:
        document = self._load()
        digest = hashlib.sha256(document.octets).digest()
        held = self._held
        if held is not None and held.digest == digest:
            keys = held.keys
        else:
            try:
                keys = self._read(document.octets)
            except ConfigurationError as error:
                raise FetchError(f"{document.fetched_from}: {error}") from error
            if held is not None and _published(keys) == _published(held.keys):
                keys = held.keys
            else:
                kids = ", ".join(key.kid for key in keys)
                name = Name.KEYS_FETCHED if held is None else Name.KEYS_CHANGED
                emit(name, url=document.fetched_from, keys=kids)
        return _Held(
            keys,
            digest,
            refresh_at=started_at + self._timing.refresh_after(document.max_age_seconds),
            usable_until=started_at + self._timing.max_stale_seconds,
        )


class Flight:
    """
    A fetch under way.

    Attributes:
        started_at: By the source's clock, seconds.
        landed: Set once it has ended, well or not.
    """

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.landed: threading.Event = threading.Event()
        self._unclaimed = threading.Lock()
        self._unawaited = threading.Lock()

    def claim(self) -> bool:
        """Return whether the caller should run the fetch: true once."""
        return self._unclaimed.acquire(blocking=False)

    def reserve_wait(self) -> bool:
        """Return whether a request may wait for it though there are keys: true once."""
        return self._unawaited.acquire(blocking=False)


class Flights:
    """
    The fetches of one key source in one process, one at a time.  No method waits for a fetch.

    Args:
        cooldown_seconds: Between two looks.

    Attributes:
        reason: Reason of the last failure; initially that nothing was fetched yet.
        retry_at: No refresh starts before; in the past if the last fetch succeeded.
    """

    def __init__(self, cooldown_seconds: float) -> None:
        self.reason: str = "not fetched yet"
        self.retry_at: float = -math.inf
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

    def join_look(self, now: float) -> Flight | None:
        """Return the fetch under way, or a new one unless there was a look a moment ago."""
        with self._lock:
            if not self._is_under_way(now) and now >= self._look_at:
                self._current = Flight(now)
                self._look_at = now + self._cooldown_seconds
            return self._current

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


def in_thread(work: Callable[[], None]) -> None:
    """Run *work* in a thread of its own, which keeps no process from ending."""
    threading.Thread(target=work, name="jwt_middleware keys", daemon=True).start()


def _published(keys: KeySet) -> frozenset[tuple[object, ...]]:
    """Return the published keys without order, which providers shuffle."""
    return frozenset(map(_published_key, keys))


def _published_key(key: Key) -> tuple[object, ...]:
    return key.issuer, key.valid_from, key.valid_until, *sorted(key.public_jwk().items())

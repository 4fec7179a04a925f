"""Keys that are fetched on first use, and again in the background before they expire."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeGuard

from ...core.keys import KeySet
from ...errors import ConfigurationError, UnavailableError
from ...fork import PerProcess
from .fetching import Document, FetchError
from .flights import Flight, Flights
from .timing import Timing

logger = logging.getLogger("jwt_middleware")


class _Held(NamedTuple):
    """Keys that were fetched; times by the source's clock, seconds."""

    keys: KeySet
    digest: bytes
    refresh_at: float
    usable_until: float


class RefreshedKeys:
    """
    A key source that fetches its keys, and keeps up with them.

    No constructor fetches anything: the first request does, and waits for it.  From then on a
    request starts a fetch in the background when one is due, and goes on with the keys there are;
    an app that nobody calls fetches nothing.  Only a token with an unknown *kid* waits again, for
    one fetch per cool-down.  A fetch that fails is tried again later and later, and the last good
    keys stay in force until they are *max_stale_seconds* old.

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
        load: Callable[[], Document],
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

    def current(self) -> KeySet:
        """
        Return the keys in force: the same object for as long as the same keys are published.

        Waits, for *wait_seconds* at most, only while there are none that are good.

        Raises:
            UnavailableError: There are none, or they are older than *max_stale_seconds*.
        """
        held = self._held
        if held is not None and self._clock() < held.refresh_at:
            return held.keys
        flights = self._flights.get()
        flight = self._start(flights, flights.join_refresh(self._clock()))
        if flight is not None and not self._is_usable(self._held):
            flight.landed.wait(self._timing.wait_seconds)
        return self._usable_keys(flights)

    def refreshed(self, kid: str | None) -> KeySet:
        """
        Return the keys after another look, for which there is one fetch per *cooldown_seconds*.

        Waits, for *wait_seconds* at most, for the fetch that it starts or finds under way, unless
        another *kid* waits for that one.

        Raises:
            UnavailableError: As :meth:`current`.
        """
        flights = self._flights.get()
        flight = self._start(flights, flights.join_look(self._clock(), kid))
        if flight is not None:
            flight.landed.wait(self._timing.wait_seconds)
        return self._usable_keys(flights)

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
        """Have a fetch carried out, if nobody has yet."""
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
        # First what it brought, then its end: nobody may find neither.
        if flights.is_current(flight):
            if fetched is not None:
                flights.record(now=self._clock(), failure=None)
                self._held = fetched
            else:
                flights.record(now=self._clock(), failure=failure)
                logger.warning("keys not fetched: %s", failure)
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
                logger.info("keys fetched from %s: %.500a", document.fetched_from, kids)
        return _Held(
            keys,
            digest,
            refresh_at=started_at + self._timing.refresh_after(document.max_age_seconds),
            usable_until=started_at + self._timing.max_stale_seconds,
        )


def in_thread(work: Callable[[], None]) -> None:
    """Run *work* in a thread of its own, which keeps no process from ending."""
    threading.Thread(target=work, name="jwt_middleware keys", daemon=True).start()


def _published(keys: KeySet) -> frozenset[tuple[tuple[str, str], ...]]:
    """Return what is published of keys, in an order of its own: providers shuffle theirs."""
    return frozenset(tuple(sorted(key.public_jwk().items())) for key in keys)

"""How often somebody may try to log in."""

from __future__ import annotations

import itertools
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, Protocol

from ..accounts.client_type import normalise_account
from ..errors import (
    ConfigurationError,
    InvalidAccountError,
    TooManyAttemptsError,
    UnavailableError,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)

DEFAULT_MAX_PER_ACCOUNT: Final = 5
DEFAULT_MAX_PER_ADDRESS: Final = 20
DEFAULT_WINDOW_SECONDS: Final = 60

MAX_ATTEMPTS: Final = 1000
MAX_WINDOW_SECONDS: Final = 86_400

# More than as many attempts leave behind: each at most an address and two readings of a name.
_PRUNE_EVERY: Final = 50
_PRUNED_AT_ONCE: Final = 200

Address = IPv4Address | IPv6Address

_INTERFACE_BITS: Final = 64  # RFC 4291 §2.5.1: all of them are one client's to choose


class AttemptStore(Protocol):
    """Counts attempts for all workers and hosts together; every session store does."""

    def record_attempt(
        self, quotas: Mapping[str, int], *, window_seconds: float, now: float
    ) -> float:
        """
        Record an attempt under each key, if every key has had fewer than its quota in the window.

        Returns:
            0 if it was recorded; else, and nothing is, the seconds until every key has room.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        ...

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """Forget all attempts under one key, and the one at *at* under another."""
        ...

    def prune(self, *, now: float, limit: int) -> int:
        """
        Remove up to *limit* keys whose attempts count no more; return how many.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One login attempt that was let through, and counted.

    Attributes:
        accounts: The name of each account that it is for, as it was sent, to its key.
        counted: Under which keys it was.
        at: When; seconds since the Unix epoch.
    """

    accounts: Mapping[str, str] = field(repr=False)
    counted: Collection[str]
    at: float


class LoginThrottle:
    """
    Limits login attempts for each account and from each address, within a sliding window.

    An attempt counts from before its secret is looked at, so that many at the same time are not
    more than their number.  One that is refused does not count: who waits as long as he is told
    is let through.  Neither is it of any account that exists more than of one that does not.

    The store gets no names and no addresses, only hashes of them.

    Args:
        store: Counts the attempts.
        max_per_account: Attempts for one account, 0 to 1,000; 0 sets no limit.
        max_per_address: Attempts from one IPv4 address or IPv6 /64, 0 to 1,000; 0 sets no limit.
        window_seconds: Within how long, 1 to 86,400.
        clock: Returns seconds since the Unix epoch, the same ones for all that share the store.

    Raises:
        ConfigurationError: A limit is something else.
    """

    def __init__(
        self,
        store: AttemptStore,
        *,
        max_per_account: int = DEFAULT_MAX_PER_ACCOUNT,
        max_per_address: int = DEFAULT_MAX_PER_ADDRESS,
        window_seconds: float = DEFAULT_WINDOW_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        limits = {"max_per_account": max_per_account, "max_per_address": max_per_address}
        for name, value in limits.items():
            if type(value) is not int or not 0 <= value <= MAX_ATTEMPTS:
                raise ConfigurationError(
                    f"{name} must be a whole number from 0 to {MAX_ATTEMPTS}; 0 sets no limit"
                )
        if (
            type(window_seconds) not in {int, float}
            or not 1 <= window_seconds <= MAX_WINDOW_SECONDS
        ):
            raise ConfigurationError(
                f"window_seconds must be a number of seconds from 1 to {MAX_WINDOW_SECONDS}"
            )
        self._store = store
        self._max_per_account = max_per_account
        self._max_per_address = max_per_address
        self._window_seconds = window_seconds
        self._clock = clock
        self._counted = itertools.count(1)

    def attempt(
        self, client_type: str, accounts: Collection[str], *, address: Address | None
    ) -> Attempt:
        """
        Count an attempt, before any secret is looked at.

        Args:
            client_type: Of the accounts.
            accounts: The account's name as the client sent it; several where it can be read in
                several ways, each of which will be tried.
            address: Where it comes from; ``None`` if nobody knows, and then nothing limits that.

        Raises:
            TooManyAttemptsError: A limit is reached.
            UnavailableError: The store cannot be asked.
        """
        named = {account: _account_key(client_type, account) for account in accounts}
        quotas = dict.fromkeys(named.values(), self._max_per_account)
        if address is not None:
            quotas[_address_key(address)] = self._max_per_address
        limited = {key: quota for key, quota in quotas.items() if quota}
        now = self._clock()
        if limited:
            wait = self._store.record_attempt(limited, window_seconds=self._window_seconds, now=now)
            if wait > 0:
                raise TooManyAttemptsError(retry_after_seconds=max(1, math.ceil(wait)))
            self._prune_at_times(now)
        return Attempt(named, [*limited], now)

    def succeed(self, attempt: Attempt, account: str) -> None:
        """
        Forget the attempts for this account, and that *attempt* counted for anything else.

        Args:
            attempt: What :meth:`attempt` returned.
            account: Which of its accounts logged in.
        """
        own = attempt.accounts[account]
        if not attempt.counted:
            return
        others: list[str | None] = [key for key in attempt.counted if key != own]
        for key in others or [None]:
            self._store.forgive(forgotten=own, taken_back=key, at=attempt.at)

    def _prune_at_times(self, now: float) -> None:
        # Here too: who only guesses starts no session, with which the store would be pruned.
        if next(self._counted) % _PRUNE_EVERY:
            return
        try:
            self._store.prune(now=now, limit=_PRUNED_AT_ONCE)
        except UnavailableError as error:
            logger.warning("expired attempts were not pruned: %s", error)


def _account_key(client_type: str, account: str) -> str:
    # A name that no account can have is tried in the same way, so it is counted in the same way.
    with suppress(InvalidAccountError):
        account = normalise_account(account, client_type)
    return _hashed("account", client_type, account)


def _address_key(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return _hashed("address", "6", str(int(address) >> _INTERFACE_BITS))
    return _hashed("address", "4", str(int(address)))


def _hashed(*parts: str) -> str:
    # A separator that no part before the last can hold.
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


MAX_TRUSTED_PROXIES: Final = 16

# Longer is no address, with port, brackets and zone.
_MAX_CHARS: Final = 80
_WITH_PORT: Final = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([^:]*):[0-9]+")


class ClientAddresses:
    """
    Tells the address of a request's client.

    Behind *n* proxies that each append the address of their own peer to ``X-Forwarded-For``, the
    client is the *n*-th value from the right; whatever stands left of it the client has made up.
    A value that is missing, or no address, is not believed: then it is the server's own peer.

    Args:
        trusted_proxies: How many proxies every request has passed, 0 to 16.  0 believes no header:
            also right where the server or a middleware has replaced ``REMOTE_ADDR`` already.

    Raises:
        ConfigurationError: *trusted_proxies* is something else.
    """

    def __init__(self, trusted_proxies: int = 0) -> None:
        if type(trusted_proxies) is not int or not 0 <= trusted_proxies <= MAX_TRUSTED_PROXIES:
            raise ConfigurationError(
                f"trusted_proxies must be a whole number from 0 to {MAX_TRUSTED_PROXIES}"
            )
        self._trusted_proxies = trusted_proxies
        self._has_warned = False

    def __call__(self, environ: WSGIEnvironment) -> Address | None:
        """Return the address, or ``None`` if there is none, as on a Unix socket without proxies."""
        address = parse_address(self._forwarded(environ)) or parse_address(
            environ.get("REMOTE_ADDR") or ""
        )
        if address is None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the address of a client is not known, so logins are not limited by it: behind a"
                " proxy set trusted_proxies"
            )
        return address

    def _forwarded(self, environ: WSGIEnvironment) -> str:
        count = self._trusted_proxies
        values = environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", count)
        return values[-count] if 0 < count <= len(values) else ""


def parse_address(text: str) -> Address | None:
    """
    Read an address as servers and proxies write it: alone, in brackets, with a port or a zone.

    An IPv4 address in IPv6 clothes (RFC 4291 §2.5.5.2) is the IPv4 address.
    """
    text = text.strip()
    if len(text) > _MAX_CHARS:
        return None
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2] or ""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address

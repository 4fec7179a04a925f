"""Login limits: drip buckets for each account and address, and known addresses of an account."""

# ruff: noqa: RUF009  Drip is a tuple, which does not change

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from ..accounts.client_type import fold_account
from ..bounds import check_seconds, check_whole
from ..errors import ConfigurationError, TooManyAttemptsError
from ..events import logger
from ..sessions.attempts import Attempt, Drip, Reservation
from ..sessions.clock import clock_of
from ..sessions.pruning import Pruning
from ..sessions.store import SessionStore
from ..wsgi.address import MAX_TRUSTED_PROXIES, Address, client_address

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


Network = IPv4Network | IPv6Network

MAX_BURST: Final = 1000
MAX_INTERVAL_SECONDS: Final = 86_400
MAX_KNOWN_DAYS: Final = 365

_DAY_SECONDS: Final = 86_400
_OLD_WINDOW_SECONDS: Final = 60
_OLD_SETTINGS: Final = ("max_per_account", "max_per_address", "window_seconds")

# RFC 4291 §2.5.1: a client chooses its last 64 bits; providers assign a customer a /48 to /64 and
# hold a /32 themselves.
_LEAF_BITS: Final = {4: 32, 6: 64}
_NET_BITS: Final = {4: 24, 6: 48}
_WIDE_BITS: Final = {4: 16, 6: 32}


DEFAULT_ACCOUNT_DRIP: Final = Drip(20, 120)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLimits:
    """
    How many logins may fail, and how fast failures expire; ``None`` sets no limit.

    A *leaf* is an IPv4 address or an IPv6 /64, a *net* a /24 or /48, a *wide* net a /16 or /32.  An
    account is *known* at a leaf with a recent successful login; such a leaf has its own bucket and
    only that limit.  All other leaves are *strangers* and subject to all other limits.

    Attributes:
        known: For an account at a known leaf.
        account: For an account, from all strangers together.
        leaf: For an account, from one stranger leaf.
        net: For an account, from one net.
        wide: For an account, from one wide net.
        address: From one stranger leaf, over all accounts.
        site: From one IPv6 /48, over all accounts.
        known_days: How long a leaf stays known after a login, 0 to 365.
        max_known: How many known leaves an account keeps, the latest, 1 to 1,000.
        trusted_networks: Addresses that count as known leaves, ``"10.0.0.0/8"``.

    Raises:
        ConfigurationError: A value is invalid.
    """

    known: Drip | None = Drip(10, 90)
    account: Drip | None = DEFAULT_ACCOUNT_DRIP
    leaf: Drip | None = Drip(5, 180)
    net: Drip | None = Drip(10, 360)
    wide: Drip | None = Drip(15, 240)
    address: Drip | None = Drip(30, 30)
    site: Drip | None = Drip(120, 7.5)
    known_days: float = 30
    max_known: int = 16
    trusted_networks: Iterable[str] = ()

    def __post_init__(self) -> None:
        for name in ("known", "account", "leaf", "net", "wide", "address", "site"):
            _check_drip(name, getattr(self, name))
        if type(self.known_days) not in {int, float} or not 0 <= self.known_days <= MAX_KNOWN_DAYS:
            raise ConfigurationError(f"known_days must be a number from 0 to {MAX_KNOWN_DAYS}")
        check_whole("max_known", self.max_known, 1, MAX_BURST)

    @classmethod
    def of_window(
        cls, max_per_account: int | None, max_per_address: int | None, window_seconds: float | None
    ) -> LoginLimits:
        """
        Convert the settings of version 0.1; ``None`` for one that is not given.

        *max_per_account* attempts at once, then one each part of the window, in each bucket of an
        account; *max_per_address* the same in the buckets of an address.  0 sets no limit.

        Raises:
            ConfigurationError: A value is invalid.
        """
        window = _OLD_WINDOW_SECONDS if window_seconds is None else window_seconds
        check_seconds("window_seconds", window, 1, MAX_INTERVAL_SECONDS)
        parts: dict[str, Drip | None] = {}
        for name, most, buckets in (
            ("max_per_account", max_per_account, ("known", "account", "leaf", "net", "wide")),
            ("max_per_address", max_per_address, ("address", "site")),
        ):
            if most is not None:
                check_whole(name, most, 0, MAX_BURST, note="; 0 sets no limit")
                parts |= dict.fromkeys(buckets, Drip(most, window / most) if most else None)
        return cls(**parts)  # type: ignore[arg-type]  # they are the buckets


@dataclass(frozen=True, slots=True)
class CountedAttempt:
    """
    A login attempt that was counted and let through.

    Attributes:
        attempt: The buckets it was counted in.
        reservation: The store's record of it.
    """

    attempt: Attempt = field(repr=False)
    reservation: Reservation = field(repr=False)


class LoginThrottle:
    """
    Limits failed logins for each account and from each address.

    An attempt is counted before its secret is compared, so that concurrent attempts cannot exceed
    the limit.  Success removes it; a failure or a crash leaves it counted.  A refused attempt does
    not count: a client that waits for ``Retry-After`` gets a try.

    However many addresses guess, an account's secret is compared with at most 20 guesses and 30
    more an hour from strangers, and with 10 and 40 more an hour from each known leaf that the
    guesser has; and no other client can lock an owner out at a known leaf.  Unknown account names
    are treated the same way.

    The store holds only hashes of names and addresses.

    Args:
        store: Counts the attempts.
        limits: By default those of :class:`LoginLimits`.
        max_per_account: Instead of *limits*; see :meth:`LoginLimits.of_window`.
        max_per_address: The same.
        window_seconds: The same.
        clock: Returns seconds since the Unix epoch; a store that hosts share uses its own clock
            instead.

    Raises:
        ConfigurationError: A limit is invalid.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        limits: LoginLimits | None = None,
        max_per_account: int | None = None,
        max_per_address: int | None = None,
        window_seconds: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        old = (max_per_account, max_per_address, window_seconds)
        if limits is None:
            limits = LoginLimits.of_window(*old)
        elif old != (None, None, None):
            raise ConfigurationError(f"limits exclude {', '.join(_OLD_SETTINGS)}: keep one")
        self.limits = limits
        self._trusted = [_network(one) for one in limits.trusted_networks]
        self._store = store
        self._clock = clock_of(store, clock)
        self._pruning = Pruning(store, self._clock)

    def attempt(
        self,
        client_type: str,
        account: str,
        *,
        issuer: str = "",
        address: Address | None,
        secrets: int = 1,
    ) -> CountedAttempt:
        """
        Count an attempt, before any secret is compared.

        Args:
            client_type: The account's client type.
            account: The account's name as the client sent it.
            issuer: The account's issuer, where several share the store.
            address: The client's address.  ``None`` (unknown) is one stranger leaf, limited for
                each account but not over all accounts.
            secrets: How many secrets will be compared.

        Raises:
            TooManyAttemptsError: A limit is reached.
            UnavailableError: The store is unavailable.
        """
        attempt = self._describe(client_type, account, issuer, address, secrets)
        if not attempt.is_limited:
            return CountedAttempt(attempt, Reservation(0.0))
        reservation = self._store.reserve(attempt, now=self._clock())
        if reservation.wait_seconds > 0:
            wait = math.ceil(reservation.wait_seconds)
            raise TooManyAttemptsError(retry_after_seconds=max(1, wait))
        self._pruning.count_use()
        return CountedAttempt(attempt, reservation)

    def succeed(self, counted: CountedAttempt) -> None:
        """
        Remove a successful attempt, and mark its address as known to the account.

        Failures of other attempts, even from the same address, stay counted.

        Raises:
            UnavailableError: The store is unavailable.
        """
        self._settle(counted, succeeded=True)

    def fail(self, counted: CountedAttempt) -> None:
        """
        Record that an attempt has failed, so that later ones learn how long to wait.

        Raises:
            UnavailableError: The store is unavailable.
        """
        self._settle(counted, succeeded=False)

    def clear(self, client_type: str, account: str, *, issuer: str = "") -> None:
        """
        Reset the limits of an account; those of addresses over all accounts stay.

        Raises:
            UnavailableError: The store is unavailable.
        """
        self._store.clear_attempts(_account_key(issuer, client_type, account))

    def _settle(self, counted: CountedAttempt, *, succeeded: bool) -> None:
        attempt, reservation = counted.attempt, counted.reservation
        if attempt.is_limited:
            self._store.settle(attempt, reservation, succeeded=succeeded, now=self._clock())

    def _describe(
        self, client_type: str, account: str, issuer: str, address: Address | None, secrets: int
    ) -> Attempt:
        limits, key = self.limits, _account_key(issuer, client_type, account)
        limited = [(f"{key}:account", limits.account)]
        leaf, known = None, None
        if address is None:
            limited.append((f"{key}:leaf-unknown", limits.leaf))
        else:
            leaf, net, wide = (
                _prefix(address, bits) for bits in (_LEAF_BITS, _NET_BITS, _WIDE_BITS)
            )
            if limits.known is not None:
                known = f"{key}:known-{leaf}", limits.known
            limited += [
                (f"{key}:leaf-{leaf}", limits.leaf),
                (f"{key}:net-{net}", limits.net),
                (f"{key}:wide-{wide}", limits.wide),
                (f"address:{_hashed(issuer, leaf)}", limits.address),
            ]
            if address.version == 6:
                limited.append((f"site:{_hashed(issuer, net)}", limits.site))
        return Attempt(
            account=key,
            leaf=leaf,
            known=known,
            strangers=[(name, drip) for name, drip in limited if drip is not None],
            is_trusted=address is not None and any(address in one for one in self._trusted),
            cost=secrets,
            known_seconds=limits.known_days * _DAY_SECONDS,
            max_known=limits.max_known,
        )


def _account_key(issuer: str, client_type: str, account: str) -> str:
    return _hashed(issuer, client_type, fold_account(account))


def _prefix(address: Address, bits: dict[int, int]) -> str:
    """Return a hash of the network of an address, as :mod:`ipaddress` writes it."""
    length = bits[address.version]
    number = int(address) >> (address.max_prefixlen - length) << (address.max_prefixlen - length)
    if address.version == 4:  # the usual case: ip_network() is ten times slower
        return _hashed(f"{'.'.join(map(str, number.to_bytes(4, 'big')))}/{length}")
    return _hashed(f"{IPv6Address(number)}/{length}")


def _hashed(*parts: str) -> str:
    # A separator that only the last part can contain.
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _network(text: object) -> Network:
    try:
        return ip_network(text)  # type: ignore[arg-type]  # it checks
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"trusted_networks must be networks, as in 10.0.0.0/8 or 2001:db8::/32: {error}"
        ) from error


def _check_drip(name: str, drip: object) -> None:
    if drip is None:
        return
    if isinstance(drip, tuple) and len(drip) == 2:
        burst, interval = drip
        if (
            type(burst) is int
            and type(interval) in {int, float}
            and 1 <= burst <= MAX_BURST
            and 0 < interval <= MAX_INTERVAL_SECONDS
        ):
            return
    raise ConfigurationError(
        f"{name} must be a burst from 1 to {MAX_BURST} and an interval up to"
        f" {MAX_INTERVAL_SECONDS} seconds, as in [5, 180]"
    )


class ClientAddresses:
    """
    Returns the client address that logins are limited by, see :func:`.client_address`.

    Args:
        trusted_proxies: How many proxies every request has passed, 0 to 16.  0 ignores the header;
            also right where the server or a middleware has already replaced ``REMOTE_ADDR``.

    Raises:
        ConfigurationError: *trusted_proxies* is not 0 to 16.
    """

    def __init__(self, trusted_proxies: int = 0) -> None:
        check_whole("trusted_proxies", trusted_proxies, 0, MAX_TRUSTED_PROXIES)
        self.trusted_proxies = trusted_proxies
        self._has_warned = False
        self._has_seen_proxy = False

    def __call__(self, environ: WSGIEnvironment) -> Address | None:
        """Return the client address; ``None`` on a Unix socket without proxies."""
        address = client_address(environ, self.trusted_proxies)
        if not self.trusted_proxies and "HTTP_X_FORWARDED_FOR" in environ:
            self._warn_of_proxy()
        if address is None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "client address unknown: logins are limited as if all came from one address; behind"
                " a proxy set trusted_proxies"
            )
        return address

    def _warn_of_proxy(self) -> None:
        if not self._has_seen_proxy:
            self._has_seen_proxy = True
            logger.warning(
                "a login came with X-Forwarded-For, and trusted_proxies is 0: behind a proxy all "
                "logins are limited as if they came from it: set login.trusted_proxies"
            )

"""Parse URLs of Redis and Valkey, and connect with deadlines.  Needs redis-py."""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection as RedisConnection
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    ConnectionError,  # noqa: A004  # redis-py's is not a subclass of the built-in one
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from redis.retry import Retry

from ....core.claims import has_control_characters
from ....errors import ConfigurationError
from ....lookup import look_up

# --- The deadline ---------------------------------------------------------------------------------

# redis-py connects, and sends, where no argument could reach; its timeouts count from each byte.
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Set one deadline for all network calls in the block; an outer block's deadline wins."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def _remaining_seconds() -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Socket:
    """A connected socket whose calls end at the deadline, whatever its own timeout."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._timeout = math.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = math.inf if seconds is None else seconds

    def recv(self, size: int) -> bytes:
        self._limit()
        return self._socket.recv(size)

    def recv_into(self, buffer: bytearray) -> int:  # what hiredis uses
        self._limit()
        return self._socket.recv_into(buffer)

    def sendall(self, octets: bytes) -> None:
        view = memoryview(octets)
        while view:  # sendall() of TLS has its timeout for each piece
            self._limit()
            view = view[self._socket.send(view) :]

    def _limit(self) -> None:
        # redis-py asks with 0 whether something is there already: that waits for nothing.
        timeout = self._timeout and min(self._timeout, _remaining_seconds())
        self._socket.settimeout(None if timeout == math.inf else timeout)


class _ByDeadline:
    """Makes a connection of redis-py keep to the deadline: connecting, TLS, logging in, answers."""

    def _connect(self) -> Any:
        return _Socket(super()._connect())  # type: ignore[misc]  # of the class it is mixed into


class _TCP(RedisConnection):
    port: int

    def __init__(self, *, sentinels: Sentinels | None = None, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py's is not typed
        self._sentinels = sentinels

    def _connect(self) -> Any:
        if self._sentinels is not None:
            self.host, self.port = self._sentinels.find_primary()
        resolve = partial(socket.getaddrinfo, self.host, self.port, type=socket.SOCK_STREAM)
        found = look_up((self.host, self.port), resolve, deadline=_deadline.get())
        failure = OSError("the host has no address")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            connected = socket.socket(family, kind, protocol)
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connected.settimeout(_remaining_seconds() / (len(found) - number))
                connected.connect(address)
                connected.settimeout(_remaining_seconds())  # of the handshake of TLS
            except OSError as error:
                connected.close()
                failure = error
            else:
                return connected
        raise failure


class _Unix(UnixDomainSocketConnection):
    # What redis-py tells its metrics of a connection that was not made in time; a path has neither.
    host: str = ""
    port: int = 0

    def _connect(self) -> Any:
        self.socket_connect_timeout = _remaining_seconds()
        return super()._connect()  # type: ignore[no-untyped-call]


class TCPConnection(_ByDeadline, _TCP):
    """A connection by TCP."""


class TLSConnection(_ByDeadline, SSLConnection, _TCP):
    """A connection by TLS."""


class UnixConnection(_ByDeadline, _Unix):
    """A connection by a Unix socket."""


# --- Sentinels ------------------------------------------------------------------------------------


class Sentinels:
    """
    The sentinels of a service, which return its primary.

    https://redis.io/docs/latest/develop/reference/sentinel-clients/

    Args:
        addresses: Host and port of each.
        service: What they call it.
        connection_class: Of connections to them.
        options: For its constructor.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        service: str,
        *,
        connection_class: type[TCPConnection | TLSConnection],
        options: Mapping[str, Any],
    ) -> None:
        self._addresses = [*addresses]
        self._service = service
        self._connection_class = connection_class
        self._options = options

    def find_primary(self) -> tuple[str, int]:
        """
        Return the primary's address from the first sentinel that answers.

        A sentinel that does not answer is asked last from then on.

        Raises:
            ConnectionError: No sentinel answers, or none has the service.
        """
        addresses = [*self._addresses]
        for number, address in enumerate(addresses):
            with within(_remaining_seconds() / (len(addresses) - number)):
                found = self._ask(address)
            if found is not None:
                return found
            self.doubt(address)
        raise NoPrimaryError

    def doubt(self, address: tuple[str, int] | None = None) -> None:
        """Ask a sentinel last from now on: this one, or the one that was right until now."""
        doubted = address or self._addresses[0]
        self._addresses = [*(one for one in self._addresses if one != doubted), doubted]

    def _ask(self, address: tuple[str, int]) -> tuple[str, int] | None:
        host, port = address
        connection: Any = self._connection_class(host=host, port=port, **self._options)
        try:
            connection.connect()
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            primary = connection.read_response()
            return primary and _checked_primary(primary[0].decode(), int(primary[1]))
        except (RedisError, OSError, *NONSENSE):
            return None
        finally:
            connection.disconnect()


def _checked_primary(host: str, port: int) -> tuple[str, int] | None:
    return (host, port) if 0 < port < 1 << 16 else None


class NoPrimaryError(ConnectionError):
    """No sentinel answers, or none has the service."""


NONSENSE: Final = (
    *(ValueError, TypeError, LookupError, AttributeError, RecursionError),
    *(OverflowError, MemoryError),
)
"""What redis-py raises for an answer that is none of Redis, or is not of the expected shape."""


def _check_primary(connection: Any) -> None:
    """Log in, and check that this is the primary: sentinels may not know yet what has changed."""
    connection.on_connect()
    with suppress(NoPermissionError):  # the user of the URL may not be allowed to ask
        connection.send_command("ROLE")
        if connection.read_response()[0] != b"master":
            raise ReadOnlyError


# --- URLs -----------------------------------------------------------------------------------------

URL_FORMS: Final = (
    "redis://user:password@host:6379/0, rediss:// (TLS), unix:///path/to/socket?db=0 or"
    " redis+sentinel://user:password@host1:26379,host2:26379/service/0 (rediss+sentinel: TLS);"
    " in a user or password, percent-encode all that is not a letter or digit"
)

_TLS: Final = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
_SENTINEL: Final = {"sentinel_username", "sentinel_password"}
_OPTIONS: Final = {
    "redis": {"db"},
    "rediss": {"db", *_TLS},
    "redis+sentinel": {"db", *_SENTINEL},
    "rediss+sentinel": {"db", *_SENTINEL, *_TLS},
    "unix": {"db", "password"},
}
_DEFAULT_PORT: Final = 6379
_DEFAULT_SENTINEL_PORT: Final = 26379
# What decides how a server is talked to, the same for all.
_COMMON: Final[Mapping[str, Any]] = {
    "socket_timeout": None,  # each operation has its own deadline
    "retry": Retry(NoBackoff(), 0),
    "health_check_interval": 0,
    "protocol": 2,  # with 3, redis-py does not notice an answer that was not read
    "encoding_errors": "surrogatepass",  # what is a str is a name that can be kept
}


class Target(NamedTuple):
    """
    A parsed Redis URL.

    Attributes:
        connection_class: For TCP, TLS or a Unix socket.
        options: For its constructor.  The password is among them.
        shown: The URL without user, password and query.
        sentinels: Those that know the primary, if there are some.
    """

    connection_class: type[TCPConnection | TLSConnection | UnixConnection]
    options: dict[str, Any]
    shown: str
    sentinels: Sentinels | None = None


def parse_url(url: str) -> Target:
    """
    Parse a Redis URL.

    Raises:
        ConfigurationError: It is malformed, or has parts that would be ignored or that are set
            here, such as timeouts.  The text does not quote it.
    """
    target = None
    # An error's text may quote the password: it must not be chained.
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        target = _parse(url)
    if target is None:
        raise ConfigurationError(f"the redis url cannot be read; write {URL_FORMS}")
    return target


def _parse(url: str) -> Target:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    options: dict[str, Any] = dict(query)
    if parts.fragment or not {*options} <= _OPTIONS[parts.scheme] or len(options) < len(query):
        raise ValueError
    user, _, hosts = parts.netloc.rpartition("@")
    for name, value in zip(("username", "password"), user.partition(":")[::2], strict=True):
        if value:
            options[name] = unquote(value, errors="strict")
    options |= _COMMON
    path = unquote(parts.path, errors="strict")
    if parts.scheme == "unix":
        return _parse_unix(hosts, path, options)
    if parts.scheme.endswith("+sentinel"):
        return _parse_sentinel(parts.scheme, hosts, path, options)
    db = options["db"] = _database(options.get("db") or path.removeprefix("/") or "0")
    options["host"], options["port"] = _address(hosts or "localhost", _DEFAULT_PORT)
    connection_class = TLSConnection if parts.scheme == "rediss" else TCPConnection
    shown = f"{parts.scheme}://{_shown(options['host'], options['port'])}/{db}"
    return Target(connection_class, options, shown)


def _parse_unix(hosts: str, path: str, options: dict[str, Any]) -> Target:
    # A host is what stands before a "/" in the password.
    if hosts or not path.startswith("/") or has_control_characters(path):
        raise ValueError
    db = options["db"] = _database(options.get("db", "0"))
    options["path"] = path
    return Target(UnixConnection, options, f"unix://{path}?db={db}")


def _parse_sentinel(scheme: str, hosts: str, path: str, options: dict[str, Any]) -> Target:
    _, service, *rest = path.split("/")
    if not service or has_control_characters(service) or len(rest) > 1:
        raise ValueError
    db = options["db"] = _database(options.get("db") or "".join(rest) or "0")
    addresses = [_address(one, _DEFAULT_SENTINEL_PORT) for one in hosts.split(",")]
    connection_class = TLSConnection if scheme == "rediss+sentinel" else TCPConnection
    own = {name: value for name, value in options.items() if name in {*_TLS, *_COMMON}}
    for name in ("username", "password"):
        if value := options.pop(f"sentinel_{name}", None):
            own[name] = value
    sentinels = Sentinels(addresses, service, connection_class=connection_class, options=own)
    options |= {"sentinels": sentinels, "redis_connect_func": _check_primary}
    shown = ",".join(_shown(*one) for one in addresses)
    return Target(connection_class, options, f"{scheme}://{shown}/{service}/{db}", sentinels)


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _address(text: str, default_port: int) -> tuple[str, int]:
    """Read a host, which may be in brackets, and a port."""
    parts = SplitResult("", text, "", "", "")
    host = unquote(parts.hostname or "", errors="strict")
    host.encode("idna")  # as a socket does, and too late
    if not host or has_control_characters(host) or parts.port == 0:
        raise ValueError
    return host, parts.port or default_port


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""One Redis or Valkey server: when it is connected, asked, and said to be away."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis-py's is not a subclass of the built-in one
    InvalidResponse,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  # nor is this
)
from redis.retry import Retry

from ....core.claims import has_control_characters
from ....errors import ConfigurationError, UnavailableError
from ....events import Outage
from ....fork import PerProcess
from ...store import TIMEOUT_SECONDS
from .scripts import Script

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_CONNECTIONS: Final = 1_000  # a process; as many as threads or greenlets that ask at once
_CONNECT_TIMEOUT_SECONDS: Final = TIMEOUT_SECONDS / 2  # for each address that a name stands for

# What redis-py raises for an answer that is none of Redis, or is not of the expected shape.
_NONSENSE: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)

_UNAUTHENTICATED: Final = "does not accept the user and password of its url, or wants some"

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (AuthenticationError, _UNAUTHENTICATED),
    (AuthorizationError, "does not accept the user and password of its url"),
    (NoPermissionError, "does not let the user of its url run what is needed"),
    (BusyLoadingError, "is still loading what it had saved"),
    (TimeoutError, "does not answer"),
    (OutOfMemoryError, "has no memory left: raise its maxmemory"),
    (ReadOnlyError, "is a replica: the url must lead to the primary"),
    (MovedError, "is a node of a cluster, and not the one that keeps these keys"),
    (ClusterDownError, "is a node of a cluster that is down"),
    (InvalidResponse, "does not speak the protocol of Redis"),
)
# The first word of an error says what it is (https://redis.io/docs/latest/develop/reference/
# protocol-spec/#simple-errors); redis-py has no classes for these.
_CODES: Final = {
    "MISCONF": "cannot save to its disk, and takes no writes until it can",
    "WRONGTYPE": "has something else under the keys of this package: give another prefix",
    "DENIED": "is in protected mode: it takes no connections from other hosts without a password",
    "NOREPLICAS": "has too few replicas to take writes",
    "BUSY": "is busy with a long script",
    # "Protocol error: unauthenticated multibulk length": redis-py makes no other one.
    "Protocol": _UNAUTHENTICATED,
}


class RedisServer:
    """
    A server that is connected on first use, in each process anew.

    Nothing is tried twice: what was sent may have been done.  Connections that the server has
    closed meanwhile are noticed before anything is sent, and made anew.  Each wait has an end,
    :data:`~.store.TIMEOUT_SECONDS` for an answer and half of it for a connection.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py reads it.

    Raises:
        ConfigurationError: It cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._connection_class, self._options, self._shown = parse_url(url)
        self._client = PerProcess(self._make_client)
        self._is_inspected = False
        self._outage = Outage(str(self))

    def __str__(self) -> str:
        """Return the URL without user, password and query."""
        return self._shown

    def run(
        self, script: Script, key: str, *args: str | bytes | int, read: Callable[[Any], T]
    ) -> T:
        """
        Run a script, and return what *read* makes of its answer.

        Raises:
            UnavailableError: As for :meth:`ask`.
        """

        def question(client: Redis) -> T:
            try:
                answer = client.evalsha(script.sha, 1, key, *args)
            except NoScriptError:  # then it has done nothing
                answer = client.eval(script.text, 1, key, *args)
            return read(answer)

        return self.ask(question, use=script.sha)

    def ask(self, question: Callable[[Redis], T], *, use: str = "") -> T:
        """
        Return what *question* returns.

        Args:
            question: Asks the server.
            use: As for :meth:`Outage.watched`.

        Raises:
            UnavailableError: The server is unavailable, or answers nonsense.  It is chained to
                nothing, and quotes nothing that the server said, which may be the password.
        """
        with self._outage.watched(use):
            return self._ask(question)

    def _ask(self, question: Callable[[Redis], T]) -> T:
        client = self._client.get()
        try:
            answer = question(client)
        except (RedisError, OSError, *_NONSENSE) as error:
            reason = _explain(error)
            if isinstance(error, ConnectionError | TimeoutError):
                # Others that were made before are as dead, and would cost a request each.
                client.connection_pool.disconnect(inuse_connections=False)
        else:
            if not self._is_inspected:
                self._is_inspected = True
                self._warn_of_eviction(client)
            return answer
        raise UnavailableError(f"{self} {reason}")

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._client.get().connection_pool.disconnect(inuse_connections=False)

    def _make_client(self) -> Redis:
        options: dict[str, Any] = {
            **self._options,
            "socket_timeout": TIMEOUT_SECONDS,
            "socket_connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "protocol": 2,  # with 3, redis-py does not notice an answer that was not read
            "encoding_errors": "surrogatepass",  # what is a str is a name that can be kept
        }
        if self._connection_class is not UnixDomainSocketConnection:
            options["socket_keepalive"] = True
        return Redis(
            connection_pool=ConnectionPool(
                self._connection_class, max_connections=_MAX_CONNECTIONS, **options
            )
        )

    def _warn_of_eviction(self, client: Redis) -> None:
        try:
            memory = client.info("memory")
        except (RedisError, OSError, *_NONSENSE):
            return  # not everybody may ask
        if isinstance(memory, Mapping) and memory.get("maxmemory"):
            policy = memory.get("maxmemory_policy", "noeviction")
            if policy != "noeviction":
                logger.warning(
                    "%s removes sessions and revocations when its memory is full, and what was"
                    " revoked is accepted again: set its maxmemory-policy to noeviction",
                    self,
                )


def _explain(error: Exception) -> str:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, ResponseError):
        code = str(error).partition(" ")[0]
        return _CODES.get(code, "refuses what is asked of it")
    if isinstance(error, ConnectionError | OSError):
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        number = getattr(cause, "errno", None)
        return f"cannot be reached{f': {os.strerror(number)}' if number else ''}"
    return "does not answer as Redis would"


URL_FORMS: Final = (
    "redis://user:password@host:6379/0, rediss:// (TLS) or unix:///path/to/socket?db=0;"
    " in a user or password, percent-encode all that is not a letter or digit"
)

_OPTIONS: Final = {
    "redis": {"db"},
    "rediss": {"db", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"},
    "unix": {"db", "password"},
}


class Target(NamedTuple):
    """
    Where to connect.

    Attributes:
        connection_class: redis-py's, for TCP, TLS or a Unix socket.
        options: For its constructor.  The password is among them.
        shown: The URL without user, password and query.
    """

    connection_class: type[Connection | UnixDomainSocketConnection]
    options: dict[str, Any]
    shown: str


def parse_url(url: str) -> Target:
    """
    Return what a URL stands for.

    Raises:
        ConfigurationError: It cannot be read, or has parts that nothing would heed, or that are
            decided here, such as timeouts.  The text quotes none of it.
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
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            options[name] = unquote(value, errors="strict")
    path = unquote(parts.path, errors="strict")
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2]:  # or what stands before a "/" in the password
            raise ValueError
        _check_path(path)
        db = options["db"] = _database(options.get("db", "0"))
        options["path"] = path
        return Target(UnixDomainSocketConnection, options, f"unix://{path}?db={db}")
    db = options["db"] = _database(options.get("db") or path.removeprefix("/") or "0")
    host = options["host"] = _host(parts.hostname or "localhost")
    port = options["port"] = parts.port or 6379
    shown = f"[{host}]" if ":" in host else host
    connection_class = SSLConnection if parts.scheme == "rediss" else Connection
    return Target(connection_class, options, f"{parts.scheme}://{shown}:{port}/{db}")


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _host(host: str) -> str:
    host = unquote(host, errors="strict")
    host.encode("idna")  # as a socket does, and too late
    if has_control_characters(host):
        raise ValueError
    return host


def _check_path(path: str) -> None:
    if not path.startswith("/") or has_control_characters(path):
        raise ValueError

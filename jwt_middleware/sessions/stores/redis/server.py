"""One Redis or Valkey server: when it is connected, asked, and said to be away."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from redis import Redis
from redis.connection import ConnectionPool
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis-py's is not a subclass of the built-in one
    InvalidResponse,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  # nor is this
    TryAgainError,
)

from ....errors import UnavailableError
from ....events import Outage
from ....fork import PerProcess
from ...store import TIMEOUT_SECONDS
from .connecting import NONSENSE, NoPrimaryError, parse_url, within
from .scripts import READING, Script

T = TypeVar("T")

_MAX_CONNECTIONS: Final = 1_000  # a process; as many as threads or greenlets that ask at once

_UNAUTHENTICATED: Final = "does not accept the user and password of its url, or wants some"
_REPLICA: Final = "is a replica: the url must lead to the primary"
_CLUSTER: Final = (
    "is a node of a cluster, which is not supported: the url must lead to a server of its own,"
    " or name the sentinels of one"
)

# The first word of an error says what it is (https://redis.io/docs/latest/develop/reference/
# protocol-spec/#simple-errors); redis-py takes it away from those that have a class.
_CODES: Final[Mapping[type[Exception], str]] = {
    AskError: "ASK",
    AuthenticationError: "NOAUTH",
    AuthorizationError: "NOAUTH",
    BusyLoadingError: "LOADING",
    ClusterCrossSlotError: "CROSSSLOT",
    ClusterDownError: "CLUSTERDOWN",
    MasterDownError: "MASTERDOWN",
    MovedError: "MOVED",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    TryAgainError: "TRYAGAIN",
}
# Redis 6 quotes what a script has met: "ERR Error running script (…): @user_script:1: -READONLY …"
_CODE: Final = re.compile(r"(?:^|: -)([A-Za-z]+)\b")

# The server is no primary, or not the one that takes writes: nothing was done, and a new connection
# may lead to the one that is.
_WRONG_SERVER: Final[Mapping[str, str]] = {
    "READONLY": _REPLICA,
    "MASTERDOWN": _REPLICA,
    "LOADING": "is still loading what it had saved",
    "MISCONF": "cannot save to its disk, and takes no writes until it can",
    "NOREPLICAS": "has too few replicas to take writes",
}
_CLUSTERED: Final = dict.fromkeys(
    ("ASK", "MOVED", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), _CLUSTER
)
# These are about what was asked: the connection is as good as before.
_REFUSALS: Final[Mapping[str, str]] = {
    "ERR": "refuses what is asked of it",
    "NOPERM": "does not let the user of its url run what is needed",
    "OOM": "has no memory left: raise its maxmemory",
    "WRONGTYPE": "has something else under the keys of this package: give another prefix",
    "BUSY": "is busy with a long script",
}
_REASONS: Final[Mapping[str, str]] = {
    **_WRONG_SERVER,
    **dict.fromkeys(_CLUSTERED, _CLUSTER),
    **_REFUSALS,
    "NOAUTH": _UNAUTHENTICATED,
    # "Protocol error: unauthenticated multibulk length": redis-py makes no other one.
    "Protocol": _UNAUTHENTICATED,
    "DENIED": "is in protected mode: it takes no connections from other hosts without a password",
}
# The rest is said by the class of the error alone.
_FAILURES: Final = (
    (TimeoutError, "does not answer"),
    (InvalidResponse, "does not speak the protocol of Redis"),
    (ResponseError, _REFUSALS["ERR"]),
    (NoPrimaryError, "has no primary: no sentinel answers, or none knows a service of this name"),
)


class RedisServer:
    """
    A server that is connected on first use, in each process anew.

    Connections that the server has closed meanwhile are noticed before anything is sent, and made
    anew.  A server that says that it takes no writes, a demoted primary, has done nothing: it is
    asked once more, over a new connection, which may lead to another server.  Nothing else is tried
    twice: what was sent may have been done.

    All of an operation ends within :data:`~.store.TIMEOUT_SECONDS`: finding the server, connecting,
    and the last byte of its answer.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or
            ``rediss+sentinel://``.

    Raises:
        ConfigurationError: It cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._target = parse_url(url)
        self._client = PerProcess(self._make_client)
        self._outage = Outage(str(self))

    def __str__(self) -> str:
        """Return the URL without user, password and query."""
        return self._target.shown

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

        return self.ask(question, use="reading" if script in READING else "writing")

    def ask(self, question: Callable[[Redis], T], *, use: str = "reading") -> T:
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
        with within(TIMEOUT_SECONDS):
            for is_first in (True, False):
                try:
                    answer = question(client)
                except (RedisError, OSError, *NONSENSE) as error:
                    code = _code(error)
                    reason = _explain(error, code)
                else:
                    return answer
                if code not in _REFUSALS:
                    self._forget(client)
                if not is_first or code not in _WRONG_SERVER:
                    break
                client = self._leave(client)
        raise UnavailableError(f"{self} {reason}")

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._client.get().connection_pool.disconnect(inuse_connections=False)

    def _make_client(self) -> Redis:
        return Redis(
            connection_pool=ConnectionPool(
                self._target.connection_class,
                max_connections=_MAX_CONNECTIONS,
                **self._target.options,
            )
        )

    def _leave(self, client: Redis) -> Redis:
        """Return another client: what threads still have of this one leads to the wrong server."""
        if self._client.get() is client:
            self._client = PerProcess(self._make_client)
        return self._client.get()

    def _forget(self, client: Redis) -> None:
        """Close what is idle: it leads to the same server, and would cost a request each."""
        client.connection_pool.disconnect(inuse_connections=False)
        if self._target.sentinels is not None:
            self._target.sentinels.doubt()


def _code(error: Exception) -> str:
    """Return the code of an error that the server has answered, or nothing."""
    if (code := _CODES.get(type(error))) is not None:
        return code
    codes = _CODE.findall(str(error)) if isinstance(error, ResponseError) else []
    return codes[-1] if codes else ""


def _explain(error: Exception, code: str) -> str:
    if (reason := _REASONS.get(code)) is not None:
        return reason
    for kind, reason in _FAILURES:
        if isinstance(error, kind):
            return reason
    if isinstance(error, ConnectionError | OSError):
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        number = getattr(cause, "errno", None)
        return f"cannot be reached{f': {os.strerror(number)}' if number else ''}"
    return "does not answer as Redis would"

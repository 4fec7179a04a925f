"""A PostgreSQL server: how it is connected, and given up in time.  Needs psycopg."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from .deadline import remaining
from .pool import Pool
from .statement import Connection, Statement
from .urls import DatabaseURL, bad_query

CONNECT_TIMEOUT_SECONDS: Final = 2
"""The least that libpq knows."""

# Each is held for a moment, and a server takes a hundred for all workers of all hosts.
_POOL_SIZE: Final = 5

# Any number that every process of ours agrees on.
_SCHEMA_LOCK: Final = 0x6A77745F6D77
_LOCK: Final = Statement("SELECT pg_advisory_xact_lock(:number)")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCKED: Final = "is locked by another transaction"
_REASONS: Final = {
    "53100": "disk full",
    "55P03": _LOCKED,
    "57014": _LOCKED,  # query_canceled: what statement_timeout does
    "42501": "permission denied to its user",
    "25006": "it is read-only",
    "57P01": "it is being shut down",
    "57P02": "it has crashed",
    "57P03": "it is starting up",
}
_WRONG_SERVER: Final = frozenset({"25006", "57P01", "57P02", "57P03"})
"""A demoted primary, or a server that stops or starts: a new connection may find a better one."""

Result = TypeVar("Result")


class PostgreSQL:
    """
    One database on a server, as one process uses it.

    Args:
        url: Of the database.
        timeout_seconds: How long the server may take for a statement.

    Raises:
        ConfigurationError: The URL has a parameter that libpq does not know.
    """

    error: Final = psycopg.Error

    def __init__(self, url: DatabaseURL, *, timeout_seconds: float) -> None:
        conninfo = _to_conninfo({**_libpq_defaults(timeout_seconds), **url.libpq})
        if conninfo is None:  # raised here, chained to nothing that may quote the URL
            raise bad_query()
        self._conninfo = conninfo
        self._pool = Pool(self._connect, size=_POOL_SIZE)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection on which each statement sees what is committed by then."""
        with self._pool.connection() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[Connection]:
        """Lend a connection in a transaction."""
        with self._pool.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def creating(self) -> Iterator[Connection]:
        """Lend a connection in a transaction that no other process of ours has at the same time."""
        with self.writing(durable=True) as connection:
            connection.run(_LOCK, {"number": _SCHEMA_LOCK})
            yield connection

    def incarnation(self) -> str:
        """Return nothing: the server's address tells of no replacement."""
        return ""

    def version(self) -> None:
        """Return that a query is the only way to notice a change."""

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def explain(self, error: Exception, *, fix: str) -> str:
        """Say why an operation failed, quoting nothing of the error."""
        state = getattr(error, "sqlstate", None)
        if state in {"42P01", "42703"}:  # undefined_table, undefined_column
            return f"lacks the tables of this version; {fix}"
        if state and state.startswith("23"):
            return "unavailable: its tables refuse the row; a newer version may have changed them"
        if state in _REASONS:
            return f"unavailable: {_REASONS[state]}"
        if state or not isinstance(error, psycopg.OperationalError):
            return "unavailable"
        return (
            "unavailable: it does not answer; check that it runs where the url says, and lets us in"
        )

    def is_duplicate(self, error: Exception) -> bool:
        """Tell whether a row was refused because its key exists already."""
        return isinstance(error, psycopg.errors.UniqueViolation)

    def _connect(self) -> _BoundedConnection:
        return _BoundedConnection.connect(self._conninfo, autocommit=True)


class _BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that is closed, and raises, if an answer is not complete by the deadline.

    A server that was paused, or a network that drops everything, leaves a client waiting for ever:
    the kernel still accepts what is sent.  ``statement_timeout`` is kept by the server, which then
    does not run; libpq's ``tcp_user_timeout`` knows no Unix socket, and its ``connect_timeout`` is
    at least 2 s.
    """

    is_wrong_server = False

    def run(self, statement: Statement, parameters: Mapping[str, object] = {}, /) -> Any:
        """Execute a statement."""
        return self.execute(statement.postgresql, parameters)

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, object]], /) -> None:
        """Execute a statement once for each of *rows*."""
        with self.cursor() as cursor:
            cursor.executemany(statement.postgresql, rows)

    def is_idle(self) -> bool:
        """Tell whether it is open, outside a transaction, and leads to the right server."""
        is_idle = self.pgconn.transaction_status == TransactionStatus.IDLE
        return is_idle and not self.is_wrong_server

    def is_usable(self) -> bool:
        """Tell whether the server still answers; it may have been restarted."""
        try:
            self.execute("")
        except psycopg.Error:
            return False
        return True

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        """Wait as psycopg does, until the deadline at most."""
        try:
            return super().wait(_until_deadline(gen), *args, **kwargs)
        except psycopg.errors.ConnectionTimeout:
            # A late answer would be taken for that of the next statement.
            self.close()
            raise
        except psycopg.Error as error:
            if error.sqlstate in _WRONG_SERVER:
                self.is_wrong_server = True
            raise

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Generator[Any, Any, Self]:
        return (yield from _until_deadline(super()._connect_gen(*args, **kwargs)))


def _libpq_defaults(timeout_seconds: float) -> dict[str, str]:
    milliseconds = int(timeout_seconds * 1_000)
    return {
        "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
        "tcp_user_timeout": str(milliseconds),
        # Before we give up, so that the server can say why it took so long; and a process that was
        # stopped in a transaction must not hold its locks.
        "options": f"-c statement_timeout={milliseconds * 4 // 5}"
        f" -c idle_in_transaction_session_timeout={2 * milliseconds}",
    }


def _to_conninfo(parameters: Mapping[str, str]) -> str | None:
    try:
        return make_conninfo("", **parameters)
    except psycopg.Error:
        return None


def _until_deadline(gen: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    # psycopg resumes what waits every tenth of a second, if only to notice Ctrl-C; and for each
    # piece that has come, however small: the deadline is for the whole answer.
    try:
        wanted = next(gen)
        while remaining() > 0:
            wanted = gen.send((yield wanted))
    except StopIteration as stop:
        result: Result = stop.value
        return result
    gen.close()
    raise psycopg.errors.ConnectionTimeout("no answer in time")

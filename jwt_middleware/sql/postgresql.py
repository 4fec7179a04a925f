"""PostgreSQL connections with deadlines.  Needs psycopg."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg import generators, waiting
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from ..lookup import look_up
from .statement import Statement
from .urls import DatabaseURL, bad_query

_LOOK_SECONDS: Final = 0.02  # how often a waiting call checks its deadline

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCKED: Final = "is locked by another transaction"
_REASONS: Final = {
    "53100": "disk full",
    "55P03": _LOCKED,
    "57014": _LOCKED,  # query_canceled: by statement_timeout
    "42501": "permission denied to its user",
    "25006": "it is read-only: the url must lead to the primary; among several hosts,"
    " target_session_attrs=read-write finds it",
    "57P01": "it is being shut down",
    "57P02": "it has crashed",
    "57P03": "it is starting up",
}
_WRONG_SERVER: Final = (
    *("08", "25006", "53", "57P", "58", "F0", "XX"),
    *("26", "3F", "42P01", "42703"),
)
"""
SQLSTATEs after which a connection is not reused.

A demoted primary, a shutdown, startup or crash, no resources, a broken disk, damaged files: a new
connection may lead to another server.  Also errors of one session: tables not on its search_path,
prepared statements that are gone.
"""

Result = TypeVar("Result")


class PostgreSQL:
    """
    A database on a PostgreSQL server, as used by one process.

    Args:
        url: The database URL.
        timeout_seconds: Limit of the server for a statement.

    Raises:
        ConfigurationError: The URL has a parameter that libpq does not know.
    """

    error: Final = psycopg.Error
    # Each is held briefly, and a server's default is 100 for all workers of all hosts.
    max_connections: Final = 5
    is_file: Final = False

    def __init__(self, url: DatabaseURL, *, timeout_seconds: float) -> None:
        conninfo = _to_conninfo({**_libpq_defaults(timeout_seconds), **url.libpq})
        if conninfo is None:  # raised here, so that no chained error quotes the URL
            raise bad_query()
        self._conninfo = conninfo
        self._latest: object = None

    def connect(self, deadline: float) -> BoundedConnection:
        """
        Connect to the first address that answers; each gets a share of the remaining time.

        Raises:
            psycopg.Error: No address answers.
        """
        attempts = self._attempts(deadline)
        for number, attempt in enumerate(attempts):
            now = time.monotonic()
            share = (deadline - now) / (len(attempts) - number)
            try:
                connecting = generators.connect(make_conninfo("", **attempt))
                pgconn = waiting.wait_conn(_until(now + share, connecting), interval=_LOOK_SECONDS)
            except psycopg.Error as error:
                failure = error
                continue
            connection = BoundedConnection(pgconn)
            connection.deadline = deadline
            connection.autocommit = True
            self._latest = _address(attempt)
            return connection
        raise failure

    def _attempts(self, deadline: float) -> list[dict[str, Any]]:
        """Return the addresses to try in order; the last successful one comes first."""
        parameters = conninfo_to_dict(self._conninfo)
        try:
            found = look_up(
                self._conninfo, lambda: conninfo_attempts(parameters), deadline=deadline
            )
        except TimeoutError:
            raise psycopg.errors.ConnectionTimeout("no address in time") from None
        return sorted(found, key=lambda one: _address(one) != self._latest)

    def create(self, deadline: float) -> None:
        """Do nothing: an operator creates the database."""

    def incarnation(self) -> str:
        """Return an empty string: a replaced server cannot be detected."""
        return ""

    def explain(self, error: Exception, *, fix: str) -> str:
        """Return the reason of a failure, without quoting the error."""
        state = getattr(error, "sqlstate", None)
        if state in {"42P01", "42703"}:  # undefined_table, undefined_column
            return f"lacks the tables of this version; {fix}"
        if state and state.startswith("23"):
            return "unavailable: its tables refuse the row; a newer version may have changed them"
        if isinstance(error, psycopg.DataError):
            return "unavailable: a parameter cannot be stored"
        if state in _REASONS:
            return f"unavailable: {_REASONS[state]}"
        if state or not isinstance(error, psycopg.OperationalError):
            return "unavailable"
        return "unavailable: connection failed, it does not answer; check the url and access rules"

    def is_duplicate(self, error: Exception) -> bool:
        """Return whether a row was refused because its key already exists."""
        return isinstance(error, psycopg.errors.UniqueViolation)


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that raises, and closes, if a response is not complete by the deadline.

    Without it, a paused server or a network that drops packets blocks a client for ever: the kernel
    still accepts what is sent.  The server, which does not run then, enforces
    ``statement_timeout``; libpq's ``tcp_user_timeout`` does not apply to Unix sockets.
    """

    deadline: float
    is_wrong_server: bool = False

    def run(self, statement: Statement, parameters: Mapping[str, object] = {}, /) -> Any:
        """Execute a statement."""
        try:
            return self.execute(statement.postgresql, parameters)
        except ValueError:  # a surrogate; the error quotes it
            raise psycopg.DataError("a parameter cannot be stored") from None

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, object]], /) -> None:
        """Execute a statement once for each of *rows*."""
        try:
            with self.cursor() as cursor:
                cursor.executemany(statement.postgresql, rows)
        except ValueError:
            raise psycopg.DataError("a parameter cannot be stored") from None

    def begin(self, *, durable: bool) -> None:
        """Begin a transaction."""
        self.execute("BEGIN")

    def version(self) -> None:
        """Return ``None``: only a query can detect a change."""

    def is_idle(self) -> bool:
        """Return whether it is open, outside a transaction, and connected to the right server."""
        is_idle = self.pgconn.transaction_status == TransactionStatus.IDLE
        return is_idle and not self.is_wrong_server

    def is_usable(self) -> bool:
        """Return whether the server responds and is not read-only: it may have been demoted."""
        try:
            found = self.execute("SHOW transaction_read_only").fetchone()
        except psycopg.Error:
            return False
        return bool(found == ("off",))

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        """Wait as psycopg does, but at most until the deadline."""
        try:
            if not args:
                kwargs.setdefault("interval", _LOOK_SECONDS)
            return super().wait(_until(self.deadline, gen), *args, **kwargs)
        except psycopg.errors.ConnectionTimeout:
            # A late response would be taken for that of the next statement.
            self.close()
            raise
        except psycopg.Error as error:
            self.is_wrong_server = (error.sqlstate or "").startswith(_WRONG_SERVER)
            raise


def _libpq_defaults(timeout_seconds: float) -> dict[str, str]:
    milliseconds = int(timeout_seconds * 1_000)
    return {
        "tcp_user_timeout": str(milliseconds),
        # Less than our timeout, so that the server reports the reason; and a process stopped inside
        # a transaction must not hold its locks.
        "options": f"-c statement_timeout={milliseconds * 4 // 5}"
        f" -c idle_in_transaction_session_timeout={2 * milliseconds}",
    }


def _to_conninfo(parameters: Mapping[str, str]) -> str | None:
    try:
        return make_conninfo("", **parameters)
    except (psycopg.Error, TypeError, ValueError):  # a parameter "conninfo"; a surrogate
        return None


def _address(attempt: Mapping[str, Any]) -> tuple[object, object]:
    return attempt.get("hostaddr", attempt.get("host")), attempt.get("port")


def _until(deadline: float, gen: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    # psycopg resumes the generator regularly and for each piece of data: the deadline applies to
    # the whole response.
    try:
        wanted = next(gen)
        while time.monotonic() < deadline:
            wanted = gen.send((yield wanted))
    except StopIteration as stop:
        result: Result = stop.value
        return result
    gen.close()
    raise psycopg.errors.ConnectionTimeout("no answer in time")

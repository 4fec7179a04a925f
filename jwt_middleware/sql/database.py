"""One SQL database, SQLite or PostgreSQL: when it is connected, locked, and said to be away."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ..errors import ConfigurationError, UnavailableError
from ..fork import PerProcess
from .deadline import remaining, within
from .explaining import explain
from .row_log import LOGGING_NAME, keep_rows_out
from .sqlite import WRITE, create_file, identity, make_engine
from .urls import SQLITE, URL_FORMS, parse_url
from .watch import Version, Watch

# The least that libpq knows.
CONNECT_TIMEOUT_SECONDS = 2
_POOL_SIZE = 5

# Any number will do that every process of ours agrees on.
_SCHEMA_LOCK = 0x6A77745F6D77


class Database:
    """
    A database that is connected on first use, in each process anew.

    Other databases than these two are refused: how they compare strings (case, accents, trailing
    spaces) would decide which account names are the same.

    Args:
        url: An SQLAlchemy URL.  ``postgresql://`` means psycopg 3.  An SQLite file is taken
            relative to the working directory of this moment; it has to be a file, as a database
            in memory would be another one in every thread and worker.
        timeout_seconds: How long each operation may last: with connecting, and waiting for the
            locks of others.
        mend: What an operator can do where the tables are missing.

    Raises:
        ConfigurationError: The URL cannot be read, is of another database, or its driver is not
            installed.
    """

    def __init__(self, url: str | URL, *, timeout_seconds: float, mend: str) -> None:
        self._url = parse_url(url)
        self._timeout_seconds = timeout_seconds
        self._mend = mend
        is_file = self._url.drivername == SQLITE
        self._path = Path(self._url.database or "").absolute() if is_file else None
        self._engine = PerProcess(self._make_engine)
        self._watch = PerProcess(self._make_watch)
        # Writers of one process that wait for one another here are served at once, and those that
        # wait for the file's lock, in steps of up to a tenth of a second.
        self._turn = PerProcess(threading.Lock)
        if not self._reads_the_url():  # raised here, chained to nothing that may quote the URL
            raise ConfigurationError(f"the database url has a bad query; write {URL_FORMS}")

    def __str__(self) -> str:
        """Return the file, or the URL without what may be secret: password and query."""
        if self._path is not None:
            return str(self._path)
        return self._url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """
        Lend a connection for reading; each statement sees what is committed by then.

        Raises:
            UnavailableError: The database cannot be asked in time; the text says why and never
                holds a password or a parameter.
        """
        with self._operation(), self._engine.get().connect() as connection:
            if self._path is None:
                connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """
        Lend a connection for a transaction that is committed unless the block raises.

        On SQLite it has the write lock from the beginning.

        Args:
            durable: Whether it shall outlast a loss of power.  SQLite then waits for the disk;
                PostgreSQL does in either case what it is configured to.

        Raises:
            IntegrityError: SQLAlchemy's own, for the caller to say what it means.
            UnavailableError: As for :meth:`reading`.  What was written may be there or not.
        """
        options = {WRITE: "FULL" if durable else "NORMAL"}
        with (
            self._operation(),
            self._writers_turn(),
            self._engine.get().connect() as connection,
            connection.execution_options(**options).begin(),
        ):
            yield connection

    def incarnation(self) -> str:
        """Return what is another for an SQLite file in the place of one before; else nothing."""
        return "" if self._path is None else str(identity(self._path))

    def version(self) -> Version | None:
        """
        Return what is equal to an earlier one only if nothing was committed in between.

        Returns:
            ``None`` if this database cannot tell it for less than what it would take to look.

        Raises:
            UnavailableError: As for :meth:`reading`.
        """
        watch = self._watch.get()
        if watch is None:
            return None
        with self._operation():
            return watch.version()

    def create(
        self, metadata: MetaData, *, fill: Callable[[Connection], None] | None = None
    ) -> None:
        """
        Create the tables that are missing; safe while other processes do the same.

        A new SQLite file is readable and writable for its owner only (mode 0600).

        Args:
            metadata: The tables.
            fill: Called in the same transaction, to write what has to be in them.

        Raises:
            UnavailableError: As for :meth:`reading`, and if the file cannot be created.
        """
        with self._operation():
            if self._path is not None:
                create_file(self._path)
            with self.writing() as connection:
                # SQLite's writers exclude each other already.  On PostgreSQL two that find the
                # table missing would both create it, and CREATE TABLE IF NOT EXISTS fails for one
                # of them.
                if self._path is None:
                    connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
                metadata.create_all(connection)
                if fill is not None:
                    fill(connection)

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._engine.get().dispose()
        watch = self._watch.get()
        if watch is not None:
            watch.close()

    def _reads_the_url(self) -> bool:
        # To make an engine connects nothing, but reads the whole URL and imports the driver.
        try:
            self._engine.get()
        except ImportError as error:
            raise ConfigurationError(
                "the database url is for PostgreSQL, whose driver is missing:"
                " pip install 'wsgi-jwt-middleware[postgresql]'"
            ) from error
        except (ArgumentError, ValueError):
            return False
        return True

    def _make_engine(self) -> Engine:
        keep_rows_out()
        if self._path is not None:
            return make_engine(self._url, self._path, timeout_seconds=self._timeout_seconds)
        # Here, as the driver need not be there for those who use SQLite.
        from .postgresql import connect  # noqa: PLC0415

        engine = create_engine(
            self._url,
            hide_parameters=True,  # SQLAlchemy's errors and logs would show secret hashes
            logging_name=LOGGING_NAME,
            # Each is held for a moment, and a server takes a hundred for all workers of all hosts.
            pool_size=_POOL_SIZE,
            max_overflow=0,
            pool_timeout=self._timeout_seconds,
            pool_pre_ping=True,
            connect_args=self._libpq_defaults(),
        )
        event.listen(engine, "do_connect", connect)
        return engine

    def _make_watch(self) -> Watch | None:
        if self._path is None:
            return None
        return Watch(self._path, timeout_seconds=self._timeout_seconds)

    def _libpq_defaults(self) -> dict[str, Any]:
        milliseconds = int(self._timeout_seconds * 1_000)
        defaults = {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "tcp_user_timeout": milliseconds,
            # Before we give up, so that the server can say why it took so long; and a process
            # that was stopped in a transaction must not hold its locks.
            "options": f"-c statement_timeout={milliseconds * 4 // 5}"
            f" -c idle_in_transaction_session_timeout={2 * milliseconds}",
        }
        return {name: value for name, value in defaults.items() if name not in self._url.query}

    @contextmanager
    def _writers_turn(self) -> Iterator[None]:
        turn = self._turn.get()
        if self._path is None:
            yield
        elif turn.acquire(timeout=max(0, remaining())):
            try:
                yield
            finally:
                turn.release()
        else:
            raise PoolTimeoutError("others of this process are waiting for the file's lock")

    @contextmanager
    def _operation(self) -> Iterator[None]:
        try:
            with within(self._timeout_seconds):
                yield
        except IntegrityError:
            raise
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            reason = explain(error, mend=self._mend)
            raise UnavailableError(f"database {self} {reason}") from error

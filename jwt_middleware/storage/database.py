"""One SQL database, SQLite or PostgreSQL: when it is connected, locked, and said to be away."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    SQLAlchemyError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from ..errors import ConfigurationError, UnavailableError
from ..fork import PerProcess
from .urls import SQLITE, URL_FORMS, parse_url

CONNECT_TIMEOUT_SECONDS = 2
POOL_TIMEOUT_SECONDS = 2
BUSY_TIMEOUT_SECONDS = 5  # how long a statement waits for another process' lock

_MEND = "call create_schema(), or add an account with `jwt-middleware account add`"
# Any number will do that every process of ours agrees on.
_SCHEMA_LOCK = 0x6A77745F6D77
_WRITE = "jwt_middleware_write"


class Database:
    """
    A database that is connected on first use, in each process anew.

    Other databases than these two are refused: how they compare strings (case, accents, trailing
    spaces) would decide which account names are the same.

    Args:
        url: An SQLAlchemy URL.  ``postgresql://`` means psycopg 3.  An SQLite file is taken
            relative to the working directory of this moment; it has to be a file, as a database
            in memory would be another one in every thread and worker.

    Raises:
        ConfigurationError: The URL cannot be read, is of another database, or its driver is not
            installed.
    """

    def __init__(self, url: str | URL) -> None:
        self._url = parse_url(url)
        is_file = self._url.drivername == SQLITE
        self._path = Path(self._url.database or "").absolute() if is_file else None
        self._engine = PerProcess(self._make_engine)
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
        Lend a connection for reading; its transaction ends with the block.

        Raises:
            UnavailableError: The database cannot be asked; the text says why and never holds
                a password or a parameter.
        """
        with self._translated(), self._engine.get().connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """
        Lend a connection for a transaction that is committed unless the block raises.

        On SQLite it takes the write lock at once: one that is taken at the first write, after
        a read, fails under contention instead of waiting.

        Raises:
            IntegrityError: SQLAlchemy's own, for the caller to say what it means.
            UnavailableError: As for :meth:`reading`.
        """
        with (
            self._translated(),
            self._engine.get().connect() as connection,
            connection.execution_options(**{_WRITE: True}).begin(),
        ):
            yield connection

    def create(self, metadata: MetaData) -> None:
        """
        Create the tables that are missing; safe while other processes do the same.

        A new SQLite file is readable and writable for its owner only (mode 0600).

        Raises:
            UnavailableError: As for :meth:`reading`, and if the file cannot be created.
        """
        with self._translated():
            if self._path is not None:
                _create_file(self._path)
                _switch_to_wal(self._path)
        with self.writing() as connection:
            # SQLite's writers exclude each other already.  On PostgreSQL two that find the table
            # missing would both create it, and CREATE TABLE IF NOT EXISTS fails for one of them.
            if self._path is None:
                connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            metadata.create_all(connection)

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._engine.get().dispose()

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
        # hide_parameters: SQLAlchemy's errors and logs would show secret hashes.
        if self._path is None:
            return create_engine(
                self._url,
                hide_parameters=True,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                pool_pre_ping=True,
                connect_args=_libpq_defaults(self._url),
            )
        engine = create_engine(
            # mode=rw: without it, to open a missing file makes an empty one with the umask's mode.
            self._url.set(database=self._path.as_uri()).update_query_dict(
                {"uri": "true", "mode": "rw"}
            ),
            hide_parameters=True,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            # isolation_level None: sqlite3 itself begins nothing, _begin does.
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "isolation_level": None},
        )
        event.listen(engine, "begin", _begin)
        event.listen(engine, "connect", partial(_note_file, self._path))
        event.listen(engine, "checkout", partial(_check_file_is_the_same, self._path))
        return engine

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise UnavailableError(f"database {self} {_explain(error)}") from error


def _libpq_defaults(url: URL) -> dict[str, Any]:
    defaults = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "tcp_user_timeout": BUSY_TIMEOUT_SECONDS * 1000,
        "options": f"-c statement_timeout={BUSY_TIMEOUT_SECONDS * 1000}",
    }
    return {name: value for name, value in defaults.items() if name not in url.query}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _note_file(path: Path, _: object, record: ConnectionPoolEntry) -> None:
    record.info["file"] = _identity(path)


def _check_file_is_the_same(path: Path, _: object, record: ConnectionPoolEntry, __: object) -> None:
    """Give up a connection to a file that was removed or replaced: others write to the new one."""
    if record.info["file"] != _identity(path):
        raise DisconnectionError


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_file(path: Path) -> None:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _switch_to_wal(path: Path) -> None:
    # SQLite does not wait for the lock this needs, whatever the busy timeout.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").close()
            except sqlite3.OperationalError as error:
                if _sqlite_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return


def _explain(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be created: {error.strerror}"
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = _sqlite_code(cause)
    if code == sqlite3.SQLITE_CANTOPEN:
        return f"cannot be opened; if it is not there, {_MEND}"
    # undefined_table and undefined_column.  SQLite has no codes of its own for these; from
    # statements that never vary, its generic one means nothing else.
    if getattr(cause, "sqlstate", None) in {"42P01", "42703"} or code == sqlite3.SQLITE_ERROR:
        return f"lacks the tables of this version; {_MEND}"
    return "cannot be asked"


def _sqlite_code(error: object) -> int:
    # The low byte is the primary code (https://www.sqlite.org/rescode.html).
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF

"""A SQL database, SQLite or PostgreSQL, and its connection pool."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ..errors import ConfigurationError, DuplicateRowError, PoolExhaustedError, UnavailableError
from ..events import Outage
from ..files import diagnose
from ..fork import PerProcess
from .sqlite import SQLite, Version, primary_code
from .statement import Connection, Statement, Table
from .urls import DatabaseURL, parse_url
from .versions import VERSIONS, SchemaVersion, record_version, stored_version

if TYPE_CHECKING:
    from .postgresql import BoundedConnection, PostgreSQL
    from .sqlite import FileConnection

    Driver = SQLite | PostgreSQL
    PooledConnection = FileConnection | BoundedConnection

_Use = Literal["reading", "writing", "watching"]

# Without a lock, PostgreSQL fails one of two concurrent CREATE TABLE.
_LOCK_SCHEMA: Final = Statement("{|SELECT pg_advisory_xact_lock(:number)}")
_SCHEMA_LOCK: Final = 0x6A77745F6D77  # an arbitrary constant, the same in every process
_HAS_TABLE: Final = Statement(
    "SELECT 1 FROM {sqlite_master|pg_class} WHERE {name = :name|oid = to_regclass(:name)}"
)
_HAS_COLUMN: Final = Statement("""
    SELECT 1 FROM {pragma_table_info(:table) WHERE name = :column|
        pg_attribute WHERE attrelid = to_regclass(:table) AND attname = :column}
""")
_TIME: Final = Statement("""
    SELECT {(JULIANDAY('now') - 2440587.5) * 86400.0|
        CAST(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) AS DOUBLE PRECISION)}
""")

# The errors of a file that was overwritten while open.
_ANOTHER_FILE: Final = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """
    The tables that a database must have.

    Attributes:
        tables: All of them.
        version: Their schema version.
        fill: Called in the transaction that creates them, to write the initial rows.
        fix: How an operator creates missing tables; part of error messages.
    """

    tables: Sequence[Table]
    version: SchemaVersion
    fill: Callable[[Connection], None] | None = None
    fix: str


class Database:
    """
    A database that connects on first use, in each process separately.

    Other databases are refused: their string comparison (case, accents, trailing spaces) would
    decide which account names are equal.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user:password@host/database?parameter=value``,
            with libpq's parameters.  An SQLite path is relative to the current working directory; a
            database in memory is refused, since each thread and worker would have its own.
        schema: The tables.
        timeout_seconds: Limit of each operation, including connecting and waiting for locks.
        creates_tables: Whether the first use in each process creates the tables that are missing.

    Attributes:
        is_file: Whether it is an SQLite file, where a writer locks the whole database.

    Raises:
        ConfigurationError: The URL is invalid or for another database, or its driver is not
            installed.
    """

    def __init__(
        self,
        url: str | DatabaseURL,
        *,
        schema: Schema,
        timeout_seconds: float,
        creates_tables: bool = False,
    ) -> None:
        parsed = url if isinstance(url, DatabaseURL) else parse_url(url)
        self._url = parsed.beside(Path.cwd())
        self._driver = _driver(self._url, timeout_seconds)
        self._schema = schema
        self._timeout_seconds = timeout_seconds
        self._creates_tables = creates_tables
        self._pools = PerProcess(lambda: _Pools(self._driver))
        self._outage = Outage(f"{schema.version.part} {self}")
        self.is_file: Final[bool] = self._driver.is_file
        self._errors = (PoolExhaustedError, OSError, self._driver.error)

    def __str__(self) -> str:
        """Return the file, or the URL without password and query, which may be secret."""
        return self._url.shown

    @property
    def is_missing(self) -> bool:
        """Whether it is a missing SQLite file."""
        try:
            return self._url.path is not None and not self._url.path.stat()
        except FileNotFoundError:
            return True
        except OSError:  # the next operation reports it
            return False

    def reading(self) -> AbstractContextManager[Connection]:
        """
        Lend a connection for reading; each statement sees the latest commits.

        Raises:
            UnavailableError: The operation timed out or failed; the text gives the reason, without
                password or parameters.
        """
        return self._operation("reading")

    def writing(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """
        Lend a connection for a transaction that is committed unless the block raises.

        On SQLite it takes the write lock at its start.

        Args:
            durable: Whether it must survive a power failure.  SQLite then waits for the disk;
                PostgreSQL follows its own configuration in either case.

        Raises:
            DuplicateRowError: A row's key already exists.
            UnavailableError: As for :meth:`reading`.  The transaction may or may not be committed.
        """
        return self._operation("writing", durable=durable)

    def time(self) -> float:
        """
        Return the database server's time, in seconds since the Unix epoch; for a file, the host's.

        Raises:
            UnavailableError: As for :meth:`reading`, and if the schema version is too new for this
                package.
        """
        with self.reading() as connection:
            self._check_version(connection)
            (seconds,) = connection.run(_TIME).fetchone()
        return float(seconds)

    def schema_version(self) -> int:
        """
        Return the schema version of the tables.

        Raises:
            UnavailableError: As for :meth:`reading`.
        """
        with self.reading() as connection:
            return stored_version(connection, self._schema.version.part).version

    def incarnation(self) -> str:
        """Return an ID that changes when an SQLite file is replaced; else an empty string."""
        return self._driver.incarnation()

    def version(self) -> Version | None:
        """
        Return a version that is equal to an earlier one only if nothing was committed since.

        Returns:
            ``None`` if finding out costs as much as reading.

        Raises:
            UnavailableError: As for :meth:`reading`.
        """
        if not self.is_file:
            return None
        with self._operation("watching") as connection:
            return connection.version()

    def create(self) -> None:
        """
        Create the tables and columns that are missing; safe while other processes do the same.

        A new SQLite file is readable and writable for its owner only (mode 0600).

        Raises:
            UnavailableError: As for :meth:`reading`, and if the file cannot be created.
        """
        try:
            self._create(self._pools.get(), time.monotonic() + self._timeout_seconds)
        except self._errors as error:
            raise self._explained(error) from error

    def close(self) -> None:
        """Close this process's idle connections.  The next operation reconnects."""
        pools = self._pools.get()
        for pool in pools.of.values():
            pool.close()

    def _prepared_pools(self, deadline: float) -> _Pools:
        pools = self._pools.get()
        if not pools.is_prepared:
            # A lock with a deadline: otherwise each thread would wait for all before it.
            if not pools.creating.acquire(timeout=max(0, deadline - time.monotonic())):
                raise UnavailableError(f"database {self} unavailable: its tables are being created")
            try:
                if not pools.is_prepared:
                    self._prepare(pools, deadline)
            finally:
                pools.creating.release()
        return pools

    def _prepare(self, pools: _Pools, deadline: float) -> None:
        if self._creates_tables:
            self._create(pools, deadline)
            return
        with pools.lend("reading", deadline) as connection:
            self._check_version(connection)
        pools.is_prepared = True

    def _create(self, pools: _Pools, deadline: float) -> None:
        self._driver.create(deadline)
        with pools.lend("writing", deadline, durable=True) as connection:
            connection.run(_LOCK_SCHEMA, {"number": _SCHEMA_LOCK})
            stored = self._check_version(connection)
            for table in (VERSIONS, *self._schema.tables):
                # CREATE TABLE IF NOT EXISTS needs a privilege that a worker's user may lack.
                if connection.run(_HAS_TABLE, {"name": table.name}).fetchone() is None:
                    for statement in table.statements:
                        connection.run(statement)
                    continue
                for column, statement in table.added.items():
                    sought = {"table": table.name, "column": column}
                    if connection.run(_HAS_COLUMN, sought).fetchone() is None:
                        connection.run(statement)
            if self._schema.fill is not None:
                self._schema.fill(connection)
            if stored.version < self._schema.version.version:
                record_version(connection, self._schema.version)
        pools.is_prepared = True

    def _check_version(self, connection: Connection) -> SchemaVersion:
        stored = stored_version(connection, self._schema.version.part)
        try:
            self._schema.version.check(stored)
        except UnavailableError as error:
            raise UnavailableError(f"database {self}: {error}") from None
        return stored

    @contextmanager
    def _operation(self, use: _Use, *, durable: bool = False) -> Iterator[PooledConnection]:
        """Lend a connection until the deadline; translate errors and report an outage."""
        kind = "writing" if use == "writing" else "reading"  # watching counts as reading
        started_at = time.monotonic()
        deadline = started_at + self._timeout_seconds
        try:
            pools = self._prepared_pools(deadline)
            with pools.lend(use, deadline, durable=durable) as connection:
                yield connection
        except self._errors as error:
            explained = self._explained(error)
            if not isinstance(error, PoolExhaustedError):  # which is no failure of the database
                self._outage.lose(kind, explained, started_at=started_at)
            raise explained from error
        except UnavailableError as error:
            self._outage.lose(kind, error, started_at=started_at)
            raise
        # On the path of every operation: no call unless an outage was reported.
        self._outage.succeeded_at[kind] = time.monotonic()
        if self._outage.reported:
            self._outage.recover(kind)

    def _explained(self, error: Exception) -> UnavailableError:
        if isinstance(error, PoolExhaustedError):
            return UnavailableError(
                f"database {self} unavailable: connection pool exhausted,"
                " too many threads of this process are using it"
            )
        if isinstance(error, OSError):
            said, fix = diagnose(error, fix="make its folder", to="create")
            return UnavailableError(f"database {self} cannot be created: {said}: {fix}")
        if primary_code(error) in _ANOTHER_FILE:
            # The file or its log may have been replaced: close all connections to the old one,
            # since new ones would share its index.
            self.close()
        kind = DuplicateRowError if self._driver.is_duplicate(error) else UnavailableError
        return kind(f"database {self} {self._driver.explain(error, fix=self._schema.fix)}")


class Pool:
    """
    A pool of at most *size* connections, opened on demand and handed out first come, first served.

    A connection is checked when taken and when put back; one that is broken, or still inside a
    transaction, is closed.  So are all idle ones then: they lead to the same server, and each would
    fail another operation.

    Args:
        connect: Opens a connection before a deadline.
        size: Maximum number of open connections.
    """

    def __init__(self, connect: Callable[[float], PooledConnection], *, size: int) -> None:
        self._connect = connect
        self._idle: list[PooledConnection] = []  # append() and pop() are atomic
        self._free = size
        # threading.Semaphore is not fair: a thread that releases and reacquires it at once
        # overtakes one that has not woken up yet, which may starve.
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def take(self, deadline: float) -> PooledConnection:
        """
        Take a connection; return it with :meth:`put_back`.

        Raises:
            PoolExhaustedError: No connection was free before the deadline.
        """
        self._enter(deadline)
        try:
            if (connection := self._pop()) is not None:
                now = time.monotonic()
                connection.deadline = now + (deadline - now) / 2  # the rest is for a new one
                if connection.is_usable():
                    connection.deadline = deadline
                    return connection
                connection.close()
                self.close()
            return self._connect(deadline)
        except BaseException:
            self._leave()
            raise

    def put_back(self, connection: PooledConnection) -> None:
        """Return a connection to the pool, or close it if it is unusable."""
        try:
            if connection.is_idle():
                self._idle.append(connection)
            else:
                connection.close()
                self.close()
        finally:
            self._leave()

    def close(self) -> None:
        """Close all idle connections."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _pop(self) -> PooledConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _enter(self, deadline: float) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            came = turn.acquire(timeout=max(0, deadline - time.monotonic()))
        except BaseException:
            if not self._give_up(turn):
                self._leave()
            raise
        if not came and self._give_up(turn):
            raise PoolExhaustedError

    def _give_up(self, turn: threading.Lock) -> bool:
        """Stop waiting; return whether the turn had not come yet."""
        with self._lock:
            try:
                self._waiting.remove(turn)
            except ValueError:
                return False
            return True

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class _Pools:
    """
    The connections of one process.

    Its threads write to a file in turns over one connection: waiting for another thread ends at
    once, waiting for the file's lock takes milliseconds more.  One more connection never writes, so
    that it sees every commit as a change.
    """

    def __init__(self, driver: Driver) -> None:
        self._error = driver.error
        readers = Pool(driver.connect, size=driver.max_connections)
        self.of: Final[Mapping[_Use, Pool]] = {
            "reading": readers,
            "writing": Pool(driver.connect, size=1) if driver.is_file else readers,
            "watching": Pool(driver.connect, size=1),
        }
        self.creating = threading.Lock()
        self.is_prepared = False

    @contextmanager
    def lend(
        self, use: _Use, deadline: float, *, durable: bool = False
    ) -> Iterator[PooledConnection]:
        """Lend a connection; a writer's is in a transaction, committed unless the block raises."""
        pool = self.of[use]
        connection = pool.take(deadline)
        try:
            if use != "writing":
                yield connection
                return
            connection.begin(durable=durable)
            try:
                yield connection
                connection.commit()
            except BaseException:
                with suppress(self._error):
                    connection.rollback()
                raise
        finally:
            pool.put_back(connection)


def _driver(url: DatabaseURL, timeout_seconds: float) -> Driver:
    if url.path is not None:
        return SQLite(url.path)
    try:
        from .postgresql import PostgreSQL  # noqa: PLC0415  needs psycopg, an extra
    except ImportError as error:
        raise ConfigurationError(
            "the database url is for PostgreSQL, whose driver is missing:"
            " pip install 'wsgi-jwt-middleware[postgresql]'"
        ) from error
    return PostgreSQL(url, timeout_seconds=timeout_seconds)

"""One SQL database, SQLite or PostgreSQL: its connections, lent to one operation at a time."""

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

# Of those that create tables at the same time, PostgreSQL would let one fail.
_LOCK_SCHEMA: Final = Statement("{|SELECT pg_advisory_xact_lock(:number)}")
_SCHEMA_LOCK: Final = 0x6A77745F6D77  # any number that every process of ours agrees on
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

# What a file gives that was overwritten while it was open.
_ANOTHER_FILE: Final = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """
    What a database has to hold.

    Attributes:
        tables: All of them.
        version: Of these tables.
        fill: Called in the transaction that creates them, to write what has to be in them.
        fix: What an operator can do where they are missing.
    """

    tables: Sequence[Table]
    version: SchemaVersion
    fill: Callable[[Connection], None] | None = None
    fix: str


class Database:
    """
    A database that is connected on first use, in each process anew.

    Other databases than these two are refused: how they compare strings (case, accents, trailing
    spaces) would decide which account names are the same.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user:password@host/database?parameter=value``,
            the parameters those of libpq.  An SQLite file is taken relative to the working
            directory of this moment; it has to be a file, as a database in memory would be another
            one in every thread and worker.
        schema: Of the tables.
        timeout_seconds: How long each operation may last: with connecting, and waiting for the
            locks of others.
        creates_tables: Whether the first use in each process creates the tables that are missing.

    Attributes:
        is_file: Whether it is an SQLite file, in which a writer has locked everything.

    Raises:
        ConfigurationError: The URL cannot be read, is of another database, or its driver is not
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
        """Return the file, or the URL without what may be secret: password and query."""
        return self._url.shown

    @property
    def is_missing(self) -> bool:
        """Whether it is a file that is not there."""
        try:
            return self._url.path is not None and not self._url.path.stat()
        except FileNotFoundError:
            return True
        except OSError:  # its use says what is wrong
            return False

    def reading(self) -> AbstractContextManager[Connection]:
        """
        Lend a connection for reading; each statement sees what is committed by then.

        Raises:
            UnavailableError: The database does not answer in time, or with an error; the text says
                why and never holds a password or a parameter.
        """
        return self._operation("reading")

    def writing(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """
        Lend a connection for a transaction that is committed unless the block raises.

        On SQLite it has the write lock from the beginning.

        Args:
            durable: Whether it shall outlast a loss of power.  SQLite then waits for the disk;
                PostgreSQL does in either case what it is configured to.

        Raises:
            DuplicateRowError: A row has the key of another one.
            UnavailableError: As for :meth:`reading`.  What was written may be there or not.
        """
        return self._operation("writing", durable=durable)

    def time(self) -> float:
        """
        Return the database's own time, in seconds since the Unix epoch; of a file, the host's.

        Raises:
            UnavailableError: As for :meth:`reading`, and if a newer version of the package has made
                the tables too new for this one.
        """
        with self.reading() as connection:
            self._check_version(connection)
            (seconds,) = connection.run(_TIME).fetchone()
        return float(seconds)

    def schema_version(self) -> int:
        """
        Return the version of the tables.

        Raises:
            UnavailableError: As for :meth:`reading`.
        """
        with self.reading() as connection:
            return stored_version(connection, self._schema.version.part).version

    def incarnation(self) -> str:
        """Return what is another for an SQLite file in the place of one before; else nothing."""
        return self._driver.incarnation()

    def version(self) -> Version | None:
        """
        Return what is equal to an earlier one only if nothing was committed in between.

        Returns:
            ``None`` if this database cannot tell it for less than what it would take to look.

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
        """Close this process's idle connections.  The next use connects again."""
        pools = self._pools.get()
        for pool in pools.of.values():
            pool.close()

    def _prepared_pools(self, deadline: float) -> _Pools:
        pools = self._pools.get()
        if not pools.is_prepared:
            # Its own lock, left at the deadline: each of many threads would wait for all before it.
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
                # CREATE TABLE IF NOT EXISTS needs a right that a worker's user may not have.
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
        """Lend a connection until the deadline; explain what fails, and tell of an outage."""
        kind = "writing" if use == "writing" else "reading"  # to watch is to read
        began = time.monotonic()
        deadline = began + self._timeout_seconds
        try:
            pools = self._prepared_pools(deadline)
            with pools.lend(use, deadline, durable=durable) as connection:
                yield connection
        except self._errors as error:
            explained = self._explained(error)
            if not isinstance(error, PoolExhaustedError):  # which says nothing of the database
                self._outage.lose(kind, explained, began=began)
            raise explained from error
        except UnavailableError as error:
            self._outage.lose(kind, error, began=began)
            raise
        # Every operation passes here: there is nothing to call unless something was lost.
        self._outage.good_at[kind] = time.monotonic()
        if self._outage.told:
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
            # Another log or file may be there: none of the connections to the old one may stay, as
            # they share its index with those to come.
            self.close()
        kind = DuplicateRowError if self._driver.is_duplicate(error) else UnavailableError
        return kind(f"database {self} {self._driver.explain(error, fix=self._schema.fix)}")


class Pool:
    """
    At most *size* connections, made on demand; threads get one in the order of their arrival.

    A connection is checked when it is taken and when it comes back; one that is broken, or was left
    inside a transaction, is closed.  So are all that are idle then: they lead to the same server,
    and each would cost an operation.

    Args:
        connect: Makes a connection by a deadline.
        size: How many there may be at a time.
    """

    def __init__(self, connect: Callable[[float], PooledConnection], *, size: int) -> None:
        self._connect = connect
        self._idle: list[PooledConnection] = []  # append() and pop() are atomic
        self._free = size
        # A semaphore of the standard library serves a thread that releases it and comes back at
        # once before one that waits has woken up: with few microseconds in between, some would wait
        # for ever.
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def take(self, deadline: float) -> PooledConnection:
        """
        Return a connection, to be put back.

        Raises:
            PoolExhaustedError: None came back before the deadline.
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
        """Keep a connection for the next one that takes it, or close it if it cannot be used."""
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
        """Stop waiting; tell whether that was before the turn came."""
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

    Its threads write to a file in turns, over one connection: those that wait for one another go
    on at once, and those that wait for the file's lock, after a few milliseconds.  One more never
    writes, so that every commit shows there.
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

"""One SQL database, SQLite or PostgreSQL: connected on first use, within a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, DuplicateRowError, PoolExhaustedError, UnavailableError
from ..fork import PerProcess
from .deadline import within
from .sqlite import SQLite, Version
from .statement import Connection, Statement, Table
from .urls import DatabaseURL, parse_url
from .versions import VERSIONS, SchemaVersion, record_version, stored_version

if TYPE_CHECKING:
    from .postgresql import PostgreSQL

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
        self._schema = schema
        self._timeout_seconds = timeout_seconds
        self._creates_tables = creates_tables
        self._driver = PerProcess(self._make_driver)
        self._prepared = PerProcess(self._prepare)
        self._driver.get()  # connects nothing, and refuses what is wrong with the URL

    def __str__(self) -> str:
        """Return the file, or the URL without what may be secret: password and query."""
        return self._url.shown

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """
        Lend a connection for reading; each statement sees what is committed by then.

        Raises:
            UnavailableError: The database does not answer in time, or with an error; the text says
                why and never holds a password or a parameter.
        """
        with self._operation(), self._prepared.get().reading() as connection:
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
            DuplicateRowError: A row has the key of another one.
            UnavailableError: As for :meth:`reading`.  What was written may be there or not.
        """
        with self._operation(), self._prepared.get().writing(durable=durable) as connection:
            yield connection

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
        return self._driver.get().incarnation()

    def version(self) -> Version | None:
        """
        Return what is equal to an earlier one only if nothing was committed in between.

        Returns:
            ``None`` if this database cannot tell it for less than what it would take to look.

        Raises:
            UnavailableError: As for :meth:`reading`.
        """
        with self._operation():
            return self._prepared.get().version()

    def create(self) -> None:
        """
        Create the tables and columns that are missing; safe while other processes do the same.

        A new SQLite file is readable and writable for its owner only (mode 0600).

        Raises:
            UnavailableError: As for :meth:`reading`, and if the file cannot be created.
        """
        with self._operation(), self._driver.get().creating() as connection:
            self._check_version(connection)
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
            record_version(connection, self._schema.version)

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._driver.get().close()

    def _make_driver(self) -> SQLite | PostgreSQL:
        if self._url.path is not None:
            return SQLite(self._url.path, timeout_seconds=self._timeout_seconds)
        try:
            from .postgresql import PostgreSQL  # noqa: PLC0415  needs psycopg, an extra
        except ImportError as error:
            raise ConfigurationError(
                "the database url is for PostgreSQL, whose driver is missing:"
                " pip install 'wsgi-jwt-middleware[postgresql]'"
            ) from error
        return PostgreSQL(self._url, timeout_seconds=self._timeout_seconds)

    def _prepare(self) -> SQLite | PostgreSQL:
        if self._creates_tables:
            self.create()
        else:
            with self._driver.get().reading() as connection:
                self._check_version(connection)
        return self._driver.get()

    def _check_version(self, connection: Connection) -> None:
        stored = stored_version(connection, self._schema.version.part)
        try:
            self._schema.version.check(stored)
        except UnavailableError as error:
            raise UnavailableError(f"database {self}: {error}") from None

    @contextmanager
    def _operation(self) -> Iterator[None]:
        driver = self._driver.get()
        try:
            with within(self._timeout_seconds):
                yield
        except PoolExhaustedError as error:
            raise UnavailableError(
                f"database {self} unavailable: connection pool exhausted,"
                " too many threads of this process are using it"
            ) from error
        except driver.error as error:
            kind = DuplicateRowError if driver.is_duplicate(error) else UnavailableError
            reason = driver.explain(error, fix=self._schema.fix)
            raise kind(f"database {self} {reason}") from error
        except OSError as error:
            raise UnavailableError(
                f"database {self} cannot be created: {error.strerror}"
            ) from error

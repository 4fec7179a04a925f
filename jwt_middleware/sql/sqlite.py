"""An SQLite file: how it is created, opened, locked, and noticed to be another one."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from .deadline import remaining
from .pool import Pool
from .statement import Connection, Statement

_READERS: Final = 15

# SQLite itself, if it is let, looks again after a tenth of a second in the end, and finds that
# others were faster: some would wait for ever.
_LOOK_AGAIN_SECONDS: Final = 0.004

# https://www.sqlite.org/rescode.html
_LOCKED: Final = "is locked by another process"
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "disk full",
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written; it may be full",
    sqlite3.SQLITE_READONLY: "permission denied to write it; check the owner of file and folder",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_CONSTRAINT: "its tables refuse the row; a newer version may have changed them",
}
_DUPLICATE: Final = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


class Version(NamedTuple):
    """
    One state of a file, as one connection sees it.

    Attributes:
        opening: Another object for each connection: their numbers cannot be compared.
        number: ``PRAGMA data_version``.
    """

    opening: object
    number: int


class SQLite:
    """
    One file, as one process uses it.

    Its threads write in turns, over one connection: those that wait for one another here go on at
    once, and those that wait for the file's lock, after a few milliseconds.

    Args:
        path: The file, which has to be there when it is connected.
        timeout_seconds: How long a reader waits for another's lock.
    """

    error: Final = sqlite3.Error

    def __init__(self, path: Path, *, timeout_seconds: float) -> None:
        self._path = path
        connect = partial(_open, path, timeout_seconds=timeout_seconds)
        self._readers = Pool(connect, size=_READERS)
        self._writer = Pool(partial(_open, path, timeout_seconds=_LOOK_AGAIN_SECONDS), size=1)
        # It never writes, so that every commit of others shows.
        self._watcher = Pool(connect, size=1)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection on which each statement sees what is committed by then."""
        with self._readers.connection() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[Connection]:
        """Lend a connection in a transaction that has the write lock from the beginning."""
        with self._writer.connection() as connection:
            connection.synchronise("FULL" if durable else "NORMAL")
            # A lock that is taken at the first write, after a read, fails under contention instead
            # of waiting.
            connection.wait_for("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.wait_for("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.rollback()
                raise

    @contextmanager
    def creating(self) -> Iterator[Connection]:
        """Lend a connection in a transaction, to a file that is created if it is not there."""
        create_file(self._path)
        with self.writing(durable=True) as connection:
            yield connection

    def incarnation(self) -> str:
        """Return what is another for a file that takes this one's place."""
        return str(identity(self._path))

    def version(self) -> Version:
        """Return what is equal to an earlier one only if nothing was committed in between."""
        with self._watcher.connection() as connection:
            try:
                (number,) = connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                connection.close()
                raise
            return Version(connection.opening, number)

    def close(self) -> None:
        """Close the idle connections."""
        for pool in (self._readers, self._writer, self._watcher):
            pool.close()

    def explain(self, error: Exception, *, fix: str) -> str:
        """Say why an operation failed, quoting nothing of the error."""
        code = primary_code(error)
        if code == sqlite3.SQLITE_CANTOPEN:
            return f"cannot be opened; if it is not there, {fix}"
        # SQLite has no code of its own for a missing table or column; from statements that never
        # vary, its generic one means nothing else.
        if code == sqlite3.SQLITE_ERROR:
            return f"lacks the tables of this version; {fix}"
        why = _REASONS.get(code)
        return f"unavailable: {why}" if why else "unavailable"

    def is_duplicate(self, error: Exception) -> bool:
        """Tell whether a row was refused because its key exists already."""
        return getattr(error, "sqlite_errorcode", 0) in _DUPLICATE


class _FileConnection(sqlite3.Connection):
    """A connection to a file; not to the one that took its place since."""

    path: Path
    file: tuple[int, int] | None
    opening: object
    synchronous = ""
    is_open = True

    def run(self, statement: Statement, parameters: Mapping[str, object] = {}, /) -> sqlite3.Cursor:
        """Execute a statement."""
        return self.execute(statement.sqlite, parameters)

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, object]], /) -> None:
        """Execute a statement once for each of *rows*."""
        self.executemany(statement.sqlite, rows)

    def synchronise(self, mode: str) -> None:
        """Set how a commit waits for the disk: ``FULL`` outlasts a loss of power."""
        if self.synchronous != mode:
            self.execute(f"PRAGMA synchronous={mode}")
            self.synchronous = mode

    def wait_for(self, statement: str) -> None:
        """Execute a statement as soon as others let go of the lock it needs."""
        while True:
            try:
                self.execute(statement)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or remaining() <= 0:
                    raise
            else:
                return

    def is_idle(self) -> bool:
        """Tell whether it is open, and outside a transaction."""
        return self.is_open and not self.in_transaction

    def is_usable(self) -> bool:
        """Tell whether others that open the file now open the same one."""
        return self.file == identity(self.path)

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        super().close()

    def __del__(self) -> None:
        # Python closes it as well, but from 3.13 on warns of that: a store that is dropped is done.
        with suppress(sqlite3.Error):
            super().close()


def create_file(path: Path) -> None:
    """Create the file, for its owner only, unless it is there; and switch it to WAL."""
    if not path.exists():
        _create_empty(path)
    with closing(_open(path, timeout_seconds=0)) as connection:
        # SQLite does not wait for the lock this needs, whatever the busy timeout.
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").close()
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or remaining() <= 0:
                    raise
                time.sleep(0.01)
            else:
                return


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file from one that takes its place; ``None`` if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def primary_code(error: object) -> int:
    """Return SQLite's primary result code, 0 if there is none."""
    # The low byte is the primary code (https://www.sqlite.org/rescode.html).
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _open(path: Path, *, timeout_seconds: float) -> _FileConnection:
    file = identity(path)
    connection = sqlite3.connect(
        # mode=rw: without it, to open a missing file makes an empty one with the umask's mode.
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=timeout_seconds,
        isolation_level=None,  # sqlite3 itself begins no transaction
        check_same_thread=False,
        factory=_FileConnection,
    )
    connection.path, connection.file, connection.opening = path, file, object()
    return connection


def _create_empty(path: Path) -> None:
    # Under another name: closing a descriptor of a file drops all locks that the process has on it
    # (POSIX, fcntl), and other threads may open the database as soon as it is there.  Without their
    # locks another process removes the log that they go on writing to.
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()

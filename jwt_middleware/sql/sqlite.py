"""An SQLite file: how it is created, opened, locked, and noticed to be another one."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from ..files import obstacle
from .statement import Statement

# SQLite itself, if it is let, looks again after a tenth of a second in the end, and finds that
# others were faster: some would wait for ever.  And it counts for each statement anew.
_BUSY_SECONDS: Final = 0.004

# https://www.sqlite.org/rescode.html
_LOCKED: Final = "is locked by another process"
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "disk full: free some space",
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written; it may be full",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the owner of file and folder",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_CONSTRAINT: "its tables refuse the row; a newer version may have changed them",
}
_OF_THE_SYSTEM: Final = {
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM),
    *(sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOTADB),
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
    One file.

    Args:
        path: The file, which has to be there when it is connected.
    """

    error: Final = sqlite3.Error
    max_connections: Final = 15
    is_file: Final = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self, deadline: float) -> FileConnection:
        """Open the file."""
        return _open(self._path, deadline)

    def create(self, deadline: float) -> None:
        """Create the file, if it is not there."""
        create_file(self._path, deadline)

    def incarnation(self) -> str:
        """Return what is another for a file that takes this one's place."""
        return str(identity(self._path))

    def explain(self, error: Exception, *, fix: str) -> str:
        """Say why an operation failed, quoting nothing of the error."""
        if isinstance(error, sqlite3.DataError):
            return "unavailable: a parameter cannot be stored"
        code = primary_code(error)
        if code in _OF_THE_SYSTEM and (found := obstacle(self._path)):
            return f"unavailable: {found}"
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


class FileConnection(sqlite3.Connection):
    """A connection to a file; not to the one that took its place since."""

    deadline: float
    path: Path
    file: tuple[int, int] | None
    opening: object
    synchronous = ""
    is_open = True

    def run(self, statement: Statement, parameters: Mapping[str, object] = {}, /) -> sqlite3.Cursor:
        """Execute a statement."""
        return self._execute(statement.sqlite, parameters)

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, object]], /) -> None:
        """Execute a statement once for each of *rows*."""
        try:
            self.executemany(statement.sqlite, rows)
        except (ValueError, OverflowError):
            raise sqlite3.DataError("a parameter cannot be stored") from None

    def begin(self, *, durable: bool) -> None:
        """Begin a transaction that has the write lock: taken later, it would fail at once."""
        mode = "FULL" if durable else "NORMAL"  # FULL outlasts a loss of power
        if self.synchronous != mode:
            self.execute(f"PRAGMA synchronous={mode}")
            self.synchronous = mode
        self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit the transaction."""
        self._execute("COMMIT")

    def version(self) -> Version:
        """Return what is equal to an earlier one only if nothing was committed in between."""
        try:
            (number,) = self._execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            raise
        return Version(self.opening, number)

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

    def _execute(self, sql: str, parameters: Mapping[str, object] = {}) -> sqlite3.Cursor:
        """Execute *sql* as soon as others release the lock it needs."""
        while True:
            try:
                return self.execute(sql, parameters)
            except (ValueError, OverflowError):  # a surrogate, quoted by the error; over 63 bits
                raise sqlite3.DataError("a parameter cannot be stored") from None
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= self.deadline:
                    raise
                time.sleep(0.001)  # under gevent other requests go on

    def __del__(self) -> None:
        # Python closes it as well, but from 3.13 on warns of that: a store that is dropped is done.
        with suppress(sqlite3.Error):
            super().close()


def create_file(path: Path, deadline: float) -> None:
    """Create the file, for its owner only, unless it is there; and switch it to WAL."""
    if not path.exists():
        _create_empty(path)
    with closing(_open(path, deadline)) as connection:
        # SQLite does not wait for the lock this needs, whatever the busy timeout.
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").close()
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
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


def _open(path: Path, deadline: float) -> FileConnection:
    file = identity(path)
    connection = sqlite3.connect(
        # mode=rw: without it, to open a missing file makes an empty one with the umask's mode.
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # sqlite3 itself begins no transaction
        check_same_thread=False,
        factory=FileConnection,
    )
    connection.deadline = deadline
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

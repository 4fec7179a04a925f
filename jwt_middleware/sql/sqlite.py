"""SQLite files: create, open, lock, and detect a replaced file."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from ..events import Name, emit
from ..files import obstacle
from .statement import Statement

# SQLite's own busy handler backs off to 0.1 s, so that some writers starve, and its timeout
# restarts with each statement.
_BUSY_SECONDS: Final = 0.004
_SAVING_SECONDS: Final = 0.5

Identity = tuple[int, int]
"""A file's identity: device and inode."""

# https://www.sqlite.org/rescode.html
_LOCKED: Final = "is locked by another process"
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "disk full: free some space",
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written; it may be full",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the owner of file and folder",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
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
    A version of a file, as one connection sees it.

    Attributes:
        opening: An object for each connection: numbers of two connections are not comparable.
        number: ``PRAGMA data_version``.
        written_ns: The file's mtime in ns; programs other than SQLite may have written it.
    """

    opening: object
    number: int
    written_ns: int


class SQLite:
    """
    One file.

    Args:
        path: The file, which must exist at :meth:`connect`.
    """

    error: Final = sqlite3.Error
    max_connections: Final = 15
    is_file: Final = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lost_logs: set[Identity] = set()

    def connect(self, deadline: float) -> FileConnection:
        """Open the file."""
        connection = _open(self._path, deadline)
        connection.lost_logs = self._lost_logs
        return connection

    def create(self, deadline: float) -> None:
        """Create the file if it is missing."""
        create_file(self._path, deadline)

    def incarnation(self) -> str:
        """Return an ID that changes when the file is replaced."""
        return str(identity(self._path))

    def explain(self, error: Exception, *, fix: str) -> str:
        """Return the reason of a failure, without quoting the error."""
        if isinstance(error, sqlite3.DataError):
            return "unavailable: a parameter cannot be stored"
        code = primary_code(error)
        if code in _OF_THE_SYSTEM and (found := obstacle(self._path)):
            return f"unavailable: {found}"
        if code == sqlite3.SQLITE_CANTOPEN:
            return f"cannot be opened; if it is missing, {fix}"
        # SQLite has no specific code for a missing table or column; for constant statements, its
        # generic one means that.
        if code == sqlite3.SQLITE_ERROR:
            return f"lacks the tables of this version; {fix}"
        why = _REASONS.get(code)
        return f"unavailable: {why}" if why else "unavailable"

    def is_duplicate(self, error: Exception) -> bool:
        """Return whether a row was refused because its key already exists."""
        return getattr(error, "sqlite_errorcode", 0) in _DUPLICATE


class FileConnection(sqlite3.Connection):
    """A connection to a file, which detects that the file was replaced."""

    deadline: float
    path: str
    log_path: str
    file: Identity | None
    opening: object
    lost_logs: set[Identity]
    log: Identity | None = None  # the file "-wal", once it has been used
    written_ns: int = 0
    synchronous: str = ""
    is_open: bool = True

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
        """Begin a transaction with the write lock: upgrading later would fail at once."""
        mode = "FULL" if durable else "NORMAL"  # FULL survives a power failure
        if self.synchronous != mode:
            self.execute(f"PRAGMA synchronous={mode}")
            self.synchronous = mode
        self._execute("BEGIN IMMEDIATE")
        if self._has_lost_its_log():  # another process may have noticed and saved it
            self.rollback()
            self._save_log()
            raise sqlite3.OperationalError("the log was removed")

    def commit(self) -> None:
        """Commit the transaction."""
        self._execute("COMMIT")

    def version(self) -> Version:
        """Return a version that is equal to an earlier one only if nothing was committed since."""
        try:
            (number,) = self._execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            raise
        return Version(self.opening, number, written_ns(self.path))

    def is_idle(self) -> bool:
        """Return whether it is open and outside a transaction."""
        if self.log is None:
            self.log = identity(self.log_path)
        self.written_ns = written_ns(self.path)
        return self.is_open and not self.in_transaction

    def is_usable(self) -> bool:
        """Return whether the path still leads to the open file."""
        if self.file != identity(self.path):
            return False
        if self._has_lost_its_log():
            self._save_log()
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        super().close()

    def _has_lost_its_log(self) -> bool:
        """Return whether the write-ahead log of this connection was removed or replaced."""
        return self.log is not None and self.log != identity(self.log_path)

    def _save_log(self) -> None:
        """
        Copy a removed write-ahead log into the file, and report it.

        This connection has the log open; commits in it are lost when the last one closes.  Not if
        the file was written since: it may be another copy, or already have the log's content.
        """
        self.deadline = max(self.deadline, time.monotonic() + _SAVING_SECONDS)
        saved, is_same = False, self.written_ns == written_ns(self.path)
        with suppress(sqlite3.Error):
            while is_same and not saved and time.monotonic() < self.deadline:
                (is_busy, *_) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                saved = not is_busy
        if self.log is None or self.log in self.lost_logs:
            return
        self.lost_logs.add(self.log)
        emit(
            Name.STORE_UNSAFE,
            store=self.path,
            detail=f"{Path(self.log_path).name} was removed while in use; what was in it was saved"
            f" {'to the file' if saved else 'by another process, or is lost'}:"
            " never remove it, or copy or move the file alone: use the backup of SQLite",
        )

    def _execute(self, sql: str, parameters: Mapping[str, object] = {}) -> sqlite3.Cursor:
        """Execute *sql*, waiting for the lock until the deadline."""
        while True:
            try:
                return self.execute(sql, parameters)
            except (ValueError, OverflowError):  # a surrogate, quoted by the error; or over 63 bits
                raise sqlite3.DataError("a parameter cannot be stored") from None
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= self.deadline:
                    raise
                time.sleep(0.001)  # under gevent this yields to other requests

    def __del__(self) -> None:
        # Python 3.13 closes it with a ResourceWarning, but dropping a store is fine.
        with suppress(sqlite3.Error):
            super().close()


def create_file(path: Path, deadline: float) -> None:
    """Create the file (mode 0600) if it is missing, and switch it to WAL."""
    if not path.exists():
        _create_empty(path)
    with closing(_open(path, deadline)) as connection:
        # SQLite ignores the busy timeout for the lock that this needs.
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").close()
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return


def identity(path: Path | str) -> Identity | None:
    """Return the file's identity: device and inode; ``None`` if it is missing."""
    try:
        status = os.stat(path)  # noqa: PTH116  several times an operation, and faster than Path
    except OSError:
        return None
    return status.st_dev, status.st_ino


def written_ns(path: Path | str) -> int:
    """Return the file's mtime in ns; 0 if it is missing."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116  the same
    except OSError:
        return 0


def primary_code(error: object) -> int:
    """Return SQLite's primary result code; 0 if there is none."""
    # The low byte is the primary code (https://www.sqlite.org/rescode.html).
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _open(path: Path, deadline: float) -> FileConnection:
    file = identity(path)
    connection = sqlite3.connect(
        # mode=rw: otherwise opening a missing file creates an empty one with the umask's mode.
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # no implicit transactions
        check_same_thread=False,
        factory=FileConnection,
    )
    connection.deadline = deadline
    connection.path, connection.log_path = str(path), f"{path}-wal"
    connection.file, connection.opening = file, object()
    return connection


def _create_empty(path: Path) -> None:
    # Under another name: closing a descriptor drops all fcntl locks of the process on that file,
    # and other threads may open the database as soon as it exists.  Without their locks another
    # process could remove the log that they write to.
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()

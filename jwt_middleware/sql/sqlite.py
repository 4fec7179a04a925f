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

from ..events import Name, emit
from ..files import obstacle
from .statement import Statement

# SQLite itself, if it is let, looks again after a tenth of a second in the end, and finds that
# others were faster: some would wait for ever.  And it counts for each statement anew.
_BUSY_SECONDS: Final = 0.004
_SAVING_SECONDS: Final = 0.5

Identity = tuple[int, int]
"""What tells a file from one that takes its place: device and inode."""

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
        written_ns: When the file itself was written to; others than SQLite may have done that.
    """

    opening: object
    number: int
    written_ns: int


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
        self._lost_logs: set[Identity] = set()

    def connect(self, deadline: float) -> FileConnection:
        """Open the file."""
        connection = _open(self._path, deadline)
        connection.lost_logs = self._lost_logs
        return connection

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
        """Begin a transaction that has the write lock: taken later, it would fail at once."""
        mode = "FULL" if durable else "NORMAL"  # FULL outlasts a loss of power
        if self.synchronous != mode:
            self.execute(f"PRAGMA synchronous={mode}")
            self.synchronous = mode
        self._execute("BEGIN IMMEDIATE")
        if self._has_lost_its_log():  # which another process may have noticed, and saved
            self.rollback()
            self._save_log()
            raise sqlite3.OperationalError("the log was removed")

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
        return Version(self.opening, number, written_ns(self.path))

    def is_idle(self) -> bool:
        """Tell whether it is open, and outside a transaction."""
        if self.log is None:
            self.log = identity(self.log_path)
        self.written_ns = written_ns(self.path)
        return self.is_open and not self.in_transaction

    def is_usable(self) -> bool:
        """Tell whether others that open the file now open the same one."""
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
        """Tell whether others do not find the log that this connection writes to."""
        return self.log is not None and self.log != identity(self.log_path)

    def _save_log(self) -> None:
        """
        Copy what is in a log that was removed to the file, and report it.

        This connection has it open: what others have committed to it would be gone with the last.
        Not to a file that was written to since: it may be another's copy, or has it already.
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


def identity(path: Path | str) -> Identity | None:
    """Return what tells the file from one that takes its place; ``None`` if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  several times an operation, where Path takes longer
    except OSError:
        return None
    return status.st_dev, status.st_ino


def written_ns(path: Path | str) -> int:
    """Return when the file was written to; 0 if there is none."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116  the same
    except OSError:
        return 0


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
    connection.path, connection.log_path = str(path), f"{path}-wal"
    connection.file, connection.opening = file, object()
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

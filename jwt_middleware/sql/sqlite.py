"""An SQLite file: how it is created, opened, and noticed to be another one."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from .deadline import remaining
from .row_log import LOGGING_NAME

WRITE: Final = "jwt_middleware_write"
"""Execution option of a transaction that writes: the value of ``PRAGMA synchronous``."""

_SYNCHRONOUS: Final = "synchronous"
_LOOK_AGAIN_MILLISECONDS: Final = 4


def make_engine(url: URL, path: Path, *, timeout_seconds: float) -> Engine:
    """Make an engine for the file at *path*, which has to be there when it is connected."""
    engine = create_engine(
        # mode=rw: without it, to open a missing file makes an empty one with the umask's mode.
        url.set(database=path.as_uri()).update_query_dict({"uri": "true", "mode": "rw"}),
        hide_parameters=True,  # SQLAlchemy's errors and logs would show secret hashes
        logging_name=LOGGING_NAME,
        pool_timeout=timeout_seconds,
        # isolation_level None: sqlite3 itself begins nothing, _begin does.
        connect_args={"timeout": timeout_seconds, "isolation_level": None},
    )
    event.listen(engine, "begin", partial(_begin, int(timeout_seconds * 1_000)))
    event.listen(engine, "connect", partial(_note_file, path))
    event.listen(engine, "checkout", partial(_check_file_is_the_same, path))
    return engine


def create_file(path: Path) -> None:
    """Create the file, for its owner only, unless it is there; and have it log ahead."""
    if not path.exists():
        _create_empty(path)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
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


def _create_empty(path: Path) -> None:
    # Under another name: whoever closes a descriptor of a file drops all locks that his process has
    # on it (POSIX, fcntl), and other threads may open the database as soon as it is there.  Without
    # their locks another process removes the log that they go on writing to.
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()


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


def _note_file(path: Path, _: object, record: ConnectionPoolEntry) -> None:
    record.info["file"] = identity(path)


def _check_file_is_the_same(path: Path, _: object, record: ConnectionPoolEntry, __: object) -> None:
    """Give up a connection to a file that was removed or replaced: others write to the new one."""
    if record.info["file"] != identity(path):
        raise DisconnectionError


def _begin(timeout_milliseconds: int, connection: Connection) -> None:
    synchronous = connection.get_execution_options().get(WRITE)
    # What is only read is read a statement at a time: SQLite needs no BEGIN for that.
    if synchronous is None:
        return
    with closing(connection.connection.cursor()) as cursor:
        if connection.info.get(_SYNCHRONOUS) != synchronous:
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            connection.info[_SYNCHRONOUS] = synchronous
        # SQLite itself, if it is let, looks again after a tenth of a second in the end, and finds
        # that others were faster: some would wait for ever.
        cursor.execute(f"PRAGMA busy_timeout={_LOOK_AGAIN_MILLISECONDS}")
        try:
            _lock(cursor)
        finally:
            cursor.execute(f"PRAGMA busy_timeout={timeout_milliseconds}")


def _lock(cursor: DBAPICursor) -> None:
    # The lock at once: one that is taken at the first write, after a read, fails under contention
    # instead of waiting.
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or remaining() <= 0:
                raise
        else:
            return

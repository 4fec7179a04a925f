"""Whether anything was written to an SQLite file, for a few microseconds."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .deadline import remaining
from .sqlite import identity


class Version(NamedTuple):
    """
    One state of a file, as one connection sees it.

    Attributes:
        opening: Another object for each connection: their numbers cannot be compared.
        number: ``PRAGMA data_version``.
    """

    opening: object
    number: int


class Watch:
    """
    A connection of its own that never writes, so that every commit of others shows.

    For one process, all of its threads.

    Args:
        path: The file.
        timeout_seconds: How long to wait for another's lock.
    """

    def __init__(self, path: Path, *, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._opening = object()

    def version(self) -> Version:
        """
        Return what is equal to an earlier one only if nothing was committed in between.

        Raises:
            sqlite3.Error: The file is not there, or cannot be read.
        """
        if not self._lock.acquire(timeout=max(0, remaining())):
            raise sqlite3.OperationalError("another thread is waiting for the file")
        try:
            connection = self._connected()
            (number,) = connection.execute("PRAGMA data_version").fetchone()
            return Version(self._opening, number)
        except sqlite3.Error:
            self._disconnect()
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection.  The next use connects again."""
        with self._lock:
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        file = identity(self._path)
        if self._connection is None or file != self._file:
            self._disconnect()
            self._connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=self._timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            self._file, self._opening = file, object()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

"""Keys in a file that is read again when it changes."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from ... import bounds
from ...core.keys import KeySet
from ...errors import ConfigurationError
from ...events import Name, emit
from ...files import diagnose, read_regular
from ...fork import PerProcess

REFRESH_SECONDS: Final = 1.0
"""Minimum interval between checks of the file because of unknown kids."""

# mtime in ns, size, inode: a rename changes the inode, a write in place the mtime.
Signature = tuple[int, int, int]


class Loaded(NamedTuple):
    """The keys, and until when they are valid if the file does not change, in epoch seconds."""

    keys: KeySet
    until: float = math.inf


class WatchedKeys:
    """
    A key source over a file that is checked every *check_seconds* and read again if it changed.

    It may be replaced by a rename, in place or through a symbolic link.  An unreadable file is
    refused with one log line, and the last good keys stay in use.

    Args:
        path: The file.
        read: Parses its content, at a time in epoch seconds; raises :class:`ConfigurationError` to
            refuse it.
        check_seconds: Interval between checks, 0 to :attr:`MAX_CHECK_SECONDS`; between them
            :meth:`current` makes no system call.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: The file has no usable keys, or *check_seconds* is out of range.
    """

    MAX_CHECK_SECONDS: ClassVar = 3600

    def __init__(
        self,
        path: str | os.PathLike[str],
        read: Callable[[bytes, float], Loaded],
        *,
        check_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        bounds.check_seconds("check_seconds", check_seconds, maximum=self.MAX_CHECK_SECONDS)
        self._path = Path(path)
        self._read = read
        self._check_seconds = check_seconds
        self._clock = clock
        self._lock = PerProcess(threading.Lock)
        self._complaint: tuple[Signature | None, str] | None = None
        self._settled = False
        self._checked_at = clock()
        self._check_at = self._checked_at + check_seconds
        self._signature: Signature | None = None
        self._digest = b""
        try:
            self._signature, self._digest, loaded = self._read_first()
        except ConfigurationError as error:
            last_good = self._read_last_good(self._checked_at)
            if last_good is None:
                raise ConfigurationError(f"{str(self._path)!r}: {self._explain(error)}") from error
            self._complain(self._seen(), error)
            loaded = last_good
        self._keys, self._until = loaded

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self._path)!r}>"

    def current(self) -> KeySet:
        """Return the current keys: the same object until the file changes."""
        now = self._clock()
        # The first half: a clock that was set back must not stop the checks.
        if self._checked_at <= now < self._check_at:
            return self._keys
        lock = self._lock.get()
        if lock.acquire(blocking=False):  # one thread checks, the others continue
            try:
                self._look(now)
            finally:
                lock.release()
        return self._keys

    def refreshed(self, kid: str | None) -> KeySet:
        """Check the file again, at most every :data:`REFRESH_SECONDS`, and return the keys."""
        with self._lock.get():
            now = self._clock()
            if not self._checked_at <= now < self._checked_at + REFRESH_SECONDS:
                self._look(now)
        return self._keys

    def _read_last_good(self, now: float) -> Loaded | None:
        """Return the keys to start with if the file is damaged; there are none here."""
        return None

    def _read_first(self, tries: int = 3) -> tuple[Signature, bytes, Loaded]:
        signature, document = read_file(self._path)
        try:
            return signature, _digest(document), self._read(document, self._checked_at)
        except ConfigurationError:
            # Files that it refers to may have been replaced together with it, after it was read.
            if tries == 1 or file_signature(self._path) == signature:
                raise
        return self._read_first(tries - 1)

    def _seen(self) -> Signature | None:
        try:
            return file_signature(self._path)
        except ConfigurationError:
            return None

    def _look(self, now: float) -> None:
        self._checked_at, self._check_at = now, now + self._check_seconds
        seen: Signature | None = None
        try:
            seen = file_signature(self._path)
            if seen == self._signature and self._settled and now < self._until:
                return
            seen, document = read_file(self._path)
            self._accept(document, now)
        except ConfigurationError as error:
            self._complain(seen, error)
        else:
            self._complaint = None
        # Two writes within one tick of the file system's clock have the same mtime: a new file is
        # read once more at the next check.
        self._settled = seen == self._signature
        self._signature = seen

    def _accept(self, document: bytes, now: float) -> None:
        digest = _digest(document)
        if digest == self._digest and now < self._until:
            return
        keys, until = self._read(document, now)
        if tuple(keys) != tuple(self._keys):
            names = ", ".join(key.kid for key in keys)
            emit(Name.KEYS_CHANGED, file=str(self._path), keys=names)
            self._keys = keys
        self._digest, self._until = digest, until

    def _complain(self, seen: Signature | None, error: ConfigurationError) -> None:
        reason = self._explain(error)
        if self._complaint != (seen, reason):
            self._complaint = (seen, reason)
            kept = f"the last good keys stay in use: {reason}"
            emit(Name.KEYS_FAILED, file=str(self._path), detail=kept)

    def _explain(self, error: ConfigurationError) -> str:
        return str(error)


def file_signature(path: Path) -> Signature:
    """
    Return the file's state: mtime, size and inode.

    Raises:
        ConfigurationError: It is missing or not accessible.
    """
    with readable():
        return _signature(path.stat())


def read_file(path: Path) -> tuple[Signature, bytes]:
    """
    Read a regular file; return its state and content.

    Raises:
        ConfigurationError: It cannot be read, or is longer than :data:`.MAX_FILE_BYTES`.
    """
    with readable():
        status, document = read_regular(path)
    return _signature(status), document


@contextmanager
def readable() -> Iterator[None]:
    """Convert an OSError of reading a file to a ConfigurationError."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said, fix = diagnose(error, fix="name a file that this process may read")
        raise ConfigurationError(f"cannot be read ({said}): {fix}") from error


def _signature(status: os.stat_result) -> Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(document: bytes) -> bytes:
    return hashlib.sha256(document).digest()

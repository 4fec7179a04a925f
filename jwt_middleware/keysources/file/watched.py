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
"""How often tokens with an unknown kid make a process look at the file, at most."""

# mtime in nanoseconds, size, inode: a rename changes the last, a write in place the first.
Signature = tuple[int, int, int]


class Loaded(NamedTuple):
    """Keys as read, and until when they are right if the file does not change, in epoch seconds."""

    keys: KeySet
    until: float = math.inf


class WatchedKeys:
    """
    A key source over one file, which is looked at every *check_seconds* and read if it changed.

    It may be replaced by a rename, in place or through a symbolic link.  What cannot
    be read is refused with one line in the log, and the last good keys stay, however long.

    Args:
        path: The file.
        read: Makes keys of its content, at a time in epoch seconds; :class:`ConfigurationError`
            refuses it.
        check_seconds: Time between two looks, 0 to :attr:`MAX_CHECK_SECONDS`; between them
            :meth:`current` makes no system call.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: The file holds no usable keys now, or *check_seconds* is unusable.
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
        """Return the keys in force: the same object for as long as the file is the same."""
        now = self._clock()
        # The first half: a clock that was set back must not stop the looks.
        if self._checked_at <= now < self._check_at:
            return self._keys
        lock = self._lock.get()
        if lock.acquire(blocking=False):  # a thread that finds another looking goes on
            try:
                self._look(now)
            finally:
                lock.release()
        return self._keys

    def refreshed(self, kid: str | None) -> KeySet:
        """Return the keys after another look, if the last was :data:`REFRESH_SECONDS` ago."""
        with self._lock.get():
            now = self._clock()
            if not self._checked_at <= now < self._checked_at + REFRESH_SECONDS:
                self._look(now)
        return self._keys

    def _read_last_good(self, now: float) -> Loaded | None:
        """Return what is in force where the file is damaged at the start: nothing was kept here."""
        return None

    def _read_first(self, tries: int = 3) -> tuple[Signature, bytes, Loaded]:
        signature, document = read_file(self._path)
        try:
            return signature, _digest(document), self._read(document, self._checked_at)
        except ConfigurationError:
            # What it names may have been replaced together with it, after it was read.
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
        # Two writes within one tick of the file system's clock look the same: what is new is read
        # once more at the next look.
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
            kept = f"the last good keys stay in force: {reason}"
            emit(Name.KEYS_FAILED, file=str(self._path), detail=kept)

    def _explain(self, error: ConfigurationError) -> str:
        return str(error)


def file_signature(path: Path) -> Signature:
    """
    Return what tells this state of a file from the next.

    Raises:
        ConfigurationError: It is not there, or may not be seen.
    """
    with readable():
        return _signature(path.stat())


def read_file(path: Path) -> tuple[Signature, bytes]:
    """
    Read a regular file, and the signature of the state that was read.

    Raises:
        ConfigurationError: It cannot be read, or is longer than :data:`.MAX_FILE_BYTES`.
    """
    with readable():
        status, document = read_regular(path)
    return _signature(status), document


@contextmanager
def readable() -> Iterator[None]:
    """Turn what the system says of a file that cannot be read into a ConfigurationError."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said, fix = diagnose(error, fix="name a file that this process may read")
        raise ConfigurationError(f"cannot be read ({said}): {fix}") from error


def _signature(status: os.stat_result) -> Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(document: bytes) -> bytes:
    return hashlib.sha256(document).digest()

"""
Integers shared by the processes of a server, without locks: each process has its own file.

Any process can add up all files.  Files of ended processes are merged into one, so that counters
never decrease and the folder does not grow.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import re
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import ConfigurationError
from ..events import logger
from ..files import read_regular, writing

_SLOT_BYTES: Final = 8
_LOCKED_SECONDS: Final = 1.0
_ENDED: Final = "jwt_middleware_ended.json"
# O_NOFOLLOW: a link in a folder writable by others could lead to any file of ours.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = re.compile(r"jwt_middleware_([0-9]+)\.counts")


class Series(NamedTuple):
    """
    One integer, with the metric's name and labels.

    Attributes:
        name: The metric's name.
        labels: Label names and values.
        kind: ``counter`` is summed over all processes, ``gauge`` over live ones; ``oldest`` is a
            time in milliseconds, of which the smallest non-zero one is used.
    """

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    kind: str = "counter"


class Counts:
    """
    The integers of one process, by position.

    Args:
        series: Their names and labels.
        directory: Folder to share them with other processes; ``None`` keeps them in memory.

    Attributes:
        slots: One integer for each of *series*.
    """

    def __init__(self, series: Iterable[Series], directory: Path | None = None) -> None:
        self.series: tuple[Series, ...] = tuple(series)
        self.directory = directory
        self._places = {one: place for place, one in enumerate(self.series)}
        self.slots: MutableSequence[int] = []
        self._open()
        reopen = weakref.WeakMethod(self._open)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: (again := reopen()) and again())

    def add(self, series: Series, amount: int = 1) -> None:
        """Add to the integer of *series*, if it is known."""
        place = self._places.get(series)
        if place is not None:
            self.slots[place] += amount

    def set(self, series: Series, value: int) -> None:
        """Set the integer of *series*."""
        self.slots[self._places[series]] = value

    def read_all(self) -> dict[Series, int]:
        """Return the integers of all processes, merged by kind."""
        if self.directory is not None:
            try:
                return self._read_folder(self.directory)
            except OSError as error:  # deleted, or its mode was changed
                logger.error("counts of other processes are left out: %s", error)
        return _joined(zip(self.series, self.slots, strict=True))

    def _read_folder(self, directory: Path) -> dict[Series, int]:
        with _alone_in(directory) as is_alone:
            if is_alone:
                with contextlib.suppress(OSError):  # disk full: the files stay as they are
                    _join_ended(directory)
            ended = _Ended.read(directory)
            files = (file for file in _files(directory) if file.name not in ended.files)
            return _joined(chain(ended.counters.items(), *map(_read, files)))

    def _open(self) -> None:
        """Start at 0, or at the values of an earlier process with the same pid."""
        self.slots = [0] * len(self.series)
        if self.directory is None:
            return
        try:
            with writing(self.directory), _alone_in(self.directory) as is_alone:
                if is_alone:
                    with contextlib.suppress(OSError):  # disk full: the files stay as they are
                        _join_ended(self.directory)
                self.slots = self._mapped(self.directory)
        except ConfigurationError as error:  # metrics must not keep the service from starting
            logger.error("this process is not counted: %s", error)

    def _mapped(self, directory: Path) -> MutableSequence[int]:
        head = json.dumps([[one.name, one.labels, one.kind] for one in self.series]).encode()
        head += b" " * (-(len(head) + 1) % _SLOT_BYTES) + b"\n"
        file = directory / f"jwt_middleware_{os.getpid()}.counts"
        size = len(head) + _SLOT_BYTES * len(self.series)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
        try:
            if os.pread(descriptor, len(head), 0) != head:
                os.ftruncate(descriptor, 0)
                # All of it: on a full disk, writing to a hole of a mapped file raises SIGBUS.
                if os.pwrite(descriptor, head.ljust(size, b"\0"), 0) < size:
                    os.ftruncate(descriptor, 0)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            mapped = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        slots = memoryview(mapped)[len(head) :].cast("Q")
        for place, one in enumerate(self.series):
            if one.kind != "counter":
                slots[place] = 0
        return slots  # type: ignore[return-value]


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[bool]:
    """Lock a folder against other processes and threads; yield whether the lock was acquired."""
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:
        yield False
        return
    file = directory / "jwt_middleware.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
    deadline = time.monotonic() + _LOCKED_SECONDS
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.002)
        else:
            yield False
            return
        yield True
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process forked meanwhile also has it open
    finally:
        os.close(descriptor)


class _Ended(NamedTuple):
    """
    The merged counts of ended processes.

    Attributes:
        counters: The sums.
        files: Files included in the sums; those that still exist are to be removed.
    """

    counters: Mapping[Series, int]
    files: frozenset[str]

    @classmethod
    def read(cls, directory: Path) -> _Ended:
        try:
            members = json.loads(read_regular(directory / _ENDED)[1])
            counters = {_series(*named): value for *named, value in members["counters"]}
            return cls(counters, frozenset(members["files"]))
        except (OSError, ValueError, TypeError, LookupError):  # none yet
            return cls({}, frozenset())

    def write(self, directory: Path) -> None:
        members = {
            "counters": [[*one, value] for one, value in self.counters.items()],
            "files": sorted(self.files),
        }
        new = directory / f"{_ENDED}.new"
        new.unlink(missing_ok=True)
        new.touch(0o600, exist_ok=False)
        new.write_text(json.dumps(members))
        new.replace(directory / _ENDED)


def _join_ended(directory: Path) -> None:
    """
    Merge the files of ended processes into one.

    If a process is killed meanwhile, no count is lost or added twice.
    """
    ended = _Ended.read(directory)
    if ended.files:  # a process was killed before removing them
        ended = _remove(ended, directory)
    gone = [file for file in _files(directory) if not _lives(_pid_of(file))]
    if not gone:
        return
    counters = dict(ended.counters)
    for series, value in chain.from_iterable(map(_read, gone)):
        if series.kind == "counter":
            counters[series] = counters.get(series, 0) + value
    ended = _Ended(counters, frozenset(file.name for file in gone))
    ended.write(directory)
    _remove(ended, directory)


def _remove(ended: _Ended, directory: Path) -> _Ended:
    for name in ended.files:
        (directory / name).unlink(missing_ok=True)
    # A new process may get the pid of one of them.
    ended = ended._replace(files=frozenset())
    ended.write(directory)
    return ended


def _joined(values: Iterable[tuple[Series, int]]) -> dict[Series, int]:
    joined: dict[Series, int] = {}
    for series, value in values:
        if series not in joined:
            joined[series] = value
        elif series.kind == "oldest":
            joined[series] = min(joined[series] or value, value or joined[series])
        elif series.kind == "most":
            joined[series] = max(joined[series], value)
        else:
            joined[series] += value
    return {one: value for one, value in joined.items() if value or one.kind != "oldest"}


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.iterdir() if _FILE.fullmatch(file.name))


def _pid_of(file: Path) -> int:
    match = _FILE.fullmatch(file.name)
    return int(match[1]) if match else 0


def _read(file: Path) -> list[tuple[Series, int]]:
    """Return the counts of a process; empty if it ended before writing any."""
    try:
        head, _, rest = read_regular(file)[1].partition(b"\n")
        values = memoryview(rest).cast("Q")
        return [(_series(*one), value) for one, value in zip(json.loads(head), values, strict=True)]
    except (OSError, ValueError, TypeError):
        return []


def _series(name: str, labels: Iterable[tuple[str, str]], kind: str) -> Series:
    return Series(name, tuple((key, text) for key, text in labels), kind)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's process
        return True
    return True

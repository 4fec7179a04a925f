"""
Integers that the processes of a server share, each in a file of its own; nothing locks.

Any process adds up all files.  Those of processes that ended are joined in one, so that no counter
goes back and the folder does not grow.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
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
from ..files import read_regular, writing

logger: logging.Logger = logging.getLogger("jwt_middleware")

_SLOT_BYTES: Final = 8
_LOCKED_SECONDS: Final = 1.0
_ENDED: Final = "jwt_middleware_ended.json"
# A link in a folder that others may write to would lead to a file that they may not.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = re.compile(r"jwt_middleware_([0-9]+)\.counts")


class Series(NamedTuple):
    """
    One integer.

    Attributes:
        name: Of the metric.
        labels: Names and values.
        kind: ``counter`` is added up over processes; ``gauge`` too, of those that live; of an
            ``oldest`` the smallest that is not 0 counts, a time in milliseconds.
    """

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    kind: str = "counter"


class Counts:
    """
    Integers of one process, by their place.

    Args:
        series: What they are.
        directory: Where to keep them for other processes; ``None`` keeps them in memory.

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
        """Add to the integer of *series*, if it is one of ours."""
        place = self._places.get(series)
        if place is not None:
            self.slots[place] += amount

    def set(self, series: Series, value: int) -> None:
        """Set the integer of *series*."""
        self.slots[self._places[series]] = value

    def read_all(self) -> dict[Series, int]:
        """Return the integers of all processes, joined as their kinds say."""
        if self.directory is not None:
            try:
                return self._read_folder(self.directory)
            except OSError as error:  # it is gone, or its mode was changed
                logger.error("counts of other processes are left out: %s", error)  # noqa: TRY400  one line
        return _joined(zip(self.series, self.slots, strict=True))

    def _read_folder(self, directory: Path) -> dict[Series, int]:
        with _alone_in(directory) as is_alone:
            if is_alone:
                with contextlib.suppress(OSError):  # of a full disk; then they stay as they are
                    _join_ended(directory)
            ended = _Ended.read(directory)
            files = (file for file in _files(directory) if file.name not in ended.files)
            return _joined(chain(ended.counters.items(), *map(_read, files)))

    def _open(self) -> None:
        """Begin at 0, or where an earlier process of the same number ended."""
        self.slots = [0] * len(self.series)
        if self.directory is None:
            return
        try:
            with writing(self.directory), _alone_in(self.directory) as is_alone:
                if is_alone:
                    with contextlib.suppress(OSError):  # of a full disk; then they stay as they are
                        _join_ended(self.directory)
                self.slots = self._mapped(self.directory)
        except ConfigurationError as error:  # counts are not worth a service that does not start
            logger.error("this process is not counted: %s", error)  # noqa: TRY400  one line

    def _mapped(self, directory: Path) -> MutableSequence[int]:
        head = json.dumps([[one.name, one.labels, one.kind] for one in self.series]).encode()
        head += b" " * (-(len(head) + 1) % _SLOT_BYTES) + b"\n"
        file = directory / f"jwt_middleware_{os.getpid()}.counts"
        size = len(head) + _SLOT_BYTES * len(self.series)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
        try:
            if os.pread(descriptor, len(head), 0) != head:
                os.ftruncate(descriptor, 0)
                # All of it: to write where a file has a hole, on a full disk, is a SIGBUS.
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
    """Lock a folder against other processes and threads; yield whether that succeeded in time."""
    try:
        import fcntl  # noqa: PLC0415  POSIX alone
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
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process forked meanwhile has it open as well
    finally:
        os.close(descriptor)


class _Ended(NamedTuple):
    """
    What processes that ended have counted, in one file.

    Attributes:
        counters: Their sums.
        files: Those that are counted here: one that is still there is to be removed.
    """

    counters: Mapping[Series, int]
    files: frozenset[str]

    @classmethod
    def read(cls, directory: Path) -> _Ended:
        try:
            members = json.loads(read_regular(directory / _ENDED)[1])
            counters = {_series(*named): value for *named, value in members["counters"]}
            return cls(counters, frozenset(members["files"]))
        except (OSError, ValueError, TypeError, LookupError):  # there is none yet
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
    Add the files of processes that ended up in one.

    If a process is killed in between, no count is lost, and none is added twice.
    """
    ended = _Ended.read(directory)
    if ended.files:  # a process was killed in between
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
    # Another process may get the number of one of them.
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
    """Return what a process has counted: nothing, if it ended before it could."""
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
    except OSError:  # of another user
        return True
    return True

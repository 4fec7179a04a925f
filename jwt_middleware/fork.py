"""What may not cross a fork: connections, locks and threads belong to one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """
    A value made once in each process, on first use, and never used in a forked child.

    ``gunicorn --preload`` builds the app once and forks it; a database connection or a lock that
    the parent holds is not the child's to use.  The parent's value is kept, unused, in the child:
    collecting it there could close what the parent still works with.

    Args:
        make: Called without arguments.  Threads that come first at the same time wait for one of
            them to call it.  What it raises is raised there, and the next one calls it again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, int], T] = {}
        # A lock a process as well: another thread may hold the parent's at the moment of the fork.
        self._locks: dict[tuple[int, int], threading.RLock] = {}

    def get(self) -> T:
        """Return this process's value."""
        # The pid alone may be that of an ancestor which has ended.
        process = os.getpid(), _forks
        if process not in self._made:
            with self._locks.setdefault(process, threading.RLock()):
                if process not in self._made:
                    self._made[process] = self._make()
        return self._made[process]


_forks = 0  # between the first process and this one


def _count_fork() -> None:
    global _forks  # noqa: PLW0603  it is the process's
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)

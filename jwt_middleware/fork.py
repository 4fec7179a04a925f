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
        self._made: dict[int, T] = {}
        # A lock a process as well: another thread may hold the parent's at the moment of the fork.
        self._locks: dict[int, threading.RLock] = {}

    def get(self) -> T:
        """Return this process's value."""
        pid = os.getpid()
        if pid not in self._made:
            with self._locks.setdefault(pid, threading.RLock()):
                if pid not in self._made:
                    self._made[pid] = self._make()
        return self._made[pid]

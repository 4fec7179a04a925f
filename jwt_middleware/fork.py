"""Per-process values: connections, locks and threads must not be shared across a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """
    A value created once in each process, on first use, and not shared with a forked child.

    ``gunicorn --preload`` builds the app once and forks it; a child must not use the parent's
    database connections or locks.  The child keeps the parent's value unused: collecting it could
    close a connection of the parent.

    Args:
        make: Creates the value.  Concurrent first threads wait for one of them to call it.  An
            exception is raised there, and the next thread calls it again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, int], T] = {}
        # A lock per process, too: another thread may hold the parent's during the fork.
        self._locks: dict[tuple[int, int], threading.RLock] = {}

    def get(self) -> T:
        """Return this process's value."""
        # Not the pid: it may be reused from an ancestor that has ended.
        process = os.getpid(), _forks
        if process not in self._made:
            with self._locks.setdefault(process, threading.RLock()):
                if process not in self._made:
                    self._made[process] = self._make()
        return self._made[process]


_forks = 0  # number of forks since the first process


def _count_fork() -> None:
    global _forks  # noqa: PLW0603  it is the process's
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)

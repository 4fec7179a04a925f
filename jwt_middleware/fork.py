"""What may not cross a fork: connections, locks and threads belong to one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """
    A value made on first use in each process, and never used in a forked child.

    ``gunicorn --preload`` builds the app once and forks it; a database connection or a lock that
    the parent holds is not the child's to use.  The parent's value is kept, unused, in the child:
    collecting it there could close what the parent still works with.

    Args:
        make: Called without arguments, at most once a process in the common case.  Two threads
            that come first at the same time may both call it; one result is kept, for both.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """Return this process's value."""
        pid = os.getpid()
        try:
            return self._made[pid]
        except KeyError:
            return self._made.setdefault(pid, self._make())

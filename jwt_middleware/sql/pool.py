"""A bounded pool of connections, for the threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from .deadline import remaining


class Pooled(Protocol):
    """A connection that can tell whether it still works."""

    def is_usable(self) -> bool:
        """Tell, without waiting, whether the next operation can use this connection."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


C = TypeVar("C", bound=Pooled)


class PoolExhaustedError(Exception):
    """All connections were in use by other threads of this process until the deadline."""


class Pool(Generic[C]):
    """
    At most *size* connections, made on demand, the last used first.

    A connection is checked when it is taken and when it comes back; one that is broken, or was left
    inside a transaction, is closed.

    Args:
        connect: Makes a connection.
        size: How many there may be at a time.
    """

    def __init__(self, connect: Callable[[], C], *, size: int) -> None:
        self._connect = connect
        self._places = threading.BoundedSemaphore(size)
        self._idle: list[C] = []  # append() and pop() are atomic

    @contextmanager
    def connection(self) -> Iterator[C]:
        """
        Lend a connection.

        Raises:
            PoolExhaustedError: None came back before the deadline.
        """
        if not self._places.acquire(timeout=max(0, remaining())):
            raise PoolExhaustedError
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close all idle connections."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _take(self) -> C:
        while (connection := self._pop()) is not None:
            if connection.is_usable():
                return connection
            connection.close()
        return self._connect()

    def _put_back(self, connection: C) -> None:
        if connection.is_usable():
            self._idle.append(connection)
        else:
            connection.close()

    def _pop(self) -> C | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

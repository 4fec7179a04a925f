"""A bounded pool of connections, for the threads of one process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from ..errors import PoolExhaustedError
from .deadline import remaining


class Pooled(Protocol):
    """A connection that can tell whether it still works."""

    def is_idle(self) -> bool:
        """Tell whether an operation left it open and outside a transaction."""
        ...

    def is_usable(self) -> bool:
        """Tell, by the deadline, whether an idle one can still be used."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


C = TypeVar("C", bound=Pooled)


class _Places:
    """
    A semaphore that serves in the order of arrival.

    Of the standard library's, a thread that releases it and comes back at once gets it again before
    one that waits has woken up: with few microseconds in between, some would wait for ever.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, *, timeout: float) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            comes = turn.acquire(timeout=timeout)
        except BaseException:
            if not self._leave(turn):
                self.release()
            raise
        return comes or not self._leave(turn)

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def _leave(self, turn: threading.Lock) -> bool:
        """Stop waiting; tell whether that was before a place came."""
        with self._lock:
            try:
                self._waiting.remove(turn)
            except ValueError:
                return False
            return True


class Pool(Generic[C]):
    """
    At most *size* connections, made on demand; threads get one in the order of their arrival.

    A connection is checked when it is taken and when it comes back; one that is broken, or was left
    inside a transaction, is closed.

    Args:
        connect: Makes a connection.
        size: How many there may be at a time.
    """

    def __init__(self, connect: Callable[[], C], *, size: int) -> None:
        self._connect = connect
        self._places = _Places(size)
        self._idle: list[C] = []  # append() and pop() are atomic

    @contextmanager
    def connection(self) -> Iterator[C]:
        """
        Lend a connection.

        Raises:
            PoolExhaustedError: None came back before the deadline.
        """
        if not self._places.acquire(timeout=min(max(0, remaining()), threading.TIMEOUT_MAX)):
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
        if connection.is_idle():
            self._idle.append(connection)
        else:
            connection.close()

    def _pop(self) -> C | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

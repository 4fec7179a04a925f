"""One deadline for all that happens on a connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Deadline:
    """
    A moment by which an exchange has ended, well or not.

    A socket's timeout starts anew with each byte: a server that sends one a second, in the headers
    for instance, is never late.  So the connection itself is shut down when the time is up, which
    ends whatever waits on it, in TLS too.

    Only the resolver cannot be hurried: a host name that it does not answer for takes as long as
    its own configuration lets it.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def has_passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._ends_at

    def remaining_seconds(self) -> float:
        """
        Return what is left, more than 0.

        Raises:
            TimeoutError: Nothing is.
        """
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def connect(self, host: str, port: int) -> socket.socket:
        """
        Connect to the first of a host's addresses that answers.

        Raises:
            OSError: None does, or not in time.
        """
        failure = OSError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.remaining_seconds())
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    @contextmanager
    def enforced_on(self, sock: socket.socket) -> Iterator[None]:
        """Shut the connection of *sock* down if the deadline passes before the block ends."""
        # A duplicate: TLS takes the descriptor of the socket that it wraps.
        with sock.dup() as twin:
            timer = threading.Timer(max(0, self._ends_at - time.monotonic()), _shut_down, [twin])
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()
                # Once the twin is closed, its number may be another's.
                timer.join()


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        sock.shutdown(socket.SHUT_RDWR)

"""A TCP proxy that is led elsewhere, lets bytes drip, or nothing through at all."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

Address = Path | tuple[str, int]

DRIP_SECONDS = 0.03


class Proxy:
    """
    Listens on a port of 127.0.0.1, and passes on what comes.

    Each connection stays with the server that it was made to: those that are open when the proxy is
    led elsewhere are kept.

    Args:
        targets: Where to lead one connection after the other; the last is for all that follow.
    """

    def __init__(self, *targets: Address) -> None:
        self._targets = [*targets]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = ThreadPoolExecutor(512)
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()
        self._drips = False
        self._silent = False
        self.connections = 0
        self.cut_off = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._threads.submit(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in [*self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._threads.shutdown()

    def lead_to(self, target: Address) -> None:
        """Lead new connections to *target*."""
        self._targets = [target]

    def drip(self) -> None:
        """Let answers through one byte every 30 ms; ``cut_off`` is set if a client leaves."""
        self._drips = True

    def swallow(self) -> None:
        """Let no answer through, on connections that are open and on new ones."""
        self._silent = True

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            target = self._targets.pop(0) if len(self._targets) > 1 else self._targets[0]
            self._threads.submit(self._serve, client, target)

    def _serve(self, client: socket.socket, target: Address) -> None:
        with client, _connected(target) as server:
            self._open |= {client, server}
            answering = self._threads.submit(self._answer, server, client)
            with suppress(OSError):
                while octets := client.recv(65_536):
                    server.sendall(octets)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            answering.result()
            self._open -= {client, server}

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while octets := server.recv(65_536):
                if not self._silent:
                    self._pass_on(octets, client)
        except OSError:
            self.cut_off.set()
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, octets: bytes, client: socket.socket) -> None:
        if not self._drips:
            client.sendall(octets)
            return
        for octet in octets:
            client.sendall(bytes([octet]))
            if self._closed.wait(DRIP_SECONDS):
                return


def _connected(target: Address) -> socket.socket:
    if isinstance(target, Path):
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(target))
        return server
    return socket.create_connection(target)

"""The JWKS endpoint of load.py: a real socket that hangs, refuses, and comes back."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

from jwt_middleware.core.keys import Key

State = Literal["up", "hanging", "refusing", "up again"]


class KeysEndpoint:
    """
    Publishes keys on loopback for as long as the block lasts.

    Attributes:
        keys: What is published.
        fetches: How many requests came in each state.
    """

    def __init__(self, *keys: Key, max_age_seconds: int) -> None:
        self.keys = keys
        self.max_age_seconds = max_age_seconds
        self.fetches: Counter[State] = Counter()
        self.state: State = "up"
        self.released = threading.Event()
        # Never listens: it keeps the port while the server is away: the kernel
        # refuses who connects then.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._keeper.getsockname()[1]}/jwks"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._close()
        self._keeper.close()

    def hang(self) -> None:
        """Take connections, and answer nothing."""
        self.state = "hanging"

    def refuse(self) -> None:
        """Drop the connections that wait for an answer, and take no more."""
        self.state = "refusing"
        self.released.set()
        self._close()

    def come_back(self) -> None:
        """Answer again, at the same port."""
        self.state = "up again"
        self._listen()

    def _listen(self) -> None:
        self._server = _Server(self._keeper.getsockname(), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()

    def _close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, address: tuple[str, int], endpoint: KeysEndpoint) -> None:
        super().__init__(address, _Handler)
        self.endpoint = endpoint

    def handle_error(self, *_: object) -> None:
        """Say nothing when a client has gone."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        endpoint = self.server.endpoint
        endpoint.fetches[endpoint.state] += 1
        if endpoint.state == "hanging":
            endpoint.released.wait()
            return
        body = json.dumps({"keys": [key.public_jwk() for key in endpoint.keys]}).encode()
        self.send_response(200)
        self.send_header("Cache-Control", f"max-age={endpoint.max_age_seconds}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

"""A server of keys on loopback that can be told to misbehave, and a background to set."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jwt_middleware.core.keys import Key
from jwt_middleware.testing import FrozenClock

Answer = Callable[[BaseHTTPRequestHandler], None]


class KeyServer(ThreadingHTTPServer):
    """
    Answers each path as it is told to, and notes what it was asked.

    Attributes:
        hits: The paths asked for, in order.
        answers: Path to what to do; another path is a 404.
        release: Set it to end what is kept waiting.
        arrived: Set as soon as a client waits.
    """

    daemon_threads = False  # closing waits for them: none is left for the next test

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hits: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.release = threading.Event()
        self.arrived = threading.Event()

    def url(self, path: str = "/jwks") -> str:
        """Return the URL of a path, with the server's port."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def publish(self, *keys: Key, path: str = "/jwks", **headers: str) -> None:
        """Answer with a JWK set."""
        octets = json.dumps({"keys": [key.public_jwk() for key in keys]}).encode()
        self.answers[path] = _answer(octets, 200, headers)

    def answer(
        self, content: object, *, path: str = "/jwks", status: int = 200, **headers: str
    ) -> None:
        """Answer with these octets, or this object as JSON; ``Cache_Control`` is a header."""
        octets = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = _answer(octets, status, headers)

    def answer_raw(self, octets: bytes, path: str = "/jwks") -> None:
        """Answer with exactly these octets."""
        self.answers[path] = lambda handler: _write(handler, octets)

    def hang(self, path: str = "/jwks") -> None:
        """Answer nothing until released."""

        def answer(_: BaseHTTPRequestHandler) -> None:
            self.arrived.set()
            self.release.wait()

        self.answers[path] = answer

    def drip(self, first: bytes, drop: bytes, path: str = "/jwks") -> None:
        """Send *first*, then a *drop* again and again until released, then an end."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            self.arrived.set()
            handler.wfile.write(first)
            while not self.release.wait(0.01):
                handler.wfile.write(drop)

        self.answers[path] = answer

    def handle_error(self, *_: object) -> None:
        """Say nothing when a client has gone."""


class _Handler(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.hits.append(self.path)
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def log_message(self, *_: object) -> None:
        pass


def _answer(octets: bytes, status: int, headers: dict[str, str]) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(octets))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(octets)

    return answer


def _write(handler: BaseHTTPRequestHandler, octets: bytes) -> None:
    handler.wfile.write(octets)


class Background:
    """Keeps work until it is told to do it; or does it at once, where *at_once* is set."""

    def __init__(self) -> None:
        self.at_once = True
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        if self.at_once:
            work()
        else:
            self.waiting.append(work)

    def catch_up(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


@contextmanager
def serving() -> Iterator[KeyServer]:
    with KeyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _few_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each fetch reading the hundred and more of the system, which takes 30 ms."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    monkeypatch.setenv("SSL_CERT_DIR", os.devnull)


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with serving() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[KeyServer]:
    with serving() as server:
        yield server


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(1000)


@pytest.fixture
def background() -> Background:
    return Background()


@pytest.fixture(scope="session")
def key_a() -> Key:
    return Key.generate("ES256", kid="a")


@pytest.fixture(scope="session")
def key_b() -> Key:
    return Key.generate("ES256", kid="b")

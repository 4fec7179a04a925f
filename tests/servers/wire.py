"""One connection to a server, on which requests are written as they are."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from types import TracebackType
from typing import Any, Self

SECONDS = 60  # far more than any answer takes: what waits as long is a failure


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def reached_the_app(self) -> bool:
        """Whether the app gave it."""
        return "X-App" in self.headers

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class _Reader(io.BufferedReader):
    """What an HTTPResponse may close without the connection."""

    def close(self) -> None: ...


class Connection:
    """A connection; answers are read from it one by one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.reader = _Reader(socket.SocketIO(self.socket, "r"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def makefile(self, _: str) -> io.BufferedReader:
        """Be what an HTTPResponse reads."""
        return self.reader

    def send(self, octets: bytes) -> None:
        """Send octets, as far as the server takes them: it may have answered, and closed."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(octets)

    def head(self, method: str = "GET") -> HTTPResponse:
        """Read status and headers of the next answer."""
        response = HTTPResponse(self, method=method)  # type: ignore[arg-type]
        response.begin()
        return response

    def answer(self, method: str = "GET") -> Answer:
        """Read the next answer."""
        response = self.head(method)
        return Answer(response.status, response.headers, response.read())

    def next_answer(self, method: str = "GET") -> Answer | None:
        """Read the next answer, or find that the server has closed the connection."""
        try:
            return self.answer(method)
        except (ConnectionResetError, HTTPException):
            return None


def request(
    method: str = "GET",
    target: str = "/",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
) -> bytes:
    """Write a request of HTTP/1.1."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in pairs]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(body: bytes, size: int = 8192) -> bytes:
    """Write a body in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])

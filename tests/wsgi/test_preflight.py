from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware.wsgi.cors import answer_preflight

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CORS = [("access-control-allow-origin", "*"), ("Access-Control-Max-Age", "5"), ("Vary", "Origin")]


def ask(app: WSGIApplication) -> tuple[str, list[tuple[str, str]], bytes]:
    started: list[Any] = []

    def start_response(*arguments: Any) -> Any:
        started.append(arguments)

    body = b"".join(answer_preflight(app, {"REQUEST_METHOD": "OPTIONS"}, start_response))
    ((status, headers),) = started
    return status, headers, body


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("204 No Content", "204 No Content"),
        ("200 the secret", "200 OK"),
        ("405 Method Not Allowed", "405 Method Not Allowed"),
        ("599 x", "599 Unknown"),
    ],
)
def test_status_and_cors_headers_pass(status: str, sent: str) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [*CORS, ("Content-Type", "text/html"), ("X-Secret", "1")])
        return [b"secret"]

    answered, headers, body = ask(app)
    rest = [] if status[:3] == "204" else [("Content-Type", "text/plain"), ("Content-Length", "0")]
    assert (answered, headers, body) == (sent, CORS + rest, b"")


class Body:
    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        self.start_response("200 OK", [*CORS])(b"written")
        yield b"part"
        raise AssertionError("read further than to its start")

    def close(self) -> None:
        self.closed = True


def test_app_that_starts_late_is_read_until_it_starts_and_closed() -> None:
    bodies: list[Body] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        bodies.append(Body(start_response))
        return bodies[0]

    assert ask(app)[0] == "200 OK"
    assert bodies[0].closed


def test_app_that_never_starts_is_an_error_of_the_app() -> None:
    with pytest.raises(RuntimeError, match="did not call start_response"):
        ask(lambda _environ, _start_response: [])

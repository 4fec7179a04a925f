from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from cheroot.server import ChunkedRFile

from jwt_middleware.wsgi.unread import MAX_SKIPPED_BYTES, skip_body

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NEXT = b"GET /next HTTP/1.1\r\n"


def environ(body: bytes) -> WSGIEnvironment:
    """Return what cheroot gives an app for a chunked body, with the next request behind it."""
    stream = ChunkedRFile(io.BufferedReader(io.BytesIO(body + NEXT)), 0)
    return {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": stream}


def rest_after(body: bytes) -> bytes:
    given = environ(body)
    connection = given["wsgi.input"].rfile
    answer = skip_body(given, [b"answer"])
    assert list(answer) == [b"answer"]
    assert connection.tell() == 0  # nothing is read before the answer is sent
    answer.close()  # type: ignore[attr-defined]  # it is what this is about
    return bytes(connection.read())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"0\r\n\r\n", id="empty"),
        pytest.param(b"5\r\nhello\r\n3;name=value\r\nabc\r\n0\r\n\r\n", id="chunks"),
        pytest.param(b"1\r\nx\r\n0\r\nTrailer: GET /\r\n\r\n", id="trailers"),
        pytest.param(b"%x\r\n%b\r\n0\r\n\r\n" % (60_000, b"x" * 60_000), id="as-long-as-may-be"),
    ],
)
def test_a_chunked_body_is_skipped(body: bytes) -> None:
    assert rest_after(body) == NEXT


def test_what_is_left_of_a_body_is_skipped() -> None:
    given = environ(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")
    connection = given["wsgi.input"].rfile
    assert given["wsgi.input"].read(3) == b"hel"
    skip_body(given, []).close()  # type: ignore[attr-defined]
    assert connection.read() == NEXT


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"%x\r\n%b\r\n" % (70_000, b"x" * 70_000), id="one-chunk"),
        pytest.param(b"1\r\nx\r\n" * 70_000, id="many-chunks"),
        pytest.param(b"f" * 70_000, id="a-line-without-end"),
        pytest.param(b"0\r\n" + b"Trailer: x\r\n" * 7000, id="many-trailers"),
        pytest.param(b"ffffffffffff\r\n", id="a-chunk-that-no-memory-holds"),
        pytest.param(b"x\r\n", id="no-chunk"),
        pytest.param(b"5\r\nhelloGET", id="no-end-of-a-chunk"),
    ],
)
def test_a_longer_or_broken_body_ends_the_connection(body: bytes) -> None:
    given = environ(body)
    connection = given["wsgi.input"].rfile
    with pytest.raises(ConnectionAbortedError):
        skip_body(given, []).close()  # type: ignore[attr-defined]
    assert connection.tell() <= MAX_SKIPPED_BYTES + io.DEFAULT_BUFFER_SIZE


def test_the_answer_is_closed() -> None:
    answer = io.BytesIO(b"answer")
    skip_body(environ(b"0\r\n\r\n"), answer).close()  # type: ignore[attr-defined]
    assert answer.closed


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"wsgi.input": ChunkedRFile(io.BytesIO(), 0)}, id="no-chunked-body"),
        pytest.param(
            {"wsgi.input": io.BytesIO(), "HTTP_TRANSFER_ENCODING": "chunked"}, id="another-server"
        ),
    ],
)
def test_any_other_answer_is_returned_as_it_is(given: WSGIEnvironment) -> None:
    answer = [b"answer"]
    assert skip_body(given, answer) is answer

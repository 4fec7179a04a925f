"""
The same checks over every server, with requests written byte by byte.

What is checked is what must hold everywhere; what servers may do as they like is noted, for the
table in docs/servers.md.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Final

import pytest

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer

from .app import FILE, STREAMED
from .servers import AUDIENCE, ISSUER, PASSWORD, SECRET, SERVERS, Server, running
from .wire import SECONDS, Answer, Connection, chunked, request

TOKENS = TokenIssuer(keys=KeySet([Key.from_secret(SECRET)]), issuer=ISSUER, audience=AUDIENCE)
BY_DEFAULT: Final = frozenset({"waitress", "cheroot"})
SLOW: Final = frozenset({"wsgiref", "Werkzeug"})
JSON: Final = {"Content-Type": "application/json"}
CHUNKED: Final = {"Transfer-Encoding": "chunked"}
INNER: Final = b"GET /public?inner HTTP/1.1\r\nHost: localhost\r\n\r\n"

Note = Callable[[str], None]


def _marks(name: str) -> Sequence[pytest.MarkDecorator]:
    if name in BY_DEFAULT:
        return []
    return [pytest.mark.slow if name in SLOW else pytest.mark.full]


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, marks=_marks(name)) for name, one in SERVERS.items()],
    ids=list(SERVERS),
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind: type[Server] = request.param
    if reason := kind.missing():
        pytest.skip(reason)
    # Not pytest's folder: it is closed to other users, and too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="servers-") as folder:
        with running(kind(Path(folder))) as server:
            yield server
        assert "/jwt_middleware/" not in server.log  # in no traceback


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Return what notes how a server does something, for the table."""
    return lambda text: record_property("note", text)


@pytest.fixture
def signals(server: Server) -> Iterator[socket.socket]:
    """Return the socket at which the app tells what it has closed."""
    path = server.folder / "signals"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as opened:
        opened.bind(str(path))
        opened.settimeout(SECONDS)
        path.chmod(0o666)
        yield opened
    path.unlink()


def bearer(scope: str = "read", uid: int = 42) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.issue(JWTPayload(uid=uid, scope=scope)).token}"}


def login(secret: str = PASSWORD, account: str = "ann") -> bytes:
    return json.dumps({"account": account, "secret": secret, "type": "email"}).encode()


def ask(server: Server, octets: bytes, method: str = "GET") -> Answer:
    """Send one request on a connection of its own."""
    with Connection(server.port) as connection:
        connection.send(octets)
        return connection.answer(method)


def test_login(server: Server) -> None:
    answer = ask(server, request("POST", "/token", JSON, login()))
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    granted = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert ask(server, request(headers=granted)).status == 200


def test_200(server: Server) -> None:
    answer = ask(server, request(headers=bearer()))
    assert (answer.status, answer.json["REMOTE_USER"]) == (200, "42")


def test_401(server: Server) -> None:
    answer = ask(server, request())
    assert (answer.status, answer.reached_the_app) == (401, False)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    answer = ask(server, request(headers={"Authorization": "Bearer x.y.z"}))
    assert (answer.status, answer.reached_the_app) == (401, False)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "path",
    ["/admin", "//admin", "/x/../admin", "/%61dmin", "/admin%2Fx", "/%2e/admin", "/admin;x/y"],
)
def test_403(server: Server, path: str) -> None:
    for headers, status in ((bearer(), 403), ({}, 401)):
        answer = ask(server, request(target=path, headers=headers))
        assert answer.status in {400, 404, status}  # Apache knows no path with %2F
        assert not answer.reached_the_app


def test_stream(server: Server, signals: socket.socket, note: Note) -> None:
    """The first byte is there before the last is made, where the server does not buffer."""
    with Connection(server.port) as connection:
        connection.send(request(target="/stream", headers=bearer()))
        opener = threading.Thread(target=(server.folder / "gate").write_bytes, args=(b"",))
        if not server.streams:
            opener.start()
        head = connection.head()
        first = head.read(1)
        if server.streams:
            opener.start()
        assert first + head.read() == b"".join(STREAMED)
        opener.join(SECONDS)
    assert signals.recv(100) == b"stream to its end"
    note("yes" if server.streams else "buffered")


@pytest.mark.parametrize("size", [10_000_000])
def test_upload(server: Server, size: int) -> None:
    body = os.urandom(size)
    answer = ask(server, request("POST", "/", bearer(), body), "POST")
    assert answer.json["sha256"] == sha256(body).hexdigest()


def test_chunked_upload(server: Server, note: Note) -> None:
    body = os.urandom(1_000_000 if server.reads_chunks else 1000)
    answer = ask(server, request("POST", "/", bearer() | CHUNKED) + chunked(body), "POST")
    if server.reads_chunks:
        assert answer.json["sha256"] == sha256(body).hexdigest()
    else:
        assert answer.json["length"] == 0
    note("read" if server.reads_chunks else "not read")


def test_chunked_login(server: Server) -> None:
    octets = request("POST", "/token", JSON | CHUNKED) + chunked(login(), 9)
    answer = ask(server, octets, "POST")
    assert answer.status == (200 if server.reads_chunks else 400)


def test_head(server: Server) -> None:
    """A body would be taken for the answer to the next request."""
    for headers, status in (({}, 401), (bearer(), 200)):
        with Connection(server.port) as connection:
            connection.send(request("HEAD", "/", headers))
            answer = connection.answer("HEAD")
            assert answer.status == status
            _next(connection, answer)


def test_preflight(server: Server) -> None:
    headers = {
        "Origin": "https://spa.example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = ask(server, request("OPTIONS", "/spa/x", headers), "OPTIONS")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [headers["Origin"]]
    assert ask(server, request("OPTIONS", "/x", headers), "OPTIONS").status == 401


def test_close_when_the_client_leaves(server: Server, signals: socket.socket, note: Note) -> None:
    with Connection(server.port) as connection:
        connection.send(request(target="/endless", headers=bearer()))
        if server.streams:
            connection.head().read(1)
    closed = signals.recv(100)
    assert closed == b"endless" if server.notices_clients_that_leave else b"endless to its end"
    note("yes" if server.notices_clients_that_leave else "at its end")


def test_file_wrapper(server: Server, signals: socket.socket, note: Note) -> None:
    answer = ask(server, request(target="/file", headers=bearer()))
    assert answer.body == FILE
    assert signals.recv(100).startswith(b"file")
    assert answer.headers["X-File-Wrapper"] == ("yes" if server.file_wrapper else "no")
    note(answer.headers["X-File-Wrapper"])


def test_two_authorizations(server: Server, note: Note) -> None:
    """Of two tokens none is taken that is not good; servers keep one, or join them."""
    one, two = (bearer(uid=uid)["Authorization"] for uid in (1, 2))
    for values in ((one, "Bearer x"), ("Bearer x", one), (one, two)):
        answer = ask(server, request(headers=[("Authorization", value) for value in values]))
        assert answer.reached_the_app or answer.status in {400, 401}
        if answer.reached_the_app and two not in values:
            assert answer.json["REMOTE_USER"] == "1"
    taken = {"1": "the first", "2": "the last"}
    note(taken[answer.json["REMOTE_USER"]] if answer.reached_the_app else str(answer.status))


@pytest.mark.parametrize("name", ["Remote_User", "Remote-User", "REMOTE_USER"])
def test_client_cannot_name_itself(server: Server, name: str) -> None:
    answer = ask(server, request(target="/public", headers={name: "root"}))
    assert not answer.reached_the_app or "root" not in answer.json.values()


def test_underscores(server: Server, note: Note) -> None:
    """A header that moves the path does so in no other spelling either."""
    assert ask(server, request(target="/public", headers={"X-Original-URL": "/x"})).status == 401
    answer = ask(server, request(target="/public", headers={"X_Original_URL": "/x"}))
    assert not answer.reached_the_app or "HTTP_X_ORIGINAL_URL" not in answer.json
    note("dropped" if answer.reached_the_app else f"as dashes: {answer.status}")


INNER_LENGTH: Final = f"Content-Length: {len(INNER)}"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        pytest.param(
            [f"Content-Length: {len(INNER) + 5}", "Transfer-Encoding: chunked"],
            b"0\r\n\r\n" + INNER,
            id="length-and-chunks",
        ),
        pytest.param(
            ["Transfer-Encoding: chunked", f"Content-Length: {len(INNER) + 5}"],
            b"0\r\n\r\n" + INNER,
            id="chunks-and-length",
        ),
        pytest.param(["Content-Length: 0", INNER_LENGTH], INNER, id="two-lengths"),
        pytest.param([INNER_LENGTH, "Content-Length: 0"], INNER, id="two-lengths-the-other-way"),
        pytest.param(["Transfer-Encoding: xchunked", INNER_LENGTH], INNER, id="unknown-coding"),
        pytest.param(["Transfer-Encoding : chunked", INNER_LENGTH], INNER, id="space-in-a-name"),
        pytest.param([f"Content-Length: +{len(INNER)}"], INNER, id="signed-length"),
        pytest.param(["X-Folded: x", f" {INNER_LENGTH}"], INNER, id="folded-length"),
    ],
)
def test_smuggling(server: Server, note: Note, lines: list[str], body: bytes) -> None:
    """A request within a body stands on its own token, if a server takes it for one at all."""
    head = "\r\n".join(["POST /public HTTP/1.1", "Host: localhost", *lines, "", ""])
    found = []
    with Connection(server.port) as connection:
        connection.send(head.encode() + body)
        # So that servers that wait for more find the end.
        connection.socket.shutdown(socket.SHUT_WR)
        while (answer := connection.next_answer("POST")) is not None:
            found.append(str(answer.status))
            assert answer.status < 500 or answer.status == 501  # RFC 9112 §6.1
            if answer.reached_the_app:
                assert answer.json["PATH_INFO"] == "/public"
    accepted = [one for one in found if one == "200"]
    note(["refused", "one read", "both read"][min(len(accepted), 2)])


def test_folded_headers(server: Server) -> None:
    """No token is found in what another header continues with."""
    token = bearer()["Authorization"]
    answer = ask(server, request(headers=[("X-Folded", f"x\r\n Authorization: {token}")]))
    assert not answer.reached_the_app
    assert answer.status in {400, 401}
    folded = ask(server, request(headers={"Authorization": token.replace(" ", "\r\n ")}))
    assert folded.status in {200, 400, 401}


@dataclass(frozen=True)
class Refused:
    """A request that is refused before its body is read, or after."""

    status: int
    method: str = "POST"
    path: str = "/token"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = INNER * 20

    def octets(self, framing: str) -> tuple[bytes, bytes]:
        """Return head and body."""
        if framing == "chunked":
            head = request(self.method, self.path, [*self.headers, *CHUNKED.items()])
            return head, chunked(self.body)
        whole = request(self.method, self.path, self.headers, self.body)
        return whole.removesuffix(self.body), self.body


_JSON: Final = tuple(JSON.items())
UNREAD: Final = {
    "401": Refused(401, path="/"),
    "401-long": Refused(401, path="/", body=INNER * 5000),
    "401-invalid": Refused(401, path="/", headers=(("Authorization", "Bearer x.y.z"),)),
    "405": Refused(405, method="PUT"),
    "415": Refused(415, headers=(("Content-Type", "text/plain"),)),
    "415-long": Refused(415, headers=(("Content-Type", "text/plain"),), body=INNER * 5000),
    "metadata": Refused(405, path="/.well-known/oauth-authorization-server"),
    "logout": Refused(401, path="/token/logout"),
}
READ: Final = {
    "400": Refused(400, headers=_JSON),
    "413": Refused(413, headers=_JSON, body=INNER * 5000),
    "429": Refused(429, headers=_JSON, body=login("wrong", "bob")),
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("refused", [*UNREAD.values(), *READ.values()], ids=[*UNREAD, *READ])
def test_next_request_after_a_refused_body(
    server: Server, note: Note, refused: Refused, framing: str
) -> None:
    head, body = refused.octets(framing)
    with Connection(server.port) as connection:
        connection.send(head + body)
        answer = connection.answer(refused.method)
        for _ in range(30):  # until there have been too many logins
            if refused.status != 429 or answer.status != 401:
                break
            answer = ask(server, head + body, refused.method)
        cannot_read = framing == "chunked" and not server.reads_chunks and refused in READ.values()
        assert answer.status == (400 if cannot_read else refused.status)
        note(_next(connection, answer))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("refused", UNREAD.values(), ids=UNREAD)
def test_refusal_does_not_wait_for_a_body(
    server: Server, note: Note, refused: Refused, framing: str
) -> None:
    if framing in server.waits_for_bodies:
        pytest.skip("waits")
    head, body = refused.octets(framing)
    with Connection(server.port) as connection:
        connection.send(head)
        answer = connection.answer(refused.method)
        assert answer.status == refused.status
        connection.send(body)
        note(_next(connection, answer))


def _next(connection: Connection, answer: Answer) -> str:
    """Send another request: it is answered, or the connection is closed; nothing else is read."""
    if answer.headers.get("Connection", "").lower() == "close":
        return "closed"
    connection.send(request(target="/public?next"))
    following = connection.next_answer()
    if following is None:
        return "closed"
    assert (following.status, following.json["QUERY_STRING"]) == (200, "next")
    return "kept"


def test_expect_continue(server: Server, note: Note) -> None:
    body = os.urandom(100_000)
    expect = {"Expect": "100-continue"}
    head = request("POST", "/", expect, body).removesuffix(body)
    with Connection(server.port) as connection:
        connection.send(head)
        first = connection.reader.peek()[:12].decode()
        if first.endswith("100"):
            connection.send(body)
        assert connection.answer("POST").status == 401
    head = request("POST", "/", bearer() | expect, body).removesuffix(body)
    with Connection(server.port) as connection:
        connection.send(head)
        connection.send(body)
        answer = connection.answer("POST")
        assert answer.status == 200, answer
        assert answer.json["sha256"] == sha256(body).hexdigest()
    note("100, then 401" if first.endswith("100") else "401")


def test_websocket(server: Server) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = ask(server, request(headers=upgrade))
    assert (answer.status, answer.reached_the_app) == (401, False)
    assert ask(server, request(headers=upgrade | bearer())).json["REMOTE_USER"] == "42"


def test_locked_database(server: Server, note: Note) -> None:
    """Requests are answered while a login waits for a file that another process has locked."""
    if not server.concurrent:
        pytest.skip("waits")
    assert ask(server, request("POST", "/token", JSON, login())).status == 200  # its first use
    assert ask(server, request(headers=bearer())).status == 200
    database = sqlite3.connect(server.folder / "sessions.db", isolation_level=None)
    with closing(database), Connection(server.port) as waiting:
        database.execute("BEGIN IMMEDIATE")
        waiting.send(request("POST", "/token", JSON, login()))
        for _ in range(20):
            assert ask(server, request(headers=bearer())).status == 200
        assert select.select([waiting.socket], [], [], 0)[0] == []
        database.execute("ROLLBACK")
        assert waiting.answer("POST").status == 200
    note("goes on")


def test_reload_under_load(server: Server, note: Note) -> None:
    """None without a token is let through while it loads the app again, and none fails."""
    if not server.reloads():
        pytest.skip("none")
    reloaded = threading.Event()

    def load(_: int) -> int:
        lost = 0
        while not reloaded.is_set():
            for headers, status in (({}, 401), (bearer(), 200)):
                try:
                    assert ask(server, request(headers=headers)).status == status
                except (ConnectionError, HTTPException):
                    lost += 1
        return lost

    before = _pids(server)
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(load, number) for number in range(4)]
        try:
            server.reload()
            while before & (now := _pids(server)):
                assert not any(one.done() for one in running)
        finally:
            reloaded.set()
    assert now.isdisjoint(before)
    lost = sum(one.result() for one in running)
    assert not lost or server.loses_requests
    note("may lose requests" if server.loses_requests else "loses none")


def _pids(server: Server) -> set[int]:
    pids = set()
    for _ in range(10):
        with suppress(ConnectionError, HTTPException):
            pids.add(ask(server, request(headers=bearer())).json["pid"])
    return pids

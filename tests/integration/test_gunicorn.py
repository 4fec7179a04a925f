"""The HTTP cases byte by byte: raw sockets, gunicorn, two workers of eight threads, preloaded."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware import JWTPayload, TokenIssuer, TokenVerifier

from ..site import AUD, ISS, KEYS, MARKER, PASSWORD, SECRET, b64, forge, good_claims
from ..table import table
from .gunicorns import gunicorn

ISSUER = TokenIssuer(keys=KEYS, issuer=ISS, audience=AUD)
VERIFIER = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD)

SETTINGS = """
workers = 2
worker_class = "gthread"
threads = 8
preload_app = True
control_socket_disable = True
permit_unconventional_http_method = True
errorlog = "-"
accesslog = "-"
access_log_format = "access %(m)s %(s)s user=%({REMOTE_USER}e)s"
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reached_the_app(self) -> bool:
        return "x-app" in self.headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """
    A gunicorn of our own.

    Attributes:
        log: All that it wrote.
    """

    def __init__(self, address: tuple[str, int], log: Path) -> None:
        self.address = address
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def send(self, octets: bytes) -> Answer:
        """Send octets as they are, and read one answer to its end."""
        with self.connect() as connection:
            connection.sendall(octets)
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        return parse(received)

    def ask(
        self,
        target: str = "/closed",
        *headers: str,
        method: str = "GET",
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> Answer:
        """Send a request with header lines as they are; text stands for its Latin-1 octets."""
        lines = [f"{method} {target} {version}", "Host: h", "Connection: close", *headers]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def parse(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return Answer(int(status_line.split(" ")[1]), headers, body)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gunicorn")
    with gunicorn(
        "tests.integration.gunicorn_app:application",
        folder=folder,
        settings=SETTINGS,
        environ={"ACCOUNTS_URL": f"sqlite:///{folder / 'accounts.db'}"},
    ) as running:
        started = Server(running.address, folder / "log")
        try:
            started.ask("/")
        except OSError:
            pytest.fail(f"gunicorn did not start:\n{started.log}")
        yield started


@pytest.fixture(autouse=True)
def healthy(server: Server) -> Iterator[None]:
    """After each test: no error in gunicorn's log, and the next good token gets its 200."""
    before = len(server.log)
    yield
    added = server.log[before:]
    assert "Traceback" not in added
    assert "Error handling request" not in added
    assert server.ask("/closed", bearer()).status == 200


def bearer(scope: str = "read") -> str:
    return f"Authorization: Bearer {ISSUER.issue(JWTPayload(uid=42, scope=scope)).token}"


def login_body(**fields: Any) -> bytes:
    login = {"account": "ann", "secret": PASSWORD, "type": "email", **fields}
    return json.dumps(login).encode()


def post(server: Server, body: bytes, *headers: str) -> Answer:
    kind = "Content-Type: application/json"
    return server.ask("/token", kind, *headers, method="POST", body=body)


def assert_m401(answer: Answer) -> None:
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "error" not in answer.headers["www-authenticate"]
    assert not answer.reached_the_app


def assert_r401(answer: Answer) -> None:
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert not answer.reached_the_app
    assert MARKER.encode() not in answer.body


def assert_b400(answer: Answer) -> None:
    assert answer.status == 400
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]
    assert not answer.reached_the_app


def test_no_bearer_token(server: Server) -> None:
    assert_m401(server.ask("/closed"))
    assert_m401(server.ask("/closed", "Authorization: Basic eDp5"))
    assert_m401(server.ask("/closed", version="HTTP/1.0"))


@table("scheme", ["bearer", "BEARER", "Bearer ", "bEaReR"])
@table("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_scheme_in_any_case(name: str, scheme: str, server: Server) -> None:
    token = bearer().rpartition(" ")[2]
    answer = server.ask("/closed", f"{name}: {scheme} {token}")
    assert answer.json["REMOTE_USER"] == "42"


@table(
    "value",
    ["", " ", "\t", "Bearer", "Bearer ", "Bearer\t{}", "Bearer {} x", "Bearer{}", "Bearertok"],
)
def test_not_exactly_one_token(value: str, server: Server) -> None:
    token = bearer().rpartition(" ")[2]
    assert_b400(server.ask("/closed", "Authorization:" + value.replace("{}", token)))


@table(
    ("first", "second"),
    [
        pytest.param("Bearer {}", "Bearer {}", id="the-same"),
        pytest.param("Bearer {}", "Bearer x", id="good-first"),
        pytest.param("Bearer x", "Bearer {}", id="good-second"),
        pytest.param("Basic eDp5", "Bearer {}", id="basic-first"),
        pytest.param("Bearer {}", "Basic eDp5", id="basic-second"),
        pytest.param("", "Bearer {}", id="empty-first"),
        pytest.param("Bearer {}", "", id="empty-second"),
    ],
)
def test_two_authorization_headers(first: str, second: str, server: Server) -> None:
    token = bearer().rpartition(" ")[2]
    headers = [f"Authorization: {value}".replace("{}", token) for value in (first, second)]
    assert_b400(server.ask("/closed", *headers))


def test_token_elsewhere(server: Server) -> None:
    token = bearer().rpartition(" ")[2]
    form = f"access_token={token}".encode()
    assert_m401(server.ask(f"/closed?access_token={token}"))
    assert_m401(
        server.ask("/closed", f"Cookie: access_token={token}; Authorization=Bearer {token}")
    )
    assert_m401(
        server.ask(
            "/closed",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(form)}",
            method="POST",
            body=form,
        )
    )
    assert_m401(server.ask("/closed", f"Proxy-Authorization: Bearer {token}"))


@table("name", ["Remote-User", "Remote_User", "REMOTE_USER", "remote-user",
                                  "AUTH_TYPE", "Auth-Type", "X-Remote-User"])  # fmt: skip
def test_identity_headers(name: str, server: Server) -> None:
    seen = server.ask("/open", f"{name}: root").json
    assert "REMOTE_USER" not in seen
    assert "AUTH_TYPE" not in seen
    assert "HTTP_REMOTE_USER" not in seen
    assert seen["claims"] is None
    seen = server.ask("/open", f"{name}: root", bearer()).json
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == ("42", "Bearer")
    assert "HTTP_REMOTE_USER" not in seen


@table("method", ["HEAD", "PUT", "OPTIONS", "GET", "POST", "DELETE", "PATCH",
                                    "TRACE", "PROPFIND", "FOO", "get", "bAr",
                                    "M-SEARCH"])  # fmt: skip
def test_every_method_needs_a_token(method: str, server: Server) -> None:
    answer = server.ask("/closed", method=method)
    assert_m401(answer)
    if method == "HEAD":
        assert answer.body == b""
        assert int(answer.headers["content-length"]) > 0
    assert_m401(server.ask("/admin/x", "X-HTTP-Method-Override: GET", method=method))


TARGETS = [
    "/admin", "/admin/", "//admin", "/./admin", "/x/../admin", "/%2e%2e/admin", "/x/%2e%2e/admin",
    "/x/%2E%2E%2Fadmin", "/x/%252e%252e/admin", "/ADMIN", "/Admin/x", "/%61dmin", "/%2561dmin",
    "/admin%2fx", "/admin;x", "/admin;/x", "/x/..;/admin", "/\\admin", "/x%5c..%5cadmin",
    "/admin%00",
    "/admin%0a", "/admin%0d%0a", "/admin?x=/open", "/admin#x", "//admin/../open", "/admin/../open",
    "/admin/..;/open", "/%ef%bc%81dmin/../admin", "/%ef%bd%81dmin", "/adm%c4%b1n", "/admin%ff",
    "/ad%ffmin", "/admin%2f..%2fopen", "/;/admin", "/%00/../admin", "/open/%2e%2e/admin",
    "/%2fadmin",
]  # fmt: skip


@table("target", TARGETS)
def test_still_protected(target: str, server: Server) -> None:
    anonymous, scopeless = server.ask(target), server.ask(target, bearer())
    assert not anonymous.reached_the_app, anonymous.body
    assert not scopeless.reached_the_app or "admin" not in scopeless.json["PATH_INFO"].lower()
    assert anonymous.status in {400, 401}


@table(
    "target", ["http://x//api", "http://x/api", "https://x/api/y", "http://x/open/../api",
               "HTTP://x//api", "http://x/%61pi", "//x/api/../../api", "http://x"],
)  # fmt: skip
def test_absolute_form(target: str, server: Server) -> None:
    answer = server.ask(target)
    if target == "http://x":  # gunicorn makes an empty path of it, which no rule names
        assert not answer.reached_the_app
        return
    assert_m401(answer)
    assert not server.ask(target, bearer()).reached_the_app


@table(
    "target",
    ["/caf%C3%A9", "/caf%E9", "/caf\xe9", "/caf\xc3\xa9", "/cafe%CC%81", "/caf%C3%A9%FF",
     "/caf%FF%C3%A9", "/CAF%C3%89", "/caf%25C3%25A9", "/caf%C3%A9/", "/caf%C3%A9/../caf%E9",
     "/\xff",
     "/%FF", "/%C0%AF", "/%ED%A0%80", "/%F4%90%80%80", "/%", "/%zz", "/%C3"],
)  # fmt: skip
def test_no_bypass_and_no_error(target: str, server: Server) -> None:
    for headers in ((), (bearer(),)):
        answer = server.ask(target, *headers)
        assert answer.status < 500
        if answer.reached_the_app:
            # The route of the app that the rule is about is never it, however it decodes.
            path = answer.json["PATH_INFO"].encode("latin-1")
            for errors in ("ignore", "replace", "surrogateescape"):
                assert path.decode("utf-8", errors).rstrip("/") != "/café"
            assert path.decode("latin-1") != "/café"


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"])
def test_method_override(header: str, server: Server) -> None:
    assert server.ask("/items/1").reached_the_app
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        for wanted in ("DELETE", "delete", " Delete "):
            assert_m401(server.ask("/items/1", f"{header}: {wanted}", method=method))
            scopeless = server.ask("/items/1", f"{header}: {wanted}", bearer(), method=method)
            assert scopeless.status == 403


def test_a_client_cannot_move_the_mount_point(server: Server) -> None:
    # gunicorn accepts SCRIPT_NAME from a trusted peer, and loopback is one by default.
    answer = server.ask("/admin/x", "SCRIPT_NAME: /admin")
    assert not answer.reached_the_app or answer.json["PATH_INFO"] == "/x"
    answer = server.ask("/open/x", "PATH_INFO: /admin", "Path-Info: /admin")
    assert answer.json["PATH_INFO"] == "/open/x"


@pytest.mark.parametrize("length", [65_537, 10_000_000_000, 10**30])
def test_announced_too_long_is_answered_before_it_is_sent(length: int, server: Server) -> None:
    began = time.monotonic()
    answer = post(server, b"x", f"Content-Length: {length}")
    assert answer.status == 413
    assert time.monotonic() - began < 5, "the server waited for a body that never came"


@table("length", ["-1", "abc", "1e3", "0x10", "+5", "1,1", "", "1 1", "9" * 5000])
def test_content_length_of_no_number(length: str, server: Server) -> None:
    assert 400 <= post(server, b"{}", f"Content-Length: {length}").status < 500


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


CHUNKED = "Transfer-Encoding: chunked"


def test_chunked(server: Server) -> None:
    body = login_body()
    assert post(server, chunked(body), CHUNKED).status == 200
    assert post(server, chunked(*(bytes([octet]) for octet in body)), CHUNKED).status == 200
    assert post(server, chunked(body, end=b"0\r\nX-Trailer: a\r\n\r\n"), CHUNKED).status == 200
    assert post(server, chunked(b" " * 65_536, b" "), CHUNKED).status == 413
    assert post(server, chunked(login_body(secret="wrong")), CHUNKED).status == 401


@table(
    "body",
    [
        pytest.param(b"zz\r\n{}\r\n0\r\n\r\n", id="size-of-no-number"),
        pytest.param(b"-2\r\n{}\r\n0\r\n\r\n", id="negative-size"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", id="size-with-prefix"),
        pytest.param(b"2_0\r\n{}\r\n0\r\n\r\n", id="size-with-underscore"),
        pytest.param(b"\r\n{}\r\n0\r\n\r\n", id="no-size"),
        pytest.param(b"2;\x00\r\n{}\r\n0\r\n\r\n", id="bad-extension"),
        pytest.param(b"2\r\n{}xx0\r\n\r\n", id="no-terminator"),
        pytest.param(b"2\n{}\n0\n\n", id="bare-newlines"),
        pytest.param(b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n", id="trailer-without-colon"),
        pytest.param(b"2\r\n{}\r\n0\r\n: x\r\n\r\n", id="trailer-without-name"),
        pytest.param(b"2\r\n{}\r\n0\r\nA\x00: x\r\n\r\n", id="trailer-with-nul"),
        pytest.param(b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 500 + b"\r\n", id="500-trailers"),
        pytest.param(b"f" * 9000 + b"\r\n", id="endless-size"),
        pytest.param(b"f" * 16 + b"\r\n", id="huge-size"),
    ],
)
def test_broken_chunks(body: bytes, server: Server) -> None:
    with server.connect() as connection:
        head = f"POST /token HTTP/1.1\r\nHost: h\r\n{CHUNKED}\r\nContent-Type: application/json"
        connection.sendall(head.encode() + b"\r\nConnection: close\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert parse(received).status == 400


@table(
    "sent",
    [
        pytest.param(b"", id="nothing-of-the-body"),
        pytest.param(b'{"account": "a', id="half-of-the-body"),
    ],
)
@table("framing", ["Content-Length: 60", CHUNKED])
@table("reset", [False, True], ids=["close", "reset"])
def test_early_disconnect(
    sent: bytes,
    framing: str,
    reset: bool,  # noqa: FBT001
    server: Server,
) -> None:
    head = f"POST /token HTTP/1.1\r\nHost: h\r\n{framing}\r\nContent-Type: application/json\r\n\r\n"
    for _ in range(5):
        connection = server.connect()
        connection.sendall(head.encode() + sent)
        if reset:
            linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    assert post(server, chunked(login_body()), CHUNKED).status == 200


def test_a_body_that_nobody_read_does_not_become_the_next_request(server: Server) -> None:
    smuggled = f"GET /admin/x HTTP/1.1\r\nHost: h\r\n{bearer('admin')}\r\n\r\n".encode()
    with server.connect() as connection:
        connection.sendall(
            b"POST /closed HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
            + smuggled
            + b"GET /closed HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert b"HTTP/1.1 200" not in received
    assert b"X-App" not in received


def test_keep_alive_carries_no_identity_over(server: Server) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    users = []
    for headers in ({}, dict([bearer("a").split(": ")]), {}, {"Authorization": "Bearer x"}, {}):
        connection.request("GET", "/open", headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        users.append(body.get("REMOTE_USER") if answer.status == 200 else answer.status)
    connection.close()
    assert users == [None, "42", None, 401, None]


@table(
    ("content_type", "status"),
    [("", 415), ("text/plain", 415), ("application/json; charset=utf-16", 415),
     ("multipart/form-data", 415), ("application/json", 200),
     ("application/json\t;charset=UTF-8", 200),
     ("application/x-www-form-urlencoded", 400), ("\xff", 415), ("application/json;" * 100, 200)],
)  # fmt: skip
def test_content_type(content_type: str, status: int, server: Server) -> None:
    body = login_body()
    headers = [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    assert server.ask("/token", *headers, method="POST", body=body).status == status


@table(
    "token",
    [
        pytest.param("x", id="x"),
        pytest.param("." * 4000, id="dots"),
        pytest.param("a" * 8000, id="letters"),
        pytest.param("\xe9\xff", id="latin-1"),
        pytest.param(forge({"alg": "none"}), id="none"),
        pytest.param(forge(payload=good_claims(exp=1)), id="expired"),
        pytest.param(forge(payload=b"[" * 5000), id="nested"),
        pytest.param(forge(payload=good_claims(exp=2e9), sign=lambda _: b"\0" * 32), id="forged"),
    ],
)
def test_r401(token: str, server: Server) -> None:
    assert_r401(server.ask("/closed", f"Authorization: Bearer {token}"))
    assert_r401(server.ask("/open", f"Authorization: Bearer {token}"))


def test_nothing_of_the_client_reaches_the_answers_head(server: Server) -> None:
    for language in ("zh\t", "zh;q=1e999,en", "*" * 4000, "zh-\xff", "zh;q=nan", ";;;,,,q=zh"):
        answer = server.ask("/closed", f"Accept-Language: {language}")
        assert_m401(answer)
        assert answer.headers["content-language"] in {"en", "zh"}


def test_remote_user_in_the_access_log(server: Server) -> None:
    hostile = forge(payload=good_claims(sub="a\nb", exp=time.time() + 60, iat=1, nbf=1))
    assert_r401(server.ask("/open", f"Authorization: Bearer {hostile}"))
    server.ask("/open", "Remote-User: forged-user", bearer())
    assert "user=42" in server.log
    assert "forged-user" not in server.log


@pytest.mark.slow
def test_preloaded_workers_and_threads_share_nothing(server: Server) -> None:
    logins, clients = 1_600, 16
    body = login_body()

    def log_in_often(count: int) -> list[tuple[int, str]]:
        connection = http.client.HTTPConnection(*server.address, timeout=60)
        tokens = []
        for number in range(count):
            if number % 25 == 0:  # now and then another worker's turn
                connection.close()
            connection.request("POST", "/token", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            token = json.loads(content).get("access_token", "") if answer.status == 200 else ""
            connection.request("GET", "/closed", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            pid = json.loads(answer.read()).get("pid", 0)
            tokens.append((pid, token))
        connection.close()
        return tokens

    with ThreadPoolExecutor(clients) as pool:
        batches = pool.map(log_in_often, [logins // clients] * clients)
        tokens = [token for batch in batches for token in batch]
    assert len({pid for pid, _ in tokens}) == 2
    assert len({VERIFIER.verify(token).claims["jti"] for _, token in tokens}) == logins


def test_gunicorns_log_holds_nothing_secret(server: Server) -> None:
    log = server.log
    assert log.count("jwt_middleware INFO request.refused") > 10
    for word in (MARKER, PASSWORD, SECRET.decode(), b64(SECRET), "Traceback"):
        assert word not in log
    assert re.search(r"eyJ[A-Za-z0-9_-]{8}", log) is None

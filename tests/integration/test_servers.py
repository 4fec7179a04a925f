"""The same answers under every server: real sockets on loopback."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from cheroot import wsgi as cheroot
from waitress import wasyncore
from waitress.server import create_server
from werkzeug.serving import make_server as make_werkzeug_server

from jwt_middleware import (
    JWTMiddleware,
    JWTPayload,
    Key,
    KeySet,
    Policy,
    Rule,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
)
from jwt_middleware.errors import BadCredentialsError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEYS = KeySet([Key.from_secret(b"k" * 32, kid="2026-11")])
ISSUER = TokenIssuer(keys=KEYS, issuer="https://auth", audience="api")
LOGIN = json.dumps({"account": "ann", "secret": "right", "type": "email"}).encode()

Server = tuple[str, int]


def whoami(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("REMOTE_USER", "nobody").encode()]


def verify(account: str, secret: str) -> object:
    if secret != "right":
        raise BadCredentialsError
    return {"uid": 42, "scope": "read"}


def protected() -> JWTMiddleware:
    return JWTMiddleware(
        whoami,
        verifier=TokenVerifier(keys=KEYS, issuer="https://auth", audience="api"),
        policy=Policy([Rule("/public", access="public"), Rule("/admin/*", scopes=["admin"])]),
        endpoint=TokenEndpoint(issuer=ISSUER, verifiers={"email": verify}),
    )


@contextmanager
def in_thread(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(10)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None: ...


class ThreadingWSGIServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def wsgiref_server(app: WSGIApplication) -> Iterator[Server]:
    with (
        make_server("127.0.0.1", 0, app, ThreadingWSGIServer, Quiet) as server,
        in_thread(server.serve_forever, server.shutdown),
    ):
        yield "127.0.0.1", server.server_port


@contextmanager
def werkzeug_server(app: WSGIApplication) -> Iterator[Server]:
    server = make_werkzeug_server("127.0.0.1", 0, app, threaded=True, request_handler=None)
    server.log = lambda *_, **__: None  # type: ignore[method-assign]  # its lines are not ours
    with in_thread(server.serve_forever, server.shutdown):
        yield "127.0.0.1", server.server_port
    server.server_close()


@contextmanager
def waitress_server(app: WSGIApplication) -> Iterator[Server]:
    sockets: dict[int, Any] = {}
    server = create_server(app, map=sockets, host="127.0.0.1", port=0, threads=2)
    stopping = threading.Event()

    def run() -> None:  # as its own run(), which nothing but a signal ends
        while not stopping.is_set():
            wasyncore.loop(timeout=1, map=sockets, count=1)

    def stop() -> None:
        stopping.set()
        server.pull_trigger()

    with in_thread(run, stop):
        yield "127.0.0.1", server.effective_port
    server.task_dispatcher.shutdown()
    wasyncore.close_all(sockets)


@contextmanager
def cheroot_server(app: WSGIApplication) -> Iterator[Server]:
    server = cheroot.Server(("127.0.0.1", 0), app, numthreads=2)
    server.prepare()
    with in_thread(server.serve, server.stop):
        yield "127.0.0.1", server.bind_addr[1]


@pytest.fixture(
    scope="module",
    params=[wsgiref_server, werkzeug_server, waitress_server, cheroot_server],
    ids=lambda start: start.__name__.removesuffix("_server"),
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param(protected()) as address:
        yield address


def ask(
    server: Server, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection(*server, timeout=60)) as connection:
        # A server may answer and close before it has read the body; the answer is there to read.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, named, encode_chunked=isinstance(body, Iterator))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def bearer(scope: str = "") -> str:
    return f"Bearer {ISSUER.issue(JWTPayload(uid=42, scope=scope)).token}"


def test_good_token_reaches_the_app(server: Server) -> None:
    status, _, text = ask(server, "GET", "/", Authorization=bearer())
    assert (status, text) == (200, "42")


def test_missing_token_is_challenged(server: Server) -> None:
    status, headers, _ = ask(server, "GET", "/")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')


@pytest.mark.parametrize("name", ["Remote_User", "Remote-User", "REMOTE_USER"])
def test_client_cannot_name_itself(server: Server, name: str) -> None:
    connection = http.client.HTTPConnection(*server, timeout=60)
    connection.request("GET", "/public", headers={name: "root"})
    answer = connection.getresponse()
    assert answer.read() == b"nobody"
    connection.close()


@pytest.mark.parametrize(
    "path", ["//admin", "/x/../admin", "/%61dmin", "/admin%2Fx", "/%2e/admin", "/admin;x/y"]
)
def test_no_spelling_of_a_path_needs_less(server: Server, path: str) -> None:
    assert ask(server, "GET", path)[0] in {400, 401}
    assert ask(server, "GET", path, Authorization=bearer())[0] in {400, 403}


def test_login_gets_a_token_that_is_accepted(server: Server) -> None:
    status, headers, text = ask(server, "POST", "/token", LOGIN, Content_Type="application/json")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    granted = f"Bearer {json.loads(text)['access_token']}"
    assert ask(server, "GET", "/", Authorization=granted)[0] == 200


def test_chunked_login_works_or_is_refused_where_the_server_reads_no_chunks(
    server: Server, request: pytest.FixtureRequest
) -> None:
    status, _, _ = ask(
        server, "POST", "/token", iter([LOGIN[:9], LOGIN[9:]]), Content_Type="application/json"
    )
    reads_chunks = "wsgiref" not in request.node.name
    assert status == (200 if reads_chunks else 400)


def test_too_long_a_body_is_413(server: Server) -> None:
    body = LOGIN.ljust(65 * 1024)
    assert ask(server, "POST", "/token", body, Content_Type="application/json")[0] == 413


def test_head_has_no_body(server: Server) -> None:
    assert ask(server, "HEAD", "/")[0] == 401

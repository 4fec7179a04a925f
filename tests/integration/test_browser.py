"""A page on another port, in a real Chromium: what it can read, and what it cannot send."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from jwt_middleware import (
    CORS,
    JWTMiddleware,
    JWTPayload,
    Key,
    KeySet,
    MemorySessions,
    Policy,
    Rule,
    Sessions,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
    WellKnown,
)
from jwt_middleware.errors import BadCredentialsError
from jwt_middleware.wsgi.metadata import jwks_document

from .chromium import Page, chromium, needs_chromium

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

pytestmark = [pytest.mark.full, needs_chromium]

KEYS = KeySet([Key.generate("ES256", kid="2026-11")])
NAMES: dict[str, Any] = {"issuer": "https://auth.example.com", "audience": "api"}
FETCH = """
(async () => {
  try {
    const answer = await fetch(%s, %s);
    const text = await answer.text();
    let body = text;
    try { body = JSON.parse(text) } catch {}
    return {status: answer.status, body, type: answer.type,
            challenge: answer.headers.get("WWW-Authenticate"),
            retry: answer.headers.get("Retry-After"),
            other: answer.headers.get("Vary")};
  } catch (error) { return String(error) }
})()
"""


class Quiet(WSGIRequestHandler):
    def log(self, *arguments: object) -> None: ...


@contextmanager
def serving(app: WSGIApplication) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = Thread(target=server.serve_forever, args=(0.02,))  # looks for its end so often
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def blank(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"<!doctype html><title>A page</title>"]


def verify(account: str, secret: str) -> object:
    if (account, secret) != ("ann@example.com", "right"):
        raise BadCredentialsError
    return {"uid": 42, "scope": "read"}


class API:
    """
    An app with CORS headers of its own behind the middleware.

    Attributes:
        sent: Path and scheme of the credentials of all requests.
        calls: Method and path of those that reached the app.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.sent: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str]] = []
        issuer = TokenIssuer(keys=KEYS, **NAMES)
        self.issuer = issuer
        sessions = Sessions(store=MemorySessions(), issuer=issuer, max_delay_seconds=0)
        verifier = TokenVerifier(keys=KEYS, is_revoked=sessions.revocations, **NAMES)
        self.middleware = JWTMiddleware(
            self.app,
            verifier=verifier,
            policy=Policy(
                [
                    Rule("/items/*", preflight=True),
                    Rule("/api/*", preflight=True),
                    Rule("/admin", scopes=["admin"], preflight=True),
                    Rule("/simple/*", basic=True),
                ]
            ),
            endpoint=TokenEndpoint(
                issuer=issuer,
                verifiers={"email": verify},
                lookups={"email": lambda uid: {"uid": uid, "scope": "read"}},
                sessions=sessions,
                verifier=verifier,
            ),
            well_known=WellKnown([jwks_document(KEYS, issuer=issuer.issuer)]),
            cors=CORS([origin], headers=["X-Request-Id"]),
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        scheme = environ.get("HTTP_AUTHORIZATION", "").partition(" ")[0]
        self.sent.append((environ["PATH_INFO"], scheme))
        return self.middleware(environ, start_response)

    def app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        headers = [("Content-Type", "application/json"), ("Vary", "Origin")]
        if environ.get("HTTP_ORIGIN") == self.origin:
            headers.append(("Access-Control-Allow-Origin", self.origin))
        start_response("200 OK", headers)
        return [json.dumps({"user": environ.get("REMOTE_USER")}).encode()]

    def token(self, **options: Any) -> str:
        return self.issuer.issue(JWTPayload(uid=42, scope="read"), **options).token


class Site:
    """The API, a page that it names and one that it does not, and the browser."""

    def __init__(self, page: Page, api: API, url: str, named: str, other: str) -> None:
        self.page, self.api, self.url, self.named, self.other = page, api, url, named, other

    def fetch(self, path: str, **options: Any) -> Any:
        return self.page.run(FETCH % (json.dumps(self.url + path), json.dumps(options)))

    def with_token(self, path: str, token: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return self.fetch(path, headers=headers, **options)

    def log_in(self, secret: str = "right") -> Any:
        login = {"account": "ann@example.com", "secret": secret, "type": "email"}
        headers = {"Content-Type": "application/json"}
        return self.fetch("/token", method="POST", headers=headers, body=json.dumps(login))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        named, other = stack.enter_context(serving(blank)), stack.enter_context(serving(blank))
        api = API(named)
        url = stack.enter_context(serving(api))
        yield Site(stack.enter_context(chromium(tmp_path)), api, url, named, other)


def test_page_of_a_named_origin_logs_in_calls_refreshes_and_logs_out(site: Site) -> None:
    site.page.open(site.named)
    login = site.log_in()
    assert (login["status"], login["type"]) == (200, "cors")
    token, refresh = login["body"]["access_token"], login["body"]["refresh_token"]
    assert site.with_token("/items/1", token)["body"] == {"user": "42"}
    put = site.with_token("/items/1", token, method="PUT", headers={"X-Request-Id": "7"})
    assert put["body"] == {"user": "42"}
    grant = f"grant_type=refresh_token&refresh_token={refresh}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refreshed = site.fetch("/token", method="POST", headers=form, body=grant)
    assert refreshed["status"] == 200
    token = refreshed["body"]["access_token"]
    assert site.with_token("/token/logout", token, method="POST")["status"] == 204
    ended = site.with_token("/items/1", token)
    assert (ended["status"], ended["body"]["code"]) == (401, "revoked_token")
    assert site.fetch("/.well-known/jwks.json")["body"]["keys"][0]["kid"] == "2026-11"
    # Every preflight was answered by the middleware.
    assert {method for method, _ in site.api.calls} == {"GET", "PUT"}


def test_page_of_a_named_origin_reads_why_it_is_refused(site: Site) -> None:
    site.page.open(site.named)
    expired = site.with_token("/items/1", site.api.token(lifetime_seconds=-1))
    assert (expired["status"], expired["body"]["code"]) == (401, "expired_token")
    assert 'error="invalid_token"' in expired["challenge"]
    assert expired["other"] is None  # what is not exposed
    missing = site.fetch("/items/1")
    assert (missing["status"], missing["challenge"]) == (401, 'Bearer realm="api"')
    lacking = site.with_token("/admin", site.api.token())
    assert (lacking["status"], lacking["body"]["code"]) == (403, "insufficient_scope")
    assert site.log_in("wrong")["body"]["code"] == "bad_credentials"
    while (limited := site.log_in("wrong"))["status"] == 401:
        pass
    assert limited["status"] == 429
    assert int(limited["retry"]) > 0


def test_script_of_the_documentation_runs(site: Site) -> None:
    text = (Path(__file__).parents[2] / "docs" / "browsers.md").read_text("utf-8")
    (script,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    site.page.open(site.named)
    given = {"api": site.url, "account": "ann@example.com", "secret": "right"}
    values = "".join(f"const {name} = {json.dumps(value)};" for name, value in given.items())
    assert site.page.run(f"(async () => {{ {values} {script} return me.status }})()") == 200
    assert site.api.calls == [("GET", "/api/me")]


def test_what_a_preflight_may_not_ask_for_is_not_sent(site: Site) -> None:
    site.page.open(site.named)
    token = site.api.token()
    refused = site.with_token("/items/1", token, headers={"X-Other": "1"})
    assert refused == "TypeError: Failed to fetch"
    assert site.with_token("/elsewhere", token) == "TypeError: Failed to fetch"
    assert site.with_token("/admin", token, method="LOCK") == "TypeError: Failed to fetch"
    assert site.api.calls == []


def test_page_of_another_origin_reads_nothing(site: Site) -> None:
    site.page.open(site.other)
    token = site.api.token()
    simple = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "account=ann%40example.com&secret=right&type=email"
    asked: list[Callable[[], Any]] = [
        site.log_in,
        lambda: site.fetch("/token", method="POST", headers=simple, body=body),
        lambda: site.fetch("/items/1"),
        lambda: site.with_token("/items/1", token),
        lambda: site.with_token("/token/logout", token, method="POST"),
        lambda: site.fetch("/.well-known/jwks.json"),
    ]
    for ask in asked:
        assert ask() == "TypeError: Failed to fetch"
    assert site.api.calls == []
    opaque = site.fetch("/items/1", mode="no-cors")
    assert (opaque["status"], opaque["body"], opaque["type"]) == (0, "", "opaque")


def test_basic_that_the_browser_sends_by_itself_is_of_the_own_pages_alone(site: Site) -> None:
    host = site.url.removeprefix("http://")
    site.page.open(f"http://__token__:{site.api.token()}@{host}/simple/typed")
    assert json.loads(site.page.run("document.body.innerText")) == {"user": "42"}
    assert site.fetch("/simple/own")["body"] == {"user": "42"}
    expected = [("GET", "/simple/typed"), ("GET", "/simple/own")]
    assert site.api.calls == expected
    # The other page is of the same site (a port is no part of it), which is not enough.
    site.page.open(site.other)
    for options in ({}, {"method": "POST"}):
        site.fetch("/simple/stolen", mode="no-cors", credentials="include", **options)
    site.page.run(
        "new Promise(done => { const image = new Image(); image.onerror = done;"
        f" image.src = {json.dumps(site.url + '/simple/image')} }})"
    )
    site.page.open(site.other)
    site.page.run(f"document.body.innerHTML = '<a href={site.url}/simple/link>go</a>'")
    site.page.follow("document.querySelector('a').click()")
    assert "cross_site" in site.page.run("document.body.innerText")
    for path in ("/simple/stolen", "/simple/image", "/simple/link"):
        assert (path, "Basic") in site.api.sent
    assert site.api.calls == expected

"""Requests as WSGI has them; integration/test_gunicorn.py sends such over a socket."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware import JWTMiddleware, Policy, Responses, Rule, TokenVerifier

from ..site import (
    AUD,
    ISS,
    KEYS,
    NOW,
    Refusals,
    Site,
    forge,
    good_claims,
    good_token,
    token_endpoint,
    token_with,
)
from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PUBLIC = Policy([Rule("/open/*", access="public"), Rule("/maybe/*", access="optional")])


@pytest.mark.parametrize("name", ["access_token", "token", "jwt", "Authorization", "bearer"])
def test_token_elsewhere(name: str, site: Site, refusals: Refusals) -> None:
    token = good_token()
    refusals.m401(site.web.get("/", params={name: token}, status="*"))
    refusals.m401(site.web.post("/", params={name: token}, status="*"))
    refusals.m401(site.web.get("/", headers={"Cookie": f"{name}={token}"}, status="*"))
    refusals.m401(site.web.get("/", headers={f"X-{name}": f"Bearer {token}"}, status="*"))
    refusals.m401(site.web.get("/", headers={"Proxy-Authorization": f"Bearer {token}"}, status="*"))
    assert site.calls == []


IDENTITIES = (
    "jwt_middleware.claims",
    "jwt_middleware.error",
    "REMOTE_USER",
    "AUTH_TYPE",
    "HTTP_REMOTE_USER",
)


@pytest.mark.parametrize("path", ["/open/x", "/maybe/x", "/closed"])
def test_forged_identity_never_reaches_the_app(path: str) -> None:
    site = Site(policy=PUBLIC)
    forged: dict[str, Any] = dict.fromkeys(IDENTITIES, "root")
    forged["jwt_middleware.claims"] = {"sub": "root"}
    site.web.get(path, extra_environ=forged, status="*")
    for environ in site.calls:
        assert "root" not in [environ.get(key) for key in IDENTITIES]
        assert "jwt_middleware.claims" not in environ
    authorization = f"Bearer {good_token()}"
    site.web.get(path, extra_environ={**forged, "HTTP_AUTHORIZATION": authorization}, status=200)
    environ = site.calls[-1]
    assert environ["REMOTE_USER"] == "42"
    assert environ["AUTH_TYPE"] == "Bearer"
    assert environ["jwt_middleware.claims"] == good_claims()
    assert "jwt_middleware.error" not in environ
    assert "HTTP_REMOTE_USER" not in environ


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "GET", "POST", "DELETE", "PATCH",
                                    "TRACE", "CONNECT", "PROPFIND"])  # fmt: skip
def test_every_method_needs_a_token(method: str, refusals: Refusals) -> None:
    site = Site(lint=method not in {"CONNECT", "PROPFIND"})
    answer = site.web.request("/", method=method, status="*")
    refusals.m401(answer)
    assert site.calls == []
    if method == "HEAD":
        assert answer.body == b""
        assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize("bad", [True, False], ids=["bad-token", "no-token"])
def test_head_of_every_refusal_has_no_body(bad: bool) -> None:  # noqa: FBT001
    site = Site(endpoint=token_endpoint())
    headers = {"Authorization": "Bearer x"} if bad else {}
    for path in ("/", "/token", "/token/"):
        assert site.web.head(path, headers=headers, status="*").body == b""


# What the app gets, and gives


class Unreadable(io.RawIOBase):
    """An input stream that must not be read."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("read") or name == "__iter__":
            pytest.fail(f"wsgi.input.{name} was asked for")
        return super().__getattribute__(name)


def direct(app: WSGIApplication, **settings: Any) -> JWTMiddleware:
    verifier = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
    return JWTMiddleware(app, verifier=verifier, **settings)


def environ_with(token: str | None = None, **more: Any) -> WSGIEnvironment:
    environ: WSGIEnvironment = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", **more}
    environ["wsgi.input"] = Unreadable()
    environ["CONTENT_LENGTH"] = "10"
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return environ


@pytest.mark.parametrize(
    ("token", "policy"),
    [
        pytest.param(None, None, id="missing"),
        pytest.param("x", None, id="bad"),
        pytest.param(good_token(), Policy([Rule("/*", scopes=["admin"])]), id="scope"),
        pytest.param(good_token(), None, id="let-through"),
    ],
)
def test_input_is_not_read(token: str | None, policy: Policy | None) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return []

    direct(app, policy=policy)(environ_with(token), lambda *_: lambda _: None)


@table(
    "scope",
    [None, 1, True, ["x admin", ["admin"]], {"admin": 1}, "Admin", "admins", "xadmin",
     "admin\tx", "admin\n", "admin,read", "admin:read", "", " ", "\u00a0admin", "ａdmin"],
    ids=repr,
)  # fmt: skip
def test_scope_is_words_between_spaces_and_nothing_else(scope: Any) -> None:
    site = Site(policy=Policy([Rule("/admin/*", scopes=["admin"])]))
    answer = site.ask(good_token(scope=scope), "/admin/x")
    assert answer.status_int == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert site.calls == []
    assert site.ask(good_token(scope="read  admin "), "/admin/x").status_int == 200


@given(
    st.text(st.characters(max_codepoint=255)),
    st.text(st.characters(max_codepoint=255)),
    st.sampled_from(["problem", "envelope"]),
)
def test_any_path_and_method_is_answered_in_both_styles(path: str, method: str, style: Any) -> None:
    answers: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise AssertionError("the app was called")

    policy = Policy([Rule("/a/*", scopes=["x"], methods=["GET"]), Rule("/b", access="public")])
    middleware = direct(app, policy=policy, responses=Responses(style=style))
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_AUTHORIZATION": "Bearer x"}

    def start_response(*args: Any) -> Any:
        answers.append(args)

    body = b"".join(middleware(environ, start_response))
    status, headers = answers[0]
    assert status == "401 Unauthorized"
    assert all(value.isascii() and value.isprintable() for _, value in headers)
    assert method == "HEAD" or json.loads(body)


def test_a_response_header_never_holds_what_the_client_sent(site: Site) -> None:
    for authorization in ('Bearer x"y', "Bearer x\r\nSet-Cookie:a=b", "Bearer \x7f\x80"):
        answer = site.ask(authorization=authorization)
        assert answer.status_int in {400, 401}
        assert "Set-Cookie" not in answer.headers
        assert authorization[7:10] not in str(answer.headers)


def test_a_forged_token_is_refused_on_public_paths_too(refusals: Refusals) -> None:
    site = Site(policy=PUBLIC)
    for path in ("/open/x", "/maybe/x"):
        assert site.ask(forge(sign=lambda _: b"\0" * 32), path).status_int == 401
        assert site.ask(path=path).status_int == 200
        assert site.ask(token_with(""), path).status_int == 200

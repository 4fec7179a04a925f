"""Cases 60 to 80 as WSGI sees them; test_gunicorn.py has the same over a socket."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp

from jwt_middleware import JWTMiddleware, Policy, Responses, Rule, TokenVerifier
from jwt_middleware.wsgi.responses import preferred_language

from .support import (
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

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PUBLIC = Policy([Rule("/open/*", access="public"), Rule("/maybe/*", access="optional")])


@pytest.mark.parametrize(
    "authorization",
    [None, "Basic eDp5", "basic", "Negotiate abc", "Digest username=x", "xBearer t"],
)
def test_case_60_no_bearer_token(authorization: str | None, site: Site, refusals: Refusals) -> None:
    refusals.m401(site.ask(authorization=authorization))
    assert site.calls == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEARER", "Bearer", "Bearer   "])
def test_case_61_scheme_in_any_case(scheme: str, site: Site) -> None:
    answer = site.ask(authorization=f"{scheme} {good_token()}")
    assert answer.status_int == 200


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("", id="nothing"),
        pytest.param(" ", id="space"),
        pytest.param("\t", id="tab-alone"),
        pytest.param("Bearer", id="no-token"),
        pytest.param("Bearer ", id="empty"),
        pytest.param("Bearer  \t ", id="blank"),
        pytest.param("Bearer\t{}", id="tab"),
        pytest.param("Bearer {} extra", id="extra-word"),
        pytest.param("Bearer {}, a=b", id="parameter"),
        pytest.param("Bearer token={}", id="equals"),
        pytest.param('Bearer "{}"', id="quoted"),
        pytest.param("Bearer{}", id="no-space"),
        pytest.param("Bearertok {}", id="longer-scheme"),
        pytest.param("Bearer: {}", id="colon"),
        pytest.param("Bearer Bearer {}", id="twice"),
        pytest.param("Bearer\n {}", id="newline"),
        pytest.param("Bearer\xa0{}", id="no-break-space"),
    ],
)
def test_case_62_not_exactly_one_token(authorization: str, site: Site, refusals: Refusals) -> None:
    answer = site.ask(authorization=authorization.replace("{}", good_token()))
    if "token=" in authorization or '"' in authorization:
        assert answer.status_int == 401  # one word, though no token
    else:
        refusals.b400(answer)
    assert site.calls == []
    site.accepts(good_token())


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer {},Bearer {}",
        "Bearer {}, Bearer x",
        "Basic eDp5,Bearer {}",
        "Basic eDp5, bearer {}",
        "Bearer {},Basic eDp5",
        "Digest a=b,\tBEARER {}",
        ",Bearer {}",
        "Bearer ,{}",
    ],
)
def test_case_63_two_authorization_headers(
    authorization: str, site: Site, refusals: Refusals
) -> None:
    refusals.b400(site.ask(authorization=authorization.replace("{}", good_token())))
    assert site.calls == []


@pytest.mark.parametrize("name", ["access_token", "token", "jwt", "Authorization", "bearer"])
def test_case_65_token_elsewhere(name: str, site: Site, refusals: Refusals) -> None:
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
def test_case_67_forged_identity_never_reaches_the_app(path: str) -> None:
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


@pytest.mark.parametrize(
    "header", ["Remote-User", "Remote_User", "REMOTE_USER", "Auth-Type", "Jwt-Middleware.claims"]
)
def test_case_67_identity_headers(header: str) -> None:
    site = Site(policy=PUBLIC)
    site.web.get("/open/x", headers={header: "root"})
    environ = site.calls[-1]
    assert not any(key in environ for key in IDENTITIES)


def test_case_67_endpoint_sees_no_identity_either() -> None:
    seen: list[WSGIEnvironment] = []

    class Endpoint:
        paths = ("/token",)

        def __call__(
            self, environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            seen.append(environ)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b""]

    site = Site()
    app = JWTMiddleware(site.middleware, verifier=site.verifier, endpoint=Endpoint())
    TestApp(app).get("/token", extra_environ=dict.fromkeys(IDENTITIES, "root"))
    assert not any(key in seen[0] for key in IDENTITIES)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "GET", "POST", "DELETE", "PATCH",
                                    "TRACE", "CONNECT", "PROPFIND"])  # fmt: skip
def test_case_70_every_method_needs_a_token(method: str, refusals: Refusals) -> None:
    site = Site(lint=method not in {"CONNECT", "PROPFIND"})
    answer = site.web.request("/", method=method, status="*")
    refusals.m401(answer)
    assert site.calls == []
    if method == "HEAD":
        assert answer.body == b""
        assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize("bad", [True, False], ids=["bad-token", "no-token"])
def test_case_70_head_of_every_refusal_has_no_body(bad: bool) -> None:  # noqa: FBT001
    site = Site(endpoint=token_endpoint())
    headers = {"Authorization": "Bearer x"} if bad else {}
    for path in ("/", "/token", "/token/"):
        assert site.web.head(path, headers=headers, status="*").body == b""


# What the app gets, and gives


class Body:
    """An iterable that cannot be mistaken for another."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"x"

    def close(self) -> None:
        self.closed += 1


class Unreadable(io.RawIOBase):
    """An input stream that nobody may touch."""

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


def test_iterable_start_response_and_environ_are_the_very_same() -> None:
    body = Body()
    seen: list[tuple[WSGIEnvironment, StartResponse]] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append((environ, start_response))
        return body

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[..., object]:
        raise AssertionError("nobody but the app may call it")

    environ = environ_with(good_token())
    assert direct(app)(environ, start_response) is body
    assert seen[0][0] is environ
    assert seen[0][1] is start_response
    assert body.closed == 0


def test_exc_info_reaches_the_server() -> None:
    calls: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        error = ValueError("x")
        start_response("500 Oh", [], (ValueError, error, None))  # type: ignore[arg-type]
        return []

    def start_response(*args: Any) -> Any:
        calls.append(args)

    direct(app)(environ_with(good_token()), start_response)
    assert calls[1][2][0] is ValueError


def test_errors_of_the_app_are_the_apps() -> None:
    from jwt_middleware.errors import InvalidTokenError, UnavailableError  # noqa: PLC0415

    for error in (InvalidTokenError("mine"), UnavailableError("mine"), RuntimeError("mine")):

        def app(environ: WSGIEnvironment, _: StartResponse, *, error: Exception = error) -> Any:
            raise error

        with pytest.raises(type(error), match="mine"):
            direct(app)(environ_with(good_token()), lambda *_: lambda _: None)


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


def test_what_the_app_does_to_its_claims_reaches_no_other_request(site: Site) -> None:
    token = good_token(nested={"list": [1]}, aud=["api", "b"])
    site.accepts(token)
    site.calls[-1]["jwt_middleware.claims"]["nested"]["list"].append(2)
    site.calls[-1]["jwt_middleware.claims"]["aud"].clear()
    site.calls[-1]["jwt_middleware.claims"]["scope"] = "admin"
    site.accepts(token)
    assert site.calls[-1]["jwt_middleware.claims"]["nested"] == {"list": [1]}
    assert site.calls[-1]["jwt_middleware.claims"]["aud"] == ["api", "b"]
    assert site.calls[-1]["jwt_middleware.claims"]["scope"] == "read"


@pytest.mark.parametrize(
    "scope",
    [None, 1, True, ["admin"], {"admin": 1}, "Admin", "admins", "xadmin", "admin\tx", "admin\n",
     "admin,read", "admin:read", "", " ", "\u00a0admin", "ａdmin"],
    ids=repr,
)  # fmt: skip
def test_scope_is_words_between_spaces_and_nothing_else(scope: Any) -> None:
    site = Site(policy=Policy([Rule("/admin/*", scopes=["admin"])]))
    answer = site.ask(good_token(scope=scope), "/admin/x")
    assert answer.status_int == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert site.calls == []
    assert site.ask(good_token(scope="read  admin "), "/admin/x").status_int == 200


LANGUAGES = st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.lists(
        st.sampled_from(["zh", "en", "-CN", "*", ";", "q=", "1e999", "nan", "-1", "0.5", ",", '"'])
    ).map("".join),
)  # fmt: skip


@given(LANGUAGES)
def test_any_accept_language_is_answered(value: str) -> None:
    assert preferred_language({"HTTP_ACCEPT_LANGUAGE": value}) in {"en", "zh"}
    assert preferred_language({"HTTP_ACCEPT_LANGUAGE": "zh," + value}) in {"en", "zh"}


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

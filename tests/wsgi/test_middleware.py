from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import falcon.asgi
import pytest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, KeySet, Policy, Rule, TokenVerifier
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.wsgi.metadata import Document, WellKnown

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOW = 1_800_000_000

Bearer = Callable[..., dict[str, str]]
Wrapped = Callable[..., TestApp]


def test_alone_it_protects_every_path(wrapped: Wrapped) -> None:
    answer = wrapped().get("/any/path", status=401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_good_token_reaches_the_app(wrapped: Wrapped, bearer: Bearer) -> None:
    assert wrapped().get("/", headers=bearer()).json["REMOTE_USER"] == "42"


@pytest.mark.parametrize("access", ["public", "optional"])
def test_bad_token_is_an_error_even_where_none_is_needed(
    access: Any, wrapped: Wrapped, bearer: Bearer
) -> None:
    app = wrapped(policy=Policy([Rule("/", access=access)]))
    assert app.get("/", headers=bearer(lifetime=0), status=401).json["code"] == "expired_token"
    assert app.get("/", headers={"Authorization": "Bearer"}, status=400)
    assert app.get("/", headers=bearer()).json["REMOTE_USER"] == "42"


def test_optional_rule_tells_the_app_why_there_are_no_claims(wrapped: Wrapped) -> None:
    answer = wrapped(policy=Policy([Rule("/", access="optional")])).get("/")
    assert answer.json == {"jwt_middleware.error": "missing_token"}


def test_other_scheme_reaches_the_app_on_a_public_path(wrapped: Wrapped) -> None:
    app = wrapped(policy=Policy([Rule("/", access="public")]))
    assert app.get("/", headers={"Authorization": "Basic eDp5"}).json == {}


@pytest.mark.parametrize(
    "value", ["Basic eDp5", "Bearer", "Bearer x.y.z", "Bearer a, Bearer b", ""]
)
def test_passthrough_leaves_the_header_to_the_app(value: str, verifier: TokenVerifier) -> None:
    seen: list[WSGIEnvironment] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
        return [b"its own"]

    policy = Policy([Rule("/git/*", access="passthrough")])
    web = TestApp(JWTMiddleware(app, verifier=verifier, policy=policy))
    forged = {"HTTP_AUTHORIZATION": value, "REMOTE_USER": "root", "jwt_middleware.claims": {}}
    assert web.get("/git/x", extra_environ=forged, status=401).text == "its own"
    assert seen[0]["HTTP_AUTHORIZATION"] == value
    assert not {"REMOTE_USER", "jwt_middleware.claims"} & seen[0].keys()
    web.get("//git/x", extra_environ={**forged, "PATH_INFO": "//git/x"}, status=[400, 401])
    assert len(seen) == 1


PREFLIGHT_HEADERS = {"Origin": "https://spa", "Access-Control-Request-Method": "POST"}


def test_preflight_of_anyone_gets_no_more_than_cors_headers(
    verifier: TokenVerifier, bearer: Bearer
) -> None:
    def view(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = [("Content-Type", "text/plain"), ("Set-Cookie", "a=b"), ("Vary", "Origin")]
        start_response("200 OK", [*headers, ("Access-Control-Allow-Origin", "*")])
        return [b"a view"]

    policy = Policy([Rule("/", methods=["POST"], preflight=True)])
    web = TestApp(JWTMiddleware(view, verifier=verifier, policy=policy))
    for headers in (PREFLIGHT_HEADERS, PREFLIGHT_HEADERS | bearer()):
        answer = web.options("/", headers=headers)
        assert answer.body == b""
        assert set(answer.headers) == {
            "Access-Control-Allow-Origin", "Vary", "Content-Type", "Content-Length",
        }  # fmt: skip
    assert web.options("/", headers=bearer()).body == b"a view"
    web.options("/", status=401)


def test_start_says_what_a_preflight_rule_opens(
    verifier: TokenVerifier, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy([Rule("/a", methods=["PUT", "POST"], preflight=True), Rule("/b")])
    JWTMiddleware(Endpoint(), verifier=verifier, policy=policy)
    (record,) = caplog.records
    assert "'/a'" in record.getMessage()
    assert "POST, PUT" in record.getMessage()


async def asgi(scope: object, receive: object, send: object) -> None: ...


class AsgiApp:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(asgi, id="function"),
        pytest.param(AsgiApp(), id="object"),
        pytest.param(functools.partial(asgi), id="partial"),
        pytest.param(falcon.asgi.App(), id="falcon"),
        pytest.param(lambda scope, receive, send: None, id="three-arguments"),
        pytest.param(lambda scope: None, id="one-argument"),
    ],
)
def test_app_that_is_not_wsgi_is_a_configuration_error(app: Any, verifier: TokenVerifier) -> None:
    with pytest.raises(ConfigurationError, match="WSGI"):
        JWTMiddleware(app, verifier=verifier)


def test_request_that_contradicts_itself_is_400_and_the_app_is_not_called(
    wrapped: Wrapped, bearer: Bearer
) -> None:
    forged = {"HTTP_SCRIPT_NAME": "/admin", "SCRIPT_NAME": "/admin"}
    answer = wrapped().get("/", headers=bearer(), extra_environ=forged, status=400)
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "invalid_request"


def test_missing_scope_is_403_and_names_it(wrapped: Wrapped, bearer: Bearer) -> None:
    app = wrapped(policy=Policy([Rule("/admin/*", scopes=["admin"])]))
    answer = app.get("/admin/x", headers=bearer("read"), status=403)
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="admin"' in answer.headers["WWW-Authenticate"]
    app.get("/admin/x", headers=bearer("read admin"), status=200)


def test_head_is_answered_without_a_body(wrapped: Wrapped) -> None:
    answer = wrapped().head("/", status=401)
    assert answer.body == b""
    assert int(answer.headers["Content-Length"]) > 0


def test_unavailable_revocation_is_503_and_the_app_is_not_called(
    keys: KeySet, wrapped: Wrapped, bearer: Bearer
) -> None:
    def ask(claims: object) -> bool:
        raise UnavailableError("store is down", retry_after_seconds=7)

    asking = TokenVerifier(
        keys=keys, issuer="https://auth", audience="api", clock=lambda: NOW, is_revoked=ask
    )
    answer = wrapped(verifier=asking).get("/", headers=bearer(), status=503)
    assert answer.headers["Retry-After"] == "7"
    assert "WWW-Authenticate" not in answer.headers


class Streaming:
    """An app whose iterable, headers and errors are its own."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"part"

    def close(self) -> None:
        self.closed = True


def test_iterable_and_start_response_pass_through_untouched(
    verifier: TokenVerifier, bearer: Bearer
) -> None:
    iterable = Streaming()
    seen: list[object] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(start_response)
        return iterable

    def start_response(*args: object) -> Any:
        raise AssertionError("not called by the app, so not called at all")

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_AUTHORIZATION": bearer()["Authorization"],
    }
    returned = JWTMiddleware(app, verifier=verifier)(environ, start_response)
    assert returned is iterable
    assert seen == [start_response]
    assert not iterable.closed


def test_error_of_the_app_is_the_apps(verifier: TokenVerifier, bearer: Bearer) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise UnavailableError("the app's own use of our error")

    with pytest.raises(UnavailableError, match="the app's own"):
        TestApp(JWTMiddleware(app, verifier=verifier)).get("/", headers=bearer())


class Endpoint:
    """A WSGI app at paths of its own."""

    paths = ("/token", "/token/revoke")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ.get("REMOTE_USER", "nobody").encode()]


def test_endpoint_answers_even_with_an_expired_token(wrapped: Wrapped, bearer: Bearer) -> None:
    app = wrapped(endpoint=Endpoint())
    assert app.post("/token", headers=bearer(lifetime=-1)).text == "nobody"


def test_endpoint_answers_at_all_of_its_paths(wrapped: Wrapped) -> None:
    app = wrapped(endpoint=Endpoint())
    assert [app.post(path).text for path in Endpoint.paths] == ["nobody", "nobody"]


def test_endpoint_never_sees_an_identity_that_was_sent(wrapped: Wrapped) -> None:
    app = wrapped(endpoint=Endpoint())
    assert app.post("/token", extra_environ={"REMOTE_USER": "root"}).text == "nobody"


@pytest.mark.parametrize("path", ["/token/", "//token", "/token/x", "/TOKEN", "/x/../token"])
def test_endpoint_answers_at_its_exact_path_only(path: str, wrapped: Wrapped) -> None:
    wrapped(endpoint=Endpoint()).post(path, status=401)


@pytest.mark.parametrize(
    ("parts", "fix"),
    [
        pytest.param({"app": "myapp:app"}, "app must be a WSGI callable", id="app"),
        pytest.param({"policy": [Rule("/")]}, "policy must be a Policy", id="policy"),
        pytest.param({"verifier": None}, "verifier must be a TokenVerifier", id="no-verifier"),
        pytest.param(
            {
                "well_known": WellKnown([Document(["/token"], dict), Document(["/other"], dict)]),
                "endpoint": Endpoint(),
            },
            "path '/token' is that of a public document",
            id="endpoint-over-a-document",
        ),
        pytest.param(
            {
                "well_known": WellKnown([Document(["/token/revoke"], dict)]),
                "endpoint": Endpoint(),
            },
            "path '/token/revoke' is that of a public document",
            id="path-below-over-a-document",
        ),
    ],
)
def test_wrong_part_is_a_configuration_error(
    parts: dict[str, Any], fix: str, verifier: TokenVerifier
) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        JWTMiddleware(**{"app": Endpoint(), "verifier": verifier, **parts})

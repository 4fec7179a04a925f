from __future__ import annotations

from typing import Any

import flask
import pytest

from jwt_middleware import AuthError, ConfigurationError, JWTMiddleware, Policy, Rule, TokenEndpoint
from jwt_middleware.flask import current_claims, in_app_context, refuse, require_scopes
from jwt_middleware.testing import TestApp, Tokens
from jwt_middleware.views import check_scopes

from ..testing.conftest import protect, verify
from .test_views import FORGED

OPEN = Policy([Rule("/rule", scopes=["read"]), Rule("/*", access="public")])


def shop() -> flask.Flask:
    app = flask.Flask("shop")
    app.register_error_handler(AuthError, refuse)

    @app.route("/any", methods=["GET", "POST"])
    @require_scopes()
    def any_token() -> str:
        return "any"

    @app.get("/view")
    @require_scopes("read", "write")
    async def scoped() -> str:
        return "scoped"

    @app.get("/imperative")
    def imperative() -> str:
        check_scopes(flask.request.environ, "read", "write")
        return "scoped"

    @app.get("/me")
    def me() -> Any:
        return {"sub": current_claims["sub"]}

    @app.get("/empty")
    def empty() -> Any:
        return {"claims": dict(current_claims), "sub": current_claims.get("sub")}

    @app.after_request
    def mark(response: flask.Response) -> flask.Response:
        response.headers["X-Seen-By"] = "after_request"
        return response

    return app


@pytest.fixture
def client() -> TestApp:
    return TestApp(protect(shop(), policy=OPEN))


def test_a_view_asks_for_scopes_as_a_rule_does(client: TestApp) -> None:
    ann = client.as_account(42, scope="read")
    ann.get("/any")
    for path in ("/view", "/imperative"):
        answer = ann.get(path, status=403)
        assert answer.json["code"] == "insufficient_scope"
        assert 'scope="read write"' in answer.headers["WWW-Authenticate"]
        assert answer.headers["X-Seen-By"] == "after_request"
        assert client.as_account(42, scope="write read").get(path).text == "scoped"
    other = client.as_account(42).get("/rule", status=403)
    wanted = answer.headers["WWW-Authenticate"].replace("read write", "read")
    assert other.headers["WWW-Authenticate"] == wanted


@pytest.mark.parametrize("path", ["/any", "/view", "/imperative", "/me"])
def test_a_view_without_a_token_is_answered_401(client: TestApp, path: str) -> None:
    answer = client.get(path, status=401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer.json["code"] == "missing_token"


@pytest.mark.parametrize("path", ["/any", "/view", "/imperative", "/me"])
def test_an_app_without_the_middleware_lets_no_request_in(path: str) -> None:
    bare = shop().test_client()
    assert bare.get(path, environ_overrides=FORGED).status_code == 401
    assert bare.get("/empty", environ_overrides=FORGED).json == {"claims": {}, "sub": None}


def test_the_current_claims_are_those_of_the_request(client: TestApp) -> None:
    ann, bob = client.as_account("ann"), client.as_account("bob")
    assert [one.get("/me").json["sub"] for one in (ann, bob, ann)] == ["ann", "bob", "ann"]
    assert client.get("/empty").json == {"claims": {}, "sub": None}
    with pytest.raises(RuntimeError, match="request context"):
        _ = current_claims["sub"]


@pytest.mark.parametrize("scopes", [("read write",), ("",), (shop,), (["read"],), ('"',)])
def test_a_misspelled_scope_is_found_when_the_view_is_defined(scopes: Any) -> None:
    with pytest.raises(ConfigurationError, match="one scope each"):
        require_scopes(*scopes)


def test_a_verifier_has_the_context_of_its_app() -> None:
    app = shop()
    app.config["PASSWORD"] = "correct horse"
    ended: list[object] = []
    app.teardown_appcontext(ended.append)

    @in_app_context(app)
    def checked(account: str, secret: str) -> object:
        assert flask.current_app.config["PASSWORD"]
        return verify(account, secret)

    issuer = Tokens(protect(app)).issuer
    endpoint = TokenEndpoint(issuer=issuer, verifiers={"email": checked})
    protected = protect(app, sessions=False)
    verifier = protected.verifier
    verifier.keys = issuer.keys
    client = TestApp(JWTMiddleware(app, verifier=verifier, endpoint=endpoint))
    assert client.log_in("ann@example.com", "correct horse").get("/me").json == {"sub": "42"}
    login = {"account": "ann@example.com", "secret": "wrong", "type": "email"}
    client.post_json("/token", login, status=401)
    assert len(ended) == 3, "two logins and one request"


def test_tokens_are_for_the_test_client_of_flask_as_well(client: TestApp) -> None:
    app: Any = shop()
    app.wsgi_app = protect(app.wsgi_app)
    with app.test_client() as native:
        answer = native.get("/me", headers=Tokens(app).headers(42))
        assert (answer.json, current_claims["uid"]) == ({"sub": "42"}, 42)

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from jwt_middleware import (
    ConfigurationError,
    DiscoveredJWKS,
    JWTMiddleware,
    Key,
    KeySet,
    Responses,
    TokenVerifier,
    TrustedIssuer,
)
from jwt_middleware.testing import IssuerServer, TestApp, find_middleware

from .conftest import NAMES, flask_app, protect


def inside() -> Any:
    app: Any = flask_app()
    app.wsgi_app = protect(app.wsgi_app)
    return app


WRAPPED: dict[str, Callable[[], Any]] = {
    "the middleware": lambda: protect(flask_app()),
    "inside Flask": inside,
    "ProxyFix outside": lambda: ProxyFix(protect(flask_app())),
    "ProxyFix inside Flask": lambda: ProxyFix(inside().wsgi_app),
    "a bound method": lambda: protect(flask_app()).__call__,
    "a mount": lambda: DispatcherMiddleware(flask_app(), {"/api": protect(flask_app())}),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_finds_the_middleware(how: str) -> None:
    client = TestApp(WRAPPED[how]())
    path = "/api/" if how == "a mount" else "/"
    assert client.as_account(7).get(path).json["uid"] == 7


def test_says_what_to_do_where_there_is_none() -> None:
    with pytest.raises(ConfigurationError, match="no JWTMiddleware was found in the Flask"):
        find_middleware(flask_app())
    app = protect(flask_app())
    hidden = validator(app)
    with pytest.raises(ConfigurationError, match="middleware="):
        TestApp(hidden)
    assert TestApp(hidden, middleware=app).as_account(7).get("/reports", status=403)


def test_each_account_has_a_client_of_its_own(app: JWTMiddleware) -> None:
    client = TestApp(app)
    ann = client.as_account("ann@example.com", scope="read", claims={"plan": "pro"})
    bob = client.as_account("bob", client_type="service")
    assert ann.get("/reports").json.items() >= {
        "sub": "ann@example.com", "scope": "read", "plan": "pro", "ac_type": "email"
    }.items()  # fmt: skip
    assert ann.cookies
    assert not bob.cookies
    assert bob.get("/").json["ac_type"] == "service"
    client.get("/", status=401)
    ann.with_token(None).get("/", status=401)
    assert ann.get("/").json["sub"] == "ann@example.com"


def test_logs_in_by_the_endpoint_in_either_style() -> None:
    for style in ("problem", "envelope"):
        client = TestApp(protect(flask_app(), responses=Responses(style=style)))
        ann = client.log_in("ann@example.com", "correct horse")
        assert ann.get("/reports").json["uid"] == 42
    with pytest.raises(Exception, match="401"):
        client.log_in("ann@example.com", "wrong")
    with pytest.raises(ConfigurationError, match="no token endpoint"):
        TestApp(protect(flask_app(), endpoint=None)).log_in("ann@example.com", "correct horse")


def test_a_token_belongs_to_a_session_that_can_be_ended(app: JWTMiddleware) -> None:
    ann = TestApp(app).as_account(42)
    ann.post("/token/logout", status=204)
    ann.get("/", status=401)


def test_an_app_without_endpoint_has_tokens_as_well() -> None:
    client = TestApp(protect(flask_app(), endpoint=None))
    assert client.as_account(7).get("/").json["uid"] == 7


def test_an_app_that_only_verifies_needs_an_issuer() -> None:
    with IssuerServer() as server:
        keys = DiscoveredJWKS(server.url)
        trusted = [TrustedIssuer(issuer=server.url, audience="api", keys=keys)]
        app = JWTMiddleware(flask_app(), verifier=TokenVerifier(trusted=trusted))
        with pytest.raises(ConfigurationError, match="cannot sign a token of http://127"):
            TestApp(app).as_account(42)
        assert server.requests == []
        client = TestApp(app, issuer=server.issuer)
        assert client.as_account(42).get("/").json["iss"] == server.url
        client.check_refuses("/")
    public = KeySet([Key.from_jwk(Key.generate("ES256").public_jwk())])
    verifying = JWTMiddleware(flask_app(), verifier=TokenVerifier(keys=public, **NAMES))
    with pytest.raises(ConfigurationError, match=r"cannot sign a token of https://auth\.example"):
        TestApp(verifying).as_account(42)


@pytest.mark.parametrize("alg", ["HS256", "HS512", "RS256", "ES256", "EdDSA"])
def test_every_bad_token_gets_its_answer(alg: str) -> None:
    client = TestApp(protect(flask_app(), alg=alg))
    client.check_refuses("/reports", scope="read")
    client.check_refuses("/reports", scope="read", method="POST")


@pytest.mark.parametrize("style", ["problem", "envelope"])
def test_every_bad_token_gets_its_answer_without_sessions(style: Any) -> None:
    app = protect(flask_app(), sessions=False, responses=Responses(style=style, realm="shop"))
    TestApp(app).check_refuses("/")


def test_the_check_fails_for_an_app_that_is_not_protected(app: JWTMiddleware) -> None:
    client = TestApp(app)
    for path in ("/open", "/left"):
        with pytest.raises(AssertionError, match="no token is needed"):
            client.check_refuses(path)
    with pytest.raises(AssertionError, match="a valid token is refused"):
        client.check_refuses("/reports")


def test_the_check_fails_for_one_kind_that_is_accepted(app: JWTMiddleware) -> None:
    app.verifier._own.leeway_seconds = 10_000  # type: ignore[union-attr]
    with pytest.raises(AssertionError, match="EXPIRED: expected 401"):
        TestApp(app).check_refuses("/")

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwt_middleware import TokenEndpoint, TokenIssuer, TokenVerifier
from jwt_middleware.errors import BadCredentialsError, ConfigurationError, UnavailableError
from jwt_middleware.wsgi.responses import Responses

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOGIN = {"account": "ann", "secret": "right", "type": "email"}


class Accounts:
    """Account verifiers that count how often they are asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def by_mapping(self, account: str, secret: str) -> object:
        self.asked.append((account, secret))
        if (account, secret) != ("ann", "right"):
            raise BadCredentialsError
        return {"uid": 42, "scope": "read write", "auth": "red"}

    def by_object(self, account: str, secret: str) -> object:
        return SimpleNamespace(uid="svc", scope="")

    def down(self, account: str, secret: str) -> object:
        raise UnavailableError("accounts cannot be asked", retry_after_seconds=5)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def endpoint(issuer: TokenIssuer, accounts: Accounts) -> Callable[..., TestApp]:
    def make(**settings: Any) -> TestApp:
        verifiers = {
            "email": accounts.by_mapping,
            "service": accounts.by_object,
            "ldap": accounts.down,
        }
        parts = {"issuer": issuer, "verifiers": verifiers, **settings}
        return TestApp(validator(TokenEndpoint(**parts)))

    return make


@pytest.mark.parametrize("kind", ["email", 100])
def test_login_as_json_gets_a_token(
    kind: object, endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, "type": kind})
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["expires_in"] == 7200
    claims = verifier.verify(answer.json["access_token"]).claims
    assert claims["sub"] == "42"
    assert (claims["uid"], claims["auth"], claims["scope"], claims["ac_type"]) == (
        *(42, "red", "read write"),
        "email",
    )


def test_login_as_a_form_gets_a_token(endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().post("/token", {**LOGIN, "type": "100"})
    assert answer.json["scope"] == "read write"


def test_identity_may_be_an_object(
    endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, "type": "service"})
    claims = verifier.verify(answer.json["access_token"]).claims
    assert (claims["sub"], claims["auth"], claims["ac_type"]) == ("svc", "blue", "service")


def test_envelope_carries_the_token_as_its_message(
    endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    answer = endpoint(responses=Responses(style="envelope")).post_json("/token", LOGIN)
    assert answer.json["error_code"] == 0
    assert answer.json["request"] == "POST /token"
    assert verifier.verify(answer.json["msg"]).subject == "42"


@pytest.mark.parametrize("wrong", [{"account": "bob"}, {"secret": "wrong"}])
def test_wrong_login_is_one_answer(wrong: dict[str, str], endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, **wrong}, status=401)
    assert answer.json["code"] == "bad_credentials"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_form_errors_name_their_fields_and_nobody_is_asked(
    endpoint: Callable[..., TestApp], accounts: Accounts
) -> None:
    answer = endpoint().post_json("/token", {"account": []}, status=400)
    assert answer.json["errors"].keys() == {"account", "secret", "type"}
    assert accounts.asked == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_is_allowed(method: str, endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().request("/token", method=method, status=405)
    assert answer.headers["Allow"] == "POST"
    assert (answer.body == b"") == (method == "HEAD")


def test_accounts_that_cannot_be_asked_are_503(endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, "type": "ldap"}, status=503)
    assert answer.headers["Retry-After"] == "5"
    assert "access_token" not in answer.json


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_body_is_bounded(size: int, status: int, endpoint: Callable[..., TestApp]) -> None:
    body = b'{"account":"ann","secret":"right","type":"email"}'.ljust(size)
    endpoint(max_body_bytes=1000).post(
        "/token", body, content_type="application/json", status=status
    )


def test_fields_beyond_the_form_have_no_effect(
    endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    extra = {"sub": "1", "uid": 1, "scope": "admin", "role": "root", "exp": 0, "aud": "x"}
    answer = endpoint().post_json("/token", {**extra, **LOGIN})
    claims = verifier.verify(answer.json["access_token"]).claims
    assert (claims["sub"], claims["scope"], "role" in claims) == ("42", "read write", False)


def test_it_can_be_mounted_without_the_middleware(issuer: TokenIssuer, accounts: Accounts) -> None:
    def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b""]

    endpoint = TokenEndpoint(issuer=issuer, verifiers={"email": accounts.by_mapping})
    app = TestApp(DispatcherMiddleware(not_found, {"/auth/token": endpoint}))
    assert app.post_json("/auth/token", LOGIN).json["token_type"] == "Bearer"
    app.post_json("/token", LOGIN, status=404)


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        pytest.param({"path": "token"}, "must be like /token", id="no-slash"),
        pytest.param({"path": "/token/"}, "must be like /token", id="trailing-slash"),
        pytest.param({"path": "/"}, "must be like /token", id="root"),
        pytest.param({"path": "/a/../b"}, "must be like /token", id="dots"),
        pytest.param({"verifiers": {}}, "verifiers must map", id="no-verifier"),
        pytest.param({"verifiers": {"email": "User"}}, "verifiers must map", id="not-callable"),
        pytest.param({"max_body_bytes": 0}, "max_body_bytes", id="no-body"),
        pytest.param({"max_body_bytes": "x"}, "max_body_bytes", id="body-as-text"),
        pytest.param({"path": None}, "must be like /token", id="no-path"),
        pytest.param({"issuer": None}, "issuer must be a TokenIssuer", id="no-issuer"),
    ],
)
def test_wrong_setting_is_a_configuration_error(
    settings: dict[str, Any], mend: str, endpoint: Callable[..., TestApp]
) -> None:
    with pytest.raises(ConfigurationError, match=mend):
        endpoint(**settings)

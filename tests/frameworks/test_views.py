"""The helpers for views of any framework."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from jwt_middleware import InsufficientScopeError, Policy, Responses, Rule, UnavailableError
from jwt_middleware.errors import MissingTokenError
from jwt_middleware.testing import TestApp
from jwt_middleware.views import check_scopes, refusal
from jwt_middleware.wsgi.environ import CLAIMS, RESPONSES, SCOPES

from ..testing.conftest import protect

FORGED = {
    "HTTP_REMOTE_USER": "42",
    "HTTP_JWT_MIDDLEWARE_CLAIMS": '{"sub": "42"}',
    "HTTP_JWT_MIDDLEWARE.CLAIMS": '{"sub": "42"}',
    "HTTP_AUTHORIZATION": "Bearer x",
    "REMOTE_USER": "42",  # of a server that authenticates by itself
    "AUTH_TYPE": "Bearer",
}


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="without the middleware"),
        pytest.param(FORGED, id="forged headers"),
        pytest.param({CLAIMS: '{"sub": "42", "scope": "read"}'}, id="text"),
        pytest.param({CLAIMS: None, SCOPES: ["read"]}, id="scopes alone"),
    ],
)
def test_nothing_but_claims_of_the_middleware_is_a_token(environ: dict[str, Any]) -> None:
    for scopes in ((), ("read",)):
        with pytest.raises(MissingTokenError):
            check_scopes(environ, *scopes)


def test_all_scopes_are_needed_wherever_the_issuer_has_them() -> None:
    check_scopes({CLAIMS: {}})
    check_scopes({CLAIMS: {"scope": "read write"}}, "write", "read")
    check_scopes({CLAIMS: {"scp": ["read"]}}, "read")
    check_scopes({CLAIMS: {"roles": ["x"]}, SCOPES: ["read"]}, "read")
    for environ in ({CLAIMS: {"scope": "read"}}, {CLAIMS: {"scope": "read write"}, SCOPES: []}):
        with pytest.raises(InsufficientScopeError) as caught:
            check_scopes(environ, "write", "read")
        assert caught.value.scope == ["read", "write"]


def in_view(environ: Any, start_response: Any) -> list[bytes]:
    """Do in a view what the rule for /rule does."""
    status, headers, body = refusal(
        InsufficientScopeError("a scope is missing", scope=["read"]), environ
    )
    start_response(status, headers)
    return [body]


@pytest.mark.parametrize("style", ["problem", "envelope"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_refusal_is_the_middlewares_own(style: Any, method: str, language: str) -> None:
    rules = [Rule("/rule", scopes=["read"]), Rule("/*")]
    responses = Responses(style=style, realm="shop", resource_metadata="https://x.example/r")
    client = TestApp(protect(in_view, policy=Policy(rules), responses=responses)).as_account(1)
    seen = [
        client.request(path, method=method, headers={"Accept-Language": language}, status=403)
        for path in ("/rule", "/view")
    ]
    assert seen[0].headers == seen[1].headers
    assert 'realm="shop"' in seen[0].headers["WWW-Authenticate"]
    assert seen[0].body == seen[1].body.replace(b"/view", b"/rule")


def test_without_the_middleware_a_refusal_has_the_default_style() -> None:
    environ = EnvironBuilder("/").get_environ()
    for given in (environ, {**environ, RESPONSES: "of another"}):
        status, headers, body = refusal(UnavailableError(retry_after_seconds=7), given)
        assert status == "503 Service Unavailable"
        assert ("Retry-After", "7") in headers
        assert b"temporarily_unavailable" in body

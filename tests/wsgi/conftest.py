"""A middleware round an app that shows what reached it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, JWTPayload, Key, KeySet, TokenIssuer, TokenVerifier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOW = 1_800_000_000
SHOWN = ("jwt_middleware.claims", "jwt_middleware.error", "REMOTE_USER", "AUTH_TYPE")


def show_identity(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with every key of the environ that could be taken for an identity."""
    shown = {
        key: value
        for key, value in environ.items()
        if key in SHOWN or "REMOTE_USER" in key or key.startswith("jwt_middleware")
    }
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@pytest.fixture(scope="session")
def keys() -> KeySet:
    return KeySet([Key.from_secret(b"k" * 32, kid="2026-11")])


@pytest.fixture
def issuer(keys: KeySet) -> TokenIssuer:
    return TokenIssuer(keys=keys, issuer="https://auth", audience="api", clock=lambda: NOW)


@pytest.fixture
def verifier(keys: KeySet) -> TokenVerifier:
    return TokenVerifier(keys=keys, issuer="https://auth", audience="api", clock=lambda: NOW)


@pytest.fixture
def bearer(issuer: TokenIssuer) -> Callable[..., dict[str, str]]:
    """Return request headers with a good token."""

    def make(scope: str = "", *, uid: int | str = 42, lifetime: int = 60) -> dict[str, str]:
        issued = issuer.issue(JWTPayload(uid=uid, scope=scope), lifetime_seconds=lifetime)
        return {"Authorization": f"Bearer {issued.token}"}

    return make


@pytest.fixture
def wrapped(verifier: TokenVerifier) -> Callable[..., TestApp]:
    """Return a WebTest app of the middleware; both sides of it are checked against PEP 3333."""

    def make(**parts: Any) -> TestApp:
        app = JWTMiddleware(validator(show_identity), **{"verifier": verifier, **parts})
        return TestApp(validator(app))

    return make

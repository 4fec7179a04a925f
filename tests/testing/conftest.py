"""A protected app in Flask, with logins and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask
import pytest

from jwt_middleware import (
    BadCredentialsError,
    JWTMiddleware,
    Key,
    KeySet,
    MemorySessions,
    Policy,
    Responses,
    Rule,
    Sessions,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
    get_claims,
)

NAMES: Mapping[str, Any] = {"issuer": "https://auth.example.com", "audience": "api"}
RULES = (
    Rule("/open", access="public"),
    Rule("/left", access="passthrough"),
    Rule("/reports", scopes=["read"]),
)


def verify(account: str, secret: str) -> object:
    if (account, secret) != ("ann@example.com", "correct horse"):
        raise BadCredentialsError
    return look_up(42)


def look_up(uid: int | str) -> object:
    return {"uid": uid, "scope": "read write"}


def flask_app() -> flask.Flask:
    app = flask.Flask("shop")

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST", "PATCH"])
    @app.route("/<path:path>", methods=["GET", "POST", "PATCH"])
    def show(path: str) -> Any:
        flask.session["seen"] = path
        return get_claims(flask.request.environ) or {}

    app.secret_key = "of the app"
    return app


def protect(app: Any, *, alg: str = "HS256", sessions: bool = True, **parts: Any) -> JWTMiddleware:
    keys = KeySet([Key.generate(alg, kid="k1")])
    issuer = TokenIssuer(keys=keys, **NAMES)
    kept = Sessions(store=MemorySessions(), issuer=issuer) if sessions else None
    revocations = None if kept is None else kept.revocations
    verifier = TokenVerifier(keys=keys, **NAMES, is_revoked=revocations)
    endpoint = TokenEndpoint(
        issuer=issuer,
        verifiers={"email": verify},
        lookups={"email": look_up},
        sessions=kept,
        verifier=verifier,
        responses=parts.get("responses", Responses()),
    )
    given = {"verifier": verifier, "endpoint": endpoint, "policy": Policy(RULES), **parts}
    return JWTMiddleware(app, **given)


@pytest.fixture
def app() -> JWTMiddleware:
    return protect(flask_app())

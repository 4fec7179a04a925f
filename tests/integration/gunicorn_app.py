"""What gunicorn serves for test_gunicorn.py: made before the fork, and used there once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jwt_middleware import (
    JWTMiddleware,
    JWTPayload,
    Policy,
    Rule,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
)
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts

from ..site import AUD, ISS, KEYS, PASSWORD

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logging.basicConfig(level=logging.DEBUG, format="%(process)d %(name)s %(levelname)s %(message)s")

SEEN = ("REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME", "REMOTE_USER", "AUTH_TYPE")


def show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Show the app's view of a request; in a header too, since HEAD has no body."""
    seen = {key: value for key in SEEN if (value := environ.get(key)) is not None}
    seen |= {key: str(value) for key, value in environ.items() if "REMOTE_USER" in key}
    seen["claims"] = environ.get("jwt_middleware.claims")
    seen["pid"] = os.getpid()
    body = json.dumps(seen).encode()
    length = ("Content-Length", str(len(body)))
    start_response("200 OK", [("Content-Type", "application/json"), length, ("X-App", "called")])
    return [body]


def make() -> JWTMiddleware:
    accounts = SQLAccounts(
        os.environ["ACCOUNTS_URL"],
        # All of a worker's threads may log in at once.
        hasher=SecretHasher(time_cost=1, memory_cost_kib=8, max_waiting=8),
    )
    accounts.create_schema()
    accounts.add("email", "ann", PASSWORD, scope="read")
    issuer = TokenIssuer(keys=KEYS, issuer=ISS, audience=AUD)
    app = JWTMiddleware(
        show,
        verifier=TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD),
        policy=Policy(
            [
                Rule("/admin/*", scopes=["admin"]),
                Rule("/api/*", scopes=["api"]),
                Rule("/café", scopes=["cafe"]),
                Rule("/items/*", methods=["GET"], access="public"),
                Rule("/items/*", methods=["DELETE"], scopes=["admin"]),
                Rule("/closed"),
                Rule("/*", access="public"),
            ]
        ),
        endpoint=TokenEndpoint(issuer=issuer, verifiers={"email": accounts.verifier("email")}),
    )
    # A connection, a lock and a remembered token in the parent, for the children to trip over.
    accounts.verify("email", "ann", PASSWORD)
    app.verifier.verify(issuer.issue(JWTPayload(uid=1)).token)
    return app


if "ACCOUNTS_URL" in os.environ:
    application = make()

"""What the cost of a check is measured from: the least that could be done, and what many do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jwt

from .subject import AUDIENCE, ISSUER, SECRET

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def floor(app: WSGIApplication, token: str) -> WSGIApplication:
    """Wrap *app* in one look-up, one comparison, one copy and three assignments."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    known = {f"Bearer {token}": claims}

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = known[environ["HTTP_AUTHORIZATION"]]
        if found["exp"] <= time.time():
            raise ValueError("expired")
        environ["jwt_middleware.claims"] = found.copy()
        environ["REMOTE_USER"] = found["sub"]
        environ["AUTH_TYPE"] = "Bearer"
        return app(environ, start_response)

    return wrapped


def ten_lines(app: WSGIApplication) -> WSGIApplication:
    """Wrap *app* in what one writes oneself around :func:`jwt.decode`."""

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(
                token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER
            )
        except jwt.InvalidTokenError:
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b""]
        environ["claims"], environ["REMOTE_USER"] = claims, claims["sub"]
        return app(environ, start_response)

    return wrapped

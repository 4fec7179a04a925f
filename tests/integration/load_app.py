"""What gunicorn serves for load.py: made before the fork, from a jwt.toml."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jwt_middleware import JWTMiddleware
from jwt_middleware.config import load
from jwt_middleware.config import wrap as protect
from jwt_middleware.keysources.remote.remote import RemoteJWKS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def worker(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def make(config: str, poll_seconds: float | None) -> JWTMiddleware:
    """Fetch the trusted keys every *poll_seconds*, which no configuration allows, if given."""
    app = protect(config, worker)
    for one in load(config).trusted if poll_seconds else ():
        app.verifier.trusted[one.issuer].keys = RemoteJWKS(
            one.jwks_url or "",
            algorithms=one.algorithms,
            min_refresh_seconds=poll_seconds or 0,
            cooldown_seconds=poll_seconds or 0,
        )
    return app


if "LOAD_CONFIG" in os.environ:
    logging.basicConfig(format="%(process)d %(name)s %(levelname)s %(message)s")
    application = make(os.environ["LOAD_CONFIG"], float(os.environ["LOAD_POLL_SECONDS"]) or None)

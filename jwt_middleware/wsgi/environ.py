"""
The environ contract: what the app finds there, and how it may read it.

========================== ==================================================================
key                        value
========================== ==================================================================
``jwt_middleware.claims``  ``dict`` of the verified claims, the app's own copy; absent when
                           the request carries no token
``jwt_middleware.scopes``  ``list`` of the token's scopes, sorted; only where its issuer has them
                           in other claims than ``scope`` and ``scp``
``jwt_middleware.error``   on ``optional`` rules: the code of why no claims are there
``REMOTE_USER``            *sub*, or what the configuration makes of it; absent for an issuer
                           beside others that the configuration does not map
``AUTH_TYPE``              ``"Bearer"``
========================== ==================================================================

All of them are removed from the environ that comes in, on every path, and with them
``HTTP_REMOTE_USER``: behind this middleware a client's ``Remote-User`` header is always forged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..core.claim_path import scopes_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..core.verifier import VerifiedToken

CLAIMS: Final = "jwt_middleware.claims"
ERROR: Final = "jwt_middleware.error"
SCOPES: Final = "jwt_middleware.scopes"
IDENTITY_KEYS: Final = (CLAIMS, ERROR, SCOPES, "REMOTE_USER", "AUTH_TYPE", "HTTP_REMOTE_USER")


def clear_identity(environ: WSGIEnvironment) -> None:
    """Remove every identity that the client or an outer layer left in *environ*."""
    for key in IDENTITY_KEYS:
        environ.pop(key, None)


def publish(environ: WSGIEnvironment, verified: VerifiedToken) -> None:
    """Put the identity of *verified* into *environ*."""
    environ[CLAIMS] = verified.claims
    if verified.trusted.scopes_from is not None:
        environ[SCOPES] = sorted(verified.scopes)
    if verified.remote_user is not None:
        environ["REMOTE_USER"] = verified.remote_user
    environ["AUTH_TYPE"] = "Bearer"


def get_claims(environ: WSGIEnvironment) -> dict[str, Any] | None:
    """
    Return the verified claims of a request, or ``None`` if it carries no token.

    For apps and frameworks: whatever hands out the WSGI environ (``request.environ`` in Flask,
    Bottle and Pyramid, ``request.META`` in Django, ``req.env`` in Falcon) can be given here.
    """
    return environ.get(CLAIMS)


def get_scopes(environ: WSGIEnvironment) -> frozenset[str]:
    """
    Return the scopes of a request's token, from where its issuer has them; empty if there is none.

    They are those that rules ask for.
    """
    scopes = environ.get(SCOPES)
    return scopes_of(get_claims(environ) or {}) if scopes is None else frozenset(scopes)

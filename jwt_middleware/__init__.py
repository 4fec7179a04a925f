"""
JWT checking and issuing for any WSGI app.

::

    app = JWTMiddleware(app, verifier=TokenVerifier(keys=keys, issuer=..., audience=...))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .core.issuer import IssuedToken, TokenIssuer
from .core.keys import Key, KeySet
from .core.payload import JWTPayload
from .core.shortcut import generate_payload, generate_token, verify_token
from .core.trust import TrustedIssuer
from .core.verifier import TokenVerifier, VerifiedToken
from .wsgi.middleware import JWTMiddleware
from .wsgi.policy import Policy, Rule
from .wsgi.responses import Responses

if TYPE_CHECKING:
    from .config import wrap
    from .endpoint.app import TokenEndpoint
    from .endpoint.limits import LoginThrottle
    from .sessions import MemorySessions, Sessions
else:
    # Imported by those who ask for them (PEP 562): whoever verifies tokens that others issue needs
    # neither accounts nor sessions, nor WTForms, and the configuration reads every other room.
    _ON_DEMAND = {
        "LoginThrottle": ".endpoint.limits",
        "MemorySessions": ".sessions",
        "Sessions": ".sessions",
        "TokenEndpoint": ".endpoint.app",
        "wrap": ".config",
    }

    def __getattr__(name):
        if name in _ON_DEMAND:
            return getattr(import_module(_ON_DEMAND[name], __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "IssuedToken",
    "JWTMiddleware",
    "JWTPayload",
    "Key",
    "KeySet",
    "LoginThrottle",
    "MemorySessions",
    "Policy",
    "Responses",
    "Rule",
    "Sessions",
    "TokenEndpoint",
    "TokenIssuer",
    "TokenVerifier",
    "TrustedIssuer",
    "VerifiedToken",
    "generate_payload",
    "generate_token",
    "verify_token",
    "wrap",
]

"""
JWT checking and issuing for any WSGI app.

::

    app = JWTMiddleware(app, verifier=TokenVerifier(keys=keys, issuer=..., audience=...))
"""

from .accounts import LoginThrottle
from .config import wrap
from .core.issuer import IssuedToken, TokenIssuer
from .core.keys import Key, KeySet
from .core.payload import JWTPayload
from .core.shortcut import generate_payload, generate_token, verify_token
from .core.trust import TrustedIssuer
from .core.verified import VerifiedToken
from .core.verifier import TokenVerifier
from .sessions import MemorySessions, Sessions
from .wsgi.endpoint import TokenEndpoint
from .wsgi.middleware import JWTMiddleware
from .wsgi.policy import Policy, Rule
from .wsgi.responses import Responses

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

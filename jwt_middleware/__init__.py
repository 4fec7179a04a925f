"""
JWT checking and issuing for any WSGI app.

::

    app = JWTMiddleware(app, verifier=TokenVerifier(keys=keys, issuer=..., audience=...))

Every name that a user needs is here.  ``SQLAccounts``, ``SecretHasher``, ``SQLSessions`` and
``RedisSessions`` need an extra and are left out of ``from jwt_middleware import *``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .core.issuer import IssuedToken, TokenIssuer
from .core.keys import Key, KeySet
from .core.payload import JWTPayload
from .core.revocation import RevocationCheck, RevocationSource
from .core.shortcut import generate_payload
from .core.trust import KeySource, TrustedIssuer
from .core.verifier import TokenVerifier, VerifiedToken
from .errors import (
    AuthError,
    BadCredentialsError,
    ConfigurationError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidTokenError,
    JWTMiddlewareError,
    UnavailableError,
)
from .wsgi.cors import CORS
from .wsgi.environ import get_claims, get_scopes
from .wsgi.middleware import JWTMiddleware
from .wsgi.policy import Policy, Rule
from .wsgi.responses import Responses

if TYPE_CHECKING:
    from .accounts import AccountLookup as AccountLookup
    from .accounts import AccountVerifier as AccountVerifier
    from .accounts import ClientType as ClientType
    from .accounts import Identity as Identity
    from .accounts.hashing import SecretHasher as SecretHasher
    from .accounts.sql import SQLAccounts as SQLAccounts
    from .config import wrap as wrap
    from .config.shortcut import generate_token as generate_token
    from .config.shortcut import verify_token as verify_token
    from .core.payload import ClientTypeEnum as ClientTypeEnum
    from .endpoint.app import TokenEndpoint as TokenEndpoint
    from .endpoint.forms import ClientForm as ClientForm
    from .endpoint.limits import LoginThrottle as LoginThrottle
    from .keysources import DiscoveredJWKS as DiscoveredJWKS
    from .keysources import KeyFile as KeyFile
    from .keysources import KeyRing as KeyRing
    from .keysources import RemoteJWKS as RemoteJWKS
    from .sessions import Grant as Grant
    from .sessions import MemorySessions as MemorySessions
    from .sessions import Recheck as Recheck
    from .sessions import Revocations as Revocations
    from .sessions import Session as Session
    from .sessions import Sessions as Sessions
    from .sessions import SessionStore as SessionStore
    from .sessions.stores.redis.store import RedisSessions as RedisSessions
    from .sessions.stores.sql.store import SQLSessions as SQLSessions
    from .wsgi.metadata import WellKnown as WellKnown
else:
    # Imported on first use (PEP 562): an app that only verifies tokens needs neither accounts,
    # sessions, WTForms nor the configuration.
    _ON_DEMAND = {
        "AccountLookup": ".accounts",
        "AccountVerifier": ".accounts",
        "ClientForm": ".endpoint.forms",
        "ClientTypeEnum": ".core.payload",
        "ClientType": ".accounts",
        "DiscoveredJWKS": ".keysources",
        "Grant": ".sessions",
        "Identity": ".accounts",
        "KeyFile": ".keysources",
        "KeyRing": ".keysources",
        "LoginThrottle": ".endpoint.limits",
        "MemorySessions": ".sessions",
        "Recheck": ".sessions",
        "RedisSessions": ".sessions.stores.redis.store",
        "RemoteJWKS": ".keysources",
        "Revocations": ".sessions",
        "SQLAccounts": ".accounts.sql",
        "SQLSessions": ".sessions.stores.sql.store",
        "SecretHasher": ".accounts.hashing",
        "Session": ".sessions",
        "SessionStore": ".sessions",
        "Sessions": ".sessions",
        "TokenEndpoint": ".endpoint.app",
        "WellKnown": ".wsgi.metadata",
        "generate_token": ".config.shortcut",
        "verify_token": ".config.shortcut",
        "wrap": ".config",
    }

    def __getattr__(name):
        if name in _ON_DEMAND:
            return getattr(import_module(_ON_DEMAND[name], __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *_ON_DEMAND})


__all__ = [
    "CORS",
    "AccountLookup",
    "AccountVerifier",
    "AuthError",
    "BadCredentialsError",
    "ClientForm",
    "ClientType",
    "ClientTypeEnum",
    "ConfigurationError",
    "DiscoveredJWKS",
    "ExpiredTokenError",
    "Grant",
    "Identity",
    "InsufficientScopeError",
    "InvalidTokenError",
    "IssuedToken",
    "JWTMiddleware",
    "JWTMiddlewareError",
    "JWTPayload",
    "Key",
    "KeyFile",
    "KeyRing",
    "KeySet",
    "KeySource",
    "LoginThrottle",
    "MemorySessions",
    "Policy",
    "Recheck",
    "RemoteJWKS",
    "Responses",
    "RevocationCheck",
    "RevocationSource",
    "Revocations",
    "Rule",
    "Session",
    "SessionStore",
    "Sessions",
    "TokenEndpoint",
    "TokenIssuer",
    "TokenVerifier",
    "TrustedIssuer",
    "UnavailableError",
    "VerifiedToken",
    "WellKnown",
    "generate_payload",
    "generate_token",
    "get_claims",
    "get_scopes",
    "verify_token",
    "wrap",
]

"""
WSGI middleware that verifies and issues JWTs.

::

    app = JWTMiddleware(app, verifier=TokenVerifier(keys=keys, issuer=..., audience=...))

All public names are here.  ``SQLAccounts``, ``SecretHasher``, ``SQLSessions`` and ``RedisSessions``
need an extra and are not part of ``from jwt_middleware import *``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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
    from .core.issuer import IssuedToken as IssuedToken
    from .core.issuer import TokenIssuer as TokenIssuer
    from .core.keys import Key as Key
    from .core.keys import KeySet as KeySet
    from .core.payload import ClientTypeEnum as ClientTypeEnum
    from .core.payload import JWTPayload as JWTPayload
    from .core.revocation import RevocationCheck as RevocationCheck
    from .core.revocation import RevocationSource as RevocationSource
    from .core.shortcut import generate_payload as generate_payload
    from .core.trust import KeySource as KeySource
    from .core.trust import TrustedIssuer as TrustedIssuer
    from .core.verifier import TokenVerifier as TokenVerifier
    from .core.verifier import VerifiedToken as VerifiedToken
    from .endpoint.app import TokenEndpoint as TokenEndpoint
    from .endpoint.forms import ClientForm as ClientForm
    from .endpoint.limits import LoginThrottle as LoginThrottle
    from .keysources.file.keyfile import KeyFile as KeyFile
    from .keysources.remote.discovery import DiscoveredJWKS as DiscoveredJWKS
    from .keysources.remote.remote import RemoteJWKS as RemoteJWKS
    from .keysources.ring.ring import KeyRing as KeyRing
    from .sessions import Grant as Grant
    from .sessions import MemorySessions as MemorySessions
    from .sessions import Recheck as Recheck
    from .sessions import Revocations as Revocations
    from .sessions import Session as Session
    from .sessions import Sessions as Sessions
    from .sessions import SessionStore as SessionStore
    from .sessions.stores.redis.store import RedisSessions as RedisSessions
    from .sessions.stores.sql.store import SQLSessions as SQLSessions
    from .wsgi.cors import CORS as CORS
    from .wsgi.environ import get_claims as get_claims
    from .wsgi.environ import get_scopes as get_scopes
    from .wsgi.metadata import WellKnown as WellKnown
    from .wsgi.middleware import JWTMiddleware as JWTMiddleware
    from .wsgi.policy import Policy as Policy
    from .wsgi.responses import Responses as Responses
    from .wsgi.rule import Rule as Rule
else:
    # Imported on first use (PEP 562): an app that only verifies tokens does not need accounts,
    # sessions, WTForms or the configuration, and the pytest plugin not even cryptography.
    _ON_DEMAND = {
        "AccountLookup": ".accounts",
        "AccountVerifier": ".accounts",
        "CORS": ".wsgi.cors",
        "ClientForm": ".endpoint.forms",
        "ClientType": ".accounts",
        "ClientTypeEnum": ".core.payload",
        "DiscoveredJWKS": ".keysources.remote.discovery",
        "Grant": ".sessions",
        "Identity": ".accounts",
        "IssuedToken": ".core.issuer",
        "JWTMiddleware": ".wsgi.middleware",
        "JWTPayload": ".core.payload",
        "Key": ".core.keys",
        "KeyFile": ".keysources.file.keyfile",
        "KeyRing": ".keysources.ring.ring",
        "KeySet": ".core.keys",
        "KeySource": ".core.trust",
        "LoginThrottle": ".endpoint.limits",
        "MemorySessions": ".sessions",
        "Policy": ".wsgi.policy",
        "Recheck": ".sessions",
        "RedisSessions": ".sessions.stores.redis.store",
        "RemoteJWKS": ".keysources.remote.remote",
        "Responses": ".wsgi.responses",
        "RevocationCheck": ".core.revocation",
        "RevocationSource": ".core.revocation",
        "Revocations": ".sessions",
        "Rule": ".wsgi.rule",
        "SQLAccounts": ".accounts.sql",
        "SQLSessions": ".sessions.stores.sql.store",
        "SecretHasher": ".accounts.hashing",
        "Session": ".sessions",
        "SessionStore": ".sessions",
        "Sessions": ".sessions",
        "TokenEndpoint": ".endpoint.app",
        "TokenIssuer": ".core.issuer",
        "TokenVerifier": ".core.verifier",
        "TrustedIssuer": ".core.trust",
        "VerifiedToken": ".core.verifier",
        "WellKnown": ".wsgi.metadata",
        "generate_payload": ".core.shortcut",
        "generate_token": ".config.shortcut",
        "get_claims": ".wsgi.environ",
        "get_scopes": ".wsgi.environ",
        "verify_token": ".config.shortcut",
        "wrap": ".config",
    }

    def __getattr__(name):
        if name in _ON_DEMAND:
            found = globals()[name] = getattr(import_module(_ON_DEMAND[name], __name__), name)
            return found
        if name in {"core", "events", "wsgi"}:  # ``import jwt_middleware`` used to import them
            return import_module(f".{name}", __name__)
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

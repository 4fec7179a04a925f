"""The one-secret shortcut, with defaults from the file in ``JWT_MIDDLEWARE_CONFIG``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ..core import shortcut
from ..core.keys import Key
from ..core.payload import JWTPayload
from ..core.verifier import TokenVerifier
from ..errors import ConfigurationError
from .loading import load
from .settings import Own, Settings

VARIABLE: Final = "JWT_MIDDLEWARE_CONFIG"


def generate_token(
    payload: JWTPayload | Mapping[str, Any],
    expiry: int,
    secret: str | bytes | Key | None = None,
    *,
    issuer: str | None = None,
    audience: str | Collection[str] | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """
    Issue a token, as :func:`jwt_middleware.core.shortcut.generate_token` does.

    Args:
        payload: As for the core function.
        expiry: As for the core function.
        secret: As for the core function; ``None`` for the configured key.
        issuer: As for the core function; ``None`` for that of the configuration, if there is one.
        audience: As *issuer*.
        claims: As for the core function.

    Raises:
        ValueError: As for the core function.
        ConfigurationError: As for the core function; or neither secret nor configuration is given.
    """
    own = _own(needed=secret is None)
    key = _signing_key(own) if secret is None and own is not None else secret
    return shortcut.generate_token(
        payload,
        expiry,
        _known(own, key),
        issuer=issuer or (own.issuer if own else shortcut.PARTY),
        audience=audience or (own.audience[0] if own else shortcut.PARTY),
        claims=claims,
    )


def verify_token(
    token: str,
    secret: str | bytes | Key | None = None,
    *,
    issuer: str | None = None,
    audience: str | Collection[str] | None = None,
) -> dict[str, Any]:
    """
    Verify a token, as :func:`jwt_middleware.core.shortcut.verify_token` does.

    Without *secret* it is accepted as by the configured app: with any of its keys, from any trusted
    issuer, and unless revoked.  With *secret* revocations are not checked.

    Args:
        token: As for the core function.
        secret: As for the core function; ``None`` for the configured keys.
        issuer: As for the core function; ``None`` for that of the configuration, if there is one.
        audience: As *issuer*.

    Raises:
        ExpiredTokenError: As for the core function.
        InvalidTokenError: As for the core function.
        ConfigurationError: As for the core function; or neither secret nor configuration is given.
        UnavailableError: The keys or the revocations of the configuration are unavailable.
    """
    own = _own(needed=secret is None)
    if secret is None and issuer is None and audience is None:
        return shortcut.claims_of(_verifier(*_named(os.environ[VARIABLE])), token)
    key = _signing_key(own) if secret is None and own is not None else secret
    return shortcut.verify_token(
        token,
        _known(own, key),
        issuer=issuer or (own.issuer if own else shortcut.PARTY),
        audience=audience or (own.audience if own else shortcut.PARTY),
    )


def _own(*, needed: bool) -> Own | None:
    path = os.environ.get(VARIABLE)
    if path:
        own = _load(*_named(path))[1]
        if own is not None or not needed:
            return own
        raise ConfigurationError(f"secret: {path} has no [keys]: give a secret")
    if needed:
        raise ConfigurationError(
            f"secret is missing: give one, or set {VARIABLE} to a configuration with [keys]"
        )
    return None


def _named(path: str) -> tuple[str, int, int]:
    """Return the file's identity."""
    try:
        found = Path(path).stat()
    except OSError:
        return path, 0, 0  # reading it reports the error
    return path, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _load(path: str, *_version: int) -> tuple[Settings, Own | None]:
    settings = load(path)
    return settings, settings.build_own()


@lru_cache(maxsize=4)
def _verifier(path: str, *version: int) -> TokenVerifier:
    settings, own = _load(path, *version)
    return settings.build_verifier(own, settings.build_revocations(own))


def _signing_key(own: Own) -> Key:
    key = own.keys.current().signing_key
    if key is None:
        raise ConfigurationError("secret: the configuration's key only verifies: give a secret")
    return key


def _known(own: Own | None, secret: str | bytes | Key | None) -> str | bytes | Key:
    """Return the configured key with this *secret*, which has a kid, or else *secret*."""
    if own is not None and isinstance(secret, str | bytes):
        octets = secret.encode() if isinstance(secret, str) else secret
        for key in own.keys.current():
            if key.is_secret(octets):
                return key
    return secret  # type: ignore[return-value]  # the core reports None

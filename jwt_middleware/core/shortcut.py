"""
The one-secret shortcut: three functions over the same core, for scripts and small apps.

Tokens are HS256, issued by and for this shortcut only: a :class:`TokenVerifier` with an issuer and
audience of its own does not accept them, nor does this one accept its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ..errors import ConfigurationError, ExpiredTokenError
from .issuer import TokenIssuer
from .keys import Key, KeySet
from .payload import JWTPayload
from .scope import join
from .verifier import TokenVerifier

PARTY: Final = "urn:jwt-middleware:shortcut"
"""Both *iss* and *aud* of these tokens."""


def generate_payload(
    uid: int | str, auth: str = "blue", scope: str | Iterable[str] = "", ac_type: str = "email"
) -> JWTPayload:
    """
    Return the payload that :func:`generate_token` signs.

    Args:
        uid: The account's identifier.
        auth: Free text on how the account was authenticated.
        scope: Scopes, as one string with spaces between or one by one.
        ac_type: Name of the client type.

    Raises:
        ConfigurationError: A part has the wrong type or holds control characters.
    """
    try:
        scopes = scope if isinstance(scope, str) else join(scope)
    except TypeError as error:
        raise ConfigurationError("scope must be a string or strings") from error
    return JWTPayload(uid=uid, auth=auth, scope=scopes, ac_type=ac_type)


def generate_token(payload: JWTPayload, expiry: int, secret: str | bytes) -> str:
    """
    Issue a token.

    Args:
        payload: From :func:`generate_payload`.
        expiry: Seconds until it expires; zero or less gives one that has expired.
        secret: At least 32 bytes.

    Raises:
        ConfigurationError: The secret is missing or too short.
    """
    issuer = TokenIssuer(keys=_keys(secret), issuer=PARTY, audience=PARTY)
    return issuer.issue(payload, lifetime_seconds=expiry).token


def verify_token(token: str, secret: str | bytes) -> dict[str, Any]:
    """
    Verify a token of :func:`generate_token` and return its claims.

    Raises:
        ExpiredTokenError: It has expired; the text is 当前jwt已经过期了.
        InvalidTokenError: It is not acceptable for another reason.
        ConfigurationError: The secret is too short.
    """
    verifier = TokenVerifier(keys=_keys(secret), issuer=PARTY, audience=PARTY, cache_size=0)
    try:
        return verifier.verify(token).claims
    except ExpiredTokenError as error:
        raise ExpiredTokenError(ExpiredTokenError.sentence_zh, claim=error.claim) from error


def _keys(secret: str | bytes) -> KeySet:
    return KeySet([Key.from_secret(secret)])

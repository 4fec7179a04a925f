"""
Three functions with one secret, for scripts and small apps.

Without *issuer* and *audience* the tokens are only valid for these functions: a
:class:`TokenVerifier` accepts them only with the same issuer and audience.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from ..errors import ConfigurationError, ExpiredTokenError, UnknownKeyError
from .issuer import TokenIssuer
from .jws import parse_header, split
from .keys import Key, KeySet
from .payload import ClientType, JWTPayload
from .scope import join
from .trust import KeySource
from .verifier import TokenVerifier

PARTY: Final = "urn:jwt-middleware:shortcut"
"""The default *iss* and *aud* of these tokens."""


def generate_payload(
    uid: int | str,
    auth: str | None = None,
    scope: str | int | Iterable[str] | None = None,
    ac_type: str | int | ClientType | None = None,
    claims: Mapping[str, Any] | None = None,
) -> JWTPayload:
    """
    Return the payload that :func:`generate_token` signs.

    Args:
        uid: The account's identifier.
        auth: Free text on how the account was authenticated; by default ``"blue"``.
        scope: Scopes, as one string with spaces or as several strings; an int becomes its digits.
        ac_type: Name or code of the client type; by default ``"email"``.
        claims: Custom claims.

    Raises:
        ConfigurationError: An argument has the wrong type or contains control characters.
    """
    try:
        scopes = scope if scope is None or isinstance(scope, str | int) else join(scope)
    except TypeError as error:
        raise ConfigurationError("scope must be a string or strings") from error
    members = {"auth": auth, "scope": scopes, "ac_type": ac_type, "claims": claims}
    return JWTPayload.of({"uid": uid, **members})


def generate_token(
    payload: JWTPayload | Mapping[str, Any],
    expiry: int,
    secret: str | bytes | Key,
    *,
    issuer: str = PARTY,
    audience: str | Collection[str] = PARTY,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """
    Issue a token.

    Args:
        payload: From :func:`generate_payload`, or a mapping of the same members; other members are
            custom claims.
        expiry: Seconds until it expires; zero or less makes an expired token.
        secret: At least 32 bytes; or a key.
        issuer: Its *iss*.
        audience: Its *aud*.
        claims: Additional custom claims.

    Raises:
        ConfigurationError: The payload or a claim is invalid.
        ConfigurationError: The secret is missing or too short.
    """
    whose = TokenIssuer(keys=_keys(secret), issuer=issuer, audience=audience)
    return whose.issue(JWTPayload.of(payload), lifetime_seconds=expiry, claims=claims).token


def verify_token(
    token: str,
    secret: str | bytes | Key,
    *,
    issuer: str = PARTY,
    audience: str | Collection[str] = PARTY,
) -> dict[str, Any]:
    """
    Verify a token and return its claims.

    Args:
        token: The compact string.
        secret: At least 32 bytes, whatever the token's *kid*; or a key.
        issuer: The required *iss*.
        audience: The required *aud*.

    Raises:
        ExpiredTokenError: It has expired; the text is 当前jwt已经过期了.
        InvalidTokenError: It is invalid for another reason.
        ConfigurationError: The secret is too short.
    """
    keys = _keys(secret, token=token)
    return claims_of(
        TokenVerifier(keys=keys, issuer=issuer, audience=audience, cache_size=0), token
    )


def claims_of(verifier: TokenVerifier, token: str) -> dict[str, Any]:
    """
    Return the verified claims of a token.

    Raises:
        ExpiredTokenError: As for :func:`verify_token`.
        InvalidTokenError: As for :func:`verify_token`.
    """
    try:
        return verifier.verify(token).claims
    except ExpiredTokenError as error:
        raise ExpiredTokenError(ExpiredTokenError.sentence_zh, claim=error.claim) from error


def _keys(secret: str | bytes | Key, *, token: str | None = None) -> KeySource:
    if isinstance(secret, Key):
        return KeySet([secret])
    key = Key.from_secret(secret)
    if token is None:
        return KeySet([key])
    # With one secret the kid does not matter: the issuer may use another name.
    kid = parse_header(split(token).header).kid
    if kid is None or kid == key.kid:
        return KeySet([key])
    try:
        return KeySet([Key.from_secret(secret, kid=kid)])
    except ConfigurationError:
        raise UnknownKeyError("the kid is not valid for a key", kid=kid) from None

"""
The one-secret shortcut: three functions over the same core, for scripts and small apps.

Without *issuer* and *audience* the tokens are of and for this shortcut alone: a
:class:`TokenVerifier` does not accept them, unless it is made for the same two.
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
"""The usual *iss* and *aud* of these tokens."""


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
        scope: Scopes, as one string with spaces between or one by one; an int is its digits.
        ac_type: Name or code of the client type; by default ``"email"``.
        claims: Claims of one's own.

    Raises:
        ConfigurationError: A part has the wrong type or holds control characters.
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
        payload: From :func:`generate_payload`, or a mapping of the same members; further members
            are claims of one's own.
        expiry: Seconds until it expires; zero or less gives one that has expired.
        secret: At least 32 bytes; or a key.
        issuer: Its *iss*.
        audience: Its *aud*.
        claims: Further claims of one's own.

    Raises:
        ConfigurationError: The payload or a claim is unusable.
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
        secret: At least 32 bytes; whatever *kid* the token gives it.  Or a key.
        issuer: What its *iss* must be.
        audience: What its *aud* must name.

    Raises:
        ExpiredTokenError: It has expired; the text is 当前jwt已经过期了.
        InvalidTokenError: It is not acceptable for another reason.
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
        InvalidTokenError: As there.
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
    # There is one secret, so that a kid chooses nothing: the issuer may have named it otherwise.
    kid = parse_header(split(token).header).kid
    if kid is None or kid == key.kid:
        return KeySet([key])
    try:
        return KeySet([Key.from_secret(secret, kid=kid)])
    except ConfigurationError:
        raise UnknownKeyError("the kid is none that a key can have", kid=kid) from None

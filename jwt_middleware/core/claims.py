"""
One small check per registered claim (RFC 7519 §4.1).

Each takes the claim set, name to JSON value, raises a subclass of
:class:`~jwt_middleware.errors.InvalidClaimError` or returns what it read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from sys import float_info
from typing import Final, TypeVar

from ..errors import ExpiredTokenError, ImmatureTokenError, InvalidClaimError, MissingClaimError

Claims = Mapping[str, object]
T = TypeVar("T")

NBF_ALLOWANCE_SECONDS: Final = 60

_LARGEST: Final = float_info.max
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Claims by which issuers say what a token is for, and the values, in lower case, that mean an
# access token.  Registered nowhere; seen with Keycloak (typ), Cognito (token_use), simplejwt and
# Flask-JWT-Extended (token_type, type).
_ACCESS_VALUES: Final = {
    "typ": frozenset({"bearer", "jwt", "at+jwt", "access"}),
    "token_use": frozenset({"access"}),
    "token_type": frozenset({"access", "access_token", "bearer"}),
}
_OTHER_TYPES: Final = frozenset({"refresh", "refresh_token", "id", "id_token"})
# OpenID Connect Core §3.3.2.11; RFC 8417, of which logout tokens are one kind.
_CLAIMS_OF_OTHERS: Final = ("at_hash", "c_hash", "events")
_SAY_WHAT_FOR: Final = frozenset({*_ACCESS_VALUES, "type", *_CLAIMS_OF_OTHERS})


def check_expiry(claims: Claims, *, now: float, leeway_seconds: float) -> float:
    """
    Reject a token at or after its expiry; return ``exp + leeway_seconds``.

    Passes if ``now < exp + leeway_seconds``.  Source: RFC 7519 §4.1.4.

    Args:
        claims: Claim set, name to JSON value.
        now: Seconds since the Unix epoch, UTC.
        leeway_seconds: Clock-skew allowance, at least 0.

    Raises:
        MissingClaimError: *exp* is absent.
        InvalidClaimError: *exp* is not a finite JSON number (a boolean is not).
        ExpiredTokenError: The inequality does not hold.
    """
    expires = _numeric_date(claims, "exp") + leeway_seconds
    if now < expires:
        return expires
    raise ExpiredTokenError(
        f"expired {now - expires:.0f} s ago (leeway {leeway_seconds} s)", claim="exp"
    )


def check_not_before(claims: Claims, *, now: float, leeway_seconds: float) -> float:
    """
    Reject a token before its *nbf* or *iat*, if it has them; return the earliest time it is good.

    Passes if ``nbf - leeway_seconds <= now`` and ``iat - leeway_seconds <= now``.  After an *nbf*
    up to 60 seconds before *iat*, the issuer's allowance for clocks that are behind, *iat* does not
    count.  Source: RFC 7519 §4.1.5 and §4.1.6; that a token may not come from the future is ours.

    Raises:
        InvalidClaimError: *nbf* or *iat* is not a finite JSON number.
        ImmatureTokenError: An inequality does not hold.
    """
    earliest = 0.0
    for name in ("nbf", "iat"):
        if name in claims:
            begins = _numeric_date(claims, name) - leeway_seconds
            after_nbf = name == "iat" and "nbf" in claims and now > earliest + leeway_seconds
            if after_nbf and begins - earliest <= NBF_ALLOWANCE_SECONDS:
                continue
            if now < begins:
                raise ImmatureTokenError(
                    f"{name} is {begins - now:.0f} s ahead (leeway {leeway_seconds} s)", claim=name
                )
            if begins > earliest:  # noqa: PLR1730  max() takes longer than all the rest
                earliest = begins
    return earliest


def check_issuer(claims: Claims, issuers: Mapping[str, T]) -> T:
    """
    Reject a token of an issuer that is not known; return what is known of it.

    Passes if *iss* is one of *issuers*, character by character.  Source: RFC 7519 §4.1.1.

    Raises:
        MissingClaimError: *iss* is absent.
        InvalidClaimError: It is another one, or not a string.
    """
    issuer = _required(claims, "iss")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise InvalidClaimError("iss is not an issuer that is trusted", claim="iss")
    return issuers[issuer]


def check_audience(claims: Claims, audiences: Collection[str]) -> None:
    """
    Reject a token that is not meant for us.

    Passes if *aud*, a string or an array of strings, has a member in *audiences*.
    Source: RFC 7519 §4.1.3.

    Raises:
        MissingClaimError: *aud* is absent.
        InvalidClaimError: It names none of *audiences*, or is no string or array of strings.
    """
    value = _required(claims, "aud")
    if isinstance(value, str):
        if value in audiences:
            return
    elif not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidClaimError("aud is not a string or an array of strings", claim="aud")
    elif any(one in audiences for one in value):
        return
    raise InvalidClaimError("aud does not name this audience", claim="aud")


def check_subject(claims: Claims) -> None:
    """
    Reject a token without a usable subject.

    Passes if *sub* is a non-empty string without control characters: it becomes ``REMOTE_USER``,
    which servers write to their logs as it stands.  Source: RFC 7519 §4.1.2, RFC 9068 §2.2.

    Raises:
        MissingClaimError: *sub* is absent.
        InvalidClaimError: It is something else.
    """
    subject = _required(claims, "sub")
    if not isinstance(subject, str) or not subject or has_control_characters(subject):
        raise InvalidClaimError("sub is not a non-empty string of printable text", claim="sub")


def check_token_id(claims: Claims) -> None:
    """
    Reject a *jti* that is not a string, since nothing could revoke it.  Source: RFC 7519 §4.1.7.

    Raises:
        InvalidClaimError: *jti* is there and not a string.
    """
    if not isinstance(claims.get("jti", ""), str):
        raise InvalidClaimError("jti is not a string", claim="jti")


def check_use(claims: Claims) -> None:
    """
    Reject a token whose claims say that it is a refresh, an ID or an event token.

    Passes if no claim says so, or says *access*.  Source: RFC 8725 §3.12; where an issuer sets
    ``typ: at+jwt`` (RFC 9068), narrowing the verifier to it is stronger.

    Raises:
        InvalidClaimError: One of the claims says something else.
    """
    if claims.keys().isdisjoint(_SAY_WHAT_FOR):
        return
    for name, accepted in _ACCESS_VALUES.items():
        if name in claims:
            value = claims[name]
            if not isinstance(value, str) or value.lower() not in accepted:
                raise InvalidClaimError(f"{name} says that this is no access token", claim=name)
    kind = claims.get("type")
    if isinstance(kind, str) and kind.lower() in _OTHER_TYPES:
        raise InvalidClaimError("type says that this is no access token", claim="type")
    for name in _CLAIMS_OF_OTHERS:
        if name in claims:
            raise InvalidClaimError(f"{name} is not of an access token", claim=name)


def check_bearer(claims: Claims) -> None:
    """
    Reject a token that is bound to a key of its client: as a plain bearer token it proves nothing.

    Source: RFC 7800 §3, RFC 8705 §3.1, RFC 9449 §6.1.

    Raises:
        InvalidClaimError: It has a *cnf*.
    """
    if "cnf" in claims:
        raise InvalidClaimError(
            "cnf binds the token to its client, which was not checked: set"
            " accept_sender_constrained where something before this checks it",
            claim="cnf",
        )


def check_access_token_profile(claims: Claims) -> None:
    """
    Reject a token that lacks what RFC 9068 requires beyond the claims that are always checked.

    Passes if *client_id* and *jti* are non-empty strings and *iat* is a number.
    Source: RFC 9068 §2.2.

    Raises:
        MissingClaimError: One of the three is absent.
        InvalidClaimError: One has another type.
    """
    for name in ("client_id", "jti"):
        value = _required(claims, name)
        if not isinstance(value, str) or not value:
            raise InvalidClaimError(f"{name} is not a non-empty string", claim=name)
    _numeric_date(claims, "iat")


def scopes_of(claims: Claims) -> frozenset[str]:
    """
    Return the members of *scope*, a string with spaces between them.

    One that is no string grants nothing.  Source: RFC 8693 §4.2.
    """
    scope = claims.get("scope")
    return frozenset(filter(None, scope.split(" "))) if isinstance(scope, str) else frozenset()


def has_control_characters(text: str) -> bool:
    """Tell whether *text* holds controls, line separators or lone surrogates."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def _required(claims: Claims, name: str) -> object:
    try:
        return claims[name]
    except KeyError:
        raise MissingClaimError(f"{name} is missing", claim=name) from None


def _numeric_date(claims: Claims, name: str) -> float:
    value = claims.get(name)
    # Not isinstance: a bool is an int.
    if (type(value) is int or type(value) is float) and -_LARGEST <= value <= _LARGEST:
        return value
    _required(claims, name)
    raise InvalidClaimError(f"{name} is not a finite JSON number", claim=name)

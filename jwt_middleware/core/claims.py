"""
Checks of registered claims (RFC 7519 §4.1), one function each.

Each takes the claim set, name to JSON value, and raises a subclass of
:class:`~jwt_middleware.errors.InvalidClaimError` or returns the value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from sys import float_info
from typing import Final, NamedTuple, TypeVar

from ..errors import ExpiredTokenError, ImmatureTokenError, InvalidClaimError, MissingClaimError
from .claim_path import MISSING, ClaimPath, Claims, find_claim, shown_path

T = TypeVar("T")

NBF_ALLOWANCE_SECONDS: Final = 60

_LARGEST: Final = float_info.max
_LAST_DATE: Final = 253_402_300_799  # end of the year 9999
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Claims with which issuers state a token's purpose, and their lower-case values for each kind.
# Registered nowhere; seen with Keycloak (typ), Cognito (token_use), simplejwt and
# Flask-JWT-Extended (token_type, type).
_ACCESS_VALUES: Final = {
    "typ": frozenset({"bearer", "jwt", "at+jwt", "access"}),
    "token_use": frozenset({"access"}),
    "token_type": frozenset({"access", "access_token", "bearer"}),
}
_ID_VALUES: Final = {
    "typ": frozenset({"id", "id_token", "jwt"}),
    "token_use": frozenset({"id"}),
    "token_type": frozenset({"id", "id_token"}),
}
_REFRESH_TYPES: Final = frozenset({"refresh", "refresh_token"})
_ID_TYPES: Final = frozenset({"id", "id_token"})
_ACCESS_TYPES: Final = frozenset({"access", "access_token"})
# OpenID Connect Core §2, §3.3.2.11.
_OF_ID_TOKENS: Final = ("at_hash", "c_hash")
# Scopes of OAuth; idtyp, appidacr and azpacr of Entra ID, gty of Auth0.
_OF_ACCESS_TOKENS: Final = ("scope", "scp", "idtyp", "appidacr", "azpacr", "gty")
# Claims that check_use and check_bearer read.
_NOTABLE: Final = frozenset({*_ACCESS_VALUES, "type", "nonce", "events", "cnf", *_OF_ID_TOKENS})


def check_times(claims: Claims, now: float, leeway_seconds: float) -> tuple[float, float]:
    """
    Reject a token before or after its time; return its period of validity.

    A fast path for :func:`check_expiry` and :func:`check_not_before`, which are called if a check
    fails or a time is not in whole seconds.  The token may be valid earlier than returned, by the
    tolerance of the latter.
    """
    expires, not_before, issued = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
    if type(expires) is type(not_before) is type(issued) is int:
        # max() takes longer than all the rest.
        begins = not_before if not_before > issued else issued  # noqa: FURB136
        if 0 <= begins <= expires <= _LAST_DATE:
            valid_from, valid_until = begins - leeway_seconds, expires + leeway_seconds
            if valid_from <= now < valid_until:
                return valid_from, valid_until
    valid_until = check_expiry(claims, now=now, leeway_seconds=leeway_seconds)
    return check_not_before(claims, now=now, leeway_seconds=leeway_seconds), valid_until


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
    Reject a token before its *nbf* or *iat*, if present; return from when it is valid.

    Passes if ``nbf - leeway_seconds <= now`` and ``iat - leeway_seconds <= now``.  After an *nbf*
    up to 60 seconds before *iat* (the issuer's tolerance for slow clocks) *iat* is ignored.
    Source: RFC 7519 §4.1.5 and §4.1.6; refusing an *iat* in the future is our own rule.

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
    Reject a token of an unknown issuer; return the issuer's entry.

    Passes if *iss* equals one of *issuers* exactly.  Source: RFC 7519 §4.1.1.

    Raises:
        MissingClaimError: *iss* is absent.
        InvalidClaimError: It is unknown or not a string.
    """
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer in issuers:
        return issuers[issuer]
    _required(claims, "iss")
    raise InvalidClaimError("iss is not a trusted issuer", claim="iss")


def check_tenant(claims: Claims, tenants: Mapping[str, str]) -> None:
    """
    Reject a token whose *tid* is not the tenant in its *iss*.

    Passes if *tenants*, from *iss* to tenant, has *tid* for *iss*.  Source: Microsoft identity
    platform, "Validate the issuer" of multi-tenant applications.

    Raises:
        MissingClaimError: *tid* is absent.
        InvalidClaimError: It is another tenant.
    """
    if _required(claims, "tid") != tenants.get(str(claims.get("iss"))):
        raise InvalidClaimError("tid is not the tenant of iss", claim="tid")


def check_audience(claims: Claims, audiences: Collection[str], path: ClaimPath = ("aud",)) -> None:
    """
    Reject a token for another audience.

    Passes if the claim at *path*, a string or an array of strings, has a member in *audiences*.
    Source: RFC 7519 §4.1.3.

    Args:
        claims: Claim set, name to JSON value.
        audiences: Accepted audiences.
        path: *aud*, or the claim that replaces it for this issuer.

    Raises:
        MissingClaimError: The claim is absent.
        InvalidClaimError: It names none of *audiences*, or is not a string or array of strings.
    """
    value = claims.get(path[0], MISSING) if len(path) == 1 else find_claim(claims, path)
    if isinstance(value, str):
        if value in audiences:
            return
    elif value is MISSING:
        raise MissingClaimError(f"{shown_path(path)} is missing", claim=path[-1])
    elif not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidClaimError(
            f"{shown_path(path)} is not a string or an array of strings", claim=path[-1]
        )
    elif any(one in audiences for one in value):
        return
    raise InvalidClaimError(f"{shown_path(path)} does not name this audience", claim=path[-1])


class SubjectSource(NamedTuple):
    """
    A claim that names the subject.

    Attributes:
        path: Path of the claim.
        prefix: Prepended to its value; empty only for *sub*.
    """

    path: ClaimPath
    prefix: str = ""


def check_subject(claims: Claims) -> str:
    """
    Reject a token without a valid subject; return the subject.

    Passes if *sub* is a non-empty string without control characters: it becomes ``REMOTE_USER``,
    which servers log unescaped.  Source: RFC 7519 §4.1.2, RFC 9068 §2.2.

    Raises:
        MissingClaimError: *sub* is absent.
        InvalidClaimError: It is empty, not a string, or has control characters.
    """
    subject = claims.get("sub")
    if (
        isinstance(subject, str)
        and subject
        and (subject.isprintable() or not has_control_characters(subject))
    ):
        return subject
    _required(claims, "sub")
    raise InvalidClaimError("sub is not a non-empty string of printable text", claim="sub")


def check_subject_from(claims: Claims, sources: Iterable[SubjectSource]) -> str:
    """
    Return the subject from the first of *sources* that has one, or reject the token.

    Passes if one is a non-empty string without control characters, and *sub* starts with none of
    their prefixes: otherwise a user could have the same name as a client.

    Raises:
        MissingClaimError: None has a subject.
        InvalidClaimError: It is not printable, or *sub* starts with a prefix.
    """
    named, prefixes = None, []
    for path, prefix in sources:
        value = find_claim(claims, path)
        if named is None and isinstance(value, str) and value:
            named = prefix + value
        if prefix:
            prefixes.append(prefix)
    subject = claims.get("sub")
    if isinstance(subject, str) and subject.startswith(tuple(prefixes)):
        raise InvalidClaimError("sub starts with a prefix of subject_from", claim="sub")
    if named is None:
        raise MissingClaimError("no claim of subject_from is a non-empty string", claim="sub")
    if has_control_characters(named):
        raise InvalidClaimError("the subject is not printable text", claim="sub")
    return named


def usual_subject(claims: Claims, audiences: Collection[str]) -> str | None:
    """
    Return the subject of a typical access token; ``None`` if it needs the full checks.

    A fast path: such a token passes :func:`check_audience`, :func:`check_subject` and
    :func:`check_token_id`, and has no claims that :func:`check_use` and :func:`check_bearer` read.
    """
    audience, subject = claims.get("aud"), claims.get("sub")
    if (
        type(audience) is type(subject) is type(claims.get("jti", "")) is str
        and audience in audiences
        and subject.isprintable()
        and _NOTABLE.isdisjoint(claims)
    ):
        return subject or None
    return None


def check_token_id(claims: Claims) -> None:
    """
    Reject a *jti* that is not a string: it could not be revoked.  Source: RFC 7519 §4.1.7.

    Raises:
        InvalidClaimError: *jti* is present and not a string.
    """
    if not isinstance(claims.get("jti", ""), str):
        raise InvalidClaimError("jti is not a string", claim="jti")


def check_use(claims: Claims) -> None:
    """
    Reject refresh, ID and event tokens, by their claims.

    Passes if no such claim is present, or it states *access*.  A *nonce* without *scope* or *scp*
    indicates an ID token (OpenID Connect Core §2).  Source: RFC 8725 §3.12; where an issuer sets
    ``typ: at+jwt`` (RFC 9068), narrowing the verifier to it is stronger.

    Raises:
        InvalidClaimError: A claim states another kind of token.
    """
    _check_kind(claims, _ACCESS_VALUES, _REFRESH_TYPES | _ID_TYPES, "access")
    for name in _OF_ID_TOKENS:
        if name in claims:
            raise InvalidClaimError(f"{name} does not belong in an access token", claim=name)
    if "nonce" in claims and not any(
        isinstance(claims.get(name), str | list) for name in ("scope", "scp")
    ):
        raise InvalidClaimError("a nonce without scope indicates an ID token", claim="nonce")


def check_id_token(claims: Claims) -> None:
    """
    Reject tokens other than ID tokens, by their claims.

    Scopes, and claims that Entra ID and Auth0 put only into access tokens, indicate an access
    token. Source: OpenID Connect Core §2.

    Raises:
        InvalidClaimError: A claim states another kind of token.
    """
    _check_kind(claims, _ID_VALUES, _REFRESH_TYPES | _ACCESS_TYPES, "ID")
    for name in _OF_ACCESS_TOKENS:
        if name in claims:
            raise InvalidClaimError(f"{name} does not belong in an ID token", claim=name)


def _check_kind(
    claims: Claims,
    values: Mapping[str, Collection[str]],
    other_types: Collection[str],
    kind: str,
) -> None:
    for name, accepted in values.items():
        if name in claims:
            value = claims[name]
            if not isinstance(value, str) or value.lower() not in accepted:
                raise InvalidClaimError(f"{name} is not that of an {kind} token", claim=name)
    type_ = claims.get("type")
    if isinstance(type_, str) and type_.lower() in other_types:
        raise InvalidClaimError(f"type is not that of an {kind} token", claim="type")
    if "events" in claims:  # RFC 8417; logout tokens are one kind
        raise InvalidClaimError(f"events does not belong in an {kind} token", claim="events")


def check_any_of(claims: Claims, paths: Iterable[ClaimPath]) -> None:
    """
    Reject a token without any of several claims.

    Passes if one of *paths* leads to a value that is not ``null`` or empty.

    Raises:
        MissingClaimError: All are absent or empty.
    """
    path: ClaimPath = ()
    for path in paths:
        value = find_claim(claims, path)
        if isinstance(value, str):
            value = value.strip()
        if value is not MISSING and value is not None and value not in ("", [], {}):
            return
    raise MissingClaimError("all claims of require_any are missing", claim=path[-1])


def check_lifetime(claims: Claims, *, max_seconds: float) -> None:
    """
    Reject a token with too long a lifetime, or without *iat*.

    Passes if ``exp - iat <= max_seconds``.

    Raises:
        MissingClaimError: *exp* or *iat* is absent.
        InvalidClaimError: One is not a finite JSON number, or the inequality does not hold.
    """
    lifetime = _numeric_date(claims, "exp") - _numeric_date(claims, "iat")
    if lifetime > max_seconds:
        raise InvalidClaimError(
            f"issued for {lifetime:.0f} s, {max_seconds} s at most", claim="exp"
        )


def check_bearer(claims: Claims) -> None:
    """
    Reject a sender-constrained token, which must not be used as a plain bearer token.

    Source: RFC 7800 §3, RFC 8705 §3.1, RFC 9449 §6.1.

    Raises:
        InvalidClaimError: It has a *cnf*.
    """
    if "cnf" in claims:
        raise InvalidClaimError(
            "cnf: the token is sender-constrained and its binding was not checked: set"
            " accept_sender_constrained if something in front of the app checks it",
            claim="cnf",
        )


def check_access_token_profile(claims: Claims) -> None:
    """
    Reject a token without the claims that RFC 9068 requires in addition.

    Passes if *client_id* and *jti* are non-empty strings and *iat* is a number.
    Source: RFC 9068 §2.2.

    Raises:
        MissingClaimError: A claim is absent.
        InvalidClaimError: A claim has another type.
    """
    for name in ("client_id", "jti"):
        value = _required(claims, name)
        if not isinstance(value, str) or not value:
            raise InvalidClaimError(f"{name} is not a non-empty string", claim=name)
    _numeric_date(claims, "iat")


def has_control_characters(text: str) -> bool:
    """Return whether *text* has control characters, line separators or lone surrogates."""
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

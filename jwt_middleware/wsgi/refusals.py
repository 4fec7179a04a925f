"""Events of refused requests, and of requests that would be refused in report mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import events
from ..core.jws import decode_segment, parse_object, split
from ..errors import (
    AuthError,
    BadCredentialsError,
    ImmatureTokenError,
    InvalidTokenError,
    TooManyAttemptsError,
    UnavailableError,
    UnknownKeyError,
)
from ..events import Fields, Name
from .bearer import AUTHORIZATION, hint_of, parse_authorization
from .environ import CLAIMS, ERROR, describe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def look_for_mistake(error: AuthError | UnavailableError, environ: WSGIEnvironment) -> None:
    """Set the hint of *error* if the header's value is not a token."""
    value = environ.get(AUTHORIZATION, "").strip(" \t")
    if isinstance(error, InvalidTokenError) and error.hint is None and value:
        error.hint = hint_of(AUTHORIZATION, value[6:].lstrip(" "))


def tell_refusal(
    error: AuthError | UnavailableError,
    environ: WSGIEnvironment,
    *,
    rules: str = "",
    trusted_proxies: int = 0,
) -> None:
    """
    Emit the event of a refused request.

    A failed login has its own event.

    Args:
        error: The reason.
        environ: The request's environ.
        rules: Paths of the rules that decided.
        trusted_proxies: As for :func:`.client_address`.
    """
    if isinstance(error, UnavailableError):
        _tell(Name.REQUEST_UNAVAILABLE, error, environ, rules, trusted_proxies)
    elif not isinstance(error, BadCredentialsError | TooManyAttemptsError):
        _tell(Name.REQUEST_REFUSED, error, environ, rules, trusted_proxies)
    if isinstance(error, ImmatureTokenError):  # whose signature is valid
        events.emit(Name.CLOCK_SKEW, lambda: _claimed(environ), detail=str(error))


def report(
    error: AuthError | UnavailableError,
    environ: WSGIEnvironment,
    *,
    rules: str = "",
    trusted_proxies: int = 0,
) -> None:
    """Emit the event of a request that would be refused, and put the code into its environ."""
    environ[ERROR] = error.code
    look_for_mistake(error, environ)
    _tell(Name.REQUEST_REPORTED, error, environ, rules, trusted_proxies)


def _tell(
    name: Name,
    error: AuthError | UnavailableError,
    environ: WSGIEnvironment,
    rules: str,
    trusted_proxies: int,
) -> None:
    def more() -> Fields:
        fields = describe(environ, trusted_proxies)
        fields.update(_claimed(environ))
        fields["rule"] = rules
        if isinstance(error, UnknownKeyError) and error.kid:
            fields["kid"] = error.kid
        detail = str(error)
        if isinstance(error, UnavailableError) and error.__cause__ is not None:
            detail += f" ({type(error.__cause__).__name__})"
        if isinstance(error, AuthError):
            detail = error.hint or detail
        fields["detail"] = "" if detail == error.sentence else detail
        return fields

    events.emit(name, more, reason=error.code)


def _claimed(environ: WSGIEnvironment) -> Fields:
    """Return the token's own claims for the event, even if unverified."""
    claims, kid = environ.get(CLAIMS, {}), None
    try:
        jws = split(parse_authorization(environ.get(AUTHORIZATION)) or "")
        kid = parse_object(decode_segment(jws.header, "header"), "header").get("kid")
        claims = claims or parse_object(decode_segment(jws.payload, "payload"), "payload")
    except AuthError:  # no token, or an unreadable one
        pass
    return {
        "issuer": _text(claims.get("iss")),
        "kid": _text(kid),
        "jti": _text(claims.get("jti")),
        "sub": _text(claims.get("sub")),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

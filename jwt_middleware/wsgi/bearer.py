"""Read bearer tokens from headers, and build challenges (RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import InvalidRequestError, MissingTokenError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

AUTHORIZATION: Final = "HTTP_AUTHORIZATION"

# credentials = "Bearer" 1*SP b64token                                RFC 6750 §2.1 Only a missing
# or second token is refused here, as invalid_request.  The verifier refuses characters outside
# b64token as invalid_token.
_CREDENTIALS: Final = re.compile(r"bearer +([^ \t,]+)", re.IGNORECASE)
_SECOND_BEARER: Final = re.compile(r",[ \t]*bearer[ \t]", re.IGNORECASE)


def parse_authorization(value: str | None) -> str | None:
    """
    Return the token of an ``Authorization`` header; ``None`` if it has no bearer token.

    White space around the value is stripped.  Other schemes are ignored.  Servers join repeated
    headers with a comma: if one of them is a bearer token, that is an error in either order.

    Args:
        value: The header's value; ``None`` if it was not sent.

    Raises:
        InvalidRequestError: It is empty, or has bearer credentials with other than one token.
    """
    if value is None:
        return None
    # The usual case, without a regular expression.
    if value[:7] == "Bearer ":
        token = value[7:]
        if token and not (" " in token or "," in token or "\t" in token):
            return token
    value = value.strip(" \t")  # RFC 9110 §5.5: some servers do not strip it
    match = _CREDENTIALS.fullmatch(value)
    if match:
        return match[1]
    if value[:6].lower() in {"", "bearer"} or _SECOND_BEARER.search(value):
        raise _invalid(f"Authorization: {_mistake_in(value)}")
    return None


# What clients send instead of a token, and the hint for their developers.  A hint quotes nothing of
# the value, and is printable ASCII without quote and backslash (error_description, RFC 6750 §3).
_MISTAKES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), told)
    for pattern, told in (
        (r"\Abearer[ :=]", "Bearer is repeated"),
        (r"""\A["'`]|["'`]\Z|\xe2\x80[\x98-\x9f]""", "the token is in quotes"),
        (r"\A(?:null|undefined|none|nil|nan|true|false)\Z|\A\[object", "the token is a null value"),
        (r"\A[<$]|\A\{\{", "the token is a placeholder that was not replaced"),
        (r"\A[\[{]", "a JSON response is not a token: send its access_token"),
        (r"(?:[\r\n]|\\[rn]|%0[ad])\Z", "the token ends in a line break"),
        (r"%[0-9a-f]{2}", "the token is percent-encoded: send it as it was issued"),
        (r"[,;]\Z", "the token ends in a comma or semicolon"),
        (r"\s|\\[rnt]", "the token has white space in it"),
        (r"=\Z", "the token ends in base64 padding, which no JWT has"),
        (r"\.\.\.\Z|\xe2\x80\xa6|\*\*\*", "the token was abbreviated"),
    )
)
_NO_JWT: Final = "a JWT has three parts, joined by dots"
_ALPHABET: Final = re.compile(r"[A-Za-z0-9._-]+")
_COMPACT: Final = re.compile(r"ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def mistake_in(token: str) -> str:
    """Return the known mistake in a string that is not a token; empty if unknown."""
    return next((told for pattern, told in _MISTAKES if pattern.search(token)), "")


def hint_of(key: str, token: str) -> str:
    """Return the header's name and the mistake in a string that is not a JWT; else empty."""
    dots = token.count(".")
    if dots == 2 and _ALPHABET.fullmatch(token):
        return ""
    mistake = mistake_in(token)
    if not mistake and dots != 2:
        mistake = "an encrypted token (JWE) is not accepted" if dots == 4 else _NO_JWT
    name = key.removeprefix("HTTP_").replace("_", "-").title()
    return mistake and f"{name}: {mistake}"


def missing_token(environ: WSGIEnvironment, headers: TokenHeaders | None) -> MissingTokenError:
    """Return the error for a request without a token, with a hint on what it has instead."""
    error, value = MissingTokenError(), environ.get(AUTHORIZATION)
    if value is None or (headers is not None and not headers.reads_authorization):
        return error
    mistake = "the scheme is not Bearer"
    if value[:1] in {'"', "'"}:
        mistake = "the value is in quotes"
    elif _COMPACT.match(value):
        mistake = "the scheme is missing: write Bearer before the token"
    error.hint = f"Authorization: {mistake}"
    return error


def _mistake_in(value: str) -> str:
    """Return the mistake in bearer credentials, without quoting them."""
    rest = value[6:].strip(" \t")
    if not rest:
        told = "the token is missing"
    elif rest[0] in ":=":
        told = "Bearer is followed by a colon or equals sign: write one space"
    elif _SECOND_BEARER.search(value):
        told = "two values are joined by a comma: send one"
    else:
        told = mistake_in(rest) or "write Bearer, one space and one token"
    return told


def _invalid(told: str) -> InvalidRequestError:
    error = InvalidRequestError(told)
    error.hint = told
    return error


class TokenHeaders:
    """
    The request headers that carry tokens of several issuers.

    Args:
        names: The header of each issuer; ``None`` means ``Authorization``.

    Attributes:
        reads_authorization: Whether ``Authorization`` is one of them.
    """

    def __init__(self, names: Iterable[str | None]) -> None:
        keys = {environ_key(name) for name in names}
        self.reads_authorization: bool = AUTHORIZATION in keys
        self._others = sorted(keys - {AUTHORIZATION})

    def find(self, environ: WSGIEnvironment) -> tuple[str, str] | None:
        """
        Return the environ key of the header with a token, and the token.

        Raises:
            InvalidRequestError: Two headers carry tokens, or one is repeated: servers join the
                values with a comma, which no token has.  Or as for :func:`parse_authorization`.
        """
        found: list[tuple[str, str]] = []
        if self.reads_authorization:
            token = parse_authorization(environ.get(AUTHORIZATION))
            if token is not None:
                found.append((AUTHORIZATION, token))
        for key in self._others:
            value = environ.get(key, "").strip(" \t")
            if "," in value:
                raise _invalid("a header with a token is repeated")
            if value:
                found.append((key, value))
        if len(found) > 1:
            raise _invalid("two headers carry tokens")
        return found[0] if found else None


def environ_key(header: str | None) -> str:
    """Return the environ key of a header; ``None`` means ``Authorization``."""
    return AUTHORIZATION if header is None else f"HTTP_{header.upper().replace('-', '_')}"


def challenge(
    realm: str,
    *,
    error: str | None = None,
    description: str | None = None,
    scope: Sequence[str] = (),
    resource_metadata: str | None = None,
) -> str:
    """
    Return a ``WWW-Authenticate`` value.  Source: RFC 6750 §3.

    Args:
        realm: Printable ASCII without quote or backslash, like all other arguments.
        error: RFC 6750 §3.1 code; left out if the request has no token.
        description: English text for the client's developer.
        scope: The scopes that the request requires.
        resource_metadata: URL of the metadata of this resource (RFC 9728 §5.1).
    """
    parts = [f'Bearer realm="{realm}"']
    if error is not None:
        parts.append(f'error="{error}"')
    if description is not None:
        parts.append(f'error_description="{description}"')
    if scope:
        parts.append(f'scope="{" ".join(scope)}"')
    if resource_metadata is not None:
        parts.append(f'resource_metadata="{resource_metadata}"')
    return ", ".join(parts)

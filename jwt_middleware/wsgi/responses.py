"""
Answers of our own: errors as problem+json or as the envelope, in English or Chinese, and tokens.

HTTP status, challenge and caching are the same in both styles; only the body differs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import HTTP_STATUS_CODES, parse_accept_header

from ..core.issuer import IssuedToken
from ..errors import (
    AuthError,
    BadCredentialsError,
    BodyTooLargeError,
    ConfigurationError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidFormError,
    InvalidRequestError,
    InvalidTokenError,
    JWTMiddlewareError,
    MethodNotAllowedError,
    MissingTokenError,
    UnavailableError,
    UnknownKeyError,
    UnsupportedMediaTypeError,
)
from .bearer import challenge

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger("jwt_middleware")

Style = Literal["problem", "envelope"]
Language = Literal["en", "zh"]


class _Answer(NamedTuple):
    status: int
    number: int  # the envelope's error_code, as in the API style that it comes from
    oauth_error: str | None = None  # RFC 6750 §3.1


# An error is answered as the nearest of its base classes.
_ANSWERS: Final[Mapping[type[JWTMiddlewareError], _Answer]] = {
    AuthError: _Answer(401, 1005),
    MissingTokenError: _Answer(401, 1005),
    BadCredentialsError: _Answer(401, 1005),
    InvalidTokenError: _Answer(401, 1002, "invalid_token"),
    ExpiredTokenError: _Answer(401, 1003, "invalid_token"),
    InsufficientScopeError: _Answer(403, 1004, "insufficient_scope"),
    InvalidRequestError: _Answer(400, 1000, "invalid_request"),
    MethodNotAllowedError: _Answer(405, 1007),
    BodyTooLargeError: _Answer(413, 1008),
    UnsupportedMediaTypeError: _Answer(415, 1009),
    UnavailableError: _Answer(503, 999),
}
_STATUSES_WITH_CHALLENGE: Final = frozenset({400, 401, 403})


class Responses:
    """
    How this middleware speaks for itself.

    Args:
        style: ``"problem"`` is RFC 9457 ``application/problem+json`` with our stable *code*;
            ``"envelope"`` is ``{"error_code", "msg", "request"}``.
        realm: Named in every challenge; printable ASCII without quote or backslash.
        resource_metadata: URL of this resource's RFC 9728 metadata, named in every challenge.

    Raises:
        ConfigurationError: One of them is something else.
    """

    def __init__(
        self,
        *,
        style: Style = "problem",
        realm: str = "api",
        resource_metadata: str | None = None,
    ) -> None:
        if style not in {"problem", "envelope"}:
            raise ConfigurationError('style must be "problem" or "envelope"')
        for name, value in (("realm", realm), ("resource_metadata", resource_metadata or "")):
            if not isinstance(value, str) or not _can_be_quoted(value):
                raise ConfigurationError(
                    f"{name} must be printable ASCII without quote or backslash"
                )
        self.style = style
        self.realm = realm
        self.resource_metadata = resource_metadata

    def refuse(
        self,
        error: AuthError | UnavailableError,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Answer *error* as a WSGI app would, in the client's language, and log it."""
        _log(error)
        answer = next(_ANSWERS[base] for base in type(error).__mro__ if base in _ANSWERS)
        language = preferred_language(environ)
        headers = [
            ("Content-Language", language),
            ("Vary", "Accept-Language"),
            *self._error_headers(error, answer),
        ]
        sentence = error.sentence_zh if language == "zh" else error.sentence
        fields = error.fields if isinstance(error, InvalidFormError) else None
        if self.style == "envelope":
            body = _envelope(environ, answer.number, fields or sentence)
            return _send(environ, start_response, answer.status, headers, body)
        problem: dict[str, object] = {
            "type": "about:blank",
            "title": HTTP_STATUS_CODES[answer.status],
            "status": answer.status,
            "detail": sentence,
            "code": error.code,
        }
        if fields:
            problem["errors"] = fields
        media_type = "application/problem+json"
        return _send(environ, start_response, answer.status, headers, problem, media_type)

    def grant(
        self,
        issued: IssuedToken,
        scope: str,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Answer with a token.  Source: RFC 6749 §5.1 for the members and the two headers."""
        body: dict[str, object]
        if self.style == "envelope":
            body = _envelope(environ, 0, issued.token)
        else:
            body = {
                "access_token": issued.token,
                "token_type": "Bearer",
                "expires_in": issued.expires_in,
                "scope": scope,
            }
        return _send(environ, start_response, 200, [("Pragma", "no-cache")], body)

    def _error_headers(
        self, error: JWTMiddlewareError, answer: _Answer
    ) -> Iterable[tuple[str, str]]:
        if answer.status in _STATUSES_WITH_CHALLENGE:
            scope = error.scope if isinstance(error, InsufficientScopeError) else ()
            description = error.sentence if answer.oauth_error else None
            yield (
                "WWW-Authenticate",
                challenge(
                    self.realm,
                    error=answer.oauth_error,
                    description=description,
                    scope=scope,
                    resource_metadata=self.resource_metadata,
                ),
            )
        if isinstance(error, UnavailableError):
            yield "Retry-After", str(error.retry_after_seconds)
        if isinstance(error, MethodNotAllowedError):
            yield "Allow", ", ".join(error.allowed)


def _can_be_quoted(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}


def _log(error: AuthError | UnavailableError) -> None:
    """
    Log why a request was refused, without a word of what the client sent.

    Only a *kid* that is not known is quoted, escaped and cut: whoever rotated a key needs it.
    """
    if isinstance(error, UnavailableError):
        cause = type(error.__cause__).__name__ if error.__cause__ else "no further cause"
        logger.error("unavailable: %s (%s)", error, cause)
    elif isinstance(error, UnknownKeyError) and error.kid is not None:
        logger.info("refused: %s: %.80a", error.code, error.kid)
    else:
        logger.info("refused: %s", error.code)


def preferred_language(environ: WSGIEnvironment) -> Language:
    """Return which of our languages a client prefers: English, unless it asks for Chinese."""
    accepted = environ.get("HTTP_ACCEPT_LANGUAGE", "")
    if "zh" not in accepted.lower():
        return "en"
    best = parse_accept_header(accepted, LanguageAccept).best_match(["en", "zh"])
    return "zh" if best == "zh" else "en"


def _envelope(environ: WSGIEnvironment, number: int, message: object) -> dict[str, object]:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    readable = path.encode("latin-1", "replace").decode("utf-8", "replace")
    request = f"{environ['REQUEST_METHOD']} {readable}"
    return {"error_code": number, "msg": message, "request": request}


def _send(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    headers: Iterable[tuple[str, str]],
    body: Mapping[str, object],
    media_type: str = "application/json",
) -> Iterable[bytes]:
    octets = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    start_response(
        f"{status} {HTTP_STATUS_CODES[status]}",
        [
            ("Content-Type", media_type),
            ("Content-Length", str(len(octets))),
            ("Cache-Control", "no-store"),
            *headers,
        ],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [octets]

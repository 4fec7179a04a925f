"""
Answers of our own: errors as problem+json or as the envelope, in English or Chinese, and tokens.

HTTP status, challenge and caching are the same in both styles; only the body differs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import HTTP_STATUS_CODES, parse_accept_header

from ..errors import (
    AuthError,
    BadCredentialsError,
    BodyTooLargeError,
    ConfigurationError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidFormError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    InvalidTokenError,
    JWTMiddlewareError,
    MethodNotAllowedError,
    MissingTokenError,
    TooManyAttemptsError,
    UnavailableError,
    UnknownKeyError,
    UnsupportedGrantTypeError,
    UnsupportedMediaTypeError,
    UnsupportedTokenTypeError,
)
from .bearer import challenge

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from ..sessions import Grant

logger = logging.getLogger("jwt_middleware")


class Answer(NamedTuple):
    """
    How an error is answered.

    Attributes:
        status: Of HTTP.
        number: The envelope's *error_code*, as in the API style that it comes from.
        bearer_error: RFC 6750 §3.1 code, for a challenge.
        grant_error: RFC 6749 §5.2 code, where *grant_type* is spoken; the error's own if empty.
    """

    status: int
    number: int
    bearer_error: str | None = None
    grant_error: str = ""


# An error is answered as the nearest of its base classes.
_ANSWERS: Final[Mapping[type[JWTMiddlewareError], Answer]] = {
    AuthError: Answer(401, 1005, grant_error="invalid_client"),
    MissingTokenError: Answer(401, 1005),
    BadCredentialsError: Answer(401, 1005, grant_error="invalid_client"),
    InvalidTokenError: Answer(401, 1002, "invalid_token"),
    ExpiredTokenError: Answer(401, 1003, "invalid_token"),
    InsufficientScopeError: Answer(403, 1004, "insufficient_scope"),
    InvalidRequestError: Answer(400, 1000, "invalid_request", "invalid_request"),
    InvalidScopeError: Answer(400, 1000, "invalid_request", "invalid_scope"),
    UnsupportedGrantTypeError: Answer(400, 1000, "invalid_request", "unsupported_grant_type"),
    UnsupportedTokenTypeError: Answer(400, 1000, "invalid_request", "unsupported_token_type"),
    MethodNotAllowedError: Answer(405, 1007, grant_error="invalid_request"),
    BodyTooLargeError: Answer(413, 1008, grant_error="invalid_request"),
    UnsupportedMediaTypeError: Answer(415, 1009, grant_error="invalid_request"),
    InvalidGrantError: Answer(400, 1010, grant_error="invalid_grant"),
    TooManyAttemptsError: Answer(429, 1011),
    UnavailableError: Answer(503, 999),
}


# json.dumps makes an encoder for each call, which takes as long as to encode.
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def answer_to(error: AuthError | UnavailableError) -> Answer:
    """Return how *error* is answered, and log it."""
    _log(error)
    exact = _ANSWERS.get(type(error))
    return exact or next(_ANSWERS[base] for base in type(error).__mro__ if base in _ANSWERS)


def further_headers(error: AuthError | UnavailableError) -> Iterator[tuple[str, str]]:
    """Yield the headers by which a client learns what to do else, and when."""
    if isinstance(error, UnavailableError | TooManyAttemptsError):
        yield "Retry-After", str(error.retry_after_seconds)
    if isinstance(error, MethodNotAllowedError):
        yield "Allow", ", ".join(error.allowed)


def send_json(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    headers: Iterable[tuple[str, str]],
    body: Mapping[str, object],
    media_type: str = "application/json",
) -> Iterable[bytes]:
    """Answer with a JSON object that nobody may store."""
    octets = _encode(body).encode("utf-8", "replace")
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


def send_nothing(start_response: StartResponse) -> Iterable[bytes]:
    """Answer that it is done, and that there is no more to say."""
    start_response("204 No Content", [("Cache-Control", "no-store")])
    return []


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


Style = Literal["problem", "envelope"]
Language = Literal["en", "zh"]


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
        answer = answer_to(error)
        language = preferred_language(environ)
        headers = [
            ("Content-Language", language),
            ("Vary", "Accept-Language"),
            *self._challenge(error, answer),
            *further_headers(error),
        ]
        sentence = error.sentence_zh if language == "zh" else error.sentence
        fields = error.fields if isinstance(error, InvalidFormError) else None
        if self.style == "envelope":
            body = _envelope(environ, answer.number, fields or sentence)
            return send_json(environ, start_response, answer.status, headers, body)
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
        return send_json(environ, start_response, answer.status, headers, problem, media_type)

    def grant(
        self, grant: Grant, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer with tokens.  Source: RFC 6749 §5.1 for the members and the two headers."""
        body = token_members(grant)
        if self.style == "envelope":
            body = _envelope(environ, 0, grant.issued.token)
            if grant.refresh_token is not None:
                body["refresh_token"] = grant.refresh_token
        return send_json(environ, start_response, 200, [("Pragma", "no-cache")], body)

    def _challenge(self, error: JWTMiddlewareError, answer: Answer) -> Iterable[tuple[str, str]]:
        if answer.status in _STATUSES_WITH_CHALLENGE:
            scope = error.scope if isinstance(error, InsufficientScopeError) else ()
            description = error.sentence if answer.bearer_error else None
            yield (
                "WWW-Authenticate",
                challenge(
                    self.realm,
                    error=answer.bearer_error,
                    description=description,
                    scope=scope,
                    resource_metadata=self.resource_metadata,
                ),
            )


def token_members(grant: Grant) -> dict[str, object]:
    """Return what a client gets.  Source: RFC 6749 §5.1."""
    members: dict[str, object] = {
        "access_token": grant.issued.token,
        "token_type": "Bearer",
        "expires_in": grant.issued.expires_in,
        "scope": grant.scope,
    }
    if grant.refresh_token is not None:
        members["refresh_token"] = grant.refresh_token
    return members


def _can_be_quoted(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}


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

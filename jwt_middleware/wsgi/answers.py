"""How each error is answered, and what all answers of our own have in common."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from werkzeug.http import HTTP_STATUS_CODES

from ..errors import (
    AuthError,
    BadCredentialsError,
    BodyTooLargeError,
    ExpiredTokenError,
    InsufficientScopeError,
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
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

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

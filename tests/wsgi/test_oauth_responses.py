from __future__ import annotations

from typing import Any
from wsgiref.validate import validator

from webtest import TestApp

from jwt_middleware import errors
from jwt_middleware.wsgi.responses import Responses

from ..table import table

RESPONSES = Responses().for_oauth()


def answering(error: Any) -> TestApp:
    return TestApp(validator(lambda environ, start: RESPONSES.refuse(error, environ, start)))


@table(
    ("error", "status", "code"),
    [
        (errors.InvalidRequestError(), 400, "invalid_request"),
        (errors.BadCredentialsError(), 401, "invalid_client"),
        (errors.AuthError(), 401, "invalid_client"),
        (errors.InvalidGrantError(), 400, "invalid_grant"),
        (errors.InvalidScopeError(), 400, "invalid_scope"),
        (errors.UnsupportedGrantTypeError(), 400, "unsupported_grant_type"),
        (errors.MethodNotAllowedError(allowed=["POST"]), 405, "invalid_request"),
        (errors.BodyTooLargeError(), 413, "invalid_request"),
        (errors.UnsupportedMediaTypeError(), 415, "invalid_request"),
        (errors.TooManyAttemptsError(), 429, "too_many_attempts"),
        (errors.UnavailableError(), 503, "temporarily_unavailable"),
    ],
)
@table("language", ["en", "zh"])
def test_errors_are_answered_as_rfc_6749_has_it(
    error: errors.AuthError, status: int, code: str, language: str
) -> None:
    headers = {"Accept-Language": language}
    answer = answering(error).post("/token", headers=headers, status=status)
    assert answer.json == {"error": code, "error_description": error.sentence}
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    # error_description = 1*( %x20-21 / %x23-5B / %x5D-7E )                    RFC 6749 A.8
    assert all(" " <= char <= "~" and char not in '"\\' for char in error.sentence)
    challenge = answer.headers.get("WWW-Authenticate")
    assert challenge == ('Basic realm="api", charset="UTF-8"' if status == 401 else None)
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_head_request_is_answered_without_a_body() -> None:
    error = errors.MethodNotAllowedError(allowed=["POST"])
    answer = answering(error).head("/token", status=405)
    assert answer.body == b""


def test_a_parameter_is_named() -> None:
    error = errors.InvalidRequestError("grant_type is missing", parameter="grant_type")
    answer = answering(error).post("/token", status=400)
    sentence = "The request is malformed: grant_type is missing."
    assert answer.json == {"error": "invalid_request", "error_description": sentence}

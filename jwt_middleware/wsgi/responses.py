"""
Answers of our own: errors as problem+json or as the envelope, in English or Chinese, and tokens.

HTTP status, challenge and caching are the same in both styles; only the body differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import HTTP_STATUS_CODES, parse_accept_header

from ..errors import (
    AuthError,
    ConfigurationError,
    InsufficientScopeError,
    InvalidFormError,
    JWTMiddlewareError,
    UnavailableError,
)
from .answers import Answer, answer_to, further_headers, send_json
from .bearer import challenge

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from ..sessions import Grant

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

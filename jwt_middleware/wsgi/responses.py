"""
Responses in three styles: problem documents, the envelope and OAuth.

HTTP status and cache headers are the same in all styles; only the body differs, and the challenge
of OAuth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import HTTP_STATUS_CODES, parse_accept_header

from ..bounds import check_whole, did_you_mean
from ..errors import (
    AuthError,
    BadCredentialsError,
    BodyTooLargeError,
    ConfigurationError,
    CrossSiteError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidFormError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    InvalidTargetError,
    InvalidTokenError,
    JWTMiddlewareError,
    MethodNotAllowedError,
    MissingTokenError,
    NotFoundError,
    TooManyAttemptsError,
    UnavailableError,
    UnsupportedGrantTypeError,
    UnsupportedMediaTypeError,
    UnsupportedTokenTypeError,
)
from .address import MAX_TRUSTED_PROXIES
from .basic import challenge_basic
from .bearer import challenge
from .refusals import look_for_mistake, tell_refusal
from .unread import skip_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from ..sessions import Grant

_Members = dict[str, object]


class Answer(NamedTuple):
    """
    The status and codes of the response to an error.

    Attributes:
        status: The HTTP status.
        number: The envelope's *error_code*.
        bearer_error: RFC 6750 §3.1 code for the challenge.
        oauth_error: RFC 6749 §5.2 code; if empty, the error's own code.
    """

    status: int
    number: int
    bearer_error: str | None = None
    oauth_error: str = ""


# An error without an entry uses that of its nearest base class.
_ANSWERS: Final[Mapping[type[JWTMiddlewareError], Answer]] = {
    AuthError: Answer(401, 1005, oauth_error="invalid_client"),
    MissingTokenError: Answer(401, 1005),
    BadCredentialsError: Answer(401, 1005, oauth_error="invalid_client"),
    CrossSiteError: Answer(403, 1000),
    InvalidTokenError: Answer(401, 1002, "invalid_token"),
    ExpiredTokenError: Answer(401, 1003, "invalid_token"),
    InsufficientScopeError: Answer(403, 1004, "insufficient_scope"),
    InvalidRequestError: Answer(400, 1000, "invalid_request", "invalid_request"),
    InvalidScopeError: Answer(400, 1000, "invalid_request", "invalid_scope"),
    InvalidTargetError: Answer(400, 1000, "invalid_request", "invalid_target"),
    UnsupportedGrantTypeError: Answer(400, 1000, "invalid_request", "unsupported_grant_type"),
    UnsupportedTokenTypeError: Answer(400, 1000, "invalid_request", "unsupported_token_type"),
    NotFoundError: Answer(404, 1000, oauth_error="invalid_request"),
    MethodNotAllowedError: Answer(405, 1007, oauth_error="invalid_request"),
    BodyTooLargeError: Answer(413, 1008, oauth_error="invalid_request"),
    UnsupportedMediaTypeError: Answer(415, 1009, oauth_error="invalid_request"),
    InvalidGrantError: Answer(400, 1010, oauth_error="invalid_grant"),
    TooManyAttemptsError: Answer(429, 1011),
    UnavailableError: Answer(503, 999),
}


# json.dumps creates an encoder for each call, which takes as long as encoding.
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def _further_headers(error: AuthError | UnavailableError) -> Iterator[tuple[str, str]]:
    """Yield ``Allow``, ``Retry-After`` and similar headers of an error."""
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
    """Send a JSON response with ``Cache-Control: no-store``."""
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
    return skip_body(environ, [] if environ["REQUEST_METHOD"] == "HEAD" else [octets])


def send_nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send 204 No Content."""
    start_response("204 No Content", [("Cache-Control", "no-store")])
    return skip_body(environ, [])


Style = Literal["problem", "envelope", "oauth"]
Language = Literal["en", "zh"]


_STATUSES_WITH_CHALLENGE: Final = frozenset({400, 401, 403})


class Responses:
    """
    Builds the middleware's own responses.

    Args:
        style: ``"problem"`` is RFC 9457 ``application/problem+json`` with our stable *code*;
            ``"envelope"`` is ``{"error_code", "msg", "request"}``; ``"oauth"``, RFC 6749 §5.2, is
            always used for OAuth clients of an endpoint.
        realm: The realm of every challenge; printable ASCII without quote or backslash.
        resource_metadata: URL of this resource's RFC 9728 metadata, for every challenge.
        error_codes: An error's *code* to its number in the envelope.  It also applies to all
            subclasses in :mod:`jwt_middleware.errors`.
        trusted_proxies: How many of your own proxies each request has passed, up to 16, to log the
            client behind them.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    def __init__(
        self,
        *,
        style: Style = "problem",
        realm: str = "api",
        resource_metadata: str | None = None,
        error_codes: Mapping[str, int] = MappingProxyType({}),
        trusted_proxies: int = 0,
    ) -> None:
        if style not in _BODIES:
            raise ConfigurationError('style must be "problem" or "envelope"')
        for name, value in (("realm", realm), ("resource_metadata", resource_metadata or "")):
            if not isinstance(value, str) or not _can_be_quoted(value):
                raise ConfigurationError(
                    f"{name} must be printable ASCII without quote or backslash"
                )
        _check_error_codes(error_codes)
        check_whole("trusted_proxies", trusted_proxies, 0, MAX_TRUSTED_PROXIES)
        self.style = style
        self.realm = realm
        self.resource_metadata = resource_metadata
        self.error_codes: dict[str, int] = dict(error_codes)
        self.trusted_proxies = trusted_proxies

    def for_oauth(self) -> Responses:
        """Return a copy with the style of OAuth."""
        return Responses(style="oauth", realm=self.realm, trusted_proxies=self.trusted_proxies)

    def refuse(
        self,
        error: AuthError | UnavailableError,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        *,
        rules: str = "",
        basic: bool = False,
    ) -> Iterable[bytes]:
        """
        Send the response to *error* and emit the event.

        Args:
            error: The reason of the refusal.
            environ: Of the request.
            start_response: The server's callable.
            rules: Paths of the rules that decided, for the event.
            basic: Whether to add a Basic challenge to a 401.
        """
        look_for_mistake(error, environ)
        tell_refusal(error, environ, rules=rules, trusted_proxies=self.trusted_proxies)
        answer = self.answer_to(error)
        headers = [*self._headers(error, answer, environ), *_further_headers(error)]
        if (
            basic and answer.status == 401
        ):  # first: some Basic clients read only the first challenge
            headers.insert(0, ("WWW-Authenticate", challenge_basic(self.realm)))
        media_type, make = _BODIES[self.style]
        body = make(error, answer, environ)
        return send_json(environ, start_response, answer.status, headers, body, media_type)

    def answer_to(self, error: AuthError | UnavailableError) -> Answer:
        """Return the status and codes for *error*."""
        bases = type(error).__mro__
        answer = next(_ANSWERS[base] for base in bases if base in _ANSWERS)
        if self.error_codes:
            for code in (getattr(base, "code", None) for base in bases):
                if code in self.error_codes:
                    return answer._replace(number=self.error_codes[code])
        return answer

    def grant(
        self, grant: Grant, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Send tokens."""
        members = _token_members(grant)
        if self.style == "envelope":
            members = _envelope(environ, 0, grant.issued.token)
            if grant.refresh_token is not None:
                members["refresh_token"] = grant.refresh_token
        return self.say(members, environ, start_response)

    def say(
        self,
        members: Mapping[str, object],
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Send a JSON object.  Source: RFC 6749 §5.1 for the cache headers."""
        return send_json(environ, start_response, 200, [("Pragma", "no-cache")], members)

    def _headers(
        self, error: JWTMiddlewareError, answer: Answer, environ: WSGIEnvironment
    ) -> Iterator[tuple[str, str]]:
        if self.style == "oauth":
            yield "Pragma", "no-cache"
            if answer.status == 401:
                # Basic is the only client authentication with an HTTP challenge.
                yield "WWW-Authenticate", challenge_basic(self.realm)
            return
        yield "Content-Language", preferred_language(environ)
        yield "Vary", "Accept-Language"
        if answer.status in _STATUSES_WITH_CHALLENGE:
            challenged = challenge(
                self.realm,
                error=answer.bearer_error,
                description=_description(error) if answer.bearer_error else None,
                scope=error.scope if isinstance(error, InsufficientScopeError) else (),
                resource_metadata=self.resource_metadata,
            )
            yield "WWW-Authenticate", challenged


def _problem(
    error: JWTMiddlewareError, answer: Answer, environ: WSGIEnvironment
) -> dict[str, object]:
    members: dict[str, object] = {
        "type": "about:blank",
        "title": HTTP_STATUS_CODES[answer.status],
        "status": answer.status,
        "detail": _sentence(error, preferred_language(environ)),
        "code": error.code,
        # OAuth clients detect an error by this member.
        "error": answer.oauth_error or answer.bearer_error or error.code,
    }
    if isinstance(error, InvalidFormError):
        members["errors"] = error.fields
    return members


def _enveloped(
    error: JWTMiddlewareError, answer: Answer, environ: WSGIEnvironment
) -> dict[str, object]:
    if isinstance(error, InvalidFormError):
        return _envelope(environ, answer.number, error.fields)
    return _envelope(environ, answer.number, _sentence(error, preferred_language(environ)))


def _oauth_error(
    error: JWTMiddlewareError, answer: Answer, _: WSGIEnvironment
) -> dict[str, object]:
    # RFC 6749 §5.2: English, since the grammar allows only ASCII.
    code = answer.oauth_error or error.code
    return {"error": code, "error_description": _sentence(error, "en")}


_BODIES: Final[
    Mapping[str, tuple[str, Callable[[JWTMiddlewareError, Answer, WSGIEnvironment], _Members]]]
] = {
    "problem": ("application/problem+json", _problem),
    "envelope": ("application/json", _enveloped),
    "oauth": ("application/json", _oauth_error),
}


def _sentence(error: JWTMiddlewareError, language: Language) -> str:
    hint = error.hint if isinstance(error, AuthError) else None
    if language == "zh":
        shown = error.parameter if isinstance(error, InvalidRequestError) else None
        return f"{error.sentence_zh}：{shown or hint}" if hint else error.sentence_zh
    return f"{error.sentence[:-1]}: {hint}." if hint else error.sentence


def _description(error: JWTMiddlewareError) -> str:
    """Return sentence and hint as an ``error_description`` (RFC 6750 §3)."""
    sentence = _sentence(error, "en")
    return sentence if _can_be_quoted(sentence) else error.sentence


def _check_error_codes(error_codes: Mapping[str, int]) -> None:
    known = _codes(AuthError) | {UnavailableError.code}
    for code, number in error_codes.items():
        if code not in known:
            hint = did_you_mean(str(code), known, f"there are {', '.join(sorted(known))}")
            raise ConfigurationError(f"error_codes.{code}: unknown error code: {hint}")
        if type(number) is not int or number == 0:
            raise ConfigurationError(f"error_codes.{code} must be a whole number other than 0")


def _codes(error: type[JWTMiddlewareError]) -> set[str]:
    return {error.code}.union(*map(_codes, error.__subclasses__()))


def _token_members(grant: Grant) -> dict[str, object]:
    """Return the token response.  Source: RFC 6749 §5.1; §3.3 forbids an empty scope."""
    members: dict[str, object] = {
        "access_token": grant.issued.token,
        "token_type": "Bearer",
        "expires_in": grant.issued.expires_in,
    }
    if grant.scope:
        members["scope"] = grant.scope
    if grant.refresh_token is not None:
        members["refresh_token"] = grant.refresh_token
    return members


def _can_be_quoted(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}


def preferred_language(environ: WSGIEnvironment) -> Language:
    """Return the client's preferred language: English, unless it asks for Chinese."""
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

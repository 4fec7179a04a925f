"""Logging out, with an access token of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.verifier import TokenVerifier
from ..errors import (
    AuthError,
    InvalidRequestError,
    MethodNotAllowedError,
    MissingTokenError,
    UnavailableError,
)
from ..sessions import Sessions
from ..wsgi.bearer import parse_authorization
from ..wsgi.responses import Responses, send_nothing
from .tokens import verify_own

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class LogoutPaths:
    """
    Ends what the caller's own access token belongs to.

    Args:
        sessions: As for :class:`~.token_paths.TokenPaths`.
        verifier: As for :class:`~.token_paths.TokenPaths`.
        responses: Answers the errors.
    """

    def __init__(
        self, *, sessions: Sessions, verifier: TokenVerifier, responses: Responses
    ) -> None:
        self._sessions = sessions
        self._verifier = verifier
        self._responses = responses

    def log_out(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """End the token's session, and with it the token."""
        try:
            claims = self._authenticate(environ)
            sid = claims.get("sid")
            # A session that the store has lost cannot be ended: then the token, at least.
            if not (isinstance(sid, str) and self._sessions.end(sid)):
                self._revoke(claims)
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        return send_nothing(environ, start_response)

    def log_out_all(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """End every session of the token's subject, and whatever else it has got before now."""
        try:
            claims = self._authenticate(environ)
            if not isinstance(claims.get("sub"), str):  # the subject came from another claim
                raise InvalidRequestError("the token has no sub to end sessions by")
            self._sessions.end_all(claims["sub"])
            # Its own session may be one that the store has lost.
            self._revoke(claims)
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        return send_nothing(environ, start_response)

    def _authenticate(self, environ: WSGIEnvironment) -> Mapping[str, Any]:
        if environ["REQUEST_METHOD"] != "POST":
            raise MethodNotAllowedError(allowed=["POST"])
        token = parse_authorization(environ.get("HTTP_AUTHORIZATION"))
        if token is None:
            raise MissingTokenError
        issuer = self._sessions.issuer.issuer
        return verify_own(self._verifier, token, issuer=issuer).read_only_claims

    def _revoke(self, claims: Mapping[str, Any]) -> None:
        if "jti" not in claims:
            raise InvalidRequestError("the token has no jti and no session to end it by")
        self._sessions.revoke_token(claims)

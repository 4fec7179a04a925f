"""Logout, authenticated by the caller's access token."""

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
    The logout paths: end one or all sessions of the caller.

    Args:
        sessions: As for :class:`~.token_paths.TokenPaths`.
        verifier: As for :class:`~.token_paths.TokenPaths`.
        responses: Renders error responses.
    """

    def __init__(
        self, *, sessions: Sessions, verifier: TokenVerifier, responses: Responses
    ) -> None:
        self._sessions = sessions
        self._verifier = verifier
        self._responses = responses

    def log_out(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """End the token's session; this revokes the token as well."""
        try:
            claims = self._authenticate(environ)
            sid = claims.get("sid")
            # The store may have lost the session: revoke the token at least.
            if not (isinstance(sid, str) and self._sessions.end(sid)):
                self._revoke(claims)
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        return send_nothing(environ, start_response)

    def log_out_all(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """End every session of the token's subject and revoke all its earlier tokens."""
        try:
            claims = self._authenticate(environ)
            if not isinstance(claims.get("sub"), str):  # the subject came from another claim
                raise InvalidRequestError("the token has no sub claim to end sessions by")
            self._sessions.end_all(claims["sub"])
            # The store may have lost the token's own session.
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
            raise InvalidRequestError("the token has neither jti nor session: it cannot be revoked")
        self._sessions.revoke_token(claims)

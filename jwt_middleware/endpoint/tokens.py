"""Token revocation (RFC 7009) and introspection (RFC 7662)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..core.verifier import TokenVerifier, VerifiedToken
from ..errors import (
    AuthError,
    InvalidTokenError,
    MethodNotAllowedError,
    UnavailableError,
    UnsupportedTokenTypeError,
)
from ..sessions import Session, Sessions, check_client
from ..sessions.session import SERVICE
from ..wsgi.responses import Responses
from .body import parameter, read_body, required_parameter
from .clients import ClientAuthentication

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class TokenPaths:
    """
    The revocation and introspection paths.

    Only tokens of this service's issuer are revoked or reported as active.

    Args:
        sessions: Look up refresh tokens and store revocations.
        verifier: Verifies access tokens; made with ``is_revoked=sessions.revocations``.
        clients: Authenticates clients.
        responses: Renders the responses.
        max_body_bytes: A longer request body is refused.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        verifier: TokenVerifier,
        clients: ClientAuthentication,
        responses: Responses,
        max_body_bytes: int,
    ) -> None:
        self._sessions = sessions
        self._verifier = verifier
        self._clients = clients
        self._responses = responses
        self._max_body_bytes = max_body_bytes

    def revoke(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """
        Revoke a token that the client presents.  Source: RFC 7009 §2.

        A refresh token, the current or an earlier one, ends its session.  An access token is
        revoked alone.  A token of a client with a secret can be revoked only by that client.  An
        invalid token gets the same response; a valid one that cannot be revoked is refused.
        """
        try:
            body, token = self._read(environ)
            client = self._clients.identify(environ, body)
            if not self._sessions.end_by_refresh_token(token, client=client):
                self._revoke_access_token(token, client)
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        # RFC 7009 §2.2: only the status counts, but some clients parse the body as JSON.
        return self._responses.say({}, environ, start_response)

    def _revoke_access_token(self, token: str, client: str | None) -> None:
        try:
            verified = self._verifier.verify(token)
        except InvalidTokenError:
            return
        claims = verified.read_only_claims
        if claims["iss"] != self._sessions.issuer.issuer or "jti" not in claims:
            raise UnsupportedTokenTypeError("the token is of another issuer, or has no jti")
        check_client(claims["sub"] if claims.get("ac_type") == SERVICE else None, client)
        self._sessions.revoke_token(claims)

    def introspect(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """
        Tell an authenticated client whether a token is active.  Source: RFC 7662 §2.

        A refresh token is active only with its *token_type_hint*: a resource server takes any
        active token for an access token.
        """
        try:
            body, token = self._read(environ)
            self._clients.require(environ, body)
            members = self._members(token, hint=parameter(body, "token_type_hint"))
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        return self._responses.say(members, environ, start_response)

    def _read(self, environ: WSGIEnvironment) -> tuple[Mapping[str, object], str]:
        if environ["REQUEST_METHOD"] != "POST":
            raise MethodNotAllowedError(allowed=["POST"])
        body = read_body(environ, max_bytes=self._max_body_bytes)
        parameter(body, "token_type_hint")  # validated as a string; an unknown hint is ignored
        return body, required_parameter(body, "token")

    def _verify(self, token: str) -> VerifiedToken | None:
        try:
            return verify_own(self._verifier, token, issuer=self._sessions.issuer.issuer)
        except InvalidTokenError:
            return None

    def _members(self, token: str, *, hint: str | None) -> dict[str, object]:
        verified = self._verify(token)
        if verified is not None:
            return _stated({**verified.claims, "active": True, "token_type": "Bearer"})
        session = self._sessions.find(token) if hint == "refresh_token" else None
        if session is None:
            return {"active": False}
        return _members_of(session, issuer=self._sessions.issuer.issuer)


def verify_own(verifier: TokenVerifier, token: str, *, issuer: str) -> VerifiedToken:
    """
    Verify a token of this service's own issuer.

    Raises:
        InvalidTokenError: It is invalid or of another issuer.
        UnavailableError: As for :meth:`TokenVerifier.verify`.
    """
    verified = verifier.verify(token)
    if verified.trusted.issuer != issuer:
        raise InvalidTokenError("the token is of another issuer")
    return verified


def _members_of(session: Session, *, issuer: str) -> dict[str, object]:
    payload = session.payload
    return _stated(
        {
            "active": True,
            "scope": payload.scope,
            "exp": int(session.expires_at),
            "iat": int(session.used_at),
            "sub": session.subject,
            "aud": issuer,  # only the issuer accepts it
            "iss": issuer,
            "client_id": payload.client_id,
            "uid": payload.uid,
            "auth": payload.auth,
            "ac_type": payload.ac_type,
            "sid": session.sid,
        }
    )


def _stated(members: dict[str, object]) -> dict[str, object]:
    """Return *members* without ``None`` values and an empty scope (invalid by RFC 6749 §3.3)."""
    return {
        name: value
        for name, value in members.items()
        if value is not None and (name, value) != ("scope", "")
    }

"""What clients can do with tokens: have them revoked (RFC 7009), or explained (RFC 7662)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Request

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
from .body import parameter, read_body, required_parameter
from .clients import ClientAuthentication
from .oauth import OAuthResponses

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# RFC 7662 §2.2, and what our own tokens have beside.
_SHOWN_CLAIMS: Final = (
    *("scope", "exp", "iat", "nbf", "sub", "aud", "iss", "jti"),
    *("uid", "auth", "ac_type", "sid"),
)


class TokenPaths:
    """
    Token revocation and token introspection.

    Only what this service's own issuer has issued is revoked, or vouched for.

    Args:
        sessions: Know the refresh tokens, and what is revoked.
        verifier: Knows the access tokens; asks *sessions* whether they are revoked.
        clients: Authenticates clients.
        responses: Answers all of it.
        max_body_bytes: A longer request body is refused.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        verifier: TokenVerifier,
        clients: ClientAuthentication,
        responses: OAuthResponses,
        max_body_bytes: int,
    ) -> None:
        self._sessions = sessions
        self._verifier = verifier
        self._clients = clients
        self._responses = responses
        self._max_body_bytes = max_body_bytes

    def revoke(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """
        Revoke a token, for a client that has it.  Source: RFC 7009 §2.

        A refresh token ends its session, the one in force as well as any before it.  An access
        token is revoked alone.  What belongs to a client with a secret, only that client revokes.
        A token that is not good already is answered in the same way; one that is good and cannot
        be revoked is refused.
        """
        try:
            body, token = self._read(request := Request(environ))
            client = self._clients.identify(request, body)
            if not self._sessions.end_by_refresh_token(token, client=client):
                self._revoke_access_token(token, client)
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        return self._responses.confirm(start_response)

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
        """Tell an authenticated client whether a token is good, and for what (RFC 7662 §2)."""
        try:
            body, token = self._read(request := Request(environ))
            self._clients.require(request, body)
            members = self._members(token)
        except (AuthError, UnavailableError) as error:
            return self._responses.refuse(error, environ, start_response)
        return self._responses.say(members, environ, start_response)

    def _read(self, request: Request) -> tuple[Mapping[str, object], str]:
        if request.method != "POST":
            raise MethodNotAllowedError(allowed=["POST"])
        body = read_body(request, max_bytes=self._max_body_bytes)
        # Which kind of token it is can be told by its form: a wrong hint misleads nobody.
        parameter(body, "token_type_hint")
        return body, required_parameter(body, "token")

    def _verify(self, token: str) -> VerifiedToken | None:
        try:
            return verify_own(self._verifier, token, issuer=self._sessions.issuer.issuer)
        except InvalidTokenError:
            return None

    def _members(self, token: str) -> dict[str, object]:
        verified = self._verify(token)
        if verified is not None:
            claims = verified.claims
            members = {name: claims.get(name) for name in _SHOWN_CLAIMS if name in claims}
            return {"active": True, "token_type": "Bearer"} | members
        session = self._sessions.find(token)
        if session is None:
            return {"active": False}
        return _members_of(session, issuer=self._sessions.issuer.issuer)


def verify_own(verifier: TokenVerifier, token: str, *, issuer: str) -> VerifiedToken:
    """
    Verify a token that must be of this service's own issuer: a *sub* of another's is nobody here.

    Raises:
        InvalidTokenError: It is not, or not good.
        UnavailableError: As for :meth:`TokenVerifier.verify`.
    """
    verified = verifier.verify(token)
    if verified.trusted.issuer != issuer:
        raise InvalidTokenError("the token is of another issuer")
    return verified


def _members_of(session: Session, *, issuer: str) -> dict[str, object]:
    payload = session.payload
    return {
        "active": True,
        "token_type": "refresh_token",
        "scope": payload.scope,
        "exp": int(session.expires_at),
        "iat": int(session.used_at),
        "sub": session.subject,
        "iss": issuer,
        "uid": payload.uid,
        "auth": payload.auth,
        "ac_type": payload.ac_type,
        "sid": session.sid,
    }

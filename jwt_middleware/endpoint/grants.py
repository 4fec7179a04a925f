"""Grants: tokens for a login, a refresh token or client credentials."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from ..accounts import Identity
from ..core.issuer import TokenIssuer
from ..core.payload import JWTPayload
from ..core.scope import narrow
from ..errors import (
    BadCredentialsError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidTargetError,
    UnsupportedGrantTypeError,
)
from ..sessions import Grant, Recheck, Sessions
from ..sessions.session import SERVICE
from ..wsgi.bearer import mistake_in
from .body import parameter, repeated_parameter, required_parameter
from .clients import ClientAuthentication
from .logins import Logins

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# client-id = *VSCHAR; VSCHAR = %x20-7E                                        RFC 6749 A.1
_CLIENT_ID: Final = re.compile("[\x20-\x7e]{1,255}")

_GrantType = Callable[["WSGIEnvironment", Mapping[str, object]], Grant]


class _Start(Protocol):
    """Starts a session, with or without a refresh token."""

    def __call__(self, payload: JWTPayload, *, credential: str, recheck: Recheck) -> Grant: ...


class Grants:
    """
    Issues tokens, in a session if *sessions* are configured.

    Args:
        issuer: Issues tokens without *sessions*.
        sessions: Store sessions and issue their tokens.
        logins: Rechecks the accounts.
        clients: Authenticates clients.
        resources: *resource* value (RFC 8707) to its audience.
    """

    def __init__(
        self,
        *,
        issuer: TokenIssuer,
        sessions: Sessions | None,
        logins: Logins,
        clients: ClientAuthentication,
        resources: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._resources = resources
        self._issuer = issuer
        self._sessions = sessions
        self._logins = logins
        self._clients = clients
        self._types: dict[str, _GrantType] = {}
        if sessions is not None:
            self._types["refresh_token"] = partial(self._refresh, sessions)
        if clients.is_possible:
            self._types["client_credentials"] = self._client_credentials

    def log_in(
        self,
        identity: Identity,
        client_type: str,
        body: Mapping[str, object] = MappingProxyType({}),
    ) -> Grant:
        """
        Issue tokens for an account that has just logged in.

        Args:
            identity: The account.
            client_type: The client type of the login.
            body: May have *client_id* and *resource*; neither is authenticated.

        Raises:
            InvalidRequestError: *client_id* or *resource* is malformed or not allowed.
            BadCredentialsError: The account was disabled or its secret changed meanwhile.
            UnavailableError: The session cannot be stored, or the token cannot be signed.
        """
        client_id = parameter(body, "client_id")
        if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
            raise InvalidRequestError("client_id is malformed", parameter="client_id")
        payload = self._logins.payload(
            identity, client_type, client_id=client_id, audience=self._audience(body)
        )
        start = None if self._sessions is None else self._sessions.start
        return self._start(start, payload, identity)

    def exchange(self, environ: WSGIEnvironment, body: Mapping[str, object]) -> Grant:
        """
        Issue tokens by *grant_type*.  Source: RFC 6749 §4.4 and §6.

        Args:
            environ: The request, for client authentication.
            body: The request's parameters.

        Raises:
            InvalidRequestError: A parameter is missing or malformed, the scope is too wide, or the
                grant type is not supported.
            BadCredentialsError: The client's credentials are wrong or missing.
            InvalidGrantError: The refresh token is invalid.
            TooManyAttemptsError: The client has tried too often.
            UnavailableError: Accounts, sessions or keys are unavailable.
        """
        grant = self._types.get(required_parameter(body, "grant_type"))
        if grant is None:
            raise UnsupportedGrantTypeError
        return grant(environ, body)

    def _refresh(
        self, sessions: Sessions, environ: WSGIEnvironment, body: Mapping[str, object]
    ) -> Grant:
        token, scope = required_parameter(body, "refresh_token"), parameter(body, "scope")
        audience = self._audience(body)
        client = self._clients.identify(environ, body)
        address = self._logins.addresses(environ)
        try:
            return sessions.refresh(
                token,
                scope=scope,
                recheck=lambda session: self._narrow(self._logins.recheck(session), audience),
                client=client,
                address="" if address is None else str(address),
            )
        except InvalidGrantError as error:
            mistake = mistake_in(token) or (token.count(".") == 2 and "that is an access token")
            error.hint = f"refresh_token: {mistake}" if mistake else None
            raise

    def _client_credentials(self, environ: WSGIEnvironment, body: Mapping[str, object]) -> Grant:
        scope, audience = parameter(body, "scope"), self._audience(body)
        name, identity = self._clients.require(environ, body)
        payload = self._logins.payload(
            identity,
            SERVICE,
            scope=narrow(scope, to=identity.scope),
            client_id=name,
            audience=audience,
        )
        start = None if self._sessions is None else self._sessions.start_unrefreshable
        return self._start(start, payload, identity)

    def _audience(self, body: Mapping[str, object]) -> tuple[str, ...]:
        """Return the requested audiences.  Source: RFC 8707 §2."""
        if "resource" not in body:
            return ()
        asked = repeated_parameter(body, "resource")
        try:
            return tuple(dict.fromkeys(self._resources[one] for one in asked))
        except KeyError:
            raise InvalidTargetError("resource is not an audience of this issuer") from None

    def _narrow(self, payload: JWTPayload, audience: tuple[str, ...]) -> JWTPayload:
        if not audience:
            return payload
        if not {*audience} <= {*(payload.audience or self._issuer.audiences)}:
            raise InvalidTargetError("resource is not an audience of the session")
        return replace(payload, audience=audience)

    def _start(self, start: _Start | None, payload: JWTPayload, identity: Identity) -> Grant:
        if start is None:
            return Grant(self._issuer.issue(payload), payload.scope)
        try:
            return start(payload, credential=identity.credential, recheck=self._logins.recheck)
        except InvalidGrantError as error:
            raise BadCredentialsError from error

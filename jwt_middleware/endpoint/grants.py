"""What a token is given for: a login, a refresh token, or a client's own credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from werkzeug.wrappers import Request

from ..accounts import Identity
from ..core.issuer import TokenIssuer
from ..core.payload import JWTPayload
from ..core.scope import narrow
from ..errors import (
    BadCredentialsError,
    InvalidGrantError,
    UnsupportedGrantTypeError,
)
from ..sessions import Grant, Recheck, Sessions
from ..sessions.session import SERVICE
from .body import parameter, required_parameter
from .clients import ClientAuthentication
from .logins import Logins

_GrantType = Callable[[Request, Mapping[str, object]], Grant]


class _Start(Protocol):
    """How a session is started: one that can be refreshed, or one that cannot."""

    def __call__(self, payload: JWTPayload, *, credential: str, recheck: Recheck) -> Grant: ...


class Grants:
    """
    Issues tokens, each of them in a session where there are sessions.

    Args:
        issuer: Issues them where there are none.
        sessions: Record and issue them.
        logins: Rechecks the accounts.
        clients: Authenticates clients.
    """

    def __init__(
        self,
        *,
        issuer: TokenIssuer,
        sessions: Sessions | None,
        logins: Logins,
        clients: ClientAuthentication,
    ) -> None:
        self._issuer = issuer
        self._sessions = sessions
        self._logins = logins
        self._clients = clients
        self._types: dict[str, _GrantType] = {}
        if sessions is not None:
            self._types["refresh_token"] = partial(self._refresh, sessions)
        if clients.is_possible:
            self._types["client_credentials"] = self._client_credentials

    def log_in(self, identity: Identity, client_type: str) -> Grant:
        """
        Issue tokens for an account that has just logged in.

        Raises:
            BadCredentialsError: The account was disabled, or got another secret, in between.
            UnavailableError: The session cannot be recorded, or no token can be signed.
        """
        payload = self._logins.payload(identity, client_type, scope=identity.scope)
        start = None if self._sessions is None else self._sessions.start
        return self._start(start, payload, identity)

    def exchange(self, request: Request, body: Mapping[str, object]) -> Grant:
        """
        Issue tokens by *grant_type*.  Source: RFC 6749 §4.4 and §6.

        Args:
            request: For the client's authentication.
            body: Its parameters.

        Raises:
            InvalidRequestError: A parameter is missing or malformed, the scope goes too far, or
                there is no such grant type here.
            BadCredentialsError: The client's credentials are wrong, or missing.
            InvalidGrantError: The refresh token is not good.
            TooManyAttemptsError: The client has tried too often.
            UnavailableError: Accounts, sessions or keys are unavailable.
        """
        grant = self._types.get(required_parameter(body, "grant_type"))
        if grant is None:
            raise UnsupportedGrantTypeError
        return grant(request, body)

    def _refresh(self, sessions: Sessions, request: Request, body: Mapping[str, object]) -> Grant:
        token, scope = required_parameter(body, "refresh_token"), parameter(body, "scope")
        client = self._clients.identify(request, body)
        address = self._logins.addresses(request.environ)
        return sessions.refresh(
            token,
            scope=scope,
            recheck=self._logins.recheck,
            client=client,
            address="" if address is None else str(address),
        )

    def _client_credentials(self, request: Request, body: Mapping[str, object]) -> Grant:
        scope = parameter(body, "scope")
        identity = self._clients.require(request, body)
        narrowed = narrow(scope, to=identity.scope)
        payload = self._logins.payload(identity, SERVICE, scope=narrowed)
        start = None if self._sessions is None else self._sessions.start_unrefreshable
        return self._start(start, payload, identity)

    def _start(self, start: _Start | None, payload: JWTPayload, identity: Identity) -> Grant:
        if start is None:
            return Grant(self._issuer.issue(payload), payload.scope)
        try:
            return start(payload, credential=identity.credential, recheck=self._logins.recheck)
        except InvalidGrantError as error:
            raise BadCredentialsError from error

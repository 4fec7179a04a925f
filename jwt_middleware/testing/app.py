"""WebTest's client, acting as an account."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import webtest

from ..core.issuer import TokenIssuer
from ..core.payload import JWTPayload
from ..endpoint.app import TokenEndpoint
from ..errors import ConfigurationError
from ..keysources.remote.refreshing import RefreshedKeys
from ..wsgi.middleware import JWTMiddleware
from .bad_tokens import BadToken
from .find import find_middleware

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class TestApp(webtest.TestApp):  # type: ignore[misc]  # WebTest has no types
    """
    WebTest's client for a protected app, which can act as an account.

    Args:
        app: The protected app, as for :func:`find_middleware`.
        middleware: The middleware in it, where it is not found.
        issuer: Issues the tokens; by default the app's own issuer.  An app that only trusts others
            needs one: that of an :class:`~jwt_middleware.testing.IssuerServer`.
        options: As for ``webtest.TestApp``.

    Raises:
        ConfigurationError: *app* has no middleware in it.
    """

    __test__ = False  # for pytest: it holds no tests

    def __init__(
        self,
        app: WSGIApplication,
        *,
        middleware: JWTMiddleware | None = None,
        issuer: TokenIssuer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self.middleware: JWTMiddleware = middleware or find_middleware(app)
        self._issuer = issuer

    @property
    def issuer(self) -> TokenIssuer:
        """
        What issues the tokens.

        Raises:
            ConfigurationError: The app has no key that can sign.
        """
        if self._issuer is None:
            self._issuer = _own_issuer(self.middleware)
        return self._issuer

    def as_account(
        self,
        uid: int | str,
        *,
        scope: str = "",
        client_type: str = "email",
        claims: Mapping[str, Any] | None = None,
        lifetime_seconds: int | None = None,
    ) -> Self:
        """
        Return a client with a token for this account, and no cookies.

        The token is what a login would get: its *sub* is that of the client type, and where there
        are sessions it has one, so that it can be logged out.  No account is looked up.

        Args:
            uid: The account's identifier.
            scope: What the token allows, separated by spaces.
            client_type: Of the account.
            claims: Claims of one's own.
            lifetime_seconds: Of the token; by default the issuer's.
        """
        endpoint = self._endpoint()
        payload = JWTPayload(
            uid,
            scope=scope,
            ac_type=client_type,
            subject="" if endpoint is None else endpoint.subjects.subject(client_type, uid),
            claims=claims or {},
            lifetime_seconds=lifetime_seconds,
        )
        if endpoint is None or endpoint.sessions is None or self.issuer is not endpoint.issuer:
            return self.with_token(self.issuer.issue(payload).token)
        return self.with_token(endpoint.sessions.start_unrefreshable(payload).issued.token)

    def log_in(self, account: str, secret: str, client_type: str = "email") -> Self:
        """
        Log in at the app's own endpoint, and return a client with the token that it answered.

        Raises:
            ConfigurationError: The app has no endpoint.
            webtest.AppError: The answer is not 200.
        """
        endpoint = self._endpoint()
        if endpoint is None:
            raise ConfigurationError("the app has no token endpoint to log in at: use as_account()")
        body = {"account": account, "secret": secret, "type": client_type}
        answer = self.post_json(endpoint.path, body, status=200).json
        return self.with_token(answer.get("access_token") or answer["msg"])  # or the envelope's

    def with_token(self, token: str | BadToken, *, scope: str = "") -> Self:
        """
        Return a client that sends this token, and has no cookies.

        Args:
            token: The token, or the kind of a bad one.
            scope: What a bad token says that it allows.
        """
        if isinstance(token, BadToken):
            token = self._bad(token, scope)
        client = self._fresh()
        client.authorization = ("Bearer", token)
        return client

    def without_token(self) -> Self:
        """Return a client that sends no token, and has no cookies."""
        client = self._fresh()
        client.authorization = None
        return client

    @property
    def bad_tokens(self) -> list[BadToken]:
        """The kinds of bad tokens that there can be for this app; ``REVOKED`` needs sessions."""
        endpoint = self._endpoint()
        if endpoint is not None and endpoint.sessions is not None:
            return list(BadToken)
        return [bad for bad in BadToken if bad is not BadToken.REVOKED]

    def check_refuses(
        self, path: str, *, method: str = "GET", scope: str = "", **options: Any
    ) -> None:
        """
        Check that a request needs a good token, and is refused with each kind of bad one.

        Args:
            path: Of the request.
            method: Of the request.
            scope: What a token must allow for it; without any, ``UNDER_SCOPED`` is left out.
            options: As for the method of that name in WebTest: ``params``, ``headers``.

        Raises:
            AssertionError: A request was answered otherwise than it must be, or the one with a good
                token was refused.
        """
        send = f"{method.lower()}"
        options |= {"expect_errors": True}
        good = getattr(self.as_account(42, scope=scope), send)(path, **options)
        if good.status_int in (401, 403):
            raise AssertionError(f"a good token is refused as well: {good.status}")
        without = getattr(self.without_token(), send)(path, **options)
        if without.status_int != 401:
            raise AssertionError(f"no token is needed: {without.status}")
        for bad in self.bad_tokens:
            if scope or bad is not BadToken.UNDER_SCOPED:
                bad.check(getattr(self.with_token(bad, scope=scope), send)(path, **options))

    def _bad(self, bad: BadToken, scope: str) -> str:
        if bad is not BadToken.REVOKED:
            return bad.token(self.issuer, scope=scope)
        endpoint = self._endpoint()
        if endpoint is None or endpoint.sessions is None:
            raise ConfigurationError("only an app with sessions can revoke a token")
        token = endpoint.issuer.issue(JWTPayload(42, scope=scope)).token
        claims = self.middleware.verifier.verify(token).claims
        endpoint.sessions.revoke_token(claims)
        return token

    def _endpoint(self) -> TokenEndpoint | None:
        endpoint = self.middleware.endpoint
        return endpoint if isinstance(endpoint, TokenEndpoint) else None

    def _fresh(self) -> Self:
        client = copy.copy(self)
        client.extra_environ = dict(self.extra_environ)
        client.cookiejar = type(self.cookiejar)(policy=webtest.app.CookiePolicy())
        return client


def _own_issuer(middleware: JWTMiddleware) -> TokenIssuer:
    if isinstance(middleware.endpoint, TokenEndpoint):
        return middleware.endpoint.issuer
    verifier = middleware.verifier
    for trusted in verifier.trusted.values():
        # Of keys that are fetched none is asked for: they are others'.
        if not isinstance(trusted.keys, RefreshedKeys) and trusted.keys.current().signing_key:
            return TokenIssuer(
                keys=trusted.keys,
                issuer=trusted.issuer,
                audience=sorted(trusted.audiences),
                # Whichever the verifier has by then: frozen() replaces it.
                clock=lambda: verifier._clock(),  # noqa: PLW0108, SLF001
            )
    raise ConfigurationError(
        f"the app cannot sign a token of {', '.join(verifier.trusted)}: give TestApp the issuer of "
        "an IssuerServer that the app trusts"
    )

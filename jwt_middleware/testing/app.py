"""A WebTest client that acts as an account."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Self

from ..core.issuer import TokenIssuer
from ..errors import ConfigurationError
from ..wsgi.middleware import JWTMiddleware
from .bad_tokens import BadToken
from .tokens import Tokens

with warnings.catch_warnings():  # WebOb warns, which suites may turn into errors
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import webtest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class TestApp(webtest.TestApp):  # type: ignore[misc]  # WebTest has no types
    """
    A WebTest client for a protected app that can act as an account.

    Args:
        app: The protected app, as for :class:`Tokens`.
        middleware: As for :class:`Tokens`.
        issuer: As for :class:`Tokens`.
        options: As for ``webtest.TestApp``.

    Attributes:
        tokens: Creates its tokens.

    Raises:
        ConfigurationError: *app* has no middleware in it.
    """

    __test__: bool = False  # for pytest: not a test class

    def __init__(
        self,
        app: WSGIApplication,
        *,
        middleware: JWTMiddleware | None = None,
        issuer: TokenIssuer | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self.tokens: Tokens = Tokens(app, middleware=middleware, issuer=issuer)

    @property
    def middleware(self) -> JWTMiddleware:
        """The middleware that protects the app."""
        return self.tokens.middleware

    def as_account(self, uid: int | str, **options: Any) -> Self:
        """
        Return a client with a token for this account, and no cookies.

        Args:
            uid: The account's identifier.
            options: *scope*, *client_type*, *claims* and *lifetime_seconds*, as for
                :meth:`Tokens.token`.
        """
        return self.with_token(self.tokens.token(uid, **options))

    def log_in(self, account: str, secret: str, client_type: str = "email") -> Self:
        """
        Log in at the app's token endpoint, and return a client with the token.

        Raises:
            ConfigurationError: The app has no token endpoint.
            webtest.AppError: The response is not 200.
        """
        endpoint = self.tokens.endpoint
        if endpoint is None:
            raise ConfigurationError("the app has no token endpoint to log in at: use as_account()")
        body = {"account": account, "secret": secret, "type": client_type}
        answer = self.post_json(endpoint.path, body, status=200).json
        return self.with_token(
            answer.get("access_token") or answer["msg"]
        )  # msg in the envelope style

    def with_token(self, token: str | BadToken | None, **options: Any) -> Self:
        """
        Return a client that sends this token and has no cookies.

        Args:
            token: The token, a kind of bad token, or ``None`` to send none.
            options: For a bad token: *uid* and *scope*, as for :meth:`Tokens.bad`.
        """
        if isinstance(token, BadToken):
            token = self.tokens.bad(token, **options)
        client = copy.copy(self)
        client.extra_environ = dict(self.extra_environ)
        client.cookiejar = type(self.cookiejar)(policy=webtest.app.CookiePolicy())
        client.authorization = None if token is None else ("Bearer", token)
        return client

    def check_refuses(
        self,
        path: str,
        *,
        method: str = "GET",
        uid: int | str = 42,
        scope: str = "",
        **options: Any,
    ) -> None:
        """
        Check that a request needs a valid token and is refused with each kind of bad one.

        Args:
            path: The request's path.
            method: The request's method.
            uid: The uid of an account that may send the request.
            scope: The scope that the request needs; without one, ``UNDER_SCOPED`` is left out.
            options: As for WebTest's method of that name: ``params``, ``headers``.

        Raises:
            AssertionError: A bad token was not refused as expected, or the valid one was refused.
        """

        def send(client: Self) -> Any:
            return getattr(client, method.lower())(path, expect_errors=True, **options)

        good = send(self.as_account(uid, scope=scope))
        if good.status_int in (401, 403):
            raise AssertionError(f"a valid token is refused as well: {good.status}")
        without = send(self.with_token(None))
        if without.status_int != 401:
            raise AssertionError(f"no token is needed: {without.status}")
        for bad in self.tokens.bad_kinds:
            if scope or bad is not BadToken.UNDER_SCOPED:
                bad.check(send(self.with_token(bad, uid=uid, scope=scope)))

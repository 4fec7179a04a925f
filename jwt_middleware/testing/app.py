"""WebTest's client, acting as an account."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Self

from ..core.issuer import TokenIssuer
from ..errors import ConfigurationError
from ..wsgi.middleware import JWTMiddleware
from .bad_tokens import BadToken
from .tokens import Tokens

with warnings.catch_warnings():  # of WebOb's, for suites in which warnings are errors
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import webtest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class TestApp(webtest.TestApp):  # type: ignore[misc]  # WebTest has no types
    """
    WebTest's client for a protected app, which can act as an account.

    Args:
        app: The protected app, as for :class:`Tokens`.
        middleware: As there.
        issuer: As there.
        options: As for ``webtest.TestApp``.

    Attributes:
        tokens: What makes its tokens.

    Raises:
        ConfigurationError: *app* has no middleware in it.
    """

    __test__: bool = False  # for pytest: it holds no tests

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
        Log in at the app's own endpoint, and return a client with the token that it answered.

        Raises:
            ConfigurationError: The app has no endpoint.
            webtest.AppError: The answer is not 200.
        """
        endpoint = self.tokens.endpoint
        if endpoint is None:
            raise ConfigurationError("the app has no token endpoint to log in at: use as_account()")
        body = {"account": account, "secret": secret, "type": client_type}
        answer = self.post_json(endpoint.path, body, status=200).json
        return self.with_token(answer.get("access_token") or answer["msg"])  # or the envelope's

    def with_token(self, token: str | BadToken | None, **options: Any) -> Self:
        """
        Return a client that sends this token, and has no cookies.

        Args:
            token: The token, the kind of a bad one, or ``None`` to send none.
            options: Of a bad one: *uid* and *scope*, as for :meth:`Tokens.bad`.
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
        Check that a request needs a good token, and is refused with each kind of bad one.

        Args:
            path: Of the request.
            method: Of the request.
            uid: Of an account that gets an answer.
            scope: What a token must allow for it; without any, ``UNDER_SCOPED`` is left out.
            options: As for the method of that name in WebTest: ``params``, ``headers``.

        Raises:
            AssertionError: A request was answered otherwise than it must be, or the one with a good
                token was refused.
        """

        def send(client: Self) -> Any:
            return getattr(client, method.lower())(path, expect_errors=True, **options)

        good = send(self.as_account(uid, scope=scope))
        if good.status_int in (401, 403):
            raise AssertionError(f"a good token is refused as well: {good.status}")
        without = send(self.with_token(None))
        if without.status_int != 401:
            raise AssertionError(f"no token is needed: {without.status}")
        for bad in self.tokens.bad_kinds:
            if scope or bad is not BadToken.UNDER_SCOPED:
                bad.check(send(self.with_token(bad, uid=uid, scope=scope)))

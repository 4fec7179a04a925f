"""A Django test client that goes through the middleware."""

from __future__ import annotations

import copy
from typing import Any, Self

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test.client import Client as DjangoClient
from django.test.client import ClientHandler

from ..core.issuer import TokenIssuer
from ..wsgi.middleware import JWTMiddleware
from .tokens import Tokens


class Client(DjangoClient):  # type: ignore[misc]  # Django has no types
    """
    A Django test client whose requests pass through the middleware of *application*.

    ::

        client = Client(application)
        client.as_account(user.pk, scope="read").get("/me").context["user"]

    As with ``django.test.Client``, a response has its ``context``, and a view's exception is
    raised.

    Args:
        application: The project's WSGI application, as for :class:`~.tokens.Tokens`.
        issuer: As for :class:`~.tokens.Tokens`.
        options: As for ``django.test.Client``.

    Attributes:
        tokens: Creates its tokens.

    Raises:
        ConfigurationError: *application* has no middleware in it.
    """

    def __init__(
        self, application: object, *, issuer: TokenIssuer | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.tokens: Tokens = Tokens(application, issuer=issuer)
        self._made_of: dict[str, Any] = {
            "application": application,
            "issuer": issuer,
            **options,
        }
        enforces_csrf = bool(options.get("enforce_csrf_checks"))
        self.handler: Any = _Handler(self.tokens.middleware, enforces_csrf)

    def as_account(self, uid: int | str, **options: Any) -> Self:
        """Return a client with a token for this account, as for :meth:`Tokens.token`."""
        return self.with_token(self.tokens.token(uid, **options))

    def with_token(self, token: str) -> Self:
        """Return a client that sends this token and has no cookies."""
        given = {**self._made_of, "HTTP_AUTHORIZATION": f"Bearer {token}"}
        return type(self)(given.pop("application"), **given)


class _Handler(ClientHandler):  # type: ignore[misc]  # Django has no types
    def __init__(self, middleware: JWTMiddleware, enforce_csrf_checks: bool) -> None:  # noqa: FBT001
        super().__init__(enforce_csrf_checks)
        self._jwt_middleware = middleware

    def __call__(self, environ: dict[str, Any]) -> Any:
        answers: list[Any] = []
        started: list[Any] = []
        untouched: list[bytes] = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            answer = super(_Handler, self).__call__(environ)
            answers.append(answer)
            start_response(f"{answer.status_code} {answer.reason_phrase}", [*answer.items()])
            return untouched

        def start_response(*status_and_headers: Any) -> Any:
            started.extend(status_and_headers)

        middleware = copy.copy(self._jwt_middleware)
        middleware.app = app
        body = middleware(environ, start_response)
        if body is untouched:
            return answers[0]
        status, headers = started
        answer = HttpResponse(b"".join(body), status=int(status[:3]), headers=dict(headers))
        answer.wsgi_request = WSGIRequest(environ)
        return answer

"""
Flask integration: claims, required scopes of views, and account verifiers in the app context.

::

    @app.get("/reports")
    @require_scopes("reports:read")
    def reports():
        return list_reports(owner=current_claims["sub"])
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, Response, abort, current_app, request
from werkzeug.local import LocalProxy

from .errors import AuthError, MissingTokenError, UnavailableError
from .views import check_scopes, checked_scopes, refusal
from .wsgi.environ import CLAIMS

P = ParamSpec("P")
T = TypeVar("T")


class _NoClaims(dict[str, Any]):
    """The claims of a request without a token: empty; reading a claim answers 401."""

    def __missing__(self, name: str) -> Any:
        abort(refuse(MissingTokenError()))


def _claims() -> dict[str, Any]:
    claims = request.environ.get(CLAIMS)
    return claims if isinstance(claims, dict) else _NoClaims()


current_claims: dict[str, Any] = LocalProxy(_claims)  # type: ignore[assignment]  # a proxy
"""
The verified claims of the current request.

Without a token it is empty, and ``current_claims["sub"]`` answers 401 like the middleware.  A proxy
like ``request``: for JSON, return ``dict(current_claims)``.
"""


def require_scopes(*scopes: str) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """
    Require a token with all of these scopes; without arguments, any token.

    Otherwise the response is the middleware's: 401 without a token, or 403 with
    ``error="insufficient_scope"``.  Put the decorator below the route's.

    Raises:
        ConfigurationError: An argument is not a single scope.
    """
    needed = checked_scopes(scopes)

    def decorate(view: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                check_scopes(request.environ, *needed)
            except AuthError as error:
                return refuse(error)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return guarded

    return decorate


def in_app_context(app: Flask) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """
    Call an account verifier or lookup in the app context; logins run outside of it.

    ::

        @in_app_context(app)
        def verify(account, secret):
            user = db.session.scalar(select(User).filter_by(email=account))
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            with app.app_context():
                return function(*args, **kwargs)

        return called

    return decorate


def refuse(error: AuthError | UnavailableError) -> Response:
    """
    Return the middleware's response for an error of this package.

    ``app.register_error_handler(AuthError, refuse)`` handles errors of any view.
    """
    status, headers, body = refusal(error, request.environ)
    return current_app.response_class([body], status, headers)

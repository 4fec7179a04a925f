"""
Check the scopes of a token in a view, and build the error response.

::

    check_scopes(request.environ, "reports:write")  # raises what refusal() answers

Nothing here reads a header: the identity comes from the environ as set by the middleware; without
the middleware there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .core.scope import is_scope
from .errors import (
    AuthError,
    ConfigurationError,
    InsufficientScopeError,
    MissingTokenError,
    UnavailableError,
)
from .wsgi.environ import CLAIMS, RESPONSES, get_scopes
from .wsgi.responses import Responses

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Refusal(NamedTuple):
    """
    An error response, to be converted to the framework's response.

    Attributes:
        status: The HTTP status with its phrase, as WSGI has it.
        headers: Names and values, including ``WWW-Authenticate``.
        body: Empty for ``HEAD``.
    """

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def check_scopes(environ: WSGIEnvironment, *scopes: str) -> None:
    """
    Check that a request has a token with all of these scopes.

    Args:
        environ: The request's environ; ``request.META`` in Django, ``req.env`` in Falcon.
        scopes: One scope each; without any, a token is enough.

    Raises:
        MissingTokenError: The request has no token.
        InsufficientScopeError: A scope is missing.
    """
    if not isinstance(environ.get(CLAIMS), dict):
        raise MissingTokenError
    if not get_scopes(environ).issuperset(scopes):
        raise InsufficientScopeError("a scope is missing", scope=sorted(scopes))


def refusal(error: AuthError | UnavailableError, environ: WSGIEnvironment) -> Refusal:
    """
    Return the middleware's response to *error*, in its style and with its realm.

    Args:
        error: What :func:`check_scopes` raised, or another error of this package.
        environ: The request's environ.
    """
    responses = environ.get(RESPONSES)
    if not isinstance(responses, Responses):  # no middleware
        responses = Responses()
    started: list[Any] = []

    def start_response(*status_and_headers: Any) -> Any:
        started.extend(status_and_headers)

    body = responses.refuse(error, environ, start_response)
    return Refusal(started[0], started[1], b"".join(body))


def checked_scopes(scopes: Iterable[object]) -> tuple[str, ...]:
    """
    Check and return the arguments of ``require_scopes()``.

    Raises:
        ConfigurationError: An argument is not a single scope.
    """
    checked = tuple(one for one in scopes if isinstance(one, str) and is_scope(one))
    if checked != tuple(scopes) or any(" " in one for one in checked):
        raise ConfigurationError('require_scopes() takes one scope each: @require_scopes("a", "b")')
    return checked

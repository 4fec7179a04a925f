"""
For the views of an app: what its token must allow, and how to answer if it does not.

::

    check_scopes(request.environ, "reports:write")  # raises what refusal() answers

Nothing here reads a header: an identity is what the middleware put into the environ, and without
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
    An answer, to be turned into the response of a framework.

    Attributes:
        status: The HTTP status with its phrase, as WSGI has it.
        headers: Names and values, ``WWW-Authenticate`` among them.
        body: Empty for ``HEAD``.
    """

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def check_scopes(environ: WSGIEnvironment, *scopes: str) -> None:
    """
    Check that a request has a token with all of these scopes.

    Args:
        environ: Of the request; ``request.META`` in Django, ``req.env`` in Falcon.
        scopes: One each; without any, a token is enough.

    Raises:
        MissingTokenError: It has no token.
        InsufficientScopeError: A scope is missing.
    """
    if not isinstance(environ.get(CLAIMS), dict):
        raise MissingTokenError
    if not get_scopes(environ).issuperset(scopes):
        raise InsufficientScopeError("a scope is missing", scope=sorted(scopes))


def refusal(error: AuthError | UnavailableError, environ: WSGIEnvironment) -> Refusal:
    """
    Return the answer to *error* that the middleware would give, in its style and with its realm.

    Args:
        error: What :func:`check_scopes` raised, or another error of this package.
        environ: Of the request.
    """
    responses = environ.get(RESPONSES)
    if not isinstance(responses, Responses):  # no middleware
        responses = Responses()
    begun: list[Any] = []

    def start_response(*status_and_headers: Any) -> Any:
        begun.extend(status_and_headers)

    body = responses.refuse(error, environ, start_response)
    return Refusal(begun[0], begun[1], b"".join(body))


def checked_scopes(scopes: Iterable[object]) -> tuple[str, ...]:
    """
    Return what a decorator was given.

    Raises:
        ConfigurationError: One is not one scope.
    """
    checked = tuple(one for one in scopes if isinstance(one, str) and is_scope(one))
    if checked != tuple(scopes) or any(" " in one for one in checked):
        raise ConfigurationError('require_scopes() takes one scope each: @require_scopes("a", "b")')
    return checked

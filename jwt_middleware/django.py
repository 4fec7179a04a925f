"""
Django integration: the token's user, required scopes of views, and users as accounts.

::

    MIDDLEWARE = [..., "django.contrib.auth.middleware.AuthenticationMiddleware",
                  "jwt_middleware.django.TokenMiddleware"]
    AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend",
                               "jwt_middleware.django.TokenBackend"]

A token sets the user of one request: no session is started, so that no cookie outlives the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from operator import attrgetter
from typing import Any, ClassVar

from django.contrib.auth import authenticate, get_backends, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import (
    ImproperlyConfigured,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    ValidationError,
)
from django.db import DatabaseError, DataError, InterfaceError, close_old_connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_cache_control

from .errors import AuthError, BadCredentialsError, InvalidTokenError, UnavailableError
from .views import check_scopes, checked_scopes, refusal
from .wsgi.environ import CLAIMS

View = Callable[..., Any]  # returns a response, or an awaitable of one

_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


class TokenBackend(ModelBackend):  # type: ignore[misc]  # Django has no types
    """
    An authentication backend that finds the user of a token, and never creates one.

    It looks up ``REMOTE_USER`` as set by the middleware: *sub*, or the ``remote_user`` of a trusted
    issuer, which is unique across issuers.  Subclass it for other rules.

    Attributes:
        field: The unique field of the user model: ``"pk"``, ``"username"``, or a field of a related
            model as in a query, ``"profile__subject"``.
        claim: Look up this claim instead, ``"email"``, only for tokens of *issuer*: other issuers
            can put any value into it.
        issuer: The *iss* of these tokens.
    """

    field: ClassVar[str] = "pk"
    claim: ClassVar[str | None] = None
    issuer: ClassVar[str | None] = None

    def __init__(self) -> None:
        if (self.claim is None) != (self.issuer is None):
            raise ImproperlyConfigured(f"{type(self).__name__} needs claim and issuer, or neither")

    # No credentials parameter, so that Django does not call it for password logins.
    def authenticate(self, request: HttpRequest | None) -> Any:
        """Return the user of the request's token, or ``None``."""
        name = None if request is None else self.name_in(request.META)
        return None if name is None else self.find(name)

    async def aauthenticate(self, request: HttpRequest | None) -> Any:
        """Return the user of the request's token, or ``None``; async."""
        from asgiref.sync import sync_to_async  # noqa: PLC0415  comes with Django

        return await sync_to_async(self.authenticate)(request)

    def get_user(self, user_id: object) -> None:
        """Return ``None``: this backend starts no sessions, so a session naming it is invalid."""

    async def aget_user(self, user_id: object) -> None:
        """Return ``None``; async."""

    def name_in(self, environ: Mapping[str, Any]) -> str | None:
        """Return the user's name in a request's token; ``None`` if it has none for this backend."""
        claims = environ.get(CLAIMS)
        if not isinstance(claims, dict):  # no token, or no middleware
            return None
        if self.claim is None:
            return environ.get("REMOTE_USER")
        name = claims.get(self.claim) if claims.get("iss") == self.issuer else None
        return name if isinstance(name, str) else None

    def find(self, name: str) -> Any:
        """
        Return the active user of this name, or ``None``.

        Raises:
            UnavailableError: The database is unavailable.
        """
        user = find_user(self.field, name)
        return user if user is not None and self.user_can_authenticate(user) else None


def find_user(field: str, value: str) -> Any:
    """
    Return the user whose *field* is exactly *value*, or ``None``.

    Databases and fields match more: another case, another Unicode form, ``"01"`` for 1.

    Raises:
        UnavailableError: The database is unavailable.
    """
    try:
        user = get_user_model()._default_manager.get(**{field: value})  # noqa: SLF001  its API
    except (ObjectDoesNotExist, MultipleObjectsReturned):
        return None
    except (ValueError, TypeError, OverflowError, ValidationError, DataError):
        return None  # a value that the field cannot have
    except (DatabaseError, InterfaceError) as error:
        raise UnavailableError("the user database is unavailable") from error
    return user if str(attrgetter(field.replace("__", "."))(user)) == value else None


class TokenMiddleware:
    """
    Set ``request.user`` to the user of the request's token.

    A token of an unknown or inactive user gets 401.  A token of another issuer that names no user
    is anonymous.  A request without a token keeps its user.

    A response to a request with a token gets ``Cache-Control: private`` unless it has ``public``,
    so that Django's caches do not serve it to other users.

    Raises:
        ImproperlyConfigured: ``AUTHENTICATION_BACKENDS`` has no :class:`TokenBackend`, or
            ``AuthenticationMiddleware`` comes after this middleware and would override it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        from django.conf import settings  # noqa: PLC0415  not before they are configured

        self._get_response = get_response
        self._backends = [one for one in get_backends() if isinstance(one, TokenBackend)]
        if not self._backends:
            raise ImproperlyConfigured("AUTHENTICATION_BACKENDS has no TokenBackend")
        own = f"{type(self).__module__}.{type(self).__qualname__}"
        order = list(settings.MIDDLEWARE)
        if {own, _AUTHENTICATION} <= {*order} and order.index(own) < order.index(_AUTHENTICATION):
            raise ImproperlyConfigured(f"MIDDLEWARE: {own} must come after {_AUTHENTICATION}")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        if isinstance(request.META.get(CLAIMS), dict):
            try:
                user = self._user_of(request)
            except (AuthError, UnavailableError) as error:
                return _response(error, request)
            _set_user(request, user)
            return _made_private(self._get_response(request))
        if not hasattr(request, "user"):
            _set_user(request, AnonymousUser())
        return self._get_response(request)

    def _user_of(self, request: HttpRequest) -> Any:
        for backend in self._backends:
            name = backend.name_in(request.META)
            if name is not None:
                user = backend.find(name)
                if user is None:
                    raise InvalidTokenError("the token's user is unknown or inactive")
                return user
        return AnonymousUser()


def _set_user(request: HttpRequest, user: Any) -> None:
    async def auser() -> Any:
        return user

    request.user, request.auser = user, auser


def require_scopes(*scopes: str) -> Callable[[View], View]:
    """
    Require a token with all of these scopes; without arguments, any token.

    Otherwise the response is the middleware's: 401 without a token, or 403 with
    ``error="insufficient_scope"``.  The view may be async; for a class use ``method_decorator``.

    Raises:
        ConfigurationError: An argument is not a single scope.
    """
    from asgiref.sync import iscoroutinefunction  # noqa: PLC0415  comes with Django

    needed = checked_scopes(scopes)

    def decorate(view: View) -> View:
        @wraps(view)
        async def async_guarded(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            try:
                check_scopes(request.META, *needed)
            except AuthError as error:
                return _response(error, request)
            return _made_private(await view(request, *args, **kwargs))

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                check_scopes(request.META, *needed)
            except AuthError as error:
                return _response(error, request)
            return _made_private(view(request, *args, **kwargs))

        return async_guarded if iscoroutinefunction(view) else guarded

    return decorate


class UserAccounts:
    """
    Django users as accounts: an account verifier and a lookup for any client type.

    ::

        accounts = UserAccounts()
        TokenEndpoint(verifiers={"email": accounts.verify}, lookups={"email": accounts.look_up}, …)

    *uid* is the user's primary key, *credential* Django's session auth hash: a changed password
    also ends refreshes.  Subclass it to grant scopes.
    """

    def verify(self, account: str, secret: str) -> Mapping[str, object]:
        """
        Verify name and password with the project's authentication backends.

        Raises:
            BadCredentialsError: They are wrong, or the user is inactive.
        """
        with _connections():
            user = authenticate(username=account, password=secret)
            if user is None or not user.is_active:
                raise BadCredentialsError
            return self._identity(user)

    def look_up(self, uid: int | str) -> Mapping[str, object] | None:
        """Return the current state of the user with this primary key, or ``None``."""
        with _connections():
            user = find_user("pk", str(uid))
            return None if user is None or not user.is_active else self._identity(user)

    def scope_of(self, user: Any) -> str:
        """Return the user's scopes, separated by spaces; by default none."""
        return ""

    def _identity(self, user: Any) -> Mapping[str, object]:
        return {
            "uid": user.pk if isinstance(user.pk, int) else str(user.pk),
            "scope": self.scope_of(user),
            "credential": user.get_session_auth_hash(),
        }


@contextmanager
def _connections() -> Iterator[None]:
    """Close old connections as Django does around a request; logins run outside of one."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def _made_private(response: HttpResponseBase) -> HttpResponseBase:
    """Keep the response out of shared caches unless it is ``public``."""
    if "public" not in response.get("Cache-Control", ""):
        patch_cache_control(response, private=True)
    return response


def _response(error: AuthError | UnavailableError, request: HttpRequest) -> HttpResponse:
    status, headers, body = refusal(error, request.META)
    return HttpResponse(body, status=int(status[:3]), headers=dict(headers))

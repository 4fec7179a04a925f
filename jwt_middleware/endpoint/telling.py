"""Events of logins."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..accounts import Identity
from ..errors import BadCredentialsError, TooManyAttemptsError
from ..events import Name, emit
from ..wsgi.address import shown_client
from .limits import ClientAddresses

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

P = ParamSpec("P")
S = TypeVar("S", bound="_Located")


class _Located(Protocol):
    @property
    def addresses(self) -> ClientAddresses: ...


_Verify = Callable[Concatenate[S, str, Any, "WSGIEnvironment", P], Identity]


def tells(verify: _Verify[S, P]) -> _Verify[S, P]:
    """Have a method that verifies credentials emit how each login ended."""

    @wraps(verify)
    def told(
        self: S,
        client_type: str,
        readings: Any,
        environ: WSGIEnvironment,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Identity:
        client = shown_client(environ, self.addresses.trusted_proxies)
        try:
            identity = verify(self, client_type, readings, environ, *args, **kwargs)
        except TooManyAttemptsError:
            emit(Name.LOGIN_LIMITED, client_type=client_type, client=client)
            raise
        except BadCredentialsError:
            emit(Name.LOGIN_FAILED, client_type=client_type, client=client)
            raise
        sub = str(identity.uid)
        emit(Name.LOGIN_SUCCEEDED, client_type=client_type, client=client, sub=sub)
        return identity

    return told

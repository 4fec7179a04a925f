"""Clients that authenticate themselves: HTTP Basic, or in the body (RFC 6749 §2.3.1)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_plus

from ..accounts import Identity, InvalidAccountError, normalise_account
from ..errors import (
    BadCredentialsError,
    InvalidRequestError,
    TooManyAttemptsError,
)
from ..sessions.session import SERVICE
from .body import parameter
from .forms import is_acceptable
from .logins import Credentials, Logins

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# credentials = "Basic" 1*SP token68                                        RFC 7617 §2
# token68     = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="  RFC 9110 §11.2
_BASIC: Final = re.compile(r"basic +([A-Za-z0-9+/]+=*)", re.IGNORECASE)
# Name and secret of the longest, each octet of their UTF-8 as a %-triplet, in base64.
_MAX_CHARS: Final = (255 + 1 + 1024) * 4 * 3 * 4 // 3


class Client(NamedTuple):
    """An OAuth client that has authenticated itself: the name of its account, and who that is."""

    name: str
    identity: Identity


class ClientAuthentication:
    """
    Authenticates clients, which are accounts of the type ``service``.

    Args:
        logins: Verifies them, if it has a verifier for their type.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    @property
    def is_possible(self) -> bool:
        """Whether there can be such clients at all."""
        return SERVICE in self._logins.verifiers

    def require(self, environ: WSGIEnvironment, body: Mapping[str, object]) -> Client:
        """
        Return which client this is.

        Raises:
            InvalidRequestError: It authenticates in two ways, or halfway.
            BadCredentialsError: It does not authenticate itself, or with other credentials.
            TooManyAttemptsError: A limit is reached.
            UnavailableError: The accounts or the store of the attempts are unavailable.
        """
        readings = _read_credentials(environ, body)
        if not readings or not self.is_possible:
            raise BadCredentialsError
        refused: TooManyAttemptsError | None = None
        for name in dict.fromkeys(one.account for one in readings):
            named = [one for one in readings if one.account == name]
            try:
                identity = self._logins.verify(SERVICE, named, environ)
            except BadCredentialsError:
                continue
            except TooManyAttemptsError as error:
                refused = error
            else:
                return Client(_spelt(name), identity)
        raise refused or BadCredentialsError

    def identify(self, environ: WSGIEnvironment, body: Mapping[str, object]) -> str | None:
        """
        Return the subject of a client that authenticates itself, and ``None`` if none does.

        Raises:
            AuthError: As :meth:`require`.
            UnavailableError: As :meth:`require`.
        """
        if _read_credentials(environ, body) is None:
            return None
        _, identity = self.require(environ, body)
        return self._logins.payload(identity, SERVICE, scope="").sub


def _read_credentials(
    environ: WSGIEnvironment, body: Mapping[str, object]
) -> list[Credentials] | None:
    """Return in how many ways they can be read, maybe in none; ``None`` if there are none."""
    client_id, secret = parameter(body, "client_id"), parameter(body, "client_secret")
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    if authorization.partition(" ")[0].lower() != "basic":  # another scheme is not for clients
        if secret is None:  # a client_id alone says who asks, and proves nothing (§3.2.1)
            return None
        if client_id is None:
            raise InvalidRequestError(
                "client_id is missing beside client_secret", parameter="client_id"
            )
        return _acceptable([Credentials(client_id, secret)])
    if secret is not None:
        raise InvalidRequestError(
            "client_secret is one way to authenticate too many, RFC 6749 section 2.3",
            parameter="client_secret",
        )
    readings = _acceptable(_read_basic(authorization))
    return [one for one in readings if client_id in {None, one.account}]


def _read_basic(value: str) -> list[Credentials]:
    """
    Read the value of an ``Authorization`` header.

    RFC 6749 §2.3.1 has name and secret form-urlencoded before they are joined.  Many clients,
    those of requests and Authlib among them, join them as they are: where the two readings differ,
    both are returned.  What is not UTF-8 is read as Latin-1, in which the same two write it.
    """
    match = _BASIC.fullmatch(value)
    if match is None or len(value) > _MAX_CHARS:
        return []
    try:
        octets = b64decode(match[1], validate=True)
    except ValueError:
        return []
    account, colon, secret = _text(octets).partition(":")
    if not colon:
        return []
    plain = Credentials(account, secret)
    try:
        decoded = Credentials(*(unquote_plus(part, errors="strict") for part in plain))
    except ValueError:
        return [plain]
    return [*dict.fromkeys([decoded, plain])]


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _spelt(name: str) -> str:
    try:
        return normalise_account(name, SERVICE)
    except InvalidAccountError:  # an account verifier of the app's own knows better
        return name


def _acceptable(readings: list[Credentials]) -> list[Credentials]:
    """Return those that the login form would accept: nothing longer is hashed, or looked for."""
    return [one for one in readings if is_acceptable(*one)]

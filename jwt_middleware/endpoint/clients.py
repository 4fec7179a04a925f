"""Client authentication: HTTP Basic or parameters in the body (RFC 6749 §2.3.1)."""

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
# The longest name and secret, each UTF-8 octet percent-encoded, in base64.
_MAX_CHARS: Final = (255 + 1 + 1024) * 4 * 3 * 4 // 3


class Client(NamedTuple):
    """An authenticated OAuth client: its account's name and identity."""

    name: str
    identity: Identity


class ClientAuthentication:
    """
    Authenticates OAuth clients, which are accounts of the type ``service``.

    Args:
        logins: Verifies them, if it has a verifier for ``service``.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    @property
    def is_possible(self) -> bool:
        """Whether there is a verifier for such clients."""
        return SERVICE in self._logins.verifiers

    def require(self, environ: WSGIEnvironment, body: Mapping[str, object]) -> Client:
        """
        Return the client that authenticates the request.

        Raises:
            InvalidRequestError: It uses two methods, or one of them incompletely.
            BadCredentialsError: Its credentials are missing or wrong.
            TooManyAttemptsError: A limit is reached.
            UnavailableError: The accounts or the attempt store are unavailable.
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
        Return the subject of the authenticated client; ``None`` without client credentials.

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
    """Return all readings of the credentials, maybe empty; ``None`` if there are no credentials."""
    client_id, secret = parameter(body, "client_id"), parameter(body, "client_secret")
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    if authorization.partition(" ")[0].lower() != "basic":  # not for clients
        if secret is None:  # a client_id alone identifies, but does not authenticate (§3.2.1)
            return None
        if client_id is None:
            raise InvalidRequestError(
                "client_id is missing beside client_secret", parameter="client_id"
            )
        return _acceptable([Credentials(client_id, secret)])
    if secret is not None:
        raise InvalidRequestError(
            "client_secret and Authorization: use one method only, RFC 6749 section 2.3",
            parameter="client_secret",
        )
    readings = _acceptable(_read_basic(authorization))
    return [one for one in readings if client_id in {None, one.account}]


def _read_basic(value: str) -> list[Credentials]:
    """
    Read the value of an ``Authorization`` header.

    RFC 6749 §2.3.1 form-urlencodes name and secret before joining them.  Many clients, requests and
    Authlib among them, do not: where the two readings differ, both are returned.  Octets that are
    not UTF-8 are read as Latin-1, which those two libraries send.
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
    except InvalidAccountError:  # a custom account verifier may still accept it
        return name


def _acceptable(readings: list[Credentials]) -> list[Credentials]:
    """Return the readings that the login form accepts; others are neither looked up nor hashed."""
    return [one for one in readings if is_acceptable(*one)]

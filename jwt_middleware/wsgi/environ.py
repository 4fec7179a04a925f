"""
The environ keys that the app gets, and functions to read them.

============================ ================================================================
key                          value
============================ ================================================================
``jwt_middleware.claims``    ``dict`` of the verified claims, the app's own copy; absent when
                             the request carries no token
``jwt_middleware.scopes``    ``list`` of the token's scopes, sorted; only where its issuer has
                             them in other claims than ``scope`` and ``scp``
``jwt_middleware.error``     the error code if there are no claims, on ``optional`` rules and in
                             report mode
``jwt_middleware.responses`` used by :func:`jwt_middleware.views.refusal`; always present
``REMOTE_USER``              *sub*, or the result of ``remote_user``; absent for a foreign
                             issuer without it, if several issuers are trusted
``AUTH_TYPE``                ``"Bearer"``
============================ ================================================================

On every path, all of them are removed from the incoming environ, and also ``HTTP_REMOTE_USER``:
behind this middleware a client's ``Remote-User`` header is always forged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..core.claim_path import find_claim, parse_path, scopes_of
from ..errors import ConfigurationError
from ..events import Fields
from .address import shown_client
from .bearer import environ_key
from .request import WATCHED_KEYS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..core.verifier import VerifiedToken

CLAIMS: Final = "jwt_middleware.claims"
ERROR: Final = "jwt_middleware.error"
SCOPES: Final = "jwt_middleware.scopes"
RESPONSES: Final = "jwt_middleware.responses"
IDENTITY_KEYS: Final = (CLAIMS, ERROR, SCOPES, "REMOTE_USER", "AUTH_TYPE", "HTTP_REMOTE_USER")


def clear_identity(environ: WSGIEnvironment, keys: Iterable[str] = IDENTITY_KEYS) -> None:
    """Remove every identity that the client or an outer layer put into *environ*."""
    for key in keys:
        environ.pop(key, None)


def publish(environ: WSGIEnvironment, verified: VerifiedToken) -> None:
    """Put the identity of *verified* into *environ*."""
    environ[CLAIMS] = verified.claims
    if verified.trusted.scopes_from is not None:
        environ[SCOPES] = sorted(verified.scopes)
    if verified.remote_user is not None:
        environ["REMOTE_USER"] = verified.remote_user
    environ["AUTH_TYPE"] = "Bearer"


def get_claims(environ: WSGIEnvironment) -> dict[str, Any] | None:
    """
    Return the verified claims of a request; ``None`` if it has no token.

    Pass the WSGI environ: ``request.environ`` in Flask, Bottle and Pyramid, ``request.META`` in
    Django, ``req.env`` in Falcon.
    """
    return environ.get(CLAIMS)


def get_scopes(environ: WSGIEnvironment) -> frozenset[str]:
    """
    Return the scopes of a request's token, the same that rules check; empty without a token.

    They come from the claims that the token's issuer is configured for.
    """
    scopes = environ.get(SCOPES)
    return scopes_of(get_claims(environ) or {}) if scopes is None else frozenset(scopes)


def describe(environ: WSGIEnvironment, trusted_proxies: int = 0) -> Fields:
    """Return the event fields of a request, without query and headers."""
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "client": shown_client(environ, trusted_proxies),
    }


_KEY: Final = re.compile(r"HTTP_X_[A-Z0-9_]+")
# Apps and servers read scheme, host or client address of a request from these.
_PROXY_KEYS: Final = frozenset(
    f"HTTP_X_{name}"
    for name in (
        "CLIENT_IP", "CLUSTER_CLIENT_IP", "FORWARDED", "FORWARDED_BY", "FORWARDED_FOR",
        "FORWARDED_HOST", "FORWARDED_PORT", "FORWARDED_PROTO", "FORWARDED_PROTOCOL",
        "FORWARDED_SCHEME", "FORWARDED_SERVER", "FORWARDED_SSL", "HOST", "HTTPS",
        "ORIGINAL_FORWARDED_FOR", "ORIGINAL_HOST", "ORIGINAL_PROTO", "ORIGINATING_IP", "PROTO",
        "REAL_IP", "REMOTE_ADDR", "REMOTE_IP", "SCHEME", "SSL", "TRUE_CLIENT_IP", "URL_SCHEME",
    )
)  # fmt: skip
_RESERVED: Final = WATCHED_KEYS | _PROXY_KEYS

# C0, C1, and the two Unicode separators that some readers treat as line ends
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

ClaimName = str | Sequence[str]


class ClaimKeys:
    """
    Environ keys set to claims, like headers of a proxy, for apps that cannot be edited.

    Each key is removed from incoming requests, on every path.  It is set if the token has the
    claim; values with control characters are left out.

    Args:
        own: Key, such as ``HTTP_X_FORWARDED_EMAIL``, to the name or path of a claim,
            ``["realm_access", "roles"]``: members of an array are joined by commas, without members
            that contain a comma.  For tokens of *issuer*.
        issuer: The *iss* of the tokens for *own*.
        trusted: *iss* of another issuer to its keys, like *own*.
        keeps_authorization: Whether the app gets the header with an accepted token.

    Raises:
        ConfigurationError: A key is not of the form ``HTTP_X_…``, or is one that apps read scheme,
            host or client address from.
    """

    def __init__(
        self,
        own: Mapping[str, ClaimName] | None = None,
        *,
        issuer: str = "",
        trusted: Mapping[str, Mapping[str, ClaimName]] | None = None,
        keeps_authorization: bool = True,
    ) -> None:
        by_issuer = {**(trusted or {}), **({issuer: own} if own else {})}
        self.keys: frozenset[str] = frozenset(key for keys in by_issuer.values() for key in keys)
        for key in sorted(self.keys):
            if not _KEY.fullmatch(key):
                raise ConfigurationError(f"{key}: must be like HTTP_X_FORWARDED_EMAIL")
            if key in _RESERVED:
                raise ConfigurationError(
                    f"{key}: says where a request comes from or goes to: choose another"
                )
        self._by_issuer = {
            name: tuple(
                (key, parse_path(claim, key), isinstance(claim, str)) for key, claim in keys
            )
            for name, keys in ((name, keys.items()) for name, keys in by_issuer.items())
        }
        self.keeps_authorization = keeps_authorization

    def check_headers(self, headers: Iterable[str | None]) -> None:
        """
        Check that no token header is one of these keys.

        Raises:
            ConfigurationError: One of *headers* is a key.
        """
        for taken in self.keys.intersection(map(environ_key, headers)):
            raise ConfigurationError(f"{taken}: tokens come in it: choose another")

    def publish(self, environ: WSGIEnvironment, verified: VerifiedToken) -> None:
        """Set the keys for the issuer of *verified*; remove the token unless it is kept."""
        claims = verified.read_only_claims
        for key, path, is_single in self._by_issuer.get(verified.trusted.issuer, ()):
            value = find_claim(claims, path)
            text = _joined(value) if isinstance(value, list) and not is_single else _text(value)
            if text:
                environ[key] = text
        if not self.keeps_authorization:
            environ.pop(environ_key(verified.trusted.header), None)


def _joined(members: Iterable[object]) -> str:
    return ",".join(text for text in map(_text, members) if text and "," not in text)


def _text(value: object) -> str:
    """Return a value in the environ's form: UTF-8 octets as Latin-1 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if math.isfinite(value) else ""  # 1e400 is read as infinity
    if not isinstance(value, str) or _CONTROL.search(value):
        return ""
    return value.encode("utf-8", "replace").decode("latin-1")

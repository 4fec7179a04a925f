"""
Tokens as HTTP Basic passwords (RFC 7617), for clients that support only Basic.

Browsers resend Basic credentials automatically, whichever page causes the request.  So they are
refused in cross-site requests.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

from ..core.jws import MAX_TOKEN_CHARS
from ..errors import CrossSiteError, InvalidRequestError
from .bearer import AUTHORIZATION

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_USER_CHARS: Final = 1024
_MAX_CHARS: Final = len("Basic ") + (MAX_USER_CHARS + 1 + MAX_TOKEN_CHARS) * 4 // 3 + 4

# credentials = "Basic" 1*SP token68, of base64                       RFC 7617 §2, RFC 4648 §4
_CREDENTIALS: Final = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PORT: Final = re.compile(r":[0-9]+\Z")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def find_password(environ: WSGIEnvironment) -> str | None:
    """
    Return the password of Basic credentials; ``None`` if there are none.

    Raises:
        CrossSiteError: The request is cross-site.
        InvalidRequestError: The credentials are malformed.
    """
    value = environ.get(AUTHORIZATION, "").strip(" \t")
    if value.split(" ", 1)[0].lower() != "basic":
        return None
    if is_cross_site(environ):
        raise CrossSiteError
    return parse_basic(value)


def parse_basic(value: str) -> str:
    """
    Return the password in the header's value.

    The user name, up to the first colon, is ignored.

    Raises:
        InvalidRequestError: It is not strict base64 of UTF-8, has no colon or a control character.
    """
    match = _CREDENTIALS.fullmatch(value) if len(value) <= _MAX_CHARS else None
    try:
        octets = b64decode(match[1], validate=True) if match else b""
        text = octets.decode()
    except ValueError:  # binascii.Error and UnicodeDecodeError are
        raise _malformed() from None  # their texts quote the value
    _, colon, password = text.partition(":")
    exact = match is not None and b64encode(octets).decode("ascii") == match[1]  # no spare bits
    if not exact or not colon or _CONTROLS.search(text):
        raise _malformed()
    return password


def _malformed() -> InvalidRequestError:
    return InvalidRequestError(
        "Authorization is not valid Basic credentials", parameter="Authorization"
    )


def challenge_basic(realm: str) -> str:
    """Return a ``WWW-Authenticate`` value.  Source: RFC 7617 §2.1."""
    return f'Basic realm="{realm}", charset="UTF-8"'


def is_cross_site(environ: WSGIEnvironment) -> bool:
    """
    Return whether a page of another origin caused the request.

    Browsers send ``Sec-Fetch-Site`` (except over plain HTTP), and ``Origin`` with all methods but
    GET and HEAD; other clients send neither.  ``none`` means that the user typed the address.
    """
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in {"none", "same-origin"}:
        return True
    origin = environ.get("HTTP_ORIGIN")
    return origin is not None and not _is_own(origin, environ)


def _is_own(origin: str, environ: WSGIEnvironment) -> bool:
    scheme, _, authority = origin.partition("://")
    if scheme not in _DEFAULT_PORTS or (scheme, environ["wsgi.url_scheme"]) == ("http", "https"):
        return False  # a proxy may terminate TLS, but never adds it
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    port = _DEFAULT_PORTS[scheme]
    return _with_port(authority, port) == _with_port(host.lower(), port)


def _with_port(authority: str, port: str) -> str:
    return authority if _PORT.search(authority) else authority + port

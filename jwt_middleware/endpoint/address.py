"""Where a request comes from, as far as that can be believed."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError
from .limits import Address

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("jwt_middleware")

MAX_TRUSTED_PROXIES: Final = 16

# Longer is no address, with port, brackets and zone.
_MAX_CHARS: Final = 80
_WITH_PORT: Final = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([^:]*):[0-9]+")


class ClientAddresses:
    """
    Tells the address of a request's client.

    Behind *n* proxies that each append the address of their own peer to ``X-Forwarded-For``, the
    client is the *n*-th value from the right; whatever stands left of it the client has made up.
    A value that is missing, or no address, is not believed: then it is the server's own peer.

    Args:
        trusted_proxies: How many proxies every request has passed, 0 to 16.  0 believes no header:
            also right where the server or a middleware has replaced ``REMOTE_ADDR`` already.

    Raises:
        ConfigurationError: *trusted_proxies* is something else.
    """

    def __init__(self, trusted_proxies: int = 0) -> None:
        if type(trusted_proxies) is not int or not 0 <= trusted_proxies <= MAX_TRUSTED_PROXIES:
            raise ConfigurationError(
                f"trusted_proxies must be a whole number from 0 to {MAX_TRUSTED_PROXIES}"
            )
        self._trusted_proxies = trusted_proxies
        self._has_warned = False

    def __call__(self, environ: WSGIEnvironment) -> Address | None:
        """Return the address, or ``None`` if there is none, as on a Unix socket without proxies."""
        address = parse_address(self._forwarded(environ)) or parse_address(
            environ.get("REMOTE_ADDR") or ""
        )
        if address is None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the address of a client is not known, so logins are not limited by it: behind a"
                " proxy set trusted_proxies"
            )
        return address

    def _forwarded(self, environ: WSGIEnvironment) -> str:
        count = self._trusted_proxies
        values = environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", count)
        return values[-count] if 0 < count <= len(values) else ""


def parse_address(text: str) -> Address | None:
    """
    Read an address as servers and proxies write it: alone, in brackets, with a port or a zone.

    An IPv4 address in IPv6 clothes (RFC 4291 §2.5.5.2) is the IPv4 address.
    """
    text = text.strip()
    if len(text) > _MAX_CHARS:
        return None
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2] or ""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address

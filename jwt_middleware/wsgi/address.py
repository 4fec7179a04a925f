"""Client addresses behind proxies."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Address = IPv4Address | IPv6Address

MAX_TRUSTED_PROXIES: Final = 16

# The longest address with port, brackets and zone.
_MAX_CHARS: Final = 80
_WITH_PORT: Final = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([^:]*):[0-9]+")


def client_address(environ: WSGIEnvironment, trusted_proxies: int) -> Address | None:
    """
    Return the address of a request's client; ``None`` if it is unknown.

    Behind *n* proxies that each append the address of their own peer to ``X-Forwarded-For``, the
    client is the *n*-th value from the right; values left of it are the client's own.  A value that
    is missing, or no address, is ignored: then the client is the server's own peer.
    """
    peer = environ.get("REMOTE_ADDR") or ""
    return parse_address(_forwarded(environ, trusted_proxies)) or parse_address(peer)


def shown_client(environ: WSGIEnvironment, trusted_proxies: int) -> str:
    """Return the client address for logs; without one, ``REMOTE_ADDR`` as the server has it."""
    address = client_address(environ, trusted_proxies) if trusted_proxies else None
    return str(environ.get("REMOTE_ADDR") or "") if address is None else str(address)


def parse_address(text: str) -> Address | None:
    """
    Parse an address as written by servers and proxies: plain, in brackets, with port or zone.

    IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2) are returned as IPv4.
    """
    text = text.strip()
    if not 0 < len(text) <= _MAX_CHARS:
        return None
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2] or ""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _forwarded(environ: WSGIEnvironment, count: int) -> str:
    values = environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", count) if count else []
    return values[-count] if 0 < count <= len(values) else ""

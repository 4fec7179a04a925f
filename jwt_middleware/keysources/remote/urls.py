"""Addresses that keys may be fetched from."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from ...errors import ConfigurationError

_PORTS = {"http": 80, "https": 443}
# What RFC 3986 lets into a URI, all of it printable ASCII.  Parsers differ over the rest: over a
# backslash they do not even agree which host is meant.
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII | re.IGNORECASE)


class Address(NamedTuple):
    """
    An http or https URL, taken apart.  As text it has no query, which may be secret.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name or an IP address, without brackets, in lower case.
        port: As given, or the scheme's.
        path: Starts with a slash.
        query: Without the question mark; empty if there is none.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a request goes to.  Source: RFC 6454 §4."""
        return self.scheme, self.host, self.port

    @property
    def target(self) -> str:
        """What a request asks for.  Source: RFC 9112 §3.2.1."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine: ``localhost``, 127.0.0.0/8 or ::1."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def join(self, reference: str, *, allow_http: bool) -> Address:
        """
        Return the address that a *reference* in an answer from here means.

        Raises:
            ConfigurationError: As :func:`parse_address`.
        """
        try:
            url = urljoin(str(self), reference) if reference else ""
        except ValueError:  # an unclosed bracket
            url = ""
        return parse_address(url, allow_http=allow_http)


def parse_address(url: str, *, allow_http: bool = False) -> Address:
    """
    Take apart a URL that keys may be fetched from.

    Args:
        url: ``https://…``; ``http://…`` where the host is this machine.
        allow_http: Whether ``http://`` is good for any host: whoever is on the way there can then
            put in keys of their own.

    Raises:
        ConfigurationError: It is no such URL, or it names a user or a fragment.  The text quotes
            nothing of it.
    """
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise ConfigurationError("a URL must be https:// and printable ASCII, as in RFC 3986")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("the host or port of a URL cannot be read") from None
    if not host or port == 0:
        raise ConfigurationError("a URL must name a host, and a port above 0 if any")
    if "@" in parts.netloc or "#" in url:
        raise ConfigurationError("a URL must hold neither user, password nor fragment")
    address = Address(
        parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/", parts.query
    )
    if address.scheme == "http" and not (allow_http or address.is_loopback):
        raise ConfigurationError(
            "a URL must be https:// unless its host is loopback: keys that come over plain HTTP "
            "can be replaced on the way"
        )
    return address

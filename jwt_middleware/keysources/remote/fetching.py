"""URLs of keys, and the function that fetches them."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol, Self
from urllib.parse import urljoin, urlsplit

from ...errors import ConfigurationError
from ...errors import FetchError as FetchError
from ...files import diagnose, may_be_secret, read_regular

MAX_BEARER_BYTES: Final = 65_536

_PORTS: Final = {"http": 80, "https": 443}
# The characters of RFC 3986, all printable ASCII.  Parsers disagree on others: with a backslash
# even on the host.
_URL: Final = re.compile(
    r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII | re.IGNORECASE
)
# b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="         RFC 6750 §2.1
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class KeyURL(NamedTuple):
    """
    A parsed http or https URL.  Its text has no query, which may be secret.

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

    @classmethod
    def parse(cls, url: str, *, allow_http: bool = False) -> Self:
        """
        Parse a URL that keys may be fetched from.

        Args:
            url: ``https://…``; ``http://…`` where the host is this machine.
            allow_http: Whether ``http://`` is accepted for any host.  An attacker on the network
                path can then replace the keys.

        Raises:
            ConfigurationError: It is not such a URL, or it has a user or a fragment.  The text does
                not quote it.
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
        parsed = cls(
            parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/", parts.query
        )
        if parsed.scheme == "http" and not (allow_http or parsed.is_loopback):
            raise ConfigurationError(
                "a URL must be https:// unless its host is loopback: keys that come over plain "
                "HTTP can be replaced on the way"
            )
        return parsed

    def __repr__(self) -> str:
        return f"KeyURL({str(self)!r})"

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.bracketed_host}{port}{self.path}"

    @property
    def bracketed_host(self) -> str:
        """The host as in a URL, an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port.  Source: RFC 6454 §4."""
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

    def join(self, reference: str, *, allow_http: bool) -> KeyURL:
        """
        Return the URL that a *reference* in an answer from here means.

        Raises:
            ConfigurationError: As :meth:`parse`.
        """
        try:
            url = urljoin(str(self), reference) if reference else ""
        except ValueError:  # an unclosed bracket
            url = ""
        return KeyURL.parse(url, allow_http=allow_http)


class Fetched(NamedTuple):
    """
    A fetched document.

    Attributes:
        octets: The body, decoded.
        max_age_seconds: How long it is fresh; ``None`` if the answer did not say.
        fetched_from: The URL, after redirects, without query.
    """

    octets: bytes
    max_age_seconds: float | None
    fetched_from: str


class Fetch(Protocol):
    """A callable that fetches a document, with its own deadline."""

    def __call__(self, url: str, /) -> Fetched:
        """
        Return the document at *url*.

        Raises:
            FetchError: The fetch failed.  The text is logged; of another exception, its type.
        """
        ...


def choose_fetch(
    fetch: Fetch | None,
    url: KeyURL,
    *,
    allow_http: bool,
    ca_file: str | os.PathLike[str] | None,
    bearer_token_file: str | os.PathLike[str] | None = None,
) -> Fetch:
    """
    Return *fetch*, or :func:`jwt_middleware.keysources.remote.http.fetch` with the other parts.

    Args:
        fetch: Used as it is, where given.
        url: The URL that was configured: the bearer token goes to its origin and to no other.
        allow_http: Whether ``http://`` is good for any host.
        ca_file: PEM file of the authorities to trust.
        bearer_token_file: File with a bearer token, read for each fetch.

    Raises:
        ConfigurationError: urllib3 is not installed; a file is not usable, or is given with a
            *fetch*, or the token would be sent over plain HTTP.
    """
    if fetch is not None:
        for name, file in (("ca_file", ca_file), ("bearer_token_file", bearer_token_file)):
            if file is not None:
                raise ConfigurationError(f"{name} is for the fetch of this package: give only one")
        return fetch
    try:
        from . import http  # noqa: PLC0415  urllib3 is optional
    except ImportError as error:
        raise ConfigurationError(
            "keys from a URL need urllib3: pip install 'wsgi-jwt-middleware[remote]'"
        ) from error
    if ca_file is not None:
        http.check_ca_file(ca_file)
    plain = partial(http.fetch, allow_http=allow_http, ca_file=ca_file)
    return plain if bearer_token_file is None else _with_token(plain, url, bearer_token_file)


def _with_token(plain: Callable[..., Fetched], url: KeyURL, file: str | os.PathLike[str]) -> Fetch:
    if url.scheme == "http" and not url.is_loopback:
        raise ConfigurationError("bearer_token_file: the token needs an https:// URL")
    read_bearer_token(file)

    def fetch_with_token(one: str, /) -> Fetched:
        if _origin(one) != url.origin:
            return plain(one)
        try:
            token = read_bearer_token(file)
        except ConfigurationError as error:
            raise FetchError(f"{url}: {error}") from error
        return plain(one, bearer_token=token)

    return fetch_with_token


def read_bearer_token(file: str | os.PathLike[str]) -> str:
    """
    Read a file with a bearer token.

    Raises:
        ConfigurationError: It cannot be read, or holds something else.
    """
    try:
        text = read_regular(file)[1][:MAX_BEARER_BYTES].decode("ascii", "replace").strip()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if may_be_secret(Path(file).name, error):
            raise ConfigurationError(
                "bearer_token_file must be the name of an existing file, not its content"
            ) from None
        said, fix = diagnose(error, fix="name a file that is there")
        raise ConfigurationError(
            f"bearer_token_file {os.fspath(file)!r} cannot be read ({said}): {fix}"
        ) from error
    if not _B64TOKEN.fullmatch(text):
        raise ConfigurationError(
            f"bearer_token_file {os.fspath(file)!r} does not hold one bearer token"
        )
    return text


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        return KeyURL.parse(url, allow_http=True).origin
    except ConfigurationError:
        return None

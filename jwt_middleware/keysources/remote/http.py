"""Fetching a small document over HTTPS, within bounds.  The only module that imports urllib3."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from ...errors import ConfigurationError
from ...files import read_regular
from ...lookup import look_up
from .fetching import Fetched, FetchError, KeyURL

DEADLINE_SECONDS: Final = 5.0
MAX_BYTES: Final = 1024 * 1024
MAX_REDIRECTS: Final = 2
READ_BYTES: Final = 65_536
LONGEST_MAX_AGE_SECONDS: Final = 2**31
"""Larger numbers of seconds are capped at this.  Source: RFC 9111 §1.2.2."""

_REDIRECTS: Final = {301, 302, 303, 307, 308}
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "gzip",
    "Connection": "close",
    "User-Agent": "wsgi-jwt-middleware",
}
_GZIP: Final = 16 + zlib.MAX_WBITS
# Cache-Control   = [ cache-directive *( OWS "," OWS cache-directive ) ]        RFC 9111 §5.2
# cache-directive = token [ "=" ( token / quoted-string ) ]
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9a-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",]*)))?""")


def fetch(
    url: str,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    max_bytes: int = MAX_BYTES,
    allow_http: bool = False,
    ca_file: str | os.PathLike[str] | None = None,
    bearer_token: str | None = None,
) -> Fetched:
    """
    Fetch one document.

    Each fetch has a connection of its own.  Certificates are verified.  ``HTTPS_PROXY`` and
    ``NO_PROXY`` are honoured for https URLs whose host is not loopback.  Up to
    :data:`MAX_REDIRECTS` redirects are followed within the origin, none out of it.  The media type
    is not looked at: providers send many.

    Args:
        url: As for :meth:`~jwt_middleware.keysources.remote.fetching.KeyURL.parse`.
        deadline_seconds: For everything from connecting to the last byte, redirects included;
            not for the resolver (see :class:`Deadline`).
        max_bytes: The longest body, before and after decompression.
        allow_http: Whether ``http://`` is good for any host.
        ca_file: PEM file of the authorities to trust, instead of the system's.
        bearer_token: Sent as ``Authorization``.

    Raises:
        FetchError: The fetch failed for any reason.
    """
    deadline = Deadline(deadline_seconds)
    try:
        key_url = KeyURL.parse(url, allow_http=allow_http)
    except ConfigurationError as error:
        raise FetchError(str(error)) from error
    headers = (
        _HEADERS if bearer_token is None else _HEADERS | {"Authorization": f"Bearer {bearer_token}"}
    )
    for _ in range(MAX_REDIRECTS + 1):
        with _failures(key_url, deadline, deadline_seconds), ExitStack() as stack:
            sock = _connect(key_url, deadline, stack)
            response = _request(key_url, sock, _tls_context(ca_file), headers, stack)
            if response.status not in _REDIRECTS:
                return _read(response, key_url, max_bytes)
            key_url = _redirected(response, key_url, allow_http=allow_http)
    raise FetchError(f"{key_url}: more than {MAX_REDIRECTS} redirects")


def check_ca_file(ca_file: str | os.PathLike[str]) -> None:
    """
    Check that *ca_file* is a PEM file of certificates.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        _tls_context(ca_file)
    except FetchError as error:
        raise ConfigurationError(str(error)) from error


def _tls_context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    try:
        if ca_file is not None:
            read_regular(ca_file)  # OpenSSL would wait for a pipe
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # it may be replaced at any time, too
        named = "the system's" if ca_file is None else repr(os.fspath(ca_file))
        raise FetchError(f"ca_file {named} is not a readable PEM file of certificates") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


class Deadline:
    """
    A deadline for a whole HTTP exchange.

    A socket's timeout restarts with each byte: a server that sends one byte a second never times
    out.  So the connection is shut down at the deadline, which ends all calls that wait on it, also
    in TLS.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def has_passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._ends_at

    def remaining_seconds(self) -> float:
        """
        Return what is left, more than 0.

        Raises:
            TimeoutError: Nothing is.
        """
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def connect(self, host: str, port: int) -> socket.socket:
        """
        Connect to the first of a host's addresses that answers.

        Raises:
            OSError: None does, or not in time.
        """
        failure = OSError("the host has no address")
        resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = look_up((host, port), resolve, deadline=self._ends_at)
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.remaining_seconds())
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    @contextmanager
    def enforced_on(self, sock: socket.socket) -> Iterator[None]:
        """Shut the connection of *sock* down if the deadline passes before the block ends."""
        # A duplicate: TLS takes the descriptor of the socket that it wraps.
        with sock.dup() as twin:
            timer = threading.Timer(max(0, self._ends_at - time.monotonic()), _shut_down, [twin])
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()
                # Once the twin is closed, its number may be another's.
                timer.join()


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        sock.shutdown(socket.SHUT_RDWR)


class _Proxy(NamedTuple):
    host: str
    port: int
    headers: dict[str, str]


def _connect(url: KeyURL, deadline: Deadline, stack: ExitStack) -> socket.socket:
    """Connect to the host of *url*, or to its proxy and through it; *stack* closes the socket."""
    proxy = _proxy_for(url)
    host, port = (url.host, url.port) if proxy is None else (proxy.host, proxy.port)
    sock = deadline.connect(host, port)
    stack.callback(sock.close)
    stack.enter_context(deadline.enforced_on(sock))
    if proxy is not None:
        _open_tunnel(sock, proxy, url)
    return sock


def _proxy_for(url: KeyURL) -> _Proxy | None:
    """Return the proxy that the environment names for *url*, as it is now."""
    proxy = getproxies_environment().get("https")
    if url.scheme != "https" or not proxy or url.is_loopback or _bypasses_proxy(url):
        return None
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme != "http":
        # Not quoted: it may hold a password.
        raise FetchError(f"{url}: HTTPS_PROXY is not the http:// URL of a proxy")
    headers = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + b64encode(user.encode()).decode("ascii")
    return _Proxy(host, port or 80, headers)


def _bypasses_proxy(url: KeyURL) -> bool:
    """Return whether ``NO_PROXY`` matches the host: ``*``, a domain, an address or a network."""
    for entry in getproxies_environment().get("no", "").lower().split(","):
        name = entry.strip().removesuffix(f":{url.port}").removeprefix("*").strip("[]").lstrip(".")
        if entry.strip() == "*" or (name and f".{url.host}".endswith(f".{name}")):
            return True
        with suppress(ValueError):
            if ipaddress.ip_address(url.host) in ipaddress.ip_network(name, strict=False):
                return True
    return False


def _open_tunnel(sock: socket.socket, proxy: _Proxy, url: KeyURL) -> None:
    """Have a proxy connect the socket to the host of *url*.  Source: RFC 9110 §9.3.6."""
    authority = f"{url.bracketed_host}:{url.port}"
    headers = {"Host": authority} | proxy.headers
    lines = [f"CONNECT {authority} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    sock.sendall("\r\n".join(lines).encode("ascii"))
    # It reads no further than the headers: the server speaks TLS, where the client begins.
    response = HTTPResponse(sock, method="CONNECT")
    try:
        response.begin()
        if response.status != 200:
            raise FetchError(
                f"{url}: the proxy {proxy.host}:{proxy.port} answers with status {response.status}"
            )
    finally:
        response.close()


def _request(
    url: KeyURL,
    sock: socket.socket,
    context: ssl.SSLContext,
    headers: dict[str, str],
    stack: ExitStack,
) -> BaseHTTPResponse:
    """Send the request, read the headers; the *stack* closes what was opened."""
    connection: HTTPConnection
    if url.scheme == "https":
        connection = HTTPSConnection(url.host, url.port, timeout=sock.gettimeout())
        sock = context.wrap_socket(sock, server_hostname=url.host)
    else:
        connection = HTTPConnection(url.host, url.port, timeout=sock.gettimeout())
    connection.sock = sock  # it connects by itself only if it has none
    stack.callback(connection.close)
    connection.request(
        "GET", url.target, headers=headers, preload_content=False, decode_content=False
    )
    response = connection.getresponse()
    stack.callback(response.close)
    return response


def _read(response: BaseHTTPResponse, url: KeyURL, max_bytes: int) -> Fetched:
    if response.status != 200:
        raise FetchError(f"{url}: status {response.status}", status=response.status)
    octets = b""
    # To the empty read at the end: only that one notices that a body is shorter than its length.
    while part := response.read(READ_BYTES):
        octets += part
        if len(octets) > max_bytes:
            raise FetchError(f"{url}: longer than {max_bytes} bytes")
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding in {"gzip", "x-gzip"}:
        octets = _decompressed(octets, url, max_bytes)
    elif coding != "identity":
        raise FetchError(f"{url}: compressed in another way than gzip")
    fresh_seconds = max_age_seconds(
        response.headers.get("Cache-Control"), response.headers.get("Age")
    )
    return Fetched(octets, fresh_seconds, str(url))


def _decompressed(octets: bytes, url: KeyURL, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(_GZIP)
    try:
        plain = decompressor.decompress(octets, max_bytes + 1)
    except zlib.error as error:
        raise FetchError(f"{url}: is not gzip, though it says so") from error
    if len(plain) > max_bytes:
        raise FetchError(f"{url}: longer than {max_bytes} bytes")
    if not decompressor.eof or decompressor.unused_data:
        raise FetchError(f"{url}: is not one whole gzip member")
    return plain


def _redirected(response: BaseHTTPResponse, url: KeyURL, *, allow_http: bool) -> KeyURL:
    try:
        target = url.join(response.headers.get("Location", ""), allow_http=allow_http)
    except ConfigurationError as error:
        raise FetchError(f"{url}: redirects to no usable URL") from error
    if target.origin != url.origin:
        raise FetchError(f"{url}: redirects to another origin")
    return target


@contextmanager
def _failures(url: KeyURL, deadline: Deadline, deadline_seconds: float) -> Iterator[None]:
    """Convert every failure, and a late success, to a FetchError."""
    late = f"{url}: took longer than {deadline_seconds:g} s"
    try:
        yield
    except FetchError:
        raise
    except (HTTPError, HTTPException, OSError, RuntimeError, ValueError) as error:
        # RuntimeError: no more threads.  ValueError: a host name that IDNA refuses, for one.
        if deadline.has_passed or isinstance(error, TimeoutError):
            raise FetchError(late) from error
        raise FetchError(f"{url}: {_reason(error)}") from error
    # A body without length ends where the connection does, also if it was the deadline's doing.
    if deadline.has_passed:
        raise FetchError(late)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Not its text, which may quote what the server sent.
    return type(error.__cause__ or error).__name__


def max_age_seconds(cache_control: str | None, age: str | None = None) -> int | None:
    """
    Return how long a response stays fresh.  Source: RFC 9111 §4.2.1.

    *max-age* less the time that the answer has spent in caches; 0 for *no-store*, *no-cache* and a
    *max-age* that is not a number.  *s-maxage* is for shared caches.

    Args:
        cache_control: The header's value; several joined by commas.
        age: Value of the header *Age*, seconds.

    Returns:
        Seconds, at least 0; ``None`` if the answer does not say.
    """
    directives: dict[str, str] = {}
    for name, quoted, token in _DIRECTIVE.findall((cache_control or "").lower()):
        directives.setdefault(name, quoted or token)  # RFC 9111 §4.2.1: the first occurrence
    if "no-store" in directives or "no-cache" in directives:
        return 0
    if "max-age" not in directives:
        return None
    return max(0, _seconds(directives["max-age"]) - _seconds(age or ""))


def _seconds(text: str) -> int:
    # delta-seconds = 1*DIGIT                                                       §1.2.2
    if not (text.isascii() and text.isdecimal()):
        return 0
    return min(int(text), LONGEST_MAX_AGE_SECONDS) if len(text) <= 10 else LONGEST_MAX_AGE_SECONDS

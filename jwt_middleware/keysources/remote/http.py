"""Fetching a small document over HTTPS, within bounds.  The only module that imports urllib3."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from ...errors import ConfigurationError
from .deadline import Deadline
from .fetching import Document, FetchError
from .freshness import max_age_seconds
from .urls import Address, parse_address

DEADLINE_SECONDS: Final = 5.0
MAX_BYTES: Final = 1024 * 1024
MAX_REDIRECTS: Final = 2
READ_BYTES: Final = 65_536

_REDIRECTS: Final = {301, 302, 303, 307, 308}
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "wsgi-jwt-middleware",
}


def fetch(
    url: str,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    max_bytes: int = MAX_BYTES,
    allow_http: bool = False,
    ca_file: str | os.PathLike[str] | None = None,
) -> Document:
    """
    Fetch one document.

    Each fetch has a connection of its own.  Certificates are verified.  No proxy is used and none
    of the environment's proxy variables is read: where there must be one, pass another *fetch* to
    the key source.  Up to :data:`MAX_REDIRECTS` redirects are followed within the origin, none out
    of it.  The media type is not looked at: providers send many.

    Args:
        url: As for :func:`~jwt_middleware.keysources.remote.urls.parse_address`.
        deadline_seconds: For everything from connecting to the last byte, redirects included;
            not for the resolver (see :class:`~jwt_middleware.keysources.remote.deadline.Deadline`).
        max_bytes: The longest body; a compressed one is refused.
        allow_http: Whether ``http://`` is good for any host.
        ca_file: PEM file of the authorities to trust, instead of the system's.

    Raises:
        FetchError: The document cannot be had, for whatever reason.
    """
    deadline = Deadline(deadline_seconds)
    try:
        address = parse_address(url, allow_http=allow_http)
    except ConfigurationError as error:
        raise FetchError(str(error)) from error
    for _ in range(MAX_REDIRECTS + 1):
        with _failures(address, deadline, deadline_seconds), ExitStack() as stack:
            response = _open(address, deadline, ca_file, stack)
            if response.status not in _REDIRECTS:
                return _read(response, address, max_bytes)
            address = _redirected(response, address, allow_http=allow_http)
    raise FetchError(f"{address}: more than {MAX_REDIRECTS} redirects")


def check_ca_file(ca_file: str | os.PathLike[str]) -> None:
    """
    Check that *ca_file* is a PEM file of certificates.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        _tls_context(ca_file)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"ca_file {os.fspath(ca_file)!r} is not a readable PEM file of certificates"
        ) from error


def _tls_context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _open(
    address: Address,
    deadline: Deadline,
    ca_file: str | os.PathLike[str] | None,
    stack: ExitStack,
) -> BaseHTTPResponse:
    """Send the request, read the headers; the *stack* closes what was opened."""
    sock = deadline.connect(address.host, address.port)
    stack.callback(sock.close)
    stack.enter_context(deadline.enforced_on(sock))
    connection: HTTPConnection
    if address.scheme == "https":
        connection = HTTPSConnection(address.host, address.port, timeout=sock.gettimeout())
        sock = _tls_context(ca_file).wrap_socket(sock, server_hostname=address.host)
    else:
        connection = HTTPConnection(address.host, address.port, timeout=sock.gettimeout())
    connection.sock = sock  # it connects by itself only if it has none
    stack.callback(connection.close)
    connection.request(
        "GET", address.target, headers=_HEADERS, preload_content=False, decode_content=False
    )
    response = connection.getresponse()
    stack.callback(response.close)
    return response


def _read(response: BaseHTTPResponse, address: Address, max_bytes: int) -> Document:
    if response.status != 200:
        raise FetchError(f"{address}: status {response.status}", status=response.status)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(f"{address}: compressed, which was not asked for")
    octets = b""
    # To the empty read at the end: only that one notices that a body is shorter than its length.
    while part := response.read(READ_BYTES):
        octets += part
        if len(octets) > max_bytes:
            raise FetchError(f"{address}: longer than {max_bytes} bytes")
    fresh_seconds = max_age_seconds(
        response.headers.get("Cache-Control"), response.headers.get("Age")
    )
    return Document(octets, fresh_seconds, str(address))


def _redirected(response: BaseHTTPResponse, address: Address, *, allow_http: bool) -> Address:
    try:
        target = address.join(response.headers.get("Location", ""), allow_http=allow_http)
    except ConfigurationError as error:
        raise FetchError(f"{address}: redirects to no usable URL") from error
    if target.origin != address.origin:
        raise FetchError(f"{address}: redirects to another origin")
    return target


@contextmanager
def _failures(address: Address, deadline: Deadline, deadline_seconds: float) -> Iterator[None]:
    """Turn whatever goes wrong into a FetchError, and a late success too."""
    late = f"{address}: took longer than {deadline_seconds:g} s"
    try:
        yield
    except FetchError:
        raise
    except (HTTPError, HTTPException, OSError, RuntimeError, ValueError) as error:
        # RuntimeError: no more threads.  ValueError: a host name that IDNA refuses, for one.
        if deadline.has_passed or isinstance(error, TimeoutError):
            raise FetchError(late) from error
        raise FetchError(f"{address}: {_reason(error)}") from error
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

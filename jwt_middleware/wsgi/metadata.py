"""
Public keys and metadata at well-known paths (RFC 8615).

A document only links to documents that :class:`WellKnown` serves.  For an issuer URL with a path,
documents are served below that path and at the root, whether the app is mounted there or not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from ..bounds import check_whole
from ..core.trust import KeySource
from ..errors import (
    AuthError,
    ConfigurationError,
    MethodNotAllowedError,
    NotFoundError,
    UnavailableError,
)
from ..keysources.jwks import public_jwks
from .responses import Responses
from .unread import skip_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DEFAULT_MAX_AGE_SECONDS: Final = 300

JWKS_PATH: Final = "/.well-known/jwks.json"
AUTHORIZATION_SERVER_PATH: Final = "/.well-known/oauth-authorization-server"
OPENID_PATH: Final = "/.well-known/openid-configuration"
PROTECTED_RESOURCE_PATH: Final = "/.well-known/oauth-protected-resource"


class Described(Protocol):
    """An endpoint with metadata of RFC 8414 §2."""

    def metadata(self, base: str) -> Mapping[str, object]:
        """Return its metadata members, with URLs that start with *base*."""


class Document(NamedTuple):
    """
    A public JSON document.

    Attributes:
        paths: Exact paths that it is served at.
        read: Returns its current members.
        media_type: Its media type.
    """

    paths: Sequence[str]
    read: Callable[[], Mapping[str, object]]
    media_type: str = "application/json"


def jwks_document(keys: KeySource, *, issuer: str = "") -> Document:
    """
    Return a document with the public keys of *keys*, never a secret.  Source: RFC 7517 §5, §8.5.2.

    Args:
        keys: The keys.
        issuer: Their issuer; if it is a URL with a path, the document is also served below that.
    """
    paths = dict.fromkeys([JWKS_PATH, issuer_path(issuer) + JWKS_PATH])
    return Document([*paths], lambda: public_jwks(keys.current()), "application/jwk-set+json")


def authorization_server_document(
    *,
    issuer: str,
    endpoint: Described | None = None,
    jwks: bool = True,
    openid: bool = False,
) -> Document:
    """
    Return the authorization server metadata of this issuer.  Source: RFC 8414.

    Args:
        issuer: The *iss* of the tokens, an http or https URL without query; base of the other URLs.
        endpoint: The token endpoint, if any.
        jwks: Whether the keys are published.
        openid: Whether it is also served at the path of OpenID Connect Discovery, though this is
            not an OpenID provider.

    Raises:
        ConfigurationError: *issuer* is not such a URL.
    """
    base = _checked_url("issuer", issuer).rstrip("/")
    members: dict[str, object] = {"issuer": issuer}
    if jwks:
        members["jwks_uri"] = base + JWKS_PATH
    if endpoint is not None:
        members |= endpoint.metadata(base)
    path = issuer_path(issuer)
    paths = [AUTHORIZATION_SERVER_PATH, AUTHORIZATION_SERVER_PATH + path]
    if openid:
        paths += _openid_paths(path)
    return Document([*dict.fromkeys(paths)], lambda: members)


def no_openid_document(*, issuer: str) -> Document:
    """
    Return a 404 for OpenID Connect Discovery, so that clients try RFC 8414.

    Args:
        issuer: As for :func:`authorization_server_document`.
    """
    return Document([*dict.fromkeys(_openid_paths(issuer_path(issuer)))], _not_found)


def _openid_paths(path: str) -> list[str]:
    return [OPENID_PATH, path + OPENID_PATH, OPENID_PATH + path]


def _not_found() -> Mapping[str, object]:
    raise NotFoundError


def issuer_path(issuer: str) -> str:
    """Return the path of the issuer's URL without trailing slash; empty if it has none."""
    return urlsplit(issuer).path.rstrip("/") if _is_url(issuer) else ""


def protected_resource_document(
    *, resource: str, issuers: Iterable[str], scopes: Iterable[str] = ()
) -> Document:
    """
    Return the protected resource metadata: the accepted issuers.  Source: RFC 9728 §2.

    Args:
        resource: URL of the resource as seen by clients.
        issuers: The issuers it trusts.
        scopes: Scopes that its rules require.

    Raises:
        ConfigurationError: *resource* is not a URL.
    """
    members: dict[str, object] = {"resource": _checked_url("resource", resource)}
    if servers := list(issuers):
        members["authorization_servers"] = servers
    members["bearer_methods_supported"] = ["header"]
    if named := sorted(set(scopes)):
        members["scopes_supported"] = named
    path = urlsplit(resource_metadata_url(resource)).path
    return Document([*dict.fromkeys([path, path.rstrip("/")])], lambda: members)


class WellKnown:
    """
    Serves documents at their paths to any client.

    Args:
        documents: The documents to serve.
        responses: Style of error responses.
        max_age_seconds: How long clients may cache a document, at least 0.

    Raises:
        ConfigurationError: *max_age_seconds* is invalid.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        *,
        responses: Responses | None = None,
        max_age_seconds: int = DEFAULT_MAX_AGE_SECONDS,
    ) -> None:
        check_whole("max_age_seconds", max_age_seconds, 0)
        self._documents = {path: document for document in documents for path in document.paths}
        self.responses: Responses = responses if responses is not None else Responses()
        self.max_age_seconds = max_age_seconds

    @property
    def paths(self) -> frozenset[str]:
        """The exact values of ``PATH_INFO`` that it answers at."""
        return frozenset(self._documents)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except (AuthError, UnavailableError) as error:
            return self.responses.refuse(error, environ, start_response)
        return skip_body(environ, response(environ, start_response))

    def _answer(self, request: Request) -> Response:
        if request.environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            raise MethodNotAllowedError(allowed=["GET", "HEAD"])
        document = self._documents[request.environ["PATH_INFO"]]
        body = json.dumps(document.read(), separators=(",", ":")).encode("ascii")
        response = Response(body, mimetype=document.media_type)
        response.cache_control.public = True
        response.cache_control.max_age = self.max_age_seconds
        response.set_etag(sha256(body).hexdigest()[:32])
        # ETag is set, Last-Modified is not: a date in year 10**20 would raise.
        request.environ.pop("HTTP_IF_MODIFIED_SINCE", None)
        response.make_conditional(request)
        del response.headers["Date"]  # the server adds its own
        return response


def resource_metadata_url(resource: str) -> str:
    """Return the URL of :func:`protected_resource_document`.  Source: RFC 9728 §3.1."""
    parts = urlsplit(_checked_url("resource", resource))
    path = "" if parts.path == "/" else parts.path
    return f"{parts.scheme}://{parts.netloc}{PROTECTED_RESOURCE_PATH}{path}"


def _is_url(url: str) -> bool:
    # A challenge cannot quote these; a URL cannot contain them either (RFC 3986 §2).
    if not url.isascii() or not url.isprintable() or not set(' "\\?#').isdisjoint(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:  # an unclosed bracket
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and "@" not in parts.netloc


def _checked_url(setting: str, url: str) -> str:
    if not _is_url(url):
        raise ConfigurationError(
            f"{setting} must be an https URL without query to publish metadata under it, "
            "or switch the metadata off"
        )
    return url

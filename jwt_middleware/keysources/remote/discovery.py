"""The keys that an issuer's metadata point to: OpenID Connect Discovery, RFC 8414."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ...core.encoding import parse_json
from ...core.jws import checked_algorithms
from ...errors import ConfigurationError
from ..jwks import read_jwks
from .fetching import Document, Fetch, FetchError, choose_fetch
from .refreshing import RefreshedKeys, in_thread
from .timing import Timing
from .urls import Address, parse_address

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"
_NOT_THERE: Final = {403, 404}  # object stores answer 403 for what they do not have


class DiscoveredJWKS(RefreshedKeys):
    """
    A key source over an issuer: its metadata say where its JWK set is.

    The metadata are those of OpenID Connect Discovery 1.0 §4, or, where the server does not have
    them, of RFC 8414 §3.  Their *issuer* must be the one given, character by character, or they are
    refused and the last good keys stay in force.  Their *jwks_uri* may be of another origin, as it
    is at large providers: who controls the metadata decides about the keys anyway.  It may be
    plain HTTP only where the issuer is.

    Each refresh fetches the metadata and then the set; how long that is fresh decides when the next
    one is due.

    Args:
        issuer: The *iss* of its tokens: a URL without query.
        algorithms: As for :class:`~jwt_middleware.keysources.remote.remote.RemoteJWKS`.
        allow_http: As there.
        ca_file: As there.
        fetch: As there.
        clock: As there.
        spawn: As there.
        timing: As there.

    Raises:
        ConfigurationError: A part is unusable, or urllib3 is not installed.
    """

    def __init__(
        self,
        issuer: str,
        *,
        algorithms: Iterable[str] | None = None,
        allow_http: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], object] = in_thread,
        **timing: float,
    ) -> None:
        address = parse_address(issuer, allow_http=allow_http)
        if "?" in issuer:
            raise ConfigurationError("the issuer of discovered keys must be a URL without query")
        accepted = checked_algorithms(algorithms)
        chosen = choose_fetch(fetch, allow_http=allow_http, ca_file=ca_file)
        discovery = _Discovery(issuer, address, chosen, allow_http=allow_http)
        super().__init__(
            discovery.fetch_keys,
            partial(read_jwks, algorithms=accepted),
            name=str(address),
            timing=Timing(**timing),
            clock=clock,
            spawn=spawn,
        )


def metadata_urls(address: Address) -> tuple[str, str]:
    """
    Return where an issuer's metadata are: by OpenID Connect, and by RFC 8414.

    The one appends to the issuer's path (Discovery 1.0 §4), the other goes before it (§3.1).
    """
    path = address.path.rstrip("/")
    return (
        str(address._replace(path=path + _OPENID)),
        str(address._replace(path=_OAUTH + path)),
    )


@dataclass(frozen=True, slots=True)
class _Discovery:
    issuer: str
    address: Address
    fetch: Fetch
    allow_http: bool

    def fetch_keys(self) -> Document:
        """Fetch the metadata, and the set they name."""
        metadata = self._fetch_metadata()
        try:
            jwks_uri = self._jwks_uri(metadata.octets)
        except ValueError as error:
            raise FetchError(f"{metadata.fetched_from}: {error}") from error
        return self.fetch(jwks_uri)

    def _fetch_metadata(self) -> Document:
        openid, oauth = metadata_urls(self.address)
        try:
            return self.fetch(openid)
        except FetchError as error:
            if error.status not in _NOT_THERE:
                raise
            absent = error
        try:
            return self.fetch(oauth)
        except FetchError as error:
            raise FetchError(f"{absent}; {error}", status=error.status) from error

    def _jwks_uri(self, document: bytes) -> str:
        try:
            metadata = parse_json(document)
        except ValueError:
            raise ConfigurationError("the metadata are not strict JSON") from None
        if not isinstance(metadata, dict) or metadata.get("issuer") != self.issuer:
            raise ConfigurationError("the metadata are not of this issuer")
        jwks_uri = metadata.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise ConfigurationError("the metadata have no jwks_uri")
        address = parse_address(jwks_uri, allow_http=self.allow_http)
        if address.scheme == "http" and self.address.scheme == "https":
            raise ConfigurationError("the jwks_uri of an https issuer is plain HTTP")
        return jwks_uri

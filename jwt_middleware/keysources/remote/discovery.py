"""Keys by an issuer's metadata: OpenID Connect Discovery, RFC 8414."""

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
from .fetching import Fetch, Fetched, FetchError, KeyURL, choose_fetch
from .refreshing import RefreshedKeys, Timing, in_thread

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"
_NOT_THERE: Final = {403, 404}  # object stores answer 403 for missing objects


class DiscoveredJWKS(RefreshedKeys):
    """
    A key source that finds an issuer's JWK set by its metadata.

    The metadata come from OpenID Connect Discovery 1.0 §4, or if missing from RFC 8414 §3; or from
    *discovery_url*.  Their *issuer* must be the one given, character by character, or they are
    refused and the last good keys stay in use; only ``{tenantid}`` there is ``{tid}`` here, as in
    the metadata of Entra ID for many tenants.  Their *jwks_uri* may be of another origin, as at
    large providers: control of the metadata implies control of the keys.  It may be plain HTTP only
    if the metadata URL is.

    Each refresh fetches the metadata and then the set; how long that is fresh decides when the next
    one is due.

    Args:
        issuer: The *iss* of its tokens: a URL without query, unless there is a *discovery_url*.
        discovery_url: Where its metadata are, if not below *issuer*.
        algorithms: As for :class:`~jwt_middleware.keysources.remote.remote.RemoteJWKS`.
        allow_http: As for ``RemoteJWKS``.
        ca_file: As for ``RemoteJWKS``.
        bearer_token_file: As for ``RemoteJWKS``; only sent to the origin of the metadata.
        fetch: As for ``RemoteJWKS``.
        clock: As for ``RemoteJWKS``.
        spawn: As for ``RemoteJWKS``.
        timing: As for ``RemoteJWKS``.

    Raises:
        ConfigurationError: An argument is invalid, or urllib3 is not installed.
    """

    def __init__(
        self,
        issuer: str,
        *,
        discovery_url: str | None = None,
        algorithms: Iterable[str] | None = None,
        allow_http: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
        bearer_token_file: str | os.PathLike[str] | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], object] = in_thread,
        **timing: float,
    ) -> None:
        if discovery_url is None:
            if isinstance(issuer, str) and "{" in issuer:
                raise ConfigurationError(
                    "an issuer with {tid} has no metadata of its own: give a discovery_url"
                )
            named = KeyURL.parse(issuer, allow_http=allow_http)
            if "?" in issuer:
                raise ConfigurationError(
                    "the issuer of discovered keys must be a URL without query"
                )
            urls: tuple[str, ...] = metadata_urls(named)
        else:
            named = KeyURL.parse(discovery_url, allow_http=allow_http)
            urls = (discovery_url,)
        accepted = checked_algorithms(algorithms)
        chosen = choose_fetch(
            fetch,
            named,
            allow_http=allow_http,
            ca_file=ca_file,
            bearer_token_file=bearer_token_file,
        )
        super().__init__(
            _Discovery(issuer, urls, chosen, allow_http=allow_http).fetch_keys,
            partial(read_jwks, algorithms=accepted),
            name=str(named),
            timing=Timing(**timing),
            clock=clock,
            spawn=spawn,
        )


def metadata_urls(issuer: KeyURL) -> tuple[str, str]:
    """
    Return the metadata URLs of an issuer: OpenID Connect, and RFC 8414.

    The one appends to the issuer's path (Discovery 1.0 §4), the other goes before it (§3.1).
    """
    path = issuer.path.rstrip("/")
    return (
        str(issuer._replace(path=path + _OPENID)),
        str(issuer._replace(path=_OAUTH + path)),
    )


@dataclass(frozen=True, slots=True)
class _Discovery:
    issuer: str
    urls: tuple[str, ...]
    fetch: Fetch
    allow_http: bool

    def fetch_keys(self) -> Fetched:
        """Fetch the metadata, and the set they name."""
        metadata = self._fetch_metadata()
        try:
            jwks_uri = self._jwks_uri(metadata)
        except ValueError as error:
            raise FetchError(f"{metadata.fetched_from}: {error}") from error
        return self.fetch(jwks_uri)

    def _fetch_metadata(self) -> Fetched:
        first, *others = self.urls
        try:
            return self.fetch(first)
        except FetchError as error:
            if not others or error.status not in _NOT_THERE:
                raise
            absent = error
        try:
            return self.fetch(others[0])
        except FetchError as error:
            raise FetchError(f"{absent}; {error}", status=error.status) from error

    def _jwks_uri(self, document: Fetched) -> str:
        try:
            value = parse_json(document.octets)
        except ValueError:
            raise ConfigurationError("the metadata are not strict JSON") from None
        metadata = value if isinstance(value, dict) else {}
        self._check_issuer(metadata.get("issuer"))
        jwks_uri = metadata.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise ConfigurationError("the metadata have no jwks_uri")
        url = KeyURL.parse(jwks_uri, allow_http=self.allow_http)
        if url.scheme == "http" and document.fetched_from.startswith("https:"):
            raise ConfigurationError("the jwks_uri of metadata that came by https is plain HTTP")
        return jwks_uri

    def _check_issuer(self, named: object) -> None:
        if isinstance(named, str):
            if named.replace("{tenantid}", "{tid}") == self.issuer:
                return
            if self.issuer in {f"{named}/", named.removesuffix("/")}:
                raise ConfigurationError(
                    f"the metadata are not of this issuer, {self.issuer!r}, but of {named!r}: they "
                    "differ by a slash; write issuer as the tokens have it"
                )
        raise ConfigurationError("the metadata are not of this issuer")

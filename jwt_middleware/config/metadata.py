"""``[metadata]``: what others may read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..core.trust import KeySource
from ..endpoint.app import TokenEndpoint
from ..wsgi.metadata import (
    DEFAULT_MAX_AGE_SECONDS,
    Document,
    WellKnown,
    authorization_server_document,
    jwks_document,
    protected_resource_document,
    resource_metadata_url,
)
from ..wsgi.responses import Responses
from .reading import Section, flag, setting, text, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataSettings(Section):
    """
    ``[metadata]``: without this table nothing is published.

    Attributes:
        jwks: Publish the public keys.
        authorization_server: Publish RFC 8414 metadata; the *issuer* must be a URL.
        resource: URL of this resource; with it, RFC 9728 metadata are published.
    """

    jwks: bool = setting(flag, default=True)
    authorization_server: bool = setting(flag, default=True)
    resource: str | None = setting(text, None)
    max_age_seconds: int = setting(whole, DEFAULT_MAX_AGE_SECONDS)

    def resource_metadata_url(self) -> str | None:
        """
        Return where the metadata of *resource* are found, if there is one.

        Raises:
            ConfigurationError: *resource* is no URL.
        """
        with self.place.named_by_member():
            return None if self.resource is None else resource_metadata_url(self.resource)

    def build(
        self,
        *,
        own: tuple[str, KeySource] | None,
        endpoint: TokenEndpoint | None,
        issuers: Iterable[str],
        scopes: Iterable[str],
        responses: Responses,
    ) -> WellKnown:
        """
        Make what publishes them.

        Args:
            own: The issuer and keys of this service, if it has any.
            endpoint: Its endpoint, if it has one.
            issuers: All whose tokens are accepted.
            scopes: All that rules ask for.
            responses: Style of what is no document.

        Raises:
            ConfigurationError: A URL is unusable.
        """
        documents: list[Document] = []
        if own is not None and self.jwks:
            documents.append(jwks_document(own[1]))
        if own is not None and self.authorization_server:
            with self.place.member("authorization_server").named():
                documents.append(authorization_server_document(issuer=own[0], endpoint=endpoint))
        with self.place.named_by_member():
            if self.resource is not None:
                documents.append(
                    protected_resource_document(
                        resource=self.resource, issuers=issuers, scopes=scopes
                    )
                )
            return WellKnown(documents, responses=responses, max_age_seconds=self.max_age_seconds)

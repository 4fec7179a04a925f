"""Request handling: rules, ``[request]``, ``[responses]``, ``[cors]``, ``[metadata]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.trust import KeySource
from ..endpoint.app import TokenEndpoint
from ..errors import ConfigurationError
from ..wsgi import metadata
from ..wsgi.cors import CORS, DEFAULT_EXPOSED, DEFAULT_MAX_AGE_SECONDS, DEFAULT_METHODS
from ..wsgi.environ import ClaimName
from ..wsgi.policy import Policy
from ..wsgi.responses import Responses, Style
from ..wsgi.rule import Access, Mode, Rule
from .reading import (
    Place,
    Section,
    choice,
    environ_keys,
    flag,
    items,
    json_members,
    setting,
    text,
    texts,
    whole,
    whole_members,
)


class RuleSettings(Section):
    """
    ``[[rules]]``: the first that matches decides; see docs/rules.md.

    A path without a rule needs a token.

    Attributes:
        path: Exact; ``*`` is one segment, ``/admin/*`` is ``/admin`` and all below, ``/admin*``
            all paths with this prefix.
        methods: HTTP methods, by default all; ``GET`` covers ``HEAD``.
        access: Whether a token is required, optional, or not needed; ``"passthrough"`` leaves the
            ``Authorization`` header to the app.
        scopes: Scopes, all of which the token must have.  Roles are scopes if ``scopes_from``
            names them.
        scopes_any: Scopes, one of which the token must have.
        claims: Claim to its required value, or a list of allowed values; a table descends into an
            object: ``{ realm_access.roles = "admin" }``.
        claims_all: The same, but all values of a list are required.
        claims_prefix: Claim to its required prefix, or a list of allowed prefixes.
        claims_absent: Claims that the token must not have, ``["act", ["realm_access", "roles"]]``.
        preflight: Answer valid CORS preflights without a token: by ``[cors]``, or without that
            table by the CORS headers of the app's response.
        basic: Also accept a token as the password of HTTP Basic.
        mode: ``"report"`` refuses nothing on this path; see docs/events.md#report-only.
    """

    path: str = setting(text, example='path = "/admin/*"')
    methods: tuple[str, ...] | None = setting(texts, None)
    access: Access = setting(choice("required", "optional", "public", "passthrough"), "required")
    scopes: tuple[str, ...] = setting(texts, ())
    scopes_any: tuple[str, ...] | None = setting(texts, None)
    claims: Mapping[str, object] | None = setting(json_members, None)
    claims_all: Mapping[str, object] | None = setting(json_members, None)
    claims_prefix: Mapping[str, object] | None = setting(json_members, None)
    claims_absent: list[Any] | None = setting(items, None)
    preflight: bool = setting(flag, default=False)
    basic: bool = setting(flag, default=False)
    mode: Mode = setting(choice("enforce", "report"), "enforce")

    def build(self) -> Rule:
        """
        Build the rule.

        Raises:
            ConfigurationError: A setting is unusable, or two contradict each other; unlike in
                :meth:`check`, the text has no place.
        """
        return Rule(
            self.path,
            methods=self.methods,
            access=self.access,
            scopes=self.scopes,
            scopes_any=self.scopes_any,
            claims=self.claims or {},
            claims_all=self.claims_all,
            claims_prefix=self.claims_prefix,
            claims_absent=self.claims_absent,
            preflight=self.preflight,
            basic=self.basic,
            mode=self.mode,
        )

    def check(self) -> None:
        """
        Build the rule one setting at a time, to name the unusable one.

        Raises:
            ConfigurationError: A setting is unusable, or two contradict each other.
        """
        with self.place.member("path").named():
            Policy([Rule(self.path)])
        with self.place.member("methods").named():
            Rule(self.path, methods=self.methods)
        with self.place.member("scopes").named():
            Rule(self.path, scopes=self.scopes, scopes_any=self.scopes_any)
        with self.place.named():
            self.build()


class RequestSettings(Section):
    """
    ``[request]``: further parts of a request that the app may act on.

    Attributes:
        prefix: Prefix that your proxy strips from each path and sends in a header, ``"/api"``.
        form_method_override: The app takes a method from a form field (Pecan, method-override
            wrappers): a form counts as every method.
        recursive_methods: DELETE, COPY, MOVE, LOCK, PROPFIND and unknown methods act on all below a
            path.
        trusted_proxies: Number of your own proxies in front, up to 16: for logins, and for client
            addresses in events and the access log.
    """

    prefix: str = setting(text, "")
    form_method_override: bool = setting(flag, default=False)
    recursive_methods: bool = setting(flag, default=True)
    trusted_proxies: int = setting(whole, 0)

    def build(self, rules: Sequence[RuleSettings]) -> Policy:
        """
        Build the policy.

        Raises:
            ConfigurationError: A rule or the prefix is unusable.
        """
        try:
            with self.place.named_by_member():
                return Policy(
                    [rule.build() for rule in rules],
                    prefix=self.prefix,
                    form_method_override=self.form_method_override,
                    recursive_methods=self.recursive_methods,
                )
        except ConfigurationError:
            for rule in rules:
                rule.check()
            raise


class ResponseSettings(Section):
    """
    ``[responses]``: form of refusals; see docs/answers.md.

    Attributes:
        style: RFC 9457 problem details, or the envelope ``{"error_code", "msg", "request"}``.
        realm: The realm in every ``WWW-Authenticate``.
        error_codes: Error numbers of the envelope, by code: ``{ bad_credentials = 1004 }``.
    """

    style: Style = setting(choice("problem", "envelope"), "problem")
    realm: str = setting(text, "api")
    error_codes: Mapping[str, int] | None = setting(whole_members, None)

    def build(self, resource_metadata: str | None, *, trusted_proxies: int = 0) -> Responses:
        """
        Build the responses.

        Args:
            resource_metadata: URL of this resource's metadata, if published.
            trusted_proxies: For client addresses in events.

        Raises:
            ConfigurationError: The realm is unusable.
        """
        with self.place.named_by_member():
            return Responses(
                style=self.style,
                realm=self.realm,
                resource_metadata=resource_metadata,
                error_codes=self.error_codes or {},
                trusted_proxies=trusted_proxies,
            )


class CORSSettings(Section):
    """
    ``[cors]``: origins whose pages may read the endpoint, the metadata and refusals.

    Attributes:
        origins: ``"https://app.example.com"``, or all below a domain, ``"https://*.example.com"``.
        methods: Methods that a preflight allows.
        headers: Headers that it allows in addition to ``Authorization`` and ``Content-Type``.
        exposed_headers: Response headers that scripts may read.
        max_age_seconds: How long a browser may cache a preflight response, up to 86400.
        credentials: Allow scripts to send cookies of this site; not with ``"*"`` and ``"null"``.
    """

    origins: tuple[str, ...] = setting(texts, example='origins = ["https://app.example.com"]')
    methods: tuple[str, ...] = setting(texts, DEFAULT_METHODS)
    headers: tuple[str, ...] = setting(texts, ())
    exposed_headers: tuple[str, ...] = setting(texts, DEFAULT_EXPOSED)
    max_age_seconds: int = setting(whole, DEFAULT_MAX_AGE_SECONDS)
    credentials: bool = setting(flag, default=False)

    def build(self) -> CORS:
        """
        Build the CORS policy.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        with self.place.named_by_member():
            return CORS(
                self.origins,
                methods=self.methods,
                headers=self.headers,
                exposed_headers=self.exposed_headers,
                max_age_seconds=self.max_age_seconds,
                credentials=self.credentials,
            )


class MetadataSettings(Section):
    """
    ``[metadata]``: publishes keys and metadata, readable without a token; off without this table.

    Attributes:
        jwks: Publish the public keys.
        authorization_server: Publish RFC 8414 metadata; ``issuer`` must be a URL.
        openid_configuration: Also publish them at the path of OpenID Connect Discovery, for
            clients that use only that.
        resource: URL of this resource; publishes RFC 9728 metadata.
        max_age_seconds: How long clients may cache these documents.
    """

    jwks: bool = setting(flag, default=True)
    authorization_server: bool = setting(flag, default=True)
    openid_configuration: bool = setting(flag, default=False)
    resource: str | None = setting(text, None)
    max_age_seconds: int = setting(whole, metadata.DEFAULT_MAX_AGE_SECONDS)

    def resource_metadata_url(self) -> str | None:
        """
        Return the URL of the metadata of *resource*, or ``None``.

        Raises:
            ConfigurationError: *resource* is not a URL.
        """
        with self.place.named_by_member():
            return None if self.resource is None else metadata.resource_metadata_url(self.resource)

    def build(
        self,
        *,
        own: tuple[str, KeySource] | None,
        endpoint: TokenEndpoint | None,
        issuers: Iterable[str],
        scopes: Iterable[str],
        responses: Responses,
    ) -> metadata.WellKnown:
        """
        Build the app that publishes them.

        Args:
            own: The issuer and keys of this service, if any.
            endpoint: Its endpoint, if any.
            issuers: All accepted issuers.
            scopes: All scopes in rules.
            responses: Style of error responses.

        Raises:
            ConfigurationError: A URL is unusable.
        """
        documents: list[metadata.Document] = []
        if own is not None and self.jwks:
            documents.append(metadata.jwks_document(own[1], issuer=own[0]))
        if own is not None and self.authorization_server:
            with self.place.member("authorization_server").named():
                documents.append(
                    metadata.authorization_server_document(
                        issuer=own[0],
                        endpoint=endpoint,
                        jwks=self.jwks,
                        openid=self.openid_configuration,
                    )
                )
            if not self.openid_configuration:
                documents.append(metadata.no_openid_document(issuer=own[0]))
        with self.place.named_by_member():
            if self.resource is not None:
                documents.append(
                    metadata.protected_resource_document(
                        resource=self.resource, issuers=issuers, scopes=scopes
                    )
                )
            return metadata.WellKnown(
                documents, responses=responses, max_age_seconds=self.max_age_seconds
            )


def own_environ(value: object, place: Place) -> dict[str, ClaimName | bool]:
    """Read ``[environ]``: keys and claims, and ``keep_authorization``."""
    if not isinstance(value, dict):
        raise place.error('must be a table, as in HTTP_X_FORWARDED_EMAIL = "email"')
    keys = dict(value)
    keep = flag(keys.pop("keep_authorization", True), place.member("keep_authorization"))
    return {**environ_keys(keys, place), "keep_authorization": keep}

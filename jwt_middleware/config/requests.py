"""``[[rules]]``, ``[request]``, ``[responses]`` and ``[cors]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..wsgi.cors import CORS, DEFAULT_EXPOSED, DEFAULT_MAX_AGE_SECONDS, DEFAULT_METHODS
from ..wsgi.policy import Access, Mode, Policy, Rule
from ..wsgi.responses import Responses, Style
from .reading import (
    Section,
    choice,
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

    A path that no rule names needs a token.

    Attributes:
        path: Exact; ``*`` is one segment, ``/admin/*`` is ``/admin`` and all below, ``/admin*`` all
            that begins so.
        methods: By default all; ``GET`` covers ``HEAD``.
        access: Whether a token is needed, possible, or not looked for; ``"passthrough"`` leaves the
            ``Authorization`` header to the app.
        scopes: Scopes that the token must have, all of them.  Roles are scopes where
            ``scopes_from`` names them.
        scopes_any: Scopes of which the token must have one.
        claims: Claim to the value, or list of values, that fits; a table descends into an object:
            ``{ realm_access.roles = "admin" }``.
        claims_all: The same, and all of a list must fit.
        claims_prefix: Claim to the prefix, or list of prefixes, that it begins with.
        claims_absent: Claims that the token must not have, ``["act", ["realm_access", "roles"]]``.
        preflight: Answer real CORS preflights without a token: as ``[cors]`` says, or else by the
            CORS headers of the app's answer.
        basic: Accept a token as the password of HTTP Basic as well.
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
        Make the rule.

        Raises:
            ConfigurationError: A setting is unusable, or two contradict each other.
        """
        # One by one first, so that an error names the setting and not only the rule.
        with self.place.member("path").named():
            Policy([Rule(self.path)])
        with self.place.member("methods").named():
            Rule(self.path, methods=self.methods)
        with self.place.member("scopes").named():
            Rule(self.path, scopes=self.scopes, scopes_any=self.scopes_any)
        with self.place.named():
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


class RequestSettings(Section):
    """
    ``[request]``: what the app behind may act on besides method and path.

    Attributes:
        prefix: What your own proxy cuts off each path and says in a header, ``"/api"``.
        form_method_override: The app takes a method from a form field (Pecan, method-override
            wrappers): a form counts as every method that the rules name.
        recursive_methods: DELETE, COPY, MOVE, LOCK, PROPFIND and unknown methods act on all below a
            path.
        trusted_proxies: How many proxies of your own each request has passed, up to 16: for logins,
            and for the addresses of clients in events and in the access log.
    """

    prefix: str = setting(text, "")
    form_method_override: bool = setting(flag, default=False)
    recursive_methods: bool = setting(flag, default=True)
    trusted_proxies: int = setting(whole, 0)

    def build(self, rules: Iterable[Rule]) -> Policy:
        """
        Make the policy.

        Raises:
            ConfigurationError: The prefix is no path.
        """
        with self.place.named_by_member():
            return Policy(
                rules,
                prefix=self.prefix,
                form_method_override=self.form_method_override,
                recursive_methods=self.recursive_methods,
            )


class ResponseSettings(Section):
    """
    ``[responses]``: how a request is refused; see docs/answers.md.

    Attributes:
        style: RFC 9457 problem details, or the envelope ``{"error_code", "msg", "request"}``.
        realm: Named in every ``WWW-Authenticate``.
        error_codes: Numbers of the envelope, by code: ``{ bad_credentials = 1004 }``.
    """

    style: Style = setting(choice("problem", "envelope"), "problem")
    realm: str = setting(text, "api")
    error_codes: Mapping[str, int] | None = setting(whole_members, None)

    def build(self, resource_metadata: str | None, *, trusted_proxies: int = 0) -> Responses:
        """
        Make the responses.

        Args:
            resource_metadata: URL of this resource's metadata, if they are published.
            trusted_proxies: For the addresses of clients in events.

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
    ``[cors]``: which pages of other origins may read the endpoint, the metadata and refusals.

    Attributes:
        origins: ``"https://app.example.com"``, or all below a domain, ``"https://*.example.com"``.
        methods: What a preflight may ask for.
        headers: What it may ask for besides ``Authorization`` and ``Content-Type``.
        exposed_headers: Headers of an answer that scripts may read.
        max_age_seconds: How long a browser may remember the answer to a preflight, up to 86400.
        credentials: Let scripts send cookies of this site; not with ``"*"`` and ``"null"``.
    """

    origins: tuple[str, ...] = setting(texts, example='origins = ["https://app.example.com"]')
    methods: tuple[str, ...] = setting(texts, DEFAULT_METHODS)
    headers: tuple[str, ...] = setting(texts, ())
    exposed_headers: tuple[str, ...] = setting(texts, DEFAULT_EXPOSED)
    max_age_seconds: int = setting(whole, DEFAULT_MAX_AGE_SECONDS)
    credentials: bool = setting(flag, default=False)

    def build(self) -> CORS:
        """
        Make what answers preflights, and says who may read.

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

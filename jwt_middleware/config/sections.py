"""``[[rules]]``, ``[request]`` and ``[responses]``."""

# ruff: noqa: RUF009  setting() is dataclasses.field(), which makes no value

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..wsgi.policy import Access, Mode, Policy, Rule
from ..wsgi.responses import Responses, Style
from .reading import Section, choice, flag, items, json_members, setting, text, texts, whole_members


@dataclass(frozen=True, slots=True, kw_only=True)
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
        preflight: Let CORS preflights through without a token; of the app's answer only the CORS
            headers pass.
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
                mode=self.mode,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSettings(Section):
    """
    ``[request]``: what the app behind may act on besides method and path.

    Attributes:
        prefix: What your own proxy cuts off each path and says in a header, ``"/api"``.
        form_method_override: The app takes a method from a form field (Pecan, method-override
            wrappers): a form counts as every method that the rules name.
        recursive_methods: DELETE, COPY, MOVE, LOCK, PROPFIND and unknown methods act on all below a
            path.
    """

    prefix: str = setting(text, "")
    form_method_override: bool = setting(flag, default=False)
    recursive_methods: bool = setting(flag, default=True)

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


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def build(self, resource_metadata: str | None) -> Responses:
        """
        Make the responses.

        Args:
            resource_metadata: URL of this resource's metadata, if they are published.

        Raises:
            ConfigurationError: The realm is unusable.
        """
        with self.place.named_by_member():
            return Responses(
                style=self.style,
                realm=self.realm,
                resource_metadata=resource_metadata,
                error_codes=self.error_codes or {},
            )

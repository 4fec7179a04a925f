"""The tables of the file, and what each of them builds."""

# ruff: noqa: RUF009  setting() is dataclasses.field(), which makes no value

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..accounts import AccountVerifier, ClientType
from ..core.issuer import DEFAULT_LIFETIME_SECONDS, TokenIssuer
from ..wsgi.endpoint import DEFAULT_MAX_BODY_BYTES, TokenEndpoint
from ..wsgi.policy import Access, Policy, Rule
from ..wsgi.responses import Responses, Style
from .names import find
from .reading import (
    Section,
    choice,
    flag,
    json_members,
    number,
    setting,
    table,
    text,
    text_members,
    texts,
    whole,
)

if TYPE_CHECKING:
    from ..accounts.sql import SQLAccounts

CLIENT_TYPES: Final = tuple(member.label for member in ClientType)


@dataclass(frozen=True, slots=True, kw_only=True)
class HasherSettings(Section):
    """``[accounts.hasher]``, the parameters of ``SecretHasher``."""

    time_cost: int = setting(whole, 2)
    memory_cost_kib: int = setting(whole, 19_456)
    parallelism: int = setting(whole, 1)
    max_concurrent: int = setting(whole, 2)
    max_waiting: int = setting(whole, 4)
    max_wait_seconds: float = setting(number, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings(Section):
    """
    ``[accounts]``.

    Attributes:
        url: SQLAlchemy URL; an SQLite file is relative to the configuration file's folder.
        hasher: ``None`` leaves everything at its default.
    """

    url: str = setting(text, example='url = "sqlite:///accounts.db"')
    hasher: HasherSettings | None = setting(table(HasherSettings), None)

    def build(self) -> SQLAccounts:
        """
        Make the accounts.  Connects nothing and creates nothing.

        Raises:
            ConfigurationError: A setting is unusable, or the extra ``sql`` is not installed.
        """
        try:
            from . import sql  # noqa: PLC0415  needs SQLAlchemy and argon2-cffi, an extra
        except ModuleNotFoundError as error:
            raise self.place.error(
                f"{error.name} is missing: pip install 'wsgi-jwt-middleware[sql]'"
            ) from error
        return sql.build_accounts(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings(Section):
    """
    ``[endpoint]``: without this table no token endpoint is mounted.

    Attributes:
        client_types: Those of the accounts that may log in; by default all four.
        verifiers: Client type to an account verifier of the app's own, ``"module:attr"``.
    """

    path: str = setting(text, "/token")
    lifetime_seconds: int = setting(whole, DEFAULT_LIFETIME_SECONDS)
    client_types: tuple[str, ...] | None = setting(texts, None)
    verifiers: Mapping[str, str] | None = setting(text_members, None)
    max_body_bytes: int = setting(whole, DEFAULT_MAX_BODY_BYTES)

    def build(
        self, *, issuer: TokenIssuer, accounts: SQLAccounts | None, responses: Responses
    ) -> TokenEndpoint:
        """
        Make the endpoint.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        verifiers = {**self._verifiers_of(accounts), **self._verifiers_by_name()}
        with self.place.named_by_member():
            return TokenEndpoint(
                issuer=issuer,
                verifiers=verifiers,
                path=self.path,
                responses=responses,
                max_body_bytes=self.max_body_bytes,
            )

    def _verifiers_of(self, accounts: SQLAccounts | None) -> dict[str, AccountVerifier]:
        place = self.place.member("client_types")
        if accounts is None:
            if self.client_types is not None:
                raise place.error("are those of [accounts]: add that table, or leave them out")
            return {}
        if self.client_types == ():
            raise place.error("is empty: name one, or leave it out for all")
        with place.named():
            return {label: accounts.verifier(label) for label in self.client_types or CLIENT_TYPES}

    def _verifiers_by_name(self) -> dict[str, AccountVerifier]:
        place = self.place.member("verifiers")
        return {
            label: find(f"{place.file}: {place.member(label).name}:", name)
            for label, name in (self.verifiers or {}).items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings(Section):
    """One of ``[[rules]]``."""

    path: str = setting(text, example='path = "/admin/*"')
    methods: tuple[str, ...] | None = setting(texts, None)
    access: Access = setting(choice("required", "optional", "public"), "required")
    scopes: tuple[str, ...] = setting(texts, ())
    claims: Mapping[str, object] | None = setting(json_members, None)
    preflight: bool = setting(flag, default=False)

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
            Rule(self.path, scopes=self.scopes)
        with self.place.named():
            return Rule(
                self.path,
                methods=self.methods,
                access=self.access,
                scopes=self.scopes,
                claims=self.claims or {},
                preflight=self.preflight,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSettings(Section):
    """``[responses]``."""

    style: Style = setting(choice("problem", "envelope"), "problem")
    realm: str = setting(text, "api")

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
                style=self.style, realm=self.realm, resource_metadata=resource_metadata
            )

"""The whole file, and the protected app that it builds."""

# ruff: noqa: RUF009  setting() is dataclasses.field(), which makes no value

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core.issuer import DEFAULT_LIFETIME_SECONDS, TokenIssuer
from ..core.keys import KeySet
from ..core.verifier import DEFAULT_CACHE_SIZE, TokenVerifier
from ..wsgi.endpoint import TokenEndpoint
from ..wsgi.middleware import JWTMiddleware
from ..wsgi.policy import Policy
from ..wsgi.responses import Responses
from .keys import KeySetSettings
from .reading import Section, choice, number, setting, table, tables, text, text_or_texts, whole
from .sections import AccountSettings, EndpointSettings, ResponseSettings, RuleSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..accounts.sql import SQLAccounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Section):
    """
    The whole file.

    Attributes:
        audience: A token must name one of these; the endpoint issues for the first.
        token_type: ``None`` accepts ``JWT``, ``at+jwt`` and no *typ*.
    """

    issuer: str = setting(text, example='issuer = "https://auth.example.com"')
    audience: tuple[str, ...] = setting(text_or_texts, example='audience = "api"')
    leeway_seconds: float = setting(number, 0.0)
    token_type: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    cache_size: int = setting(whole, DEFAULT_CACHE_SIZE)
    keys: KeySetSettings = setting(
        table(KeySetSettings), example='a [keys] table with secret_file = "secret"'
    )
    endpoint: EndpointSettings | None = setting(table(EndpointSettings), None)
    accounts: AccountSettings | None = setting(table(AccountSettings), None)
    rules: tuple[RuleSettings, ...] = setting(tables(RuleSettings), ())
    responses: ResponseSettings | None = setting(table(ResponseSettings), None)

    def build_keys(self, environ: Mapping[str, str] = os.environ) -> KeySet:
        """
        Read the keys.

        Args:
            environ: Environment variables, for ``secret_env`` and ``password_env``.

        Raises:
            ConfigurationError: One of them is missing or unusable.
        """
        return self.keys.build(environ)

    def build_verifier(self, keys: KeySet) -> TokenVerifier:
        """
        Make the verifier.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        with self.place.named_by_member():
            return TokenVerifier(
                keys=keys,
                issuer=self.issuer,
                audience=self.audience,
                leeway_seconds=self.leeway_seconds,
                token_type=self.token_type,
                cache_size=self.cache_size,
            )

    def build_issuer(self, keys: KeySet) -> TokenIssuer:
        """
        Make the issuer, with the endpoint's lifetime if there is an endpoint.

        Raises:
            ConfigurationError: No key can sign, or the lifetime is unusable.
        """
        if keys.signing_key is None:
            raise self.keys.place.error(
                "holds a key that only verifies, so no token can be issued: name a secret or a "
                "private_key_file, or issue tokens where there is one (and leave [endpoint] out)"
            )
        lifetime_seconds = DEFAULT_LIFETIME_SECONDS
        place = self.place
        if self.endpoint is not None:
            lifetime_seconds, place = self.endpoint.lifetime_seconds, self.endpoint.place
        with place.named_by_member():
            return TokenIssuer(
                keys=keys,
                issuer=self.issuer,
                audience=self.audience[0],
                lifetime_seconds=lifetime_seconds,
            )

    def build_policy(self) -> Policy:
        """
        Make the policy.

        Raises:
            ConfigurationError: A rule is unusable.
        """
        return Policy([rule.build() for rule in self.rules])

    def build_responses(self) -> Responses:
        """
        Make the responses.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        return Responses() if self.responses is None else self.responses.build()

    def build_accounts(self) -> SQLAccounts:
        """
        Make the accounts.  Connects nothing and creates nothing.

        Raises:
            ConfigurationError: There is no such table, or a setting is unusable.
        """
        if self.accounts is None:
            raise self.place.member("accounts").error(
                'is missing: add an [accounts] table with url = "sqlite:///accounts.db"'
                ", or [endpoint.verifiers] (and leave [endpoint] out where nobody logs in)"
            )
        return self.accounts.build()

    def build_endpoint(self, keys: KeySet, responses: Responses) -> TokenEndpoint | None:
        """
        Make the endpoint, if the file has one.

        Raises:
            ConfigurationError: A setting is unusable, there are no accounts, or no key can sign.
        """
        if self.endpoint is None:
            return None
        own = self.endpoint.verifiers and self.accounts is None
        return self.endpoint.build(
            issuer=self.build_issuer(keys),
            accounts=None if own else self.build_accounts(),
            responses=responses,
        )

    def protect(
        self, app: WSGIApplication, environ: Mapping[str, str] = os.environ
    ) -> JWTMiddleware:
        """
        Put the middleware before *app*.

        Nothing is connected: a database that is down stops logins, not the app.

        Args:
            app: Any WSGI app.
            environ: Environment variables, for ``secret_env`` and ``password_env``.

        Raises:
            ConfigurationError: A setting is unusable, or two contradict each other.
        """
        keys, responses = self.build_keys(environ), self.build_responses()
        return JWTMiddleware(
            app,
            verifier=self.build_verifier(keys),
            policy=self.build_policy(),
            endpoint=self.build_endpoint(keys, responses),
            responses=responses,
        )

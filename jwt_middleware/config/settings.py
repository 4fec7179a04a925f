"""The whole file, and the protected app that it builds."""

# ruff: noqa: RUF009  setting() is dataclasses.field(), which makes no value

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ..core.issuer import DEFAULT_LIFETIME_SECONDS, TokenIssuer
from ..core.keys import KeySet
from ..core.verifier import DEFAULT_CACHE_SIZE, TokenVerifier
from ..keysources.ring import KeyRing
from ..wsgi.endpoint import TokenEndpoint
from ..wsgi.middleware import JWTMiddleware
from ..wsgi.policy import Policy
from ..wsgi.responses import Responses
from ..wsgi.well_known import WellKnown
from .keys import KeySetSettings
from .metadata import MetadataSettings
from .reading import Section, choice, number, setting, table, tables, text, text_or_texts, whole
from .sections import AccountSettings, EndpointSettings, ResponseSettings, RuleSettings
from .trusted import TrustedSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..accounts.sql import SQLAccounts


_EXAMPLES: Final = {
    "issuer": 'issuer = "https://auth.example.com"',
    "audience": 'audience = "api"',
    "keys": 'a [keys] table with secret_file = "secret"',
}


class Own(NamedTuple):
    """What makes tokens this service's own: their *iss*, their *aud*, and who signs them."""

    issuer: str
    audience: tuple[str, ...]
    keys: KeySet | KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Section):
    """
    The whole file.

    Attributes:
        audience: A token must name one of these; the endpoint issues for the first.
        token_type: ``None`` accepts ``JWT``, ``at+jwt`` and no *typ*.
    """

    issuer: str | None = setting(text, None)
    audience: tuple[str, ...] | None = setting(text_or_texts, None)
    leeway_seconds: float = setting(number, 0.0)
    token_type: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    cache_size: int = setting(whole, DEFAULT_CACHE_SIZE)
    keys: KeySetSettings | None = setting(table(KeySetSettings), None)
    trusted: tuple[TrustedSettings, ...] = setting(tables(TrustedSettings), ())
    endpoint: EndpointSettings | None = setting(table(EndpointSettings), None)
    accounts: AccountSettings | None = setting(table(AccountSettings), None)
    rules: tuple[RuleSettings, ...] = setting(tables(RuleSettings), ())
    responses: ResponseSettings | None = setting(table(ResponseSettings), None)
    metadata: MetadataSettings | None = setting(table(MetadataSettings), None)

    def build_own(self, environ: Mapping[str, str] = os.environ) -> Own | None:
        """
        Read what makes tokens this service's own: issuer, audience and keys.

        Args:
            environ: Environment variables, for ``secret_env`` and ``password_env``.

        Returns:
            ``None`` if the file names none of the three, and trusts others instead.

        Raises:
            ConfigurationError: One of the three is missing or unusable.
        """
        parts = {"issuer": self.issuer, "audience": self.audience, "keys": self.keys}
        if self.trusted and self.endpoint is None and not any(parts.values()):
            return None
        if self.issuer is None or self.audience is None or self.keys is None:
            missing = next(name for name, part in parts.items() if part is None)
            raise self.place.member(missing).error(f"is missing: add {_EXAMPLES[missing]}")
        return Own(self.issuer, self.audience, self.keys.build(environ))

    def build_verifier(self, own: Own | None) -> TokenVerifier:
        """
        Make the verifier.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        trusted = [one.build() for one in self.trusted]
        with self.place.named_by_member():
            return TokenVerifier(
                keys=own and own.keys,
                issuer=own and own.issuer,
                audience=own and own.audience,
                leeway_seconds=self.leeway_seconds,
                token_type=self.token_type,
                trusted=trusted,
                cache_size=self.cache_size,
            )

    def build_issuer(self, own: Own | None) -> TokenIssuer:
        """
        Make the issuer, with the endpoint's lifetime if there is an endpoint.

        Raises:
            ConfigurationError: No key can sign, or the lifetime is unusable.
        """
        if own is None:
            raise self.place.member("keys").error(f"is missing: add {_EXAMPLES['keys']}")
        if own.keys.current().signing_key is None:
            raise self.place.member("keys").error(
                "holds a key that only verifies, so no token can be issued: name a secret or a "
                "private_key_file, or issue tokens where there is one (and leave [endpoint] out)"
            )
        lifetime_seconds = DEFAULT_LIFETIME_SECONDS
        place = self.place
        if self.endpoint is not None:
            lifetime_seconds, place = self.endpoint.lifetime_seconds, self.endpoint.place
        with place.named_by_member():
            return TokenIssuer(
                keys=own.keys,
                issuer=own.issuer,
                audience=own.audience[0],
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
        url = None if self.metadata is None else self.metadata.resource_metadata_url()
        settings = self.responses or ResponseSettings(place=self.place.member("responses"))
        return settings.build(url)

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

    def build_endpoint(self, own: Own | None, responses: Responses) -> TokenEndpoint | None:
        """
        Make the endpoint, if the file has one.

        Raises:
            ConfigurationError: A setting is unusable, there are no accounts, or no key can sign.
        """
        if self.endpoint is None or own is None:
            return None
        by_name = self.endpoint.verifiers and self.accounts is None
        return self.endpoint.build(
            issuer=self.build_issuer(own),
            accounts=None if by_name else self.build_accounts(),
            responses=responses,
        )

    def build_well_known(self, own: Own | None, responses: Responses) -> WellKnown | None:
        """
        Make what publishes keys and metadata, if the file has a table for it.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        if self.metadata is None:
            return None
        return self.metadata.build(
            own=own and (own.issuer, own.keys),
            token_path=None if self.endpoint is None else self.endpoint.path,
            issuers=[*([own.issuer] if own else []), *(one.issuer for one in self.trusted)],
            scopes=[scope for rule in self.rules for scope in rule.scopes],
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
        own, responses = self.build_own(environ), self.build_responses()
        return JWTMiddleware(
            app,
            verifier=self.build_verifier(own),
            policy=self.build_policy(),
            endpoint=self.build_endpoint(own, responses),
            well_known=self.build_well_known(own, responses),
            responses=responses,
        )

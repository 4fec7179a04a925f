"""The whole configuration, which builds the protected app."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..bounds import check_whole
from ..core.issuer import TokenIssuer
from ..core.keys import KeySet
from ..core.revocation import RevocationCheck
from ..core.verifier import DEFAULT_CACHE_BYTES, DEFAULT_CACHE_SIZE, TokenVerifier
from ..endpoint.app import TokenEndpoint
from ..sessions import Revocations, Sessions
from ..wsgi.address import MAX_TRUSTED_PROXIES
from ..wsgi.environ import ClaimKeys, ClaimName
from ..wsgi.metadata import WellKnown, issuer_path
from ..wsgi.middleware import JWTMiddleware
from ..wsgi.responses import Responses
from ..wsgi.rule import Mode
from .keys import KeySetSettings
from .logins import AccountSettings, EndpointSettings, LoginSettings
from .reading import Place, choice, number, setting, table, tables, whole
from .requests import (
    CORSSettings,
    MetadataSettings,
    RequestSettings,
    ResponseSettings,
    RuleSettings,
    own_environ,
)
from .service import HealthSettings, LoggingSettings, MetricsSettings, ServeSettings
from .sessions import SessionSettings, prepare
from .trusted import TermSettings, TrustedSettings, build_trusted

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..accounts.sql import SQLAccounts
    from ..keysources.ring.ring import KeyRing

_EXAMPLES: Final = {
    "issuer": 'issuer = "https://auth.example.com"',
    "audience": 'audience = "api"',
    "keys": 'a [keys] table with secret_file = "secret"',
    "sessions": 'a [sessions] table with url = "sqlite:///sessions.db"',
}


class Own(NamedTuple):
    """This service as an issuer: *iss* and *aud* of its tokens, and its keys."""

    issuer: str
    audience: tuple[str, ...]
    keys: KeySet | KeyRing


class Settings(TermSettings):
    """
    The whole file; top-level settings come before the first table.

    Attributes:
        issuer: ``iss`` of the tokens issued and accepted; required, except with ``[[trusted]]``
            and no ``[endpoint]``.
        audience: ``aud``; all of a list are accepted, and the first is issued; required like
            ``issuer``.
        leeway_seconds: Allowed clock skew, up to 300.
        token_type: ``"at+jwt"`` accepts no other ``typ``; by default ``JWT``, ``at+jwt`` and no
            ``typ`` are accepted.
        cache_size: Verified tokens cached in each process; 0 for none.
        cache_bytes: Estimated memory for cached tokens in each process; 0 for none.
        mode: ``"report"`` logs what would be refused, and refuses nothing; see
            docs/events.md#report-only.
        environ: Claims as environ keys, ``HTTP_X_FORWARDED_EMAIL = "email"``, for tokens of
            ``issuer``; each key is removed from incoming requests.  ``keep_authorization = false``
            removes the header with an accepted token before the app is called.
    """

    leeway_seconds: float = setting(number, 0.0)
    token_type: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    cache_size: int = setting(whole, DEFAULT_CACHE_SIZE)
    cache_bytes: int = setting(whole, DEFAULT_CACHE_BYTES)
    keys: KeySetSettings | None = setting(table(KeySetSettings), None)
    trusted: tuple[TrustedSettings, ...] = setting(tables(TrustedSettings), ())
    endpoint: EndpointSettings | None = setting(table(EndpointSettings), None)
    sessions: SessionSettings | None = setting(table(SessionSettings), None)
    accounts: AccountSettings | None = setting(table(AccountSettings), None)
    login: LoginSettings | None = setting(table(LoginSettings), None)
    rules: tuple[RuleSettings, ...] = setting(tables(RuleSettings), ())
    request: RequestSettings = setting(table(RequestSettings))
    responses: ResponseSettings = setting(table(ResponseSettings))
    cors: CORSSettings | None = setting(table(CORSSettings), None)
    metadata: MetadataSettings | None = setting(table(MetadataSettings), None)
    mode: Mode = setting(choice("enforce", "report"), "enforce")
    environ: Mapping[str, ClaimName | bool] | None = setting(own_environ, None)
    logging: LoggingSettings = setting(table(LoggingSettings))
    metrics: MetricsSettings | None = setting(table(MetricsSettings), None)
    health: HealthSettings | None = setting(table(HealthSettings), None)
    serve: ServeSettings = setting(table(ServeSettings))

    def build_own(self, environ: Mapping[str, str] = os.environ) -> Own | None:
        """
        Read this service's own issuer, audience and keys.

        Args:
            environ: Environment variables, for ``secret_env`` and ``password_env``.

        Returns:
            ``None`` if the file has none of the three, and only trusts other issuers.

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

    def build_verifier(
        self,
        own: Own | None,
        is_revoked: RevocationCheck | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> TokenVerifier:
        """
        Build the verifier.

        Args:
            own: This service as an issuer.
            is_revoked: Called with each token.
            environ: Environment variables, for ``secret_env``.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        trusted = build_trusted(self.trusted, environ)
        with self.place.named_by_member():
            return TokenVerifier(
                keys=own and own.keys,
                issuer=own and own.issuer,
                audience=own and own.audience,
                leeway_seconds=self.leeway_seconds,
                token_type=self.token_type,
                trusted=trusted,
                is_revoked=is_revoked,
                cache_size=self.cache_size,
                cache_bytes=self.cache_bytes,
                **self.terms(),
            )

    def build_issuer(self, own: Own | None) -> TokenIssuer:
        """
        Build the issuer, with the endpoint's lifetime if there is an endpoint.

        Raises:
            ConfigurationError: No key can sign, or the lifetime is unusable.
        """
        if own is None:
            raise self.place.member("keys").error(f"is missing: add {_EXAMPLES['keys']}")
        if own.keys.current().signing_key is None:
            raise self.place.member("keys").error(
                "has a key that only verifies, so no token can be issued: name a secret or a "
                "private_key_file, or issue tokens in another service (and leave [endpoint] out)"
            )
        endpoint = self.endpoint or EndpointSettings(place=self.place)
        client_id = endpoint.client_id
        if client_id is None and self.token_type is not None:
            # Otherwise the app would refuse its own tokens.
            client_id = own.audience[0]
        if endpoint.audience is not None and {*endpoint.audience}.isdisjoint(own.audience):
            raise endpoint.place.member("audience").error(
                "has none of the file's audience, so the app would refuse its own tokens"
            )
        with endpoint.place.named_by_member():
            return TokenIssuer(
                keys=own.keys,
                issuer=own.issuer,
                audience=endpoint.audience or own.audience[:1],
                lifetime_seconds=endpoint.lifetime_seconds,
                client_id=client_id,
                nbf_early_seconds=endpoint.nbf_early_seconds,
            )

    def build_sessions(
        self, own: Own | None, environ: Mapping[str, str] = os.environ
    ) -> Sessions | None:
        """
        Build the sessions of the endpoint, if the file has both.

        Args:
            own: Issues their tokens.
            environ: Environment variables, for the number of processes.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        if self.sessions is None or self.endpoint is None:
            return None
        issuer = self.build_issuer(own)
        return self.sessions.build(issuer=issuer, endpoint=self.endpoint, environ=environ)

    def build_revocations(self, own: Own | None) -> Revocations | None:
        """
        Build the revocations of the store, if the file has one.

        Raises:
            ConfigurationError: A setting is unusable, the store is in the memory of one process, or
                the issuer is missing.
        """
        if self.sessions is None:
            return None
        return self.sessions.build_revocations(own and own.issuer)

    def require_sessions(self) -> SessionSettings:
        """
        Return the sessions table.

        Raises:
            ConfigurationError: There is none.
        """
        if self.sessions is None:
            raise self.place.member("sessions").error(f"is missing: add {_EXAMPLES['sessions']}")
        return self.sessions

    def build_responses(self) -> Responses:
        """
        Build the responses.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        url = None if self.metadata is None else self.metadata.resource_metadata_url()
        return self.responses.build(url, trusted_proxies=self.trusted_proxies())

    def trusted_proxies(self) -> int:
        """
        Return the number of the service's own proxies.

        Raises:
            ConfigurationError: It is out of bounds, or two settings differ.
        """
        given: dict[int, Place] = {}
        for section in (self.request, self.login):
            if section is not None and section.trusted_proxies:
                with section.place.named_by_member():
                    check_whole("trusted_proxies", section.trusted_proxies, 0, MAX_TRUSTED_PROXIES)
                given.setdefault(section.trusted_proxies, section.place)
        if len(given) > 1:
            place = [*given.values()][-1].member("trusted_proxies")
            raise place.error("differs from that of [request]: leave it out here")
        return next(iter(given), 0)

    def build_accounts(self) -> SQLAccounts:
        """
        Build the accounts, without connecting or creating anything.

        Raises:
            ConfigurationError: There is no such table, or a setting is unusable.
        """
        if self.accounts is None:
            raise self.place.member("accounts").error(
                'is missing: add an [accounts] table with url = "sqlite:///accounts.db"'
                ", or [endpoint.verifiers] (or leave [endpoint] out if there are no logins)"
            )
        return self.accounts.build()

    def build_endpoint(
        self,
        own: Own | None,
        responses: Responses,
        *,
        sessions: Sessions | None = None,
        verifier: TokenVerifier | None = None,
    ) -> TokenEndpoint | None:
        """
        Build the endpoint, if the file has one.

        Args:
            own: Issues the tokens.
            responses: Style of the responses.
            sessions: From :meth:`build_sessions`.
            verifier: Verifies the tokens of these sessions.

        Raises:
            ConfigurationError: A setting is unusable, there are no accounts, or no key can sign.
        """
        if self.endpoint is None or own is None:
            return None
        by_name = self.endpoint.verifiers and self.accounts is None
        accounts = None if by_name else self.build_accounts()
        return self.endpoint.build(
            self.build_issuer(own) if sessions is None else sessions.issuer,
            accounts=accounts,
            sessions=sessions,
            verifier=verifier,
            login=self.login or LoginSettings(place=self.place.member("login")),
            responses=responses,
            resources=self._resources(own),
            prefix=self._prefix(own),
        )

    def _resources(self, own: Own) -> dict[str, str]:
        """Return the resources that a client may request, and the audience of each."""
        url = None if self.metadata is None else self.metadata.resource
        return ({} if url is None else {url: own.audience[0]}) | {one: one for one in own.audience}

    def _prefix(self, own: Own) -> str:
        """Return the path of the issuer's URL if metadata announce paths below it."""
        announced = self.metadata is not None and self.metadata.authorization_server
        return issuer_path(own.issuer) if announced else ""

    def _build_claim_keys(self) -> ClaimKeys | None:
        """Build the keys of ``[environ]`` and of each ``[[trusted]]``, if there are any."""
        own: dict[str, Any] = dict(self.environ or {})
        keeps = own.pop("keep_authorization", True)
        trusted = {one.issuer: one.environ for one in self.trusted if one.environ}
        if not own and not trusted and keeps:
            return None
        place = self.place.member("environ")
        if own and self.issuer is None:
            raise place.error(
                "is for tokens of this file's issuer: write environ = { … } below [[trusted]]"
            )
        with place.named():
            return ClaimKeys(
                own, issuer=self.issuer or "", trusted=trusted, keeps_authorization=keeps
            )

    def build_well_known(
        self, own: Own | None, responses: Responses, endpoint: TokenEndpoint | None
    ) -> WellKnown | None:
        """
        Build the app that publishes keys and metadata, if the file has a table for it.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        if self.metadata is None:
            return None
        trusted = [
            one.issuer.replace("{tid}", tenant)
            for one in self.trusted
            for tenant in one.tenants or ("",)
        ]
        return self.metadata.build(
            own=own and (own.issuer, own.keys),
            endpoint=endpoint,
            issuers=[*([own.issuer] if own else []), *trusted],
            scopes=[scope for rule in self.rules for scope in rule.scopes],
            responses=responses,
        )

    def protect(
        self,
        app: WSGIApplication,
        environ: Mapping[str, str] = os.environ,
        *,
        prepares: bool = False,
    ) -> JWTMiddleware:
        """
        Wrap *app* in the middleware.

        No connection is kept open: if the account database is down, only logins fail.

        Args:
            app: Any WSGI app.
            environ: Environment variables, for ``secret_env``, ``password_env``, and
                ``WEB_CONCURRENCY``.
            prepares: Whether to read the revocations, if their store is available.

        Raises:
            ConfigurationError: A setting is unusable, or two contradict each other.
        """
        self._check_login()
        self.logging.check()
        self.serve.check()
        own, responses = self.build_own(environ), self.build_responses()
        sessions = self.build_sessions(own, environ)
        revocations = self.build_revocations(own) if sessions is None else sessions.revocations
        verifier = self.build_verifier(own, revocations, environ)
        endpoint = self.build_endpoint(own, responses, sessions=sessions, verifier=verifier)
        policy, claim_keys = self.request.build(self.rules), self._build_claim_keys()
        metrics = None if self.metrics is None else self.metrics.build(verifier.trusted, environ)
        protected = JWTMiddleware(
            app,
            verifier=verifier,
            policy=policy,
            endpoint=endpoint,
            well_known=self.build_well_known(own, responses, endpoint),
            responses=responses,
            claim_keys=claim_keys,
            mode=self.mode,
            metrics=metrics,
            cors=None if self.cors is None else self.cors.build(),
        )
        if self.metrics is not None and metrics is not None:
            self.metrics.connect(metrics, protected, revocations)
        if self.health is not None:
            self.health.connect(protected, sessions, revocations)
        if prepares and revocations is not None:
            prepare(revocations)
        return protected

    def _check_login(self) -> None:
        if self.login is None:
            return
        if self.sessions is None:
            raise self.login.place.error(
                "needs a [sessions] table, whose store counts the attempts: add it, as in "
                '[sessions] url = "sqlite:///sessions.db"'
            )
        if self.endpoint is None:
            raise self.login.place.error("limits the logins of [endpoint]: add that table")

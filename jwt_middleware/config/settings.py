"""The whole file, and the protected app that it builds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..bounds import check_whole
from ..core.trust import KeySource
from ..core.verifier import TokenVerifier
from ..endpoint.app import TokenEndpoint
from ..sessions import Sessions
from ..wsgi.address import MAX_TRUSTED_PROXIES
from ..wsgi.environ import ClaimName
from ..wsgi.metadata import (
    DEFAULT_MAX_AGE_SECONDS,
    Document,
    WellKnown,
    authorization_server_document,
    issuer_path,
    jwks_document,
    no_openid_document,
    protected_resource_document,
    resource_metadata_url,
)
from ..wsgi.middleware import JWTMiddleware
from ..wsgi.policy import Mode, Policy
from ..wsgi.responses import Responses
from .accounts import AccountSettings
from .reading import Place, Section, choice, flag, setting, table, tables, text, whole
from .requests import CORSSettings, RequestSettings, ResponseSettings, RuleSettings
from .service import (
    HealthSettings,
    LoggingSettings,
    MetricsSettings,
    ServeSettings,
    build_claim_keys,
    own_environ,
)
from .sessions import LoginSettings, prepare
from .tokens import Own, TokenSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..accounts.sql import SQLAccounts


class MetadataSettings(Section):
    """
    ``[metadata]``: publishes keys and metadata without a token; without this table nothing.

    Attributes:
        jwks: Publish the public keys.
        authorization_server: Publish RFC 8414 metadata; ``issuer`` must be a URL.
        openid_configuration: Have them at the path of OpenID Connect Discovery as well, for clients
            that know no other.
        resource: URL of this resource; with it, RFC 9728 metadata are published.
        max_age_seconds: How long clients may cache what is published.
    """

    jwks: bool = setting(flag, default=True)
    authorization_server: bool = setting(flag, default=True)
    openid_configuration: bool = setting(flag, default=False)
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
            documents.append(jwks_document(own[1], issuer=own[0]))
        if own is not None and self.authorization_server:
            with self.place.member("authorization_server").named():
                documents.append(
                    authorization_server_document(
                        issuer=own[0],
                        endpoint=endpoint,
                        jwks=self.jwks,
                        openid=self.openid_configuration,
                    )
                )
            if not self.openid_configuration:
                documents.append(no_openid_document(issuer=own[0]))
        with self.place.named_by_member():
            if self.resource is not None:
                documents.append(
                    protected_resource_document(
                        resource=self.resource, issuers=issuers, scopes=scopes
                    )
                )
            return WellKnown(documents, responses=responses, max_age_seconds=self.max_age_seconds)


class Settings(TokenSettings):
    """
    The whole file; its own settings stand before the first table.

    Attributes:
        mode: ``"report"`` refuses nothing and logs what it would; see docs/events.md#report-only.
        environ: Claims as keys of the environ, ``HTTP_X_FORWARDED_EMAIL = "email"``, for
            tokens of ``issuer``; each is removed from what comes in.
            ``keep_authorization = false`` removes the header with an accepted token before the app.
    """

    accounts: AccountSettings | None = setting(table(AccountSettings), None)
    login: LoginSettings | None = setting(table(LoginSettings), None)
    rules: tuple[RuleSettings, ...] = setting(tables(RuleSettings), ())
    request: RequestSettings | None = setting(table(RequestSettings), None)
    responses: ResponseSettings | None = setting(table(ResponseSettings), None)
    cors: CORSSettings | None = setting(table(CORSSettings), None)
    metadata: MetadataSettings | None = setting(table(MetadataSettings), None)
    mode: Mode = setting(choice("enforce", "report"), "enforce")
    environ: Mapping[str, ClaimName | bool] | None = setting(own_environ, None)
    logging: LoggingSettings | None = setting(table(LoggingSettings), None)
    metrics: MetricsSettings | None = setting(table(MetricsSettings), None)
    health: HealthSettings | None = setting(table(HealthSettings), None)
    serve: ServeSettings | None = setting(table(ServeSettings), None)

    def start_logging(self) -> None:
        """
        Log as ``[logging]`` says, if the application has not configured logging.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        (self.logging or LoggingSettings(place=self.place.member("logging"))).start()

    def build_policy(self) -> Policy:
        """
        Make the policy.

        Raises:
            ConfigurationError: A rule or the prefix is unusable.
        """
        settings = self.request or RequestSettings(place=self.place.member("request"))
        return settings.build([rule.build() for rule in self.rules])

    def build_responses(self) -> Responses:
        """
        Make the responses.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        url = None if self.metadata is None else self.metadata.resource_metadata_url()
        settings = self.responses or ResponseSettings(place=self.place.member("responses"))
        return settings.build(url, trusted_proxies=self.trusted_proxies())

    def trusted_proxies(self) -> int:
        """
        Return how many proxies of one's own each request has passed.

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
        Make the accounts.  Connects nothing and creates nothing.

        Raises:
            ConfigurationError: There is no such table, or a setting is unusable.
        """
        if self.accounts is None:
            raise self.place.member("accounts").error(
                'is missing: add an [accounts] table with url = "sqlite:///accounts.db"'
                ", or [endpoint.verifiers] (and leave [endpoint] out where there are no logins)"
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
        Make the endpoint, if the file has one.

        Args:
            own: Who issues the tokens.
            responses: Style of the answers.
            sessions: What :meth:`build_sessions` made.
            verifier: What verifies the tokens of these sessions.

        Raises:
            ConfigurationError: A setting is unusable, there are no accounts, or no key can sign.
        """
        if self.endpoint is None or own is None:
            return None
        by_name = self.endpoint.verifiers and self.accounts is None
        accounts = None if by_name else self.build_accounts()
        if sessions is None or verifier is None:
            return self.endpoint.build(
                issuer=self.build_issuer(own),
                accounts=accounts,
                responses=responses,
                resources=self._resources(own),
                prefix=self._prefix(own),
            )
        return self.endpoint.build_with_sessions(
            sessions,
            verifier=verifier,
            accounts=accounts,
            login=self.login or LoginSettings(place=self.place.member("login")),
            responses=responses,
            resources=self._resources(own),
            prefix=self._prefix(own),
        )

    def _resources(self, own: Own) -> dict[str, str]:
        """Return what a client may ask a token for, to the audience that it is."""
        url = None if self.metadata is None else self.metadata.resource
        return ({} if url is None else {url: own.audience[0]}) | {one: one for one in own.audience}

    def _prefix(self, own: Own) -> str:
        """Return the path of the issuer's URL where metadata announce paths below it."""
        announced = self.metadata is not None and self.metadata.authorization_server
        return issuer_path(own.issuer) if announced else ""

    def build_well_known(
        self, own: Own | None, responses: Responses, endpoint: TokenEndpoint | None
    ) -> WellKnown | None:
        """
        Make what publishes keys and metadata, if the file has a table for it.

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
        Put the middleware before *app*.

        Nothing stays connected: a database of accounts that is down stops logins, not the app.

        Args:
            app: Any WSGI app.
            environ: Environment variables, for ``secret_env``, ``password_env``, and
                ``WEB_CONCURRENCY``.
            prepares: Whether to read the revocations, if their store answers.

        Raises:
            ConfigurationError: A setting is unusable, or two contradict each other.
        """
        self._check_login()
        own, responses = self.build_own(environ), self.build_responses()
        sessions = self.build_sessions(own, environ)
        revocations = self.build_revocations(own) if sessions is None else sessions.revocations
        verifier = self.build_verifier(own, revocations, environ)
        endpoint = self.build_endpoint(own, responses, sessions=sessions, verifier=verifier)
        policy, claim_keys = self.build_policy(), build_claim_keys(self)
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

"""The WSGI middleware that authenticates each request."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from .. import events
from ..core.verifier import TokenVerifier, VerifiedToken
from ..errors import (
    AuthError,
    ConfigurationError,
    InvalidTokenError,
    MissingTokenError,
    UnavailableError,
)
from ..events import Name, logger, tells_allowed
from .basic import find_password, is_cross_site
from .bearer import (
    AUTHORIZATION,
    TokenHeaders,
    environ_key,
    hint_of,
    missing_token,
    parse_authorization,
)
from .cors import CORS, answer_preflight
from .environ import ERROR, IDENTITY_KEYS, RESPONSES, ClaimKeys, clear_identity, describe, publish
from .policy import PREFLIGHT, Policy
from .refusals import report
from .request import WATCHED_KEYS
from .responses import Responses
from .rule import Mode, Requirement, check_mode

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .health import Health
    from .metadata import WellKnown
    from .metrics import Metrics


NOTABLE_KEYS: Final = WATCHED_KEYS.union(IDENTITY_KEYS)

# Metrics indexes of allowed requests, by how the token was verified.
REMEMBERED: Final = 0
FIRST_SEEN: Final = 1
WITHOUT_TOKEN: Final = 2


class Endpoint(Protocol):
    """A WSGI app mounted at its own paths, without a token."""

    @property
    def paths(self) -> Iterable[str]:
        """The exact values of ``PATH_INFO`` that it answers."""

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, /
    ) -> Iterable[bytes]:
        """Answer one request."""


class JWTMiddleware:
    """
    Authenticate requests before they reach *app*.

    A request that the policy lets through reaches *app* with the claims in its environ (see
    :mod:`jwt_middleware.wsgi.environ`); any other is refused here, as in RFC 6750.

    Args:
        app: Any WSGI app.  Its iterable is returned unchanged.
        verifier: Verifies the tokens.
        policy: Which requests need a token, and which scopes; by default every request needs one.
        endpoint: The token endpoint, served at its own paths without a token.
        well_known: Serves keys and metadata at their paths without a token.
        responses: Style and realm of the middleware's responses.
        cors: Which origins may read *endpoint*, *well_known* and every refusal; answers preflights
            there and on rules with ``preflight=True``.
        claim_keys: Additional environ keys set to claims.
        mode: ``"report"`` refuses nothing: the app is called without an identity, and an event
            reports the refusal.
        metrics: Counts the decisions.
        health: Answers probes at its own paths without a token.

    Raises:
        ConfigurationError: *app* is not a WSGI callable, or an argument has the wrong type.
    """

    def __init__(  # noqa: PLR0913  one for each part
        self,
        app: WSGIApplication,
        *,
        verifier: TokenVerifier,
        policy: Policy | None = None,
        endpoint: Endpoint | None = None,
        well_known: WellKnown | None = None,
        responses: Responses | None = None,
        claim_keys: ClaimKeys | None = None,
        mode: Mode = "enforce",
        metrics: Metrics | None = None,
        health: Health | None = None,
        cors: CORS | None = None,
    ) -> None:
        _check_app(app)
        if not isinstance(verifier, TokenVerifier):
            raise ConfigurationError("verifier must be a TokenVerifier")
        if policy is not None and not isinstance(policy, Policy):
            raise ConfigurationError("policy must be a Policy, as in Policy([Rule('/health', …)])")
        self.app = app
        self.verifier = verifier
        headers = {one.header for one in verifier.trusted.values()}
        # Usually tokens come only in Authorization.
        self._headers = None if headers == {None} else TokenHeaders(headers)
        self.policy: Policy = policy if policy is not None else Policy()
        self.endpoint = endpoint
        self.well_known = well_known
        self.responses: Responses = responses if responses is not None else Responses()
        if cors is not None and not isinstance(cors, CORS):
            raise ConfigurationError("cors must be a CORS, as in CORS(['https://app.example.com'])")
        self.cors = cors
        self.claim_keys = claim_keys
        self._identity_keys: tuple[str, ...] = IDENTITY_KEYS
        self._notable_keys = NOTABLE_KEYS
        if claim_keys is not None:
            claim_keys.check_headers(headers)
            self._identity_keys = (*IDENTITY_KEYS, *claim_keys.keys)
            self._notable_keys = NOTABLE_KEYS | claim_keys.keys
        check_mode(mode)
        self.mode = mode
        self.metrics = metrics
        self._counts = None if metrics is None else metrics.counts
        _warn_of_unmapped(verifier)
        self._mounted: dict[str, WSGIApplication] = {}
        if well_known is not None:
            self._mounted.update(dict.fromkeys(well_known.paths, self._readable(well_known)))
        if endpoint is not None:
            readable = self._readable(endpoint)
            for path in endpoint.paths:
                self.mount(path, readable)
        if health is not None:
            for path in health.paths:
                self.mount(path, health)
        _warn_of_openings(self.policy, mode, cors)

    @property
    def app(self) -> WSGIApplication:
        """The wrapped app; can be replaced."""
        return self._app

    @app.setter
    def app(self, app: WSGIApplication) -> None:
        self._app = app
        self._call_app: WSGIApplication = self._call_app_first

    def mount(self, path: str, app: WSGIApplication) -> None:
        """
        Serve *app* at exactly *path* without a token or CORS.

        Raises:
            ConfigurationError: The path is already taken.
        """
        if path in self._mounted:
            is_document = self.well_known is not None and path in self.well_known.paths
            whose = "that of a public document" if is_document else "taken: choose another"
            raise ConfigurationError(f"path {path!r} is {whose}")
        self._mounted[path] = app

    @property
    def mounted(self) -> Collection[str]:
        """The paths that the app does not get."""
        return self._mounted.keys()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or pass it to *app*."""
        plain = self._notable_keys.isdisjoint(environ)  # the usual case
        if not plain:
            clear_identity(environ, self._identity_keys)
        # Before the token: a client with an expired token must be able to get a new one.
        mounted = self._mounted.get(environ.get("PATH_INFO", ""))
        if mounted is not None:
            return mounted(environ, start_response)
        requirement = None
        try:
            requirement = self.policy.decide(environ, plain)
            verified = None
            if requirement.access != "passthrough":
                verified = self._authenticate(environ, requirement)
        except (AuthError, UnavailableError) as error:
            if not self.only_reports(requirement):
                return self._refuse(error, environ, start_response, requirement)
            proxies = self.responses.trusted_proxies
            report(error, environ, rules=self._rules_of(requirement), trusted_proxies=proxies)
        else:
            if self._counts is not None:
                self._counts.slots[_kind_of(verified)] += 1
            if tells_allowed:
                self._tell_allowed(environ, requirement, verified)
        environ[RESPONSES] = self.responses
        if requirement is PREFLIGHT:
            return self._answer_preflight(environ, start_response)
        return self._call_app(environ, start_response)

    def _answer_preflight(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if self.cors is None:
            return answer_preflight(self.app, environ, start_response)
        return self.cors.answer_preflight(environ, start_response)

    def _call_app_first(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Call the app, and check on its first response that it is not a factory."""
        answer = self._app(environ, start_response)
        if callable(answer) and not hasattr(answer, "__iter__"):
            error = UnavailableError(
                'the app is a factory, which returned an app: write "module:create_app()"'
            )
            return self._refuse(error, environ, start_response, None)
        self._call_app = self._app
        return answer

    def _refuse(
        self,
        error: AuthError | UnavailableError,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        requirement: Requirement | None,
    ) -> Iterable[bytes]:
        basic = (
            requirement is not None
            and requirement.basic
            and self.policy.takes_basic(environ)
            and not is_cross_site(environ)  # no password prompt in cross-site requests
        )
        if self.cors is not None:
            start_response = self.cors.readable(environ, start_response)
        rules = self._rules_of(requirement)
        return self.responses.refuse(error, environ, start_response, rules=rules, basic=basic)

    def _rules_of(self, requirement: Requirement | None) -> str:
        return "" if requirement is None else self.policy.paths_of(requirement)

    def _readable(self, app: WSGIApplication) -> WSGIApplication:
        return app if self.cors is None else self.cors.wrap(app)

    def only_reports(self, requirement: Requirement | None) -> bool:
        """Return whether a request with this requirement is never refused."""
        return self.mode == "report" or (requirement is not None and requirement.report_only)

    def _authenticate(
        self, environ: WSGIEnvironment, requirement: Requirement
    ) -> VerifiedToken | None:
        if self._headers is None:
            token = parse_authorization(environ.get(AUTHORIZATION))
            verified = (
                self._verify_password(environ, requirement)
                if token is None
                else self.verifier.verify(token)
            )
        else:
            verified = self._verify_by_header(environ, requirement, self._headers)
        if verified is not None:
            # Before the check, so that the server's access log has the user of a 403.
            publish(environ, verified)
            if self.claim_keys is not None:
                self.claim_keys.publish(environ, verified)
            if requirement.asks:
                requirement.check(verified)
        elif requirement.access == "required":
            raise missing_token(environ, self._headers)
        elif requirement.access == "optional":
            environ[ERROR] = MissingTokenError.code
        return verified

    def _tell_allowed(
        self, environ: WSGIEnvironment, requirement: Requirement, verified: VerifiedToken | None
    ) -> None:
        fields = describe(environ, self.responses.trusted_proxies)
        fields["rule"] = self.policy.paths_of(requirement)
        if verified is not None:
            fields["issuer"] = verified.trusted.issuer
            fields["kid"] = verified.header.kid or ""
            fields["sub"] = verified.subject
            fields["jti"] = str(verified.read_only_claims.get("jti", ""))
        events.emit(Name.REQUEST_ALLOWED, **fields)

    def _verify_by_header(
        self, environ: WSGIEnvironment, requirement: Requirement, headers: TokenHeaders
    ) -> VerifiedToken | None:
        found = headers.find(environ)
        if found is None:
            return self._verify_password(environ, requirement)
        key, token = found
        try:
            verified = self.verifier.verify(token)
        except InvalidTokenError as error:
            error.hint = hint_of(key, token)
            raise
        if environ_key(verified.trusted.header) != key:
            raise InvalidTokenError("the token's issuer uses another header")
        return verified

    def _verify_password(
        self, environ: WSGIEnvironment, requirement: Requirement
    ) -> VerifiedToken | None:
        """Verify the token in Basic credentials, and pass it to the app as a bearer token."""
        if not requirement.basic or not self.policy.takes_basic(environ):
            return None
        token = find_password(environ)
        if token is None:
            return None
        try:
            verified = self.verifier.verify(token)
        except InvalidTokenError as error:
            error.hint = hint_of("HTTP_BASIC_PASSWORD", token)  # not a request header
            raise
        if environ_key(verified.trusted.header) != AUTHORIZATION:
            raise InvalidTokenError("the token's issuer uses another header")
        environ[AUTHORIZATION] = f"Bearer {token}"
        return verified


def _kind_of(verified: VerifiedToken | None) -> int:
    if verified is None:
        return WITHOUT_TOKEN
    return REMEMBERED if verified.used else FIRST_SEEN


def _warn_of_openings(policy: Policy, mode: Mode, cors: CORS | None) -> None:
    if mode == "report":
        logger.warning("mode is report: no request is refused, whatever the rules say")
    for rule in policy.rules:
        if rule.preflight and cors is None:
            logger.warning("%s", rule.describe_preflight())
        if rule.mode == "report":
            logger.warning("rule %r: mode is report: no request is refused there", rule.path)


def _check_app(app: object) -> None:
    """
    Check that *app* can be called as a WSGI app.

    Raises:
        ConfigurationError: It is not callable that way, or is an ASGI app.
    """
    if not callable(app):
        raise ConfigurationError("app must be a WSGI callable")
    for function in (app, getattr(app, "__call__", None)):  # noqa: B004  an instance's own
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError("app must be a WSGI callable, and this is an ASGI app")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # some callables written in C
        return
    try:
        signature.bind({}, lambda *_: None)
    except TypeError as error:
        raise ConfigurationError(
            f"app must be a WSGI callable, of environ and start_response: {error}"
        ) from error


# One verifier may serve several apps, such as the metrics of one of them.
_warned: Final[WeakSet[TokenVerifier]] = WeakSet()


def _warn_of_unmapped(verifier: TokenVerifier) -> None:
    if verifier in _warned:
        return
    _warned.add(verifier)
    for trusted in verifier.trusted.values():
        if verifier.remote_user(trusted, "sub") is None:
            logger.warning(
                "REMOTE_USER is not set for tokens of %s, whose subjects may equal those of another"
                ' issuer: set its remote_user, as in "partner:{sub}"',
                trusted.issuer,
            )

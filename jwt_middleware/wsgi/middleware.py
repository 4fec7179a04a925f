"""The middleware: one request, straight down."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from ..core.verified import VerifiedToken
from ..core.verifier import TokenVerifier
from ..errors import AuthError, ConfigurationError, MissingTokenError, UnavailableError
from .bearer import parse_authorization
from .environ import ERROR, clear_identity, publish
from .policy import Policy
from .responses import Responses

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .metadata import WellKnown


class Endpoint(Protocol):
    """A WSGI app that is mounted at paths of its own, and needs no token there."""

    @property
    def paths(self) -> Iterable[str]:
        """The exact values of ``PATH_INFO`` that it answers at."""

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, /
    ) -> Iterable[bytes]:
        """Answer one request."""


class JWTMiddleware:
    """
    Decide who is calling before *app* sees the request.

    A request that the policy lets through reaches *app* with the claims in its environ (see
    :mod:`jwt_middleware.wsgi.environ`); any other is answered here, in RFC 6750 terms.

    Args:
        app: Any WSGI app.  Its iterable is returned untouched.
        verifier: Verifies the tokens.
        policy: Which requests need a token, and which scopes; by default every request needs one.
        endpoint: Answers at its own paths, without a token.
        well_known: Publishes keys and metadata at their paths, without a token.
        responses: Style and realm of the answers given here.

    Raises:
        ConfigurationError: *app* is not callable, or a part is of another kind.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        verifier: TokenVerifier,
        policy: Policy | None = None,
        endpoint: Endpoint | None = None,
        well_known: WellKnown | None = None,
        responses: Responses | None = None,
    ) -> None:
        if not callable(app):
            raise ConfigurationError("app must be a WSGI callable")
        if not isinstance(verifier, TokenVerifier):
            raise ConfigurationError("verifier must be a TokenVerifier")
        if policy is not None and not isinstance(policy, Policy):
            raise ConfigurationError("policy must be a Policy, as in Policy([Rule('/health', …)])")
        self.app = app
        self.verifier = verifier
        self.policy = policy if policy is not None else Policy()
        self.endpoint = endpoint
        self.well_known = well_known
        self.responses = responses if responses is not None else Responses()
        for trusted in verifier.trusted.values():
            if verifier.remote_user(trusted, "sub") is None:
                logger.warning(
                    "REMOTE_USER is not set for tokens of %s, whose subjects may be those of"
                    ' another issuer: set its remote_user, as in "partner:{sub}"',
                    trusted.issuer,
                )
        self._mounted: dict[str, WSGIApplication] = {}
        if well_known is not None:
            self._mounted.update(dict.fromkeys(well_known.paths, well_known))
        if endpoint is not None:
            for path in endpoint.paths:
                if path in self._mounted:
                    raise ConfigurationError(f"path {path!r} is that of a public document")
                self._mounted[path] = endpoint

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or have *app* answer it."""
        clear_identity(environ)
        # Before the token: a client with an expired one must still be able to get a new one.
        mounted = self._mounted.get(environ.get("PATH_INFO", ""))
        if mounted is not None:
            return mounted(environ, start_response)
        try:
            verified = self._authenticate(environ)
        except (AuthError, UnavailableError) as error:
            return self.responses.refuse(error, environ, start_response)
        if verified is not None:
            publish(environ, verified)
        return self.app(environ, start_response)

    def _authenticate(self, environ: WSGIEnvironment) -> VerifiedToken | None:
        token = parse_authorization(environ.get("HTTP_AUTHORIZATION"))
        verified = None if token is None else self.verifier.verify(token)
        requirement = self.policy.requirement(environ)
        if verified is not None:
            requirement.check(verified)
        elif requirement.access == "required":
            raise MissingTokenError
        elif requirement.access == "optional":
            environ[ERROR] = MissingTokenError.code
        return verified

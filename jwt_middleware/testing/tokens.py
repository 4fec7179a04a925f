"""Valid and bad tokens for accounts of a protected app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.issuer import TokenIssuer
from ..core.payload import JWTPayload
from ..endpoint.app import TokenEndpoint
from ..errors import ConfigurationError
from ..keysources.remote.refreshing import RefreshedKeys
from ..wsgi.middleware import JWTMiddleware
from .bad_tokens import BadToken
from .find import find_middleware


class Tokens:
    """
    Creates tokens for a protected app, for any framework's test client.

    ::

        tokens = Tokens(app)
        app.test_client().get("/me", headers=tokens.headers(42, scope="read"))

    Args:
        app: The protected app, as for :func:`find_middleware`.
        middleware: The middleware, if it cannot be found in *app*.
        issuer: Issues the tokens; by default the app's own issuer.  Required for an app that only
            trusts other issuers: that of an :class:`~jwt_middleware.testing.IssuerServer`.

    Raises:
        ConfigurationError: *app* has no middleware in it.
    """

    def __init__(
        self,
        app: object,
        *,
        middleware: JWTMiddleware | None = None,
        issuer: TokenIssuer | None = None,
    ) -> None:
        self.middleware: JWTMiddleware = middleware or find_middleware(app)
        self._issuer = issuer

    @property
    def issuer(self) -> TokenIssuer:
        """
        The issuer of the tokens.

        Raises:
            ConfigurationError: The app has no signing key.
        """
        if self._issuer is None:
            self._issuer = _own_issuer(self.middleware)
        return self._issuer

    @property
    def endpoint(self) -> TokenEndpoint | None:
        """The app's token endpoint, if it has one."""
        endpoint = self.middleware.endpoint
        return endpoint if isinstance(endpoint, TokenEndpoint) else None

    def token(
        self,
        uid: int | str,
        *,
        scope: str = "",
        client_type: str = "email",
        claims: Mapping[str, Any] | None = None,
        lifetime_seconds: int | None = None,
    ) -> str:
        """
        Return the token that a login of this account would get.

        Its *sub* follows the client type's template; with sessions configured it has one, so that
        it can be logged out.  No account is looked up.

        Args:
            uid: The account's identifier.
            scope: Scopes of the token, separated by spaces.
            client_type: The account's client type.
            claims: Custom claims.
            lifetime_seconds: Lifetime of the token; by default the issuer's.
        """
        endpoint = self.endpoint
        payload = JWTPayload(
            uid,
            scope=scope,
            ac_type=client_type,
            subject="" if endpoint is None else endpoint.subjects.subject(client_type, uid),
            claims=claims or {},
            lifetime_seconds=lifetime_seconds,
        )
        if endpoint is None or endpoint.sessions is None or self.issuer is not endpoint.issuer:
            return self.issuer.issue(payload).token
        return endpoint.sessions.start_unrefreshable(payload).issued.token

    def headers(self, uid: int | str, **options: Any) -> dict[str, str]:
        """Return the ``Authorization`` header with a token of :meth:`token`."""
        return {"Authorization": f"Bearer {self.token(uid, **options)}"}

    @property
    def bad_kinds(self) -> list[BadToken]:
        """The kinds of bad tokens for this app; ``REVOKED`` needs sessions."""
        endpoint = self.endpoint
        if endpoint is not None and endpoint.sessions is not None:
            return list(BadToken)
        return [bad for bad in BadToken if bad is not BadToken.REVOKED]

    def bad(self, bad: BadToken, *, uid: int | str = 42, scope: str = "") -> str:
        """
        Return a bad token of this kind.

        Args:
            bad: The kind of bad token.
            uid: The uid in the token.
            scope: The scope in the token.

        Raises:
            ConfigurationError: It is ``REVOKED``, and the app has no sessions.
        """
        if bad is not BadToken.REVOKED:
            return bad.token(self.issuer, uid=uid, scope=scope)
        endpoint = self.endpoint
        if endpoint is None or endpoint.sessions is None:
            raise ConfigurationError("only an app with sessions can revoke a token")
        token = endpoint.issuer.issue(JWTPayload(uid, scope=scope)).token
        endpoint.sessions.revoke_token(self.middleware.verifier.verify(token).claims)
        return token


def _own_issuer(middleware: JWTMiddleware) -> TokenIssuer:
    if isinstance(middleware.endpoint, TokenEndpoint):
        return middleware.endpoint.issuer
    verifier = middleware.verifier
    for trusted in verifier.trusted.values():
        # Fetched keys are skipped: they belong to other issuers.
        if not isinstance(trusted.keys, RefreshedKeys) and trusted.keys.current().signing_key:
            return TokenIssuer(
                keys=trusted.keys,
                issuer=trusted.issuer,
                audience=sorted(trusted.audiences),
                # Late-bound: frozen() replaces the verifier's clock.
                clock=lambda: verifier._clock(),  # noqa: PLW0108, SLF001
            )
    raise ConfigurationError(
        f"the app cannot sign a token of {', '.join(verifier.trusted)}: give TestApp the issuer of "
        "an IssuerServer that the app trusts"
    )

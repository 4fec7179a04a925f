"""The part of the file that is about tokens: whose are accepted, who issues, what ends them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ..core.issuer import TokenIssuer
from ..core.keys import KeySet
from ..core.revocation import RevocationCheck
from ..core.verifier import DEFAULT_CACHE_BYTES, DEFAULT_CACHE_SIZE, TokenVerifier
from ..sessions import Revocations, Sessions
from .keys import KeySetSettings
from .logins import EndpointSettings
from .reading import choice, number, setting, table, tables, whole
from .sessions import SessionSettings
from .trusted import TermSettings, TrustedSettings, build_trusted

if TYPE_CHECKING:
    from ..keysources.ring.ring import KeyRing

_EXAMPLES: Final = {
    "issuer": 'issuer = "https://auth.example.com"',
    "audience": 'audience = "api"',
    "keys": 'a [keys] table with secret_file = "secret"',
    "sessions": 'a [sessions] table with url = "sqlite:///sessions.db"',
}


class Own(NamedTuple):
    """What makes tokens this service's own: their *iss*, their *aud*, and who signs them."""

    issuer: str
    audience: tuple[str, ...]
    keys: KeySet | KeyRing


class TokenSettings(TermSettings):
    """
    What tokens are verified, issued and ended by.

    Attributes:
        issuer: ``iss`` of the tokens issued and accepted; required, but for ``[[trusted]]`` without
            ``[endpoint]``.
        audience: ``aud``; of a list all are accepted, and the first is issued; required as
            ``issuer`` is.
        leeway_seconds: Clock skew forgiven, up to 300.
        token_type: ``"at+jwt"`` accepts no other ``typ``; by default ``JWT``, ``at+jwt`` and none
            are.
        cache_size: Verified tokens remembered in each process; 0 for none.
        cache_bytes: Memory that remembered tokens may take in each process, estimated; 0 for none.
    """

    leeway_seconds: float = setting(number, 0.0)
    token_type: Literal["at+jwt"] | None = setting(choice("at+jwt"), None)
    cache_size: int = setting(whole, DEFAULT_CACHE_SIZE)
    cache_bytes: int = setting(whole, DEFAULT_CACHE_BYTES)
    keys: KeySetSettings | None = setting(table(KeySetSettings), None)
    trusted: tuple[TrustedSettings, ...] = setting(tables(TrustedSettings), ())
    endpoint: EndpointSettings | None = setting(table(EndpointSettings), None)
    sessions: SessionSettings | None = setting(table(SessionSettings), None)

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

    def build_verifier(
        self,
        own: Own | None,
        is_revoked: RevocationCheck | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> TokenVerifier:
        """
        Make the verifier.

        Args:
            own: Whose tokens are this service's own.
            is_revoked: Asked of each token.
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
        endpoint = self.endpoint or EndpointSettings(place=self.place)
        client_id = endpoint.client_id
        if client_id is None and self.token_type is not None:  # else the app refused its own tokens
            client_id = own.audience[0]
        if endpoint.audience is not None and {*endpoint.audience}.isdisjoint(own.audience):
            raise endpoint.place.member("audience").error(
                "names none of the file's audience, so that the app would refuse its own tokens"
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
        Make the sessions of the endpoint, if the file has both.

        Args:
            own: Who issues their tokens.
            environ: Environment variables, which may tell how many processes there are to be.

        Raises:
            ConfigurationError: A setting is unusable.
        """
        if self.sessions is None or self.endpoint is None:
            return None
        issuer = self.build_issuer(own)
        return self.sessions.build(issuer=issuer, endpoint=self.endpoint, environ=environ)

    def build_revocations(self, own: Own | None) -> Revocations | None:
        """
        Make what follows the revocations in the store, if the file has one.

        Raises:
            ConfigurationError: A setting is unusable, the store is seen by no other process, or it
                is not said whose tokens they are.
        """
        if self.sessions is None:
            return None
        return self.sessions.build_revocations(own and own.issuer)

    def require_sessions(self) -> SessionSettings:
        """
        Return the table of sessions.

        Raises:
            ConfigurationError: There is none.
        """
        if self.sessions is None:
            raise self.place.member("sessions").error(f"is missing: add {_EXAMPLES['sessions']}")
        return self.sessions

"""Issuing access tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..errors import ConfigurationError, UnavailableError
from .jws import encode_object, serialize
from .keys import KeySet
from .payload import JWTPayload
from .trust import KeySource, is_key_source

DEFAULT_LIFETIME_SECONDS: Final = 7200
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  the typ of RFC 9068 §2.1, no secret


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """
    A token just issued.

    Attributes:
        token: The compact string; left out of the ``repr``.
        expires_in: Seconds until it expires.
        jti: Its identifier, unique.
    """

    token: str = field(repr=False)
    expires_in: int
    jti: str


class TokenIssuer:
    """
    Issues tokens with the claims ``iss aud sub iat nbf exp jti uid auth scope ac_type``.

    Args:
        keys: A :class:`KeySet` or a key source, read for each token.  The first key that can sign
            signs.  May be replaced by assignment.
        issuer: The *iss* of every token.
        audience: The *aud* of every token.
        lifetime_seconds: Whole seconds from issue to expiry, at least 1.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: A part is missing or unusable.
    """

    def __init__(
        self,
        *,
        keys: KeySource,
        issuer: str,
        audience: str,
        lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (("issuer", issuer), ("audience", audience)):
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{name} must be a non-empty string")
        _check_whole(lifetime_seconds)
        if lifetime_seconds < 1:
            raise ConfigurationError("lifetime_seconds must be at least 1")
        self.keys = keys
        self.issuer = issuer
        self.audience = audience
        self.lifetime_seconds = lifetime_seconds
        self._clock = clock

    def __repr__(self) -> str:
        return f"<TokenIssuer {self.issuer!r} audience={self.audience!r}>"

    @property
    def keys(self) -> KeySource:
        """The keys in use; assign others to rotate."""
        return self._keys

    @keys.setter
    def keys(self, keys: KeySource) -> None:
        current = keys.current() if is_key_source(keys) else None
        if not isinstance(current, KeySet) or current.signing_key is None:
            raise ConfigurationError(
                "keys must be a KeySet with a secret or a private key in it, or a source of one"
            )
        self._keys = keys
        self._signer = _Signer(current)

    def issue(
        self,
        payload: JWTPayload,
        *,
        lifetime_seconds: int | None = None,
        session_id: str | None = None,
    ) -> IssuedToken:
        """
        Issue one token.

        Args:
            payload: Its subject and own claims.
            lifetime_seconds: Another lifetime for this one.  With zero or less the token has
                expired already, for tests.
            session_id: The claim *sid*: ending this session revokes the token.

        Raises:
            ConfigurationError: *lifetime_seconds* is not a whole number.
            UnavailableError: The source has no key that can sign.
        """
        lifetime = self.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
        _check_whole(lifetime)
        signer = self._current_signer()
        now = int(self._clock())
        jti = secrets.token_urlsafe(16)
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": payload.sub,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "jti": jti,
            "uid": payload.uid,
            "auth": payload.auth,
            "scope": payload.scope,
            "ac_type": payload.ac_type,
        }
        if session_id is not None:
            claims["sid"] = session_id
        return IssuedToken(signer.sign(claims), lifetime, jti)

    def _current_signer(self) -> _Signer:
        signer, keys = self._signer, self._keys.current()
        if signer.keys is not keys:
            self._signer = signer = _Signer(keys)
        return signer


def _check_whole(lifetime_seconds: int) -> None:
    if type(lifetime_seconds) is not int:
        raise ConfigurationError("lifetime_seconds must be a whole number")


class _Signer:
    """A key and its header segment in one, so that a rotation between two tokens swaps both."""

    def __init__(self, keys: KeySet) -> None:
        key = keys.signing_key
        if key is None:
            raise UnavailableError("none of the keys can sign")
        self.keys = keys
        self._key = key
        self._header = encode_object({"typ": TOKEN_TYPE, "alg": key.alg, "kid": key.kid})

    def sign(self, claims: dict[str, object]) -> str:
        return serialize(self._header, encode_object(claims), self._key.sign)

"""Issue access tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..bounds import check_whole
from ..errors import ConfigurationError, UnavailableError
from ..events import Name, emit
from .claims import NBF_ALLOWANCE_SECONDS
from .jws import encode_object, serialize
from .keys import KeySet
from .payload import JWTPayload, checked_claims
from .trust import KeySource, is_key_source

DEFAULT_LIFETIME_SECONDS: Final = 7200
MAX_NBF_EARLY_SECONDS: Final = NBF_ALLOWANCE_SECONDS
DEFAULT_NBF_EARLY_SECONDS: Final = MAX_NBF_EARLY_SECONDS


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """
    An issued token.

    Attributes:
        token: The compact serialization; left out of the ``repr``.
        expires_in: Seconds until it expires.
        jti: Its unique identifier.
    """

    token: str = field(repr=False)
    expires_in: int
    jti: str


class TokenIssuer:
    """
    Issues tokens with the claims ``iss aud sub iat nbf exp jti uid auth scope ac_type``.

    A token for an OAuth client also has ``client_id`` and the type ``at+jwt`` (RFC 9068); others
    have the type ``JWT``.

    Args:
        keys: A :class:`KeySet` or a key source, read for each token.  The first key that can sign
            is used.  Can be replaced by assignment.
        issuer: The *iss* of every token.
        audience: The *aud* of tokens whose payload has none; several become an array.
        lifetime_seconds: Whole seconds from issue to expiry, at least 1.
        client_id: The *client_id* of tokens whose payload has none.
        nbf_early_seconds: How far *nbf* is before *iat*, 0 to :data:`MAX_NBF_EARLY_SECONDS`, for
            verifiers with a slow clock.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: An argument is missing or invalid.
    """

    def __init__(
        self,
        *,
        keys: KeySource,
        issuer: str,
        audience: str | Collection[str],
        lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS,
        client_id: str | None = None,
        nbf_early_seconds: int = DEFAULT_NBF_EARLY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        audiences = (audience,) if isinstance(audience, str) else _listed(audience)
        for name, value in (
            ("issuer", issuer),
            *(("audience", one) for one in audiences or [None]),
            ("client_id", "-" if client_id is None else client_id),
        ):
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{name} must be a non-empty string")
        _check_whole(lifetime_seconds)
        if lifetime_seconds < 1:
            raise ConfigurationError("lifetime_seconds must be at least 1")
        check_whole("nbf_early_seconds", nbf_early_seconds, 0, MAX_NBF_EARLY_SECONDS)
        self.keys = keys
        self.issuer = issuer
        self.audiences = audiences
        self.lifetime_seconds = lifetime_seconds
        self.client_id = client_id
        self.nbf_early_seconds = nbf_early_seconds
        self._clock = clock

    def __repr__(self) -> str:
        return f"<TokenIssuer {self.issuer!r} audience={self.audience!r}>"

    @property
    def audience(self) -> str:
        """The first audience."""
        return self.audiences[0]

    @property
    def keys(self) -> KeySource:
        """The keys; assign others to rotate."""
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
        claims: Mapping[str, Any] | None = None,
        now: float | None = None,
    ) -> IssuedToken:
        """
        Issue a token.

        Args:
            payload: Its subject and custom claims.
            lifetime_seconds: Lifetime of this token.  Zero or less makes an expired token, for
                tests.
            session_id: The claim *sid*; ending the session revokes the token.
            claims: Additional custom claims, which override those of the payload.
            now: Time of issue in seconds since the Unix epoch, by a clock that hosts share; by
                default the issuer's clock.

        Raises:
            ConfigurationError: *lifetime_seconds* is not a whole number.
            ValueError: *claims* are invalid, see :class:`JWTPayload`.
            UnavailableError: The key source has no key that can sign.
        """
        if not isinstance(payload, JWTPayload):
            raise ConfigurationError("issue() takes a JWTPayload, as in JWTPayload(uid=42)")
        lifetime = lifetime_seconds
        if lifetime is None:
            lifetime = payload.lifetime_seconds or self.lifetime_seconds
        _check_whole(lifetime)
        own = payload.claims
        if claims:
            own = checked_claims({**own, **claims})
        client_id = payload.client_id or self.client_id
        audiences = payload.audience or self.audiences
        signer = self._current_signer()
        issued_at = int(self._clock() if now is None else now)
        jti = secrets.token_urlsafe(16)
        members: dict[str, object] = {
            "iss": self.issuer,
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "sub": payload.sub,
            "iat": issued_at,
            "nbf": issued_at - self.nbf_early_seconds,
            "exp": issued_at + lifetime,
            "jti": jti,
            "uid": payload.uid,
            "auth": payload.auth,
            "scope": payload.scope,
            "ac_type": payload.ac_type,
        }
        if client_id is not None:
            members["client_id"] = client_id
        if session_id is not None:
            members["sid"] = session_id
        issued = IssuedToken(signer.sign({**own, **members}), lifetime, jti)
        emit(Name.TOKEN_ISSUED, issuer=self.issuer, sub=payload.sub, jti=jti)
        return issued

    def _current_signer(self) -> _Signer:
        signer, keys = self._signer, self._keys.current()
        if signer.keys is not keys:
            self._signer = signer = _Signer(keys)
        return signer


def _listed(audience: object) -> tuple[str, ...]:
    return tuple(audience) if isinstance(audience, list | tuple | set | frozenset) else ()


def _check_whole(lifetime_seconds: int) -> None:
    if type(lifetime_seconds) is not int:
        raise ConfigurationError("lifetime_seconds must be a whole number")


class _Signer:
    """A key with its header segments, so that a rotation replaces both at once."""

    def __init__(self, keys: KeySet) -> None:
        key = keys.signing_key
        if key is None:
            raise UnavailableError("none of the keys can sign")
        self.keys = keys
        self._key = key
        self._plain = encode_object({"typ": "JWT", "alg": key.alg, "kid": key.kid})
        self._profiled = encode_object({"typ": "at+jwt", "alg": key.alg, "kid": key.kid})

    def sign(self, claims: dict[str, object]) -> str:
        # RFC 9068 §2: the type at+jwt requires a client_id.
        header = self._profiled if "client_id" in claims else self._plain
        return serialize(header, encode_object(claims), self._key.sign)

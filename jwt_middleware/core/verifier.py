"""Verifying access tokens: issuer, signature, registered claims, revocation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from ..errors import (
    ConfigurationError,
    InvalidSignatureError,
    MalformedTokenError,
    RevokedTokenError,
    UnavailableError,
)
from . import claims as check
from .cache import TokenCache
from .jws import CompactJWS, Header, decode_object, decode_segment, split
from .keys import Key, KeySet
from .trust import KeySource, Profile, TrustedIssuer, by_issuer, checked_keys

DEFAULT_CACHE_SIZE: Final = 10_000


class RevocationCheck(Protocol):
    """Tells whether a token that is good in every other way has been revoked."""

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """
        Return whether the token with these read-only *claims* is revoked.

        Called for every request: it must be quick, and safe in several threads.  Whatever it
        raises means that revocation cannot be consulted, and the token is not let through.
        """


class VerifiedToken:
    """
    What a token was verified to.  Shared between requests and unchangeable.

    Attributes:
        header: The members of its JOSE header that decided.
        trusted: Its issuer.
        keys: The key set that it was verified under.
        subject: The claim *sub*.
        valid_from: Seconds since the epoch; earlier the token must be checked again.
        valid_until: Seconds since the epoch; from then on the token has expired.
    """

    __slots__ = (
        *("_claims", "_nested", "header", "keys", "subject", "trusted"),
        *("valid_from", "valid_until"),
    )

    def __init__(
        self,
        header: Header,
        claims: dict[str, Any],
        *,
        trusted: TrustedIssuer,
        keys: KeySet,
        valid_from: float,
        valid_until: float,
    ) -> None:
        self.header = header
        self.trusted = trusted
        self.keys = keys
        self.subject: str = claims["sub"]
        self.valid_from = valid_from
        self.valid_until = valid_until
        self._claims = MappingProxyType(claims)
        self._nested = [name for name, value in claims.items() if isinstance(value, dict | list)]

    @property
    def claims(self) -> dict[str, Any]:
        """The claims, name to JSON value: a new copy each time, the caller's own to change."""
        claims = self._claims.copy()
        for name in self._nested:
            claims[name] = _copy_json(claims[name])
        return claims

    @property
    def read_only_claims(self) -> Mapping[str, Any]:
        """The claims without a copy, for who only looks."""
        return self._claims

    @property
    def scopes(self) -> frozenset[str]:
        """The members of *scope* (RFC 8693 §4.2); a *scope* that is no string grants nothing."""
        scope = self._claims.get("scope")
        return frozenset(filter(None, scope.split(" "))) if isinstance(scope, str) else frozenset()

    def __repr__(self) -> str:
        return f"<VerifiedToken sub={self.subject!r} kid={self.header.kid!r}>"


class TokenVerifier:
    """
    Verifies tokens, and remembers the good ones.

    Whatever string it is given, :meth:`verify` returns or raises one of this package's errors.
    A remembered token is only good while its time, its keys and its revocation allow.

    Its own issuer is given by *keys*, *issuer* and *audience*, others by *trusted*; a token belongs
    to the one that its *iss* names, and to no other's keys.

    Args:
        keys: Whose signatures are accepted: a :class:`KeySet` or a key source.  May be replaced by
            assignment.
        issuer: The *iss* of tokens under these keys.
        audience: One *aud* or several, one of which such a token must name.
        leeway_seconds: As for :class:`TrustedIssuer`.
        token_type: As for :class:`TrustedIssuer`.
        trusted: Further issuers, or all of them.
        is_revoked: Asked last, on every call.
        cache_size: Verified tokens remembered at most; 0 remembers none.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: A part is missing or unusable.
    """

    def __init__(
        self,
        *,
        keys: KeySource | None = None,
        issuer: str | None = None,
        audience: str | Iterable[str] | None = None,
        leeway_seconds: float = 0,
        token_type: Profile | None = None,
        trusted: Iterable[TrustedIssuer] = (),
        is_revoked: RevocationCheck | None = None,
        cache_size: int = DEFAULT_CACHE_SIZE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if type(cache_size) is not int or cache_size < 0:
            raise ConfigurationError("cache_size must be a whole number, at least 0")
        self._own: TrustedIssuer | None = None
        if keys is not None or issuer is not None or audience is not None:
            self._own = TrustedIssuer(
                issuer=issuer or "",
                audience=audience or (),
                keys=keys,  # type: ignore[arg-type]  # None is refused there, with the others
                leeway_seconds=leeway_seconds,
                token_type=token_type,
            )
        own = () if self._own is None else (self._own,)
        self._trusted = by_issuer((*own, *trusted))
        self._is_revoked = is_revoked
        self._clock = clock
        self._cache: TokenCache[VerifiedToken] = TokenCache(cache_size)

    @property
    def keys(self) -> KeySource:
        """The keys of its own issuer; assign others to rotate."""
        if self._own is None:
            raise ConfigurationError("the verifier has no keys of its own, only trusted issuers")
        return self._own.keys

    @keys.setter
    def keys(self, keys: KeySource) -> None:
        if self._own is None:
            raise ConfigurationError("the verifier has no keys of its own, only trusted issuers")
        self._own.keys = checked_keys(keys)

    def verify(self, token: str) -> VerifiedToken:
        """
        Verify one token.

        Raises:
            InvalidTokenError: One of its subclasses says what is wrong.
            UnavailableError: Keys or revocation could not be consulted.
        """
        if not isinstance(token, str):
            raise MalformedTokenError("not a string")
        verified = self._cache.get(token)
        if (
            verified is None
            or verified.keys is not verified.trusted.keys.current()
            or not verified.valid_from <= self._clock() < verified.valid_until
        ):
            verified = self._verify_afresh(token)
        if self._is_revoked is not None:
            _check_revocation(verified, self._is_revoked)
        return verified

    def _verify_afresh(self, token: str) -> VerifiedToken:
        jws = split(token)
        # Unverified until the signature is: all it decides is whose keys must have made that.
        claims = decode_object(jws.payload, "payload")
        trusted = check.check_issuer(claims, self._trusted)
        found = keys, header, candidates = trusted.find_keys(jws.header)
        _check_signature(jws, candidates)
        valid_from, valid_until = trusted.check_claims(claims, now=self._clock())
        verified = VerifiedToken(
            header,
            claims,
            trusted=trusted,
            keys=keys,
            valid_from=valid_from,
            valid_until=valid_until,
        )
        # Only what was signed with these keys is remembered: nobody else can fill the memory.
        trusted.remember_header(jws.header, found)
        self._cache.put(token, verified)
        return verified


def _check_revocation(verified: VerifiedToken, is_revoked: RevocationCheck) -> None:
    try:
        revoked = is_revoked(verified.read_only_claims)
    except UnavailableError:
        raise
    except Exception as error:
        raise UnavailableError("revocation cannot be consulted") from error
    if revoked:
        raise RevokedTokenError


def _check_signature(jws: CompactJWS, candidates: tuple[Key, ...]) -> None:
    signature = decode_segment(jws.signature, "signature")
    for key in candidates:
        if key.verify(jws.signing_input, signature):
            return
    raise InvalidSignatureError


def _copy_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copy_json(item) for item in value]
    return value

"""Verifying access tokens: signature, registered claims, revocation."""

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
from .jws import CompactJWS, Header, decode_object, decode_segment, parse_header, split
from .keys import Key, KeySet

MAX_LEEWAY_SECONDS: Final = 300
DEFAULT_CACHE_SIZE: Final = 10_000
MAX_KNOWN_HEADERS: Final = 256

_ACCESS_TOKEN_TYPES: Final = frozenset({"jwt", "at+jwt"})


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
        subject: The claim *sub*.
        valid_from: Seconds since the epoch; earlier the token must be checked again.
        valid_until: Seconds since the epoch; from then on the token has expired.
    """

    __slots__ = ("_claims", "_nested", "header", "keys", "subject", "valid_from", "valid_until")

    def __init__(
        self,
        header: Header,
        claims: dict[str, Any],
        *,
        keys: KeySet,
        valid_from: float,
        valid_until: float,
    ) -> None:
        self.header = header
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
        """The members of the claim *scope*."""
        return check.scopes_of(self._claims)

    def __repr__(self) -> str:
        return f"<VerifiedToken sub={self.subject!r} kid={self.header.kid!r}>"


class TokenVerifier:
    """
    Verifies tokens, and remembers the good ones.

    Whatever string it is given, :meth:`verify` returns or raises one of this package's errors.
    A remembered token is only good while its time, its keys and its revocation allow.

    Args:
        keys: Whose signatures are accepted.  May be replaced by assignment.
        issuer: The only *iss* accepted.
        audience: One *aud* or several, one of which a token must name.
        leeway_seconds: Clock skew forgiven with *exp*, *nbf* and *iat*, up to
            :data:`MAX_LEEWAY_SECONDS`.
        token_type: ``None`` accepts ``JWT``, ``at+jwt`` or no *typ*; ``"at+jwt"`` only this one
            (RFC 9068 §4).  Case and a leading ``application/`` do not count.
        is_revoked: Asked last, on every call.
        cache_size: Verified tokens remembered at most; 0 remembers none.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: A part is missing or unusable.
    """

    def __init__(
        self,
        *,
        keys: KeySet,
        issuer: str,
        audience: str | Iterable[str],
        leeway_seconds: float = 0,
        token_type: str | None = None,
        is_revoked: RevocationCheck | None = None,
        cache_size: int = DEFAULT_CACHE_SIZE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(issuer, str) or not issuer:
            raise ConfigurationError(
                "issuer must be a non-empty string, the iss of accepted tokens"
            )
        audiences = (audience,) if isinstance(audience, str) else tuple(audience or ())
        if not audiences or not all(isinstance(one, str) and one for one in audiences):
            raise ConfigurationError("audience must be one or more non-empty strings")
        if type(leeway_seconds) not in {int, float} or not (
            0 <= leeway_seconds <= MAX_LEEWAY_SECONDS
        ):
            raise ConfigurationError(f"leeway_seconds must be 0 to {MAX_LEEWAY_SECONDS}")
        if token_type not in {None, "at+jwt"}:
            raise ConfigurationError('token_type must be None or "at+jwt"')
        if type(cache_size) is not int or cache_size < 0:
            raise ConfigurationError("cache_size must be a whole number, at least 0")
        self.keys = keys
        self.issuer = issuer
        self.audiences = frozenset(audiences)
        self.leeway_seconds = leeway_seconds
        self.token_type = token_type
        self._is_revoked = is_revoked
        self._clock = clock
        self._cache: TokenCache[VerifiedToken] = TokenCache(cache_size)
        self._known_headers: dict[bytes, tuple[KeySet, Header, tuple[Key, ...]]] = {}

    @property
    def keys(self) -> KeySet:
        """The keys in use; assign another set to rotate."""
        return self._keys

    @keys.setter
    def keys(self, keys: KeySet) -> None:
        if not isinstance(keys, KeySet) or not any(key.can_verify for key in keys):
            raise ConfigurationError("keys must be a KeySet with a key in it that can verify")
        self._keys = keys

    def verify(self, token: str) -> VerifiedToken:
        """
        Verify one token.

        Raises:
            InvalidTokenError: One of its subclasses says what is wrong.
            UnavailableError: Revocation could not be consulted.
        """
        if not isinstance(token, str):
            raise MalformedTokenError("not a string")
        verified = self._cache.get(token)
        if (
            verified is None
            or verified.keys is not self._keys
            or not verified.valid_from <= self._clock() < verified.valid_until
        ):
            verified = self._verify_afresh(token)
        if self._is_revoked is not None:
            self._check_revocation(verified, self._is_revoked)
        return verified

    def _verify_afresh(self, token: str) -> VerifiedToken:
        keys = self._keys
        jws = split(token)
        header, candidates = self._header(jws.header, keys)
        _check_signature(jws, candidates)
        claims = decode_object(jws.payload, "payload")
        now, leeway = self._clock(), self.leeway_seconds
        valid_until = check.check_expiry(claims, now=now, leeway_seconds=leeway)
        valid_from = check.check_not_before(claims, now=now, leeway_seconds=leeway)
        check.check_issuer(claims, self.issuer)
        check.check_audience(claims, self.audiences)
        check.check_subject(claims)
        check.check_token_id(claims)
        check.check_use(claims)
        verified = VerifiedToken(
            header, claims, keys=keys, valid_from=valid_from, valid_until=valid_until
        )
        self._remember(token, jws, verified, candidates)
        return verified

    def _header(self, segment: bytes, keys: KeySet) -> tuple[Header, tuple[Key, ...]]:
        known = self._known_headers.get(segment)
        if known is not None and known[0] is keys:
            return known[1:]
        header = parse_header(segment)
        self._check_type(header)
        return header, keys.candidates(header)

    def _check_type(self, header: Header) -> None:
        """Reject a token that is typed as something else.  Source: RFC 8725 §3.11, RFC 9068 §4."""
        if header.typ is None:
            accepted = self.token_type is None
        else:
            name = header.typ.lower().removeprefix("application/")
            accepted = name == self.token_type or (
                self.token_type is None and name in _ACCESS_TOKEN_TYPES
            )
        if not accepted:
            raise MalformedTokenError("typ is not that of an access token")

    def _remember(
        self, token: str, jws: CompactJWS, verified: VerifiedToken, candidates: tuple[Key, ...]
    ) -> None:
        # Only what was signed with our keys is remembered: nobody else can fill these.
        self._cache.put(token, verified)
        known = self._known_headers.get(jws.header)
        if known is None or known[0] is not verified.keys:
            if len(self._known_headers) >= MAX_KNOWN_HEADERS:
                self._known_headers.clear()
            self._known_headers[jws.header] = (verified.keys, verified.header, candidates)

    def _check_revocation(self, verified: VerifiedToken, is_revoked: RevocationCheck) -> None:
        try:
            answer = is_revoked(verified.read_only_claims)
            revoked = bool(answer)
        except UnavailableError:
            raise
        except Exception as error:
            raise UnavailableError("revocation cannot be consulted") from error
        if answer is None:  # a check that forgot to answer has not said that the token is good
            raise UnavailableError("revocation was asked and gave no answer")
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

"""Verifying access tokens: issuer, signature, registered claims, revocation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ..errors import ConfigurationError, InvalidSignatureError, MalformedTokenError
from . import claims as check
from .cache import TokenCache
from .jws import CompactJWS, decode_object, decode_segment, split
from .keys import Key
from .revocation import Revocation, RevocationCheck
from .trust import KeySource, Profile, TrustedIssuer, by_issuer, checked_keys
from .verified import VerifiedToken

DEFAULT_CACHE_SIZE: Final = 10_000


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
        accept_sender_constrained: As for :class:`TrustedIssuer`.
        trusted: Further issuers, or all of them.
        is_revoked: Asked last.  A plain callable is asked on every call; one that is a
            :class:`~.revocation.RevocationSource`, once a token for as long as nothing is revoked.
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
        accept_sender_constrained: bool = False,
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
                keys=checked_keys(keys),
                leeway_seconds=leeway_seconds,
                token_type=token_type,
                accept_sender_constrained=accept_sender_constrained,
            )
        elif leeway_seconds or token_type is not None:
            raise ConfigurationError(
                "leeway_seconds and token_type are asked of tokens under keys: without these give "
                "them to each trusted issuer"
            )
        own = () if self._own is None else (self._own,)
        self._trusted = by_issuer((*own, *trusted))
        # With a single issuer nothing in a token has to be read to tell whose keys it needs: what
        # nobody signed then costs no more than its hash.
        self._sole = next(iter(self._trusted.values())) if len(self._trusted) == 1 else None
        self._revocation = None if is_revoked is None else Revocation(is_revoked)
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

    @property
    def trusted(self) -> Mapping[str, TrustedIssuer]:
        """All its issuers, by their *iss*."""
        return self._trusted

    @property
    def checks_revocation(self) -> bool:
        """Whether anybody is asked if a token was revoked."""
        return self._revocation is not None

    def remote_user(self, trusted: TrustedIssuer, subject: str) -> str | None:
        """
        Return what ``REMOTE_USER`` is for a subject: unique over all issuers, or ``None``.

        It is the subject itself for its own issuer, and where only one is trusted; for any other
        only what its *remote_user* makes of it.
        """
        if trusted.remote_user is not None:
            return trusted.remote_user.replace("{sub}", subject)
        return subject if trusted is self._own or len(self._trusted) == 1 else None

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
        if self._revocation is not None:
            # Read before the check: what is revoked during it is another state.
            state = self._revocation.state()
            if verified.cleared_under is not state:
                self._revocation.check(verified.read_only_claims)
                verified.cleared_under = state
        return verified

    def _verify_afresh(self, token: str) -> VerifiedToken:
        jws = split(token)
        claims = None
        trusted = self._sole
        found = None if trusted is None else trusted.keys_at_hand(jws.header)
        if trusted is None or found is None:
            # Unverified until the signature is: all it decides is whose keys must have made that.
            claims = decode_object(jws.payload, "payload")
            trusted = check.check_issuer(claims, self._trusted)
            found = trusted.find_keys(jws.header)
        keys, header, candidates = found
        _check_signature(jws, candidates)
        if claims is None:
            claims = decode_object(jws.payload, "payload")
            check.check_issuer(claims, self._trusted)
        valid_from, valid_until = trusted.check_claims(claims, now=self._clock())
        verified = VerifiedToken(header, claims, trusted, keys, valid_from, valid_until)
        verified.remote_user = self.remote_user(trusted, verified.subject)
        # Only what was signed with these keys is remembered: nobody else can fill the memory.
        trusted.remember_header(jws.header, found)
        self._cache.put(token, verified)
        return verified


def _check_signature(jws: CompactJWS, candidates: tuple[Key, ...]) -> None:
    signature = decode_segment(jws.signature, "signature")
    for key in candidates:
        if key.verify(jws.signing_input, signature):
            return
    raise InvalidSignatureError

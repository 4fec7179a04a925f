"""Verify access tokens: issuer, signature, registered claims, revocation."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final, Unpack

from ..bounds import check_whole
from ..errors import (
    ConfigurationError,
    InvalidSignatureError,
    MalformedTokenError,
    RevokedTokenError,
    UnavailableError,
)
from . import claims as check
from .claim_path import scopes_of
from .jws import (
    MAX_TOKEN_CHARS,
    MAX_UNSIGNED_CHARS,
    Header,
    cut,
    decode_signature,
    peek_claims,
    read_payload,
)
from .keys import Key, KeySet
from .revocation import RevocationCheck, RevocationSource
from .terms import Profile, Terms
from .trust import Found, KeySource, TrustedIssuer, by_issuer, checked_keys

DEFAULT_CACHE_SIZE: Final = 10_000
DEFAULT_CACHE_BYTES: Final = 64 * 1024 * 1024

_BARE_TOKEN_BYTES: Final = 1_000  # memory in the cache, without string and claims

_CONTAINERS: Final = frozenset({dict, list})


class VerifiedToken:
    """
    A verified token.  Shared between requests and immutable for them.

    Attributes:
        header: The used members of its JOSE header.
        trusted: Its issuer.
        keys: The key set that it was verified under.
        subject: The claim *sub*, or the issuer's replacement.
        remote_user: The value of ``REMOTE_USER``; ``None`` for none.
        valid_from: Seconds since the epoch; before it the token must be verified again.
        valid_until: Seconds since the epoch; from then on it has expired.
        revocation_state: The state of revocations when the token was last found not revoked.
        used: Whether it was presented again since the cache last checked.
        size: Estimated memory in the cache, in bytes.
    """

    __slots__ = (
        *("_claims", "_copy", "_scopes", "header", "keys", "remote_user", "subject", "trusted"),
        *("revocation_state", "size", "used", "valid_from", "valid_until"),
    )

    def __init__(
        self,
        header: Header,
        claims: dict[str, Any],
        # Not keyword-only: that would make the constructor slower by a third.
        trusted: TrustedIssuer,
        keys: KeySet,
        valid_from: float,
        valid_until: float,
        subject: str,
        remote_user: str | None,
        size: int,
    ) -> None:
        self.header = header
        self.trusted = trusted
        self.keys = keys
        self.subject = subject
        self.remote_user = remote_user
        self.valid_from = valid_from
        self.valid_until = valid_until
        self.revocation_state: object = None
        self.used = False
        self.size = size
        self._claims = claims
        self._copy: Callable[[], dict[str, Any]] | None = None
        self._scopes: frozenset[str] | None = None

    @property
    def claims(self) -> dict[str, Any]:
        """The claims, name to JSON value: a new copy each time."""
        if self._copy is None:
            self._copy = _copier(self._claims)
        return self._copy()

    @property
    def read_only_claims(self) -> Mapping[str, Any]:
        """The claims without copying; nested values must not be changed."""
        return MappingProxyType(self._claims)

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes, from the claims that its issuer uses."""
        if self._scopes is None:
            self._scopes = scopes_of(self._claims, self.trusted.scopes_from)
        return self._scopes

    def __repr__(self) -> str:
        return f"<VerifiedToken sub={self.subject!r} kid={self.header.kid!r}>"


def _copier(value: Any) -> Callable[[], Any]:
    """Return a function that copies a dict or list; one call if it is flat."""
    members = value.items() if type(value) is dict else enumerate(value)
    nested = [(key, _copier(inner)) for key, inner in members if type(inner) in _CONTAINERS]
    if not nested:
        copier: Callable[[], Any] = value.copy
        return copier

    def copy() -> Any:
        copied = value.copy()
        for key, copy_inner in nested:
            copied[key] = copy_inner()
        return copied

    return copy


class TokenCache:
    """
    A cache of verified tokens by their string, bounded by number and memory.

    A full cache evicts by the clock (second-chance) algorithm: the hit ratio of LRU for one
    assignment per hit.  A hit takes no lock, and no thread waits for one.

    Args:
        size: Maximum number of tokens; 0 disables the cache.
        max_bytes: Maximum sum of :attr:`VerifiedToken.size`.
    """

    def __init__(self, size: int, max_bytes: int) -> None:
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: dict[str, VerifiedToken] = {}
        self._queue: deque[str] = deque()
        # A try-lock; a threading.Lock would take five times as long.
        self._turn = [None]
        self.get: Final[Callable[[str], VerifiedToken | None]] = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, token: str, verified: VerifiedToken) -> None:
        """Cache *verified* under *token*, unless another thread is adding a token right now."""
        if not self._size or verified.size > self._max_bytes:
            return
        try:
            self._turn.pop()
        except IndexError:  # another thread has the lock: this token is not cached
            return
        try:
            entries, most_bytes = self._entries, self._max_bytes - verified.size
            if token in entries:  # verified again, with the same size
                entries[token] = verified
                return
            while len(entries) >= self._size or self._bytes > most_bytes:
                self._drop_one()
            entries[token] = verified
            self._queue.append(token)
            self._bytes += verified.size
        finally:
            self._turn.append(None)

    def _drop_one(self) -> None:
        while True:
            token = self._queue.popleft()
            verified = self._entries[token]
            if not verified.used:
                break
            verified.used = False
            self._queue.append(token)
        del self._entries[token]
        self._bytes -= verified.size


class TokenVerifier:
    """
    Verifies tokens, and caches the valid ones.

    For any string, :meth:`verify` returns or raises one of this package's errors.  Time, keys and
    revocation of a cached token are checked on each call.

    *keys*, *issuer* and *audience* define its own issuer, *trusted* others; a token is verified
    with the keys of the issuer in its *iss*.

    Args:
        keys: The keys of its own issuer: a :class:`KeySet` or a key source.  Can be replaced by
            assignment.
        issuer: The *iss* of tokens signed with these keys.
        audience: One *aud* or several; such a token must name one of them.
        leeway_seconds: As for :class:`TrustedIssuer`.
        token_type: As for :class:`TrustedIssuer`.
        trusted: Other issuers, or all of them.
        is_revoked: The revocation check, done last.  A plain callable is called for each request; a
            :class:`~.revocation.RevocationSource` once per token until something is revoked.
        cache_size: Maximum number of cached tokens; 0 disables the cache.
        cache_bytes: Maximum estimated memory of cached tokens; 0 disables the cache.
        clock: Returns seconds since the Unix epoch; a revocation source may replace it.
        terms: Other parameters of :class:`TrustedIssuer`, for its own issuer.

    Raises:
        ConfigurationError: An argument is missing or invalid.
    """

    _covers: RevocationCheck

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
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        clock: Callable[[], float] = time.time,
        **terms: Unpack[Terms],
    ) -> None:
        for name, bound in (("cache_size", cache_size), ("cache_bytes", cache_bytes)):
            check_whole(name, bound, 0)
        self._own: TrustedIssuer | None = None
        if keys is not None or issuer is not None or audience is not None:
            self._own = TrustedIssuer(
                issuer=issuer or "",
                audience=audience or (),
                keys=checked_keys(keys),
                leeway_seconds=leeway_seconds,
                token_type=token_type,
                **terms,
            )
        elif leeway_seconds or token_type is not None or terms:
            names = ", ".join(terms) or "leeway_seconds and token_type"
            raise ConfigurationError(
                f"{names} are for tokens under keys: without keys give them to each trusted issuer"
            )
        own = () if self._own is None else (self._own,)
        self._trusted = by_issuer((*own, *trusted))
        # With a single issuer the payload is not read before the signature check, so that a token
        # with a bad signature costs only its hash.
        issuers = set(self._trusted.values())
        self._sole = issuers.pop() if len(issuers) == 1 else None
        if is_revoked is not None and not callable(is_revoked):
            raise ConfigurationError("is_revoked must be a function of the claims")
        self._is_revoked = is_revoked
        self._clock = clock
        self._revocation_state: Callable[[], object] | None = None
        if isinstance(is_revoked, RevocationSource):
            self._clock = is_revoked.token_clock(clock)
            self._covers, self._revocation_state = is_revoked.covers, is_revoked.current
        elif is_revoked is not None:
            # A new object() never equals an earlier state: a plain check is called every time.
            self._covers, self._revocation_state = is_revoked, object
        self._cache = TokenCache(cache_size, cache_bytes)
        self._remembered = self._cache.get
        self.observe: Callable[[float], object] | None = None

    def __repr__(self) -> str:
        return f"<TokenVerifier of {', '.join(map(repr, self._trusted))}>"

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
        """All issuers, by their *iss*."""
        return self._trusted

    @property
    def is_revoked(self) -> RevocationCheck | None:
        """The revocation check, if any."""
        return self._is_revoked

    @property
    def checks_revocation(self) -> bool:
        """Whether tokens are checked for revocation."""
        return self._is_revoked is not None

    def remote_user(self, trusted: TrustedIssuer, subject: str) -> str | None:
        """
        Return ``REMOTE_USER`` for a subject: unique across issuers, or ``None``.

        It is the subject for its own issuer, or if only one is trusted; for any other issuer the
        template *remote_user* is required.
        """
        if trusted.remote_user is not None:
            return trusted.remote_user.replace("{sub}", subject)
        return subject if trusted is self._own or len(self._trusted) == 1 else None

    def verify(self, token: str) -> VerifiedToken:
        """
        Verify a token.

        Raises:
            InvalidTokenError: The token is invalid; see the subclasses.
            UnavailableError: Keys or revocation are unavailable.
        """
        if not isinstance(token, str):
            raise MalformedTokenError("not a string")
        verified = self._remembered(token)
        if (
            verified is None
            or verified.keys is not verified.trusted.keys.current()
            or not verified.valid_from <= self._clock() < verified.valid_until
        ):
            verified = self._verify_afresh(token)
        else:
            verified.used = True
        if self._revocation_state is not None:
            revoked = False
            try:
                # Read before the check: a revocation during the check changes the state.
                state = self._revocation_state()
                if verified.revocation_state is not state:
                    revoked = self._finds_revoked(verified.read_only_claims)
            except UnavailableError:
                raise
            except Exception as error:
                raise UnavailableError("the revocation check failed") from error
            if revoked:
                raise RevokedTokenError
            verified.revocation_state = state
        return verified

    def _finds_revoked(self, claims: Mapping[str, object]) -> bool:
        answer: object = self._covers(claims)
        revoked = bool(answer)
        if answer is None:  # None may be a missing return: fail closed
            raise UnavailableError("the revocation check returned None")
        return revoked

    def _verify_afresh(self, token: str) -> VerifiedToken:
        observe = self.observe
        started_at = 0.0 if observe is None else perf_counter()
        segment, payload, signature, signed = cut(token)
        trusted = self._sole
        known = found = None if trusted is None else trusted.known_keys(segment)
        if trusted is None or found is None:
            trusted, found = self._find_keys(segment, payload)
        signature = decode_signature(signature)
        signers = _signers(signed, signature, found)
        if not signers:
            found = self._newer_keys(payload, trusted, found)
            signers = _signers(signed, signature, found)
            if not signers:
                raise InvalidSignatureError
        claims, size = read_payload(payload)
        issuer = claims.get("iss")
        if type(issuer) is not str or self._trusted.get(issuer) is not trusted:
            check.check_issuer(claims, self._trusted)
            raise InvalidSignatureError  # the peeked iss was not the token's own claim
        keys, header, _ = found
        now = self._clock()
        subject, valid_from, valid_until = trusted.check_claims(claims, now)
        if signers[0].is_limited:
            key = trusted.permitted_signer(signers, claims, keys=keys, now=now)
            valid_from = max(valid_from, key.valid_from)
            valid_until = min(valid_until, key.valid_until)
        user = self.remote_user(trusted, subject)
        size += _BARE_TOKEN_BYTES + len(token)
        verified = VerifiedToken(
            header, claims, trusted, keys, valid_from, valid_until, subject, user, size
        )
        # Only valid tokens are cached, so that others cannot fill the memory.
        if found is not known:
            trusted.remember_header(segment, found)
        self._cache.put(token, verified)
        if observe is not None:
            observe(perf_counter() - started_at)
        return verified

    def _find_keys(self, segment: bytes, payload: bytes) -> tuple[TrustedIssuer, Found]:
        """Return the issuer, and its keys that may have made the signature."""
        trusted = self._sole
        if trusted is None or not isinstance(trusted.keys, KeySet):
            trusted = self._named_issuer(
                payload
            )  # keys are only fetched for a token with a known iss
        return trusted, trusted.find_keys(segment)

    def _named_issuer(self, payload: bytes) -> TrustedIssuer:
        """Return the issuer in *iss* of an unverified payload."""
        # With one issuer this only permits a refresh, so that a long payload is read, too.
        longest = MAX_UNSIGNED_CHARS if self._sole is None else MAX_TOKEN_CHARS
        return check.check_issuer(peek_claims(payload, longest), self._trusted)

    def _newer_keys(self, payload: bytes, trusted: TrustedIssuer, found: Found) -> Found:
        """Refresh the keys, since they may be replaced under the same kid."""
        if isinstance(trusted.keys, KeySet):
            raise InvalidSignatureError
        self._named_issuer(payload)  # keys are only fetched for a token with a known iss
        newer = trusted.find_newer_keys(found)
        if newer is None:
            raise InvalidSignatureError
        return newer


def _signers(signed: bytes, signature: bytes, found: Found) -> list[Key]:
    """Return the keys that made the signature: several if a key has several entries."""
    signers: list[Key] = []
    for key in found[2]:
        if key.verify(signed, signature):
            signers.append(key)
            if not key.is_limited:
                break
    return signers

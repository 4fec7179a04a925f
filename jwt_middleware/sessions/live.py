"""The revocations that count, in memory: what a request is checked against."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from ..core.trust import MAX_LEEWAY_SECONDS
from ..errors import ConfigurationError
from .store import Revocation

_BUCKET_SECONDS: Final = 60


class LiveRevocations:
    """
    A set of revocations that forgets each some time after it has expired.

    Readers need no lock: each looks into a dict once or twice.  There must be one writer at a time.
    Tokens and sessions share one dict, as their names cannot be mistaken for one another: of our
    own tokens both are random, and a token of another issuer is named with that.

    Args:
        issuer: The *iss* of our own tokens.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._names: dict[str, int] = {}
        self._subjects: dict[str, tuple[int, int]] = {}
        self._buckets: dict[int, list[str]] = {}
        self._subject_buckets: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._names) + len(self._subjects)

    def add(self, revocation: Revocation) -> None:
        """Add one, or make one that is there last longer."""
        bucket = revocation.expires_at // _BUCKET_SECONDS
        key = revocation.key
        if revocation.kind == "subject":
            known, until = self._subjects.get(key, (revocation.revoked_at, -1))
            self._subjects[key] = max(known, revocation.revoked_at), max(until, bucket)
            if bucket > until:
                self._subject_buckets.setdefault(bucket, []).append(key)
        elif bucket > self._names.get(key, -1):
            names = self._buckets.setdefault(bucket, [])
            names.append(key)
            # One int object a bucket, not one an entry.
            self._names[key] = bucket

    def covers(self, claims: Mapping[str, object]) -> bool:
        """Tell whether the verified token with these claims is revoked."""
        jti, sid = claims.get("jti"), claims.get("sid")
        own = claims["iss"] == self._issuer
        if isinstance(jti, str) and token_key(claims, self._issuer) in self._names:
            return True
        if not own:
            return False
        in_session = isinstance(sid, str)
        if in_session and sid in self._names:
            return True
        revoked_at, _ = self._subjects.get(str(claims["sub"]), (None, 0))
        if revoked_at is None:
            return False
        issued_at = claims.get("iat", 0)
        if not isinstance(issued_at, int | float):
            return True
        # iat is in whole seconds: a token of that very second may have come before or after.  Its
        # session, if it has one, tells; this is for those whose session the store has lost.
        return issued_at < revoked_at or (issued_at == revoked_at and not in_session)

    def forget_expired(self, now: float, *, limit: int) -> None:
        """Forget up to about *limit* that have expired."""
        past = int(now) // _BUCKET_SECONDS
        for buckets, entries in (
            (self._buckets, self._names),
            (self._subject_buckets, self._subjects),
        ):
            for bucket in [one for one in buckets if one < past]:
                keys = buckets[bucket]
                for key in keys[-limit:]:
                    if _last_bucket(entries, key) == bucket:
                        del entries[key]
                del keys[-limit:]
                if not keys:
                    del buckets[bucket]


def token_key(claims: Mapping[str, object], issuer: str) -> str:
    """
    Return by what a token is revoked: its *jti*, with its *iss* if that is not *issuer*.

    Args:
        claims: Verified claims with a *jti*.
        issuer: The *iss* of our own tokens.
    """
    iss, jti = claims["iss"], claims["jti"]
    return str(jti) if iss == issuer else f"{iss}\n{jti}"


def token_revocation(claims: Mapping[str, object], *, issuer: str, now: float) -> Revocation:
    """
    Return what revokes one token, and nothing else of its session.

    Args:
        claims: Its verified claims, or as many as are known: *iss*, *jti* and *exp*.
        issuer: The *iss* of our own tokens.
        now: Seconds since the Unix epoch.

    Raises:
        ConfigurationError: It has no *jti*: nothing could tell it from others.
    """
    if not isinstance(claims.get("jti"), str):
        raise ConfigurationError("the token has no jti, so it cannot be revoked alone")
    expires = claims.get("exp")
    if not isinstance(expires, int | float):
        raise ConfigurationError("exp must be a number: until then the token is revoked")
    until = math.ceil(expires) + MAX_LEEWAY_SECONDS
    return Revocation("token", token_key(claims, issuer), int(now), until)


def _last_bucket(entries: Mapping[str, int | tuple[int, int]], key: str) -> int | None:
    entry = entries.get(key)
    return entry[1] if isinstance(entry, tuple) else entry

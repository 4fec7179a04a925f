"""What a login leaves behind, and what its client gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

from ..bounds import check_seconds, check_whole
from ..core.issuer import IssuedToken
from ..core.payload import JWTPayload
from ..core.scope import valid_scopes
from ..core.trust import MAX_LEEWAY_SECONDS

DEFAULT_REFRESH_LIFETIME_SECONDS: Final = 14 * 86_400
DEFAULT_MAX_LIFETIME_SECONDS: Final = 90 * 86_400
DEFAULT_GRACE_SECONDS: Final = 10.0
MAX_GRACE_SECONDS: Final = 300

SERVICE: Final = "service"
"""The client type of the accounts that are OAuth clients with a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """
    Durations in seconds.

    Attributes:
        token_lifetime_seconds: Of an access token.
        refresh_lifetime_seconds: Of a refresh token, and with it of the session, from each use on;
            at least that of an access token.
        max_lifetime_seconds: Of the session, however often it is refreshed; at least the other.
        grace_seconds: 0 to :data:`MAX_GRACE_SECONDS`.

    Raises:
        ConfigurationError: One is something else.
    """

    token_lifetime_seconds: int
    refresh_lifetime_seconds: int = DEFAULT_REFRESH_LIFETIME_SECONDS
    max_lifetime_seconds: int = DEFAULT_MAX_LIFETIME_SECONDS
    grace_seconds: float = DEFAULT_GRACE_SECONDS

    def __post_init__(self) -> None:
        for name, other in (
            ("refresh_lifetime_seconds", "token_lifetime_seconds"),
            ("max_lifetime_seconds", "refresh_lifetime_seconds"),
        ):
            note = f", which is {other.removeprefix('token_')}"
            check_whole(name, getattr(self, name), getattr(self, other), note=note)
        check_seconds("grace_seconds", self.grace_seconds, maximum=MAX_GRACE_SECONDS)

    def of(self, payload: JWTPayload) -> Lifetimes:
        """Return those of a session for *payload*, which may name others, within the longest."""
        longest = self.max_lifetime_seconds
        refresh = min(payload.refresh_lifetime_seconds or self.refresh_lifetime_seconds, longest)
        token = min(payload.lifetime_seconds or self.token_lifetime_seconds, refresh)
        if (token, refresh) == (self.token_lifetime_seconds, self.refresh_lifetime_seconds):
            return self
        return replace(self, token_lifetime_seconds=token, refresh_lifetime_seconds=refresh)

    def token_seconds(self, *, now: float, expires_at: float) -> int:
        """Return how long an access token of a session that expires then may be good for."""
        return max(1, min(self.token_lifetime_seconds, int(expires_at - now)))

    def tokens_until(self, *, now: float, expires_at: float) -> float:
        """Return when an access token issued now is accepted nowhere any more, leeway included."""
        return now + self.token_seconds(now=now, expires_at=expires_at) + MAX_LEEWAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    A login that goes on.  All times are seconds since the Unix epoch, UTC.

    Attributes:
        sid: Its identifier, the claim *sid* of its access tokens.  No secret.
        issuer: The *iss* of its access tokens; empty in what version 0.1 has stored.
        payload: Whom its access tokens are for, and the most that they may allow.
        credential: What its account's verifier said beside the identity, and changes with the
            account's secret; may be empty.
        created_at: When the login was.
        used_at: When an access token was issued for it last.
        expires_at: When it ends, unless it is refreshed before.
        ends_at: When it ends, however often it is refreshed.
        tokens_until: When none of its access tokens is accepted any more, leeway included.
        token_hash: SHA-256 of its refresh token in force; ``None`` if it never had one.
    """

    sid: str
    issuer: str = ""
    payload: JWTPayload
    credential: str = field(default="", repr=False)
    created_at: float
    used_at: float
    expires_at: float
    ends_at: float
    tokens_until: float
    token_hash: bytes | None = field(default=None, repr=False)

    @classmethod
    def begin(
        cls,
        sid: str,
        payload: JWTPayload,
        *,
        issuer: str,
        credential: str,
        token_hash: bytes | None,
        now: float,
        lifetimes: Lifetimes,
    ) -> Self:
        """Return a new session, which without *token_hash* ends with its first access token."""
        lifetimes = lifetimes.of(payload)
        if token_hash is None:
            expires_at = ends_at = now + lifetimes.token_lifetime_seconds
        else:
            expires_at = now + lifetimes.refresh_lifetime_seconds
            ends_at = now + lifetimes.max_lifetime_seconds
        return cls(
            sid=sid,
            issuer=issuer,
            payload=payload,
            credential=credential,
            created_at=now,
            used_at=now,
            expires_at=expires_at,
            ends_at=ends_at,
            tokens_until=lifetimes.tokens_until(now=now, expires_at=expires_at),
            token_hash=token_hash,
        )

    @property
    def subject(self) -> str:
        """The claim *sub* of its access tokens."""
        return self.payload.sub

    def is_of(self, issuer: str | None) -> bool:
        """Tell whether it may be of this issuer; ``None`` stands for any."""
        return issuer is None or self.issuer in {"", issuer}

    @property
    def client(self) -> str | None:
        """
        The subject of the client that it was started for, which alone may use its tokens.

        ``None`` if it is public (RFC 6749 §2.1): only accounts of the type ``service`` are clients
        with a secret.
        """
        return self.subject if self.payload.ac_type == SERVICE else None


_PAYLOAD: Final = frozenset(one.name for one in fields(JWTPayload))


def stored_payload(members: Mapping[str, Any]) -> JWTPayload:
    """Return the payload of a stored session, without what only a newer version knows."""
    known = {name: one for name, one in members.items() if name in _PAYLOAD}
    return JWTPayload(**known | {"scope": valid_scopes(members["scope"])})


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What a client gets for a login or a refresh.

    Attributes:
        issued: The access token.
        scope: What it allows.
        refresh_token: For the next one; ``None`` if there is none.
    """

    issued: IssuedToken
    scope: str
    refresh_token: str | None = field(default=None, repr=False)

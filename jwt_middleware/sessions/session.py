"""Sessions, their lifetimes, and the grant that a client gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple, Protocol

from ..bounds import check_seconds, check_whole
from ..core.issuer import IssuedToken
from ..core.payload import JWTPayload
from ..core.scope import valid_scopes
from ..core.trust import MAX_LEEWAY_SECONDS
from ..errors import BadCredentialsError, InvalidGrantError

DEFAULT_REFRESH_LIFETIME_SECONDS: Final = 14 * 86_400
DEFAULT_MAX_LIFETIME_SECONDS: Final = 90 * 86_400
DEFAULT_GRACE_SECONDS: Final = 10.0
MAX_GRACE_SECONDS: Final = 300

SERVICE: Final = "service"
"""The client type of accounts that are confidential OAuth clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """
    Lifetimes of tokens and sessions, in seconds.

    Attributes:
        token_lifetime_seconds: Lifetime of an access token.
        refresh_lifetime_seconds: Lifetime of a refresh token, and of an unused session; at least
            that of an access token.
        max_lifetime_seconds: Lifetime of a session, however often it is refreshed; at least that of
            a refresh token.
        grace_seconds: 0 to :data:`MAX_GRACE_SECONDS`.

    Raises:
        ConfigurationError: A value is invalid.
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
        """Return the lifetimes for *payload*, whose own ones are capped at the maximum."""
        longest = self.max_lifetime_seconds
        refresh = min(payload.refresh_lifetime_seconds or self.refresh_lifetime_seconds, longest)
        token = min(payload.lifetime_seconds or self.token_lifetime_seconds, refresh)
        if (token, refresh) == (self.token_lifetime_seconds, self.refresh_lifetime_seconds):
            return self
        return replace(self, token_lifetime_seconds=token, refresh_lifetime_seconds=refresh)

    def term(self, *, now: float, ends_at: float) -> Term:
        """Return the term of an access token issued now in a session that ends at *ends_at*."""
        expires_at = min(now + self.refresh_lifetime_seconds, ends_at)
        token_seconds = max(1, min(self.token_lifetime_seconds, int(expires_at - now)))
        return Term(token_seconds, expires_at, now + token_seconds + MAX_LEEWAY_SECONDS)


class Term(NamedTuple):
    """
    The lifetimes of an issued access token and its session.

    Attributes:
        token_seconds: Lifetime of the access token.
        expires_at: When its session ends unless refreshed before.
        tokens_until: From when the access token is no longer accepted, leeway included.
    """

    token_seconds: int
    expires_at: float
    tokens_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    A session, started by a login.  All times are seconds since the Unix epoch, UTC.

    Attributes:
        sid: Its identifier, the claim *sid* of its access tokens.  Not a secret.
        issuer: The *iss* of its access tokens; empty in sessions of version 0.1.
        payload: Subject, client type and maximum permissions of its access tokens.
        credential: The account's :attr:`Identity.credential` at login, which changes with its
            secret; may be empty.
        created_at: Time of the login.
        used_at: When its latest access token was issued.
        expires_at: When it ends unless refreshed before.
        ends_at: When it ends, however often it is refreshed.
        tokens_until: From when none of its access tokens is accepted, leeway included.
        token_hash: SHA-256 of its current refresh token; ``None`` if it has none.
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

    @property
    def subject(self) -> str:
        """The claim *sub* of its access tokens."""
        return self.payload.sub

    def is_of(self, issuer: str | None) -> bool:
        """Return whether it may be of this issuer; ``None`` matches any."""
        return issuer is None or self.issuer in {"", issuer}

    @property
    def client(self) -> str | None:
        """
        The subject of the client that it was started for; only that client may use its tokens.

        ``None`` for a public client (RFC 6749 §2.1): only accounts of the type ``service`` are
        confidential clients.
        """
        return self.subject if self.payload.ac_type == SERVICE else None


class Recheck(Protocol):
    """A callable that re-checks a session's account before an access token is issued."""

    def __call__(self, session: Session, /) -> JWTPayload:
        """
        Return the payload of the next access token.

        Raises:
            InvalidGrantError: The account is unknown or disabled, or its secret has changed.
            UnavailableError: The accounts are unavailable.
        """
        ...


def check_client(owner: str | None, client: str | None) -> None:
    """
    Check that a confidential client's token or session is used by that client.

    Args:
        owner: The subject of the client that it belongs to; ``None`` for a public client.
        client: The subject of the authenticated client, if any.

    Raises:
        BadCredentialsError: It belongs to a client, and the request has no client authentication.
        InvalidGrantError: It belongs to another client (RFC 6749 §5.2).
    """
    if owner is None or owner == client:
        return
    if client is None:
        raise BadCredentialsError("the token belongs to a client, which must authenticate itself")
    raise InvalidGrantError("the token belongs to another client")


_PAYLOAD: Final = frozenset(one.name for one in fields(JWTPayload))


def stored_payload(members: Mapping[str, Any]) -> JWTPayload:
    """Return the payload of a stored session, without members of newer versions."""
    known = {name: one for name, one in members.items() if name in _PAYLOAD}
    return JWTPayload(**known | {"scope": valid_scopes(members["scope"])})


@dataclass(frozen=True, slots=True)
class Grant:
    """
    The tokens for a login or a refresh.

    Attributes:
        issued: The access token.
        scope: The scope of the access token.
        refresh_token: The refresh token; ``None`` if there is none.
    """

    issued: IssuedToken
    scope: str
    refresh_token: str | None = field(default=None, repr=False)

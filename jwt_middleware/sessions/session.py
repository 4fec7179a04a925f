"""What a login leaves behind, and what its client gets."""

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

    def term(self, *, now: float, ends_at: float) -> Term:
        """Return what an access token issued now, in a session that ends then, is good for."""
        expires_at = min(now + self.refresh_lifetime_seconds, ends_at)
        token_seconds = max(1, min(self.token_lifetime_seconds, int(expires_at - now)))
        return Term(token_seconds, expires_at, now + token_seconds + MAX_LEEWAY_SECONDS)


class Term(NamedTuple):
    """
    How long what is issued at a moment is good for.

    Attributes:
        token_seconds: How long the access token is.
        expires_at: When its session ends, unless it is refreshed before.
        tokens_until: When the access token is accepted nowhere any more, leeway included.
    """

    token_seconds: int
    expires_at: float
    tokens_until: float


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


class Recheck(Protocol):
    """Says what a session's account may still do, when it asks for another access token."""

    def __call__(self, session: Session, /) -> JWTPayload:
        """
        Return the payload of the next access token.

        Raises:
            InvalidGrantError: The account may not log in any more, or its secret has changed.
            UnavailableError: The accounts are unavailable.
        """
        ...


def check_client(owner: str | None, client: str | None) -> None:
    """
    Check that what belongs to a client is used by that client.

    Args:
        owner: The subject of the client that it belongs to; ``None`` if it is a public client's.
        client: The subject of the client that has authenticated itself, if one has.

    Raises:
        BadCredentialsError: It is a client's, and none has authenticated itself.
        InvalidGrantError: It is another client's (RFC 6749 §5.2).
    """
    if owner is None or owner == client:
        return
    if client is None:
        raise BadCredentialsError("the token belongs to a client, which must authenticate itself")
    raise InvalidGrantError("the token belongs to another client")


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

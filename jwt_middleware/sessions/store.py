"""
The protocol of stores for sessions, revocations and login attempts.

Every method is atomic across all processes and hosts that share the store, and ends within about
:data:`TIMEOUT_SECONDS`.  Each raises :class:`~jwt_middleware.errors.UnavailableError` while the
store is unavailable; a write may then be lost.  Times are seconds since the Unix epoch, UTC: the
caller's *now* is by :func:`~.clock.clock_of` the store, one clock for all hosts.

Several issuers can share a store: sessions, revocations and attempts include their issuer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol

from .attempts import Attempt, Reservation
from .clock import MAX_AHEAD_SECONDS
from .session import Session

TIMEOUT_SECONDS: Final = 1.0
"""How long a store waits for its server or for a lock."""

NAMED_SECONDS: Final = 300
"""
Sessions used within this time before :meth:`SessionStore.end_all` are also revoked by *sid*.

The *iat* of their tokens may be in the same second, or from a host's clock that is ahead.  All
other tokens have an earlier *iat* and are covered by the subject's revocation.
"""

DEFAULT_MAX_PER_SUBJECT: Final = 1_000
"""Maximum number of concurrent sessions of a subject."""

ENDED_AT_ONCE: Final = 20
"""How many sessions one login ends at most if its subject has too many."""

Kind = Literal["token", "session", "subject"]


class Revocation(NamedTuple):
    """
    A revocation of a token, a session or a subject's tokens.

    Attributes:
        kind: The kind of *key*: a token's *jti*, a session's *sid*, or a *sub* for all its tokens
            so far.
        key: The name, :func:`qualified` by the issuer.  One without an issuer, from version 0.1,
            applies to every issuer.
        revoked_at: When, in whole seconds; later tokens of a subject are not revoked.
        expires_at: When all covered tokens have expired.
    """

    kind: Kind
    key: str
    revoked_at: int
    expires_at: int

    def joined_with(self, earlier: Revocation) -> Revocation:
        """Return a revocation that covers both, which have the same kind and key."""
        return self._replace(
            revoked_at=max(self.revoked_at, earlier.revoked_at),
            expires_at=max(self.expires_at, earlier.expires_at),
        )


def qualified(issuer: str, name: str) -> str:
    """Return the key of a name within an issuer; neither a *sub* nor an *iss* has line breaks."""
    return f"{issuer}\n{name}"


POSITIONS: Final = 131_072
"""How many numbers a store keeps tags for, to check cursors: a power of two."""


class Cursor(NamedTuple):
    """
    A reader's position in the revocations, and the history it belongs to.

    A store that goes back in time (a restored backup, a promoted standby that lagged) reuses the
    numbers of lost revocations.  So each number gets a random tag in the same transaction: a number
    and its tag identify a position in one history.

    Attributes:
        store: ID of the store; changes when it is emptied or recreated.
        number: Number of the last revocation read.
        head: Number of the store's latest revocation at that time.
        tag: Tag of *head*; empty before the first.  For an older version without tags, an ID of the
            server's run or of the file.
    """

    store: str
    number: int
    head: int = 0
    tag: str = ""


class Changes(NamedTuple):
    """
    Revocations that a reader has not read yet.

    Attributes:
        revocations: In the order of their numbers.
        cursor: Cursor for the next call.
        complete: Whether there were no more when the store was read.
        lost: Whether the reader's cursor belongs to a lost history: these start from the beginning.
    """

    revocations: Sequence[Revocation]
    cursor: Cursor
    complete: bool
    lost: bool = False


UNTAGGED: Final = "-"
"""Prefix of a cursor's tag where an older version recorded no tag."""


def place(since: Cursor | None, head: Cursor, tag_then: str) -> tuple[int, bool]:
    """
    Return the number after which a reader continues, and whether its history is lost.

    Args:
        since: The reader's cursor.
        head: The latest position of the store.
        tag_then: The store's tag for the number ``since.head``.
    """
    if since is None:
        return 0, False
    if since.store != head.store or max(since.number, since.head) > head.number:
        return 0, True
    if since.head <= head.number - POSITIONS:  # its tag has been overwritten
        return 0, False
    if since.tag != tag_then and since.head:
        return 0, not (since.tag.startswith(UNTAGGED) and tag_then.startswith(UNTAGGED))
    return since.number, False


class Outcome(Enum):
    """The result of using a refresh token."""

    ROTATED = "rotated"
    """It was the current one; its successor is now."""
    REPEATED = "repeated"
    """It was used within the grace, and its successor was not: not a replay."""
    REPLAYED = "replayed"
    """It is an earlier token of the session.  The session has been ended and revoked."""
    GONE = "gone"
    """The session is unknown, expired or ended."""


class Use(NamedTuple):
    """
    The store's response to a :class:`Rotation`.

    Attributes:
        outcome: The result.
        salt: Salt that derives the successor: the rotation's own, or for :attr:`Outcome.REPEATED`
            that of the first use.  Otherwise empty.
        address: Client address of the session's previous use; empty if unknown.
    """

    outcome: Outcome
    salt: bytes = b""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    A use of a refresh token.

    Attributes:
        sid: The session.
        issuer: The *iss* of its tokens.
        presented: Hash of the presented token.
        successor: Hash of the token's successor.
        salt: Salt that the successor was derived with.
        now: The time of use.
        grace_seconds: How long after a use a second one is not a replay; 0 disables this.
        expires_at: The session's new expiry.
        tokens_until: As for :class:`Session`; never decreased.
        address: The client's address; empty if unknown.
    """

    sid: str
    presented: bytes = field(repr=False)
    successor: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    now: float
    grace_seconds: float
    expires_at: float
    tokens_until: float
    issuer: str = ""
    address: str = ""

    def is_in_grace(self, rotated_at: float) -> bool:
        """Return whether the previous token's use, at *rotated_at*, is within the grace."""
        since = self.now - rotated_at
        return self.grace_seconds > 0 and -MAX_AHEAD_SECONDS <= since < self.grace_seconds


class SessionStore(Protocol):
    """A store of sessions, revocations and login attempts."""

    @property
    def single_process(self) -> bool:
        """Whether its content is private to this process."""
        ...

    def create_schema(self) -> None:
        """Create missing tables; safe while other processes do the same."""
        ...

    def close(self) -> None:
        """Close this process's idle connections.  The next operation reconnects."""
        ...

    def add(self, session: Session, *, max_per_subject: int = DEFAULT_MAX_PER_SUBJECT) -> None:
        """Store a new session durably; if its subject has too many, end the oldest."""
        ...

    def find(self, sid: str) -> Session | None:
        """Return the session unless it was ended; it may have expired."""
        ...

    def list(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[Session]:
        """
        Yield all sessions, in no particular order.

        Args:
            issuer: Only sessions of this issuer, and those without an issuer.
            subject: Only sessions of this subject of *issuer*.
        """
        ...

    def rotate(self, rotation: Rotation) -> Use:
        """Use a refresh token atomically."""
        ...

    def end(self, sid: str, *, issuer: str, now: float) -> bool:
        """
        Remove the session and revoke it until its ``tokens_until``.

        Returns:
            Whether it existed, with this issuer or without one.
        """
        ...

    def end_all(self, issuer: str, subject: str, *, now: float, expires_at: float) -> None:
        """
        End all sessions of *subject*, and revoke its tokens until *expires_at*.

        One small write for any number of sessions: none is found or refreshed from then on.
        """
        ...

    def clear_ended(self, issuer: str, subject: str, *, limit: int) -> int:
        """
        Remove up to *limit* sessions that :meth:`end_all` has ended, as :meth:`prune` also does.

        Those used within :data:`NAMED_SECONDS` before their end are also revoked by *sid*.

        Returns:
            How many were removed; less than *limit* if these were the last.
        """
        ...

    def revoke(self, revocation: Revocation) -> None:
        """Store a revocation; of two for one key the later times apply."""
        ...

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """
        Return up to *limit* revocations that were recorded after *since*.

        All of them from the first on, for ``None`` and for a cursor that is from another history of
        the store or too old to check.  A reader that continues with the returned cursor misses
        none, except those that expired meanwhile.
        """
        ...

    def prune(self, *, now: float, limit: int) -> int:
        """
        Remove up to *limit* each of expired sessions, revocations and attempts, and ended sessions.

        An entry must have expired by both *now* and the store's own clock, so that a host's fast
        clock removes nothing that others need.

        Returns:
            How many were removed; 0 where the store's server expires entries itself.
        """
        ...

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        """Count a login attempt before its secret is compared, if all its buckets have space."""
        ...

    def settle(
        self, attempt: Attempt, reservation: Reservation, *, succeeded: bool, now: float
    ) -> None:
        """
        Record the result of a counted attempt.

        A successful attempt is removed from its buckets, and its leaf becomes known to the account.
        Need not be durable: losing it only makes a limit stricter for a while.
        """
        ...

    def clear_attempts(self, account: str) -> None:
        """Empty all buckets of an account; its known leaves remain."""
        ...

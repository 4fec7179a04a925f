"""
Where sessions, revocations and login attempts are kept: one Protocol for all stores.

Every method is atomic, for all processes and hosts that share the store, and ends within about
:data:`TIMEOUT_SECONDS`.  Each raises :class:`~jwt_middleware.errors.UnavailableError` while the
store is unavailable; what was to be written may then be lost.  Times are seconds since the Unix
epoch, UTC: the caller's *now* is by :func:`~.clock.clock_of` the store, one clock for all hosts.

Several issuers can share a store: sessions, revocations and attempts name theirs.
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
"""How long a store waits for its server, or for another's lock."""

NAMED_SECONDS: Final = 300
"""
How long before the end of all sessions of a subject one was used that is revoked by *sid* as well.

The *iat* of its tokens may be of that very second, or of another host's clock that is ahead.  Of
all others it is earlier, so that the subject's revocation covers them, however many there are.
"""

DEFAULT_MAX_PER_SUBJECT: Final = 1_000
"""Sessions that a subject has at the same time; a process of its own for each is still possible."""

ENDED_AT_ONCE: Final = 20
"""How many sessions one login ends at most where its subject has too many."""

Kind = Literal["token", "session", "subject"]


class Revocation(NamedTuple):
    """
    One thing that is revoked.

    Attributes:
        kind: What *key* is: a token by its *jti*, a session by its *sid*, or all that a *sub* held
            by then.
        key: Its name, :func:`qualified` by the issuer.  One without an issuer, as version 0.1
            records, counts for every issuer.
        revoked_at: When, in whole seconds; tokens that a subject got later are not meant.
        expires_at: From when nothing that it covers could be accepted any more.
    """

    kind: Kind
    key: str
    revoked_at: int
    expires_at: int

    def joined_with(self, earlier: Revocation) -> Revocation:
        """Return the one revocation that means both, which are of one kind and key."""
        return self._replace(
            revoked_at=max(self.revoked_at, earlier.revoked_at),
            expires_at=max(self.expires_at, earlier.expires_at),
        )


def qualified(issuer: str, name: str) -> str:
    """Return the key of a name within an issuer; neither a *sub* nor an *iss* has line breaks."""
    return f"{issuer}\n{name}"


POSITIONS: Final = 131_072
"""How many numbers back a store can tell whether a cursor is of its history: a power of two."""


class Cursor(NamedTuple):
    """
    How far a reader of revocations has come, and in which history.

    A store that goes back in time (a copy is restored, a standby that lagged is promoted) gives
    the numbers that it has lost to other revocations.  So each number that is given gets a random
    tag, in the same transaction: a number and its tag are a position in one history alone.

    Attributes:
        store: Identifies the store: another one after it was emptied or made anew.
        number: Of the last revocation read.
        head: Of the latest revocation that there was then.
        tag: Of that one; empty before the first.  An older version records none: then what tells
            one run of a server, or one file, from the next.
    """

    store: str
    number: int
    head: int = 0
    tag: str = ""


class Changes(NamedTuple):
    """
    Revocations that a reader does not know yet.

    Attributes:
        revocations: In the order in which they were recorded.
        cursor: For the next call.
        complete: Whether these are all that there were when the store was asked.
        lost: Whether the reader's cursor is of a history that the store has lost: these begin with
            its first one.
    """

    revocations: Sequence[Revocation]
    cursor: Cursor
    complete: bool
    lost: bool = False


UNTAGGED: Final = "-"
"""What the tag of a cursor begins with where an older version has recorded none."""


def place(since: Cursor | None, head: Cursor, tag_then: str) -> tuple[int, bool]:
    """
    Return the number after which a reader goes on, and whether its history is lost.

    Args:
        since: Where it was.
        head: The latest position of the store.
        tag_then: The tag that the store has for the number ``since.head``.
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
    """What became of a refresh token that was used."""

    ROTATED = "rotated"
    """It was the latest, and now its successor is."""
    REPEATED = "repeated"
    """It was used a moment ago, and its successor was not: within the grace, that is no replay."""
    REPLAYED = "replayed"
    """It is of this session and not its latest.  The session has been ended, and revoked."""
    GONE = "gone"
    """There is no such session, or it has expired or been ended."""


class Use(NamedTuple):
    """
    What the store answers to a :class:`Rotation`.

    Attributes:
        outcome: What became of the token.
        salt: From which its successor follows: the rotation's own, or, if it is
            :attr:`Outcome.REPEATED`, the one of the first use.  Else it is empty.
        address: Where the last token of the session was used before; empty if that is unknown.
    """

    outcome: Outcome
    salt: bytes = b""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    One use of a refresh token.

    Attributes:
        sid: Its session.
        issuer: Of its tokens.
        presented: Hash of the token.
        successor: Hash of the one that shall follow.
        salt: From which the successor was derived.
        now: The time of use.
        grace_seconds: How long after a use another one is no replay; 0 for never.
        expires_at: The session's new expiry.
        tokens_until: As for :class:`Session`; never made earlier.
        address: Where it comes from; empty if that is unknown.
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
        """Tell whether a use of the token before, at *rotated_at*, was only a moment ago."""
        since = self.now - rotated_at
        return self.grace_seconds > 0 and -MAX_AHEAD_SECONDS <= since < self.grace_seconds


class SessionStore(Protocol):
    """Keeps sessions, revocations and login attempts."""

    @property
    def single_process(self) -> bool:
        """Whether no other process sees what is in it."""
        ...

    def create_schema(self) -> None:
        """Create what is missing; safe while other processes do the same."""
        ...

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        ...

    def add(self, session: Session, *, max_per_subject: int = DEFAULT_MAX_PER_SUBJECT) -> None:
        """Record a new session, durably; of too many of its subject, end the oldest."""
        ...

    def find(self, sid: str) -> Session | None:
        """Return the session, unless it has been ended; one that has expired may still be there."""
        ...

    def list(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[Session]:
        """
        Yield all sessions, in no particular order.

        Args:
            issuer: Only those of this issuer, and those that name none.
            subject: Only those of this subject of it.
        """
        ...

    def rotate(self, rotation: Rotation) -> Use:
        """Use a refresh token: in one step, whatever other processes do with it."""
        ...

    def end(self, sid: str, *, issuer: str, now: float) -> bool:
        """
        Remove the session, and revoke it until its ``tokens_until``.

        Returns:
            Whether it was there, and of this issuer or one that names none.
        """
        ...

    def end_all(self, issuer: str, subject: str, *, now: float, expires_at: float) -> None:
        """
        End every session that *subject* has, and revoke what it holds until *expires_at*.

        One small write, however many there are: none of them is found or used from then on.
        """
        ...

    def clear_ended(self, issuer: str, subject: str, *, limit: int) -> int:
        """
        Remove up to *limit* sessions that :meth:`end_all` has ended; :meth:`prune` does so too.

        Those used less than :data:`NAMED_SECONDS` before their end are revoked by *sid* as well.

        Returns:
            How many were removed: less than *limit* if these were the last.
        """
        ...

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation; of two for one key the later times count."""
        ...

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """
        Return up to *limit* revocations that were recorded after *since*.

        All of them, from the first on, for ``None`` and for a cursor that is not of this history
        of the store, or so old that this cannot be told.  A reader that goes on with the cursor it
        gets misses none, except those that expired meanwhile.
        """
        ...

    def prune(self, *, now: float, limit: int) -> int:
        """
        Remove up to *limit* each of expired sessions, revocations and attempts, and ended sessions.

        Expired is what has by *now* and by the store's own clock: no host's clock that is fast
        removes what counts for others.

        Returns:
            How many were removed.  It may be 0 where the store's server does this by itself.
        """
        ...

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        """Count a login attempt before its secret is compared, if all its buckets have space."""
        ...

    def settle(
        self, attempt: Attempt, reservation: Reservation, *, succeeded: bool, now: float
    ) -> None:
        """
        Say how a counted attempt ended.

        One that succeeded is taken back from its buckets, and its account is known at its leaf.
        Never raises for want of durability: to lose this only makes a limit stricter for a while.
        """
        ...

    def clear_attempts(self, account: str) -> None:
        """Empty all buckets of an account; the leaves that it is known at remain."""
        ...

"""
Where sessions, revocations and login attempts are kept: one Protocol for all stores.

Every method is atomic, for all processes and hosts that share the store, and ends within about
:data:`TIMEOUT_SECONDS`.  Each raises :class:`~jwt_middleware.errors.UnavailableError` where the
store cannot be asked; what was to be written is then not relied upon.  Times are seconds since the
Unix epoch, UTC, by the caller's clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol

from .session import Session

TIMEOUT_SECONDS: Final = 1.0
"""How long a store waits for its server, or for another's lock."""

NAMED_SECONDS: Final = 300
"""
How recently a session was used that is revoked by its own name when all of its subject are ended.

The *iat* of its tokens may be of that very second, or of another host's clock that is ahead.  Of
all others it is earlier, so that the subject's revocation covers them, however many there are.
"""

Kind = Literal["token", "session", "subject"]


class Revocation(NamedTuple):
    """
    One thing that is revoked.

    Attributes:
        kind: What *key* is: a token by its :func:`~.live.token_key`, a session by its *sid*, or all
            that a *sub* held by then.
        key: Its name.
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


class Cursor(NamedTuple):
    """
    How far a reader of revocations has come.

    Attributes:
        store: Identifies the store's content: another one after it was lost or made anew.
        number: Of the last revocation read.
    """

    store: str
    number: int


class Changes(NamedTuple):
    """
    Revocations that a reader does not know yet.

    Attributes:
        revocations: In the order in which they were recorded.
        cursor: For the next call.
        complete: Whether these are all that there were when the store was asked.
    """

    revocations: Sequence[Revocation]
    cursor: Cursor
    complete: bool


class Outcome(Enum):
    """What became of an attempt to use a refresh token."""

    ROTATED = "rotated"
    """It was the latest, and now its successor is."""
    REPEATED = "repeated"
    """It was used a moment ago, and its successor was not: within the grace, that is no replay."""
    REPLAYED = "replayed"
    """It is of this session and not its latest.  The session has been ended, and revoked."""
    GONE = "gone"
    """There is no such session, or it has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    One use of a refresh token.

    Attributes:
        sid: Its session.
        presented: Hash of the token.
        successor: Hash of the one that shall follow.
        salt: From which the successor was derived.
        now: The time of use.
        grace_seconds: How long after a use another one is no replay; 0 for never.
        expires_at: The session's new expiry.
        tokens_until: As for :class:`Session`; never made earlier.
    """

    sid: str
    presented: bytes = field(repr=False)
    successor: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    now: float
    grace_seconds: float
    expires_at: float
    tokens_until: float

    def is_in_grace(self, rotated_at: float) -> bool:
        """Tell whether a use of the token before, at *rotated_at*, was only a moment ago."""
        return self.grace_seconds > 0 and self.now < rotated_at + self.grace_seconds


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

    def add(self, session: Session) -> None:
        """Record a new session, durably."""
        ...

    def find(self, sid: str) -> Session | None:
        """Return the session; one that has expired may still be there."""
        ...

    def list(self, *, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one subject, in no particular order."""
        ...

    def rotate(self, rotation: Rotation) -> tuple[Outcome, bytes]:
        """
        Use a refresh token: in one step, whoever else does the same.

        Returns:
            What became of it, and the salt from which its successor follows: the rotation's own,
            or, if it is :attr:`Outcome.REPEATED`, the one of the first use.  Else it is empty.
        """
        ...

    def end(self, sid: str, *, now: float) -> bool:
        """
        Remove the session, and revoke it until its ``tokens_until``.

        Returns:
            Whether it was there.
        """
        ...

    def end_all(self, subject: str, *, now: float, expires_at: float) -> int:
        """
        End every session of *subject*, and revoke whatever it holds until *expires_at*.

        Those used within :data:`NAMED_SECONDS` are revoked by name as well.

        Returns:
            How many sessions there were.
        """
        ...

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation; of two for one key the later times count."""
        ...

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """
        Return up to *limit* revocations that were recorded after *since*.

        All of them, from the first on, for ``None`` and for a cursor that is not of this store or
        ahead of it.  A reader that goes on with the cursor it gets misses none, except those that
        expired meanwhile.
        """
        ...

    def prune(self, *, now: float, limit: int) -> int:
        """
        Remove some of what has expired: up to *limit* sessions, revocations and attempts each.

        Returns:
            How many were removed.  It may be 0 where the store's server does this by itself.
        """
        ...

    def record_attempt(
        self, quotas: Mapping[str, int], *, window_seconds: float, now: float
    ) -> float:
        """
        Record a login attempt under each key, if every key has had fewer than its quota.

        Counted are the attempts after ``now - window_seconds``.

        Returns:
            0 if it was recorded; else, and nothing is, the seconds until every key has room.
        """
        ...

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """
        Forget all attempts under the key *forgotten*, and the one at *at* under *taken_back*.

        Never raises for want of durability: to lose this only makes a limit stricter for a while.
        """
        ...

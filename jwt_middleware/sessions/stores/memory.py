"""Memory store, for tests and single-process servers."""

from __future__ import annotations

import math
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from ...core.trust import MAX_LEEWAY_SECONDS
from ...errors import UnavailableError
from ..attempts import Attempt, Level, Reservation, limiting, reserve, settle, with_leaf
from ..session import Session
from ..store import (
    DEFAULT_MAX_PER_SUBJECT,
    ENDED_AT_ONCE,
    NAMED_SECONDS,
    Changes,
    Cursor,
    Outcome,
    Revocation,
    Rotation,
    Use,
    place,
    qualified,
)


@dataclass(slots=True)
class _Entry:
    session: Session
    born: int  # the number of the latest revocation when it was added
    previous: bytes = b""
    salt: bytes = b""
    rotated_at: float = 0.0
    address: str = ""


@dataclass(slots=True)
class _Leaves:
    last: dict[str, float]
    idle_from: float


class MemorySessions:
    """
    A store in the memory of one process.

    It raises in a forked child: each worker would have its own sessions, and a token revoked in one
    would stay valid in the others.
    """

    single_process: Final = True

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._id = secrets.token_hex(8)
        self._sessions: dict[str, _Entry] = {}
        self._sids: dict[str, dict[str, None]] = {}  # by subject, the oldest first
        self._to_clear: dict[str, None] = {}  # subjects whose sessions have been ended
        # A revocation's number is that of its latest change.
        self._log: dict[int, Revocation] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._number = 0
        self._levels: dict[str, Level] = {}
        self._leaves: dict[str, _Leaves] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def create_schema(self) -> None:
        """Do nothing: there is no schema."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def add(self, session: Session, *, max_per_subject: int = DEFAULT_MAX_PER_SUBJECT) -> None:
        """Store a new session."""
        with self._mine():
            self._sessions[session.sid] = _Entry(session, self._number)
            sids = self._sids.setdefault(qualified(session.issuer, session.subject), {})
            sids[session.sid] = None
            excess = min(max(len(sids) - max_per_subject, 0), ENDED_AT_ONCE)
            for oldest in [*islice(sids, excess)]:
                self._end(oldest, now=session.created_at)

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        with self._mine():
            entry = self._live_entry(sid)
        return None if entry is None else entry.session

    def list(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one issuer or subject."""
        with self._mine():
            entries = [one for sid in self._sessions if (one := self._live_entry(sid)) is not None]
        for entry in entries:
            session = entry.session
            if session.is_of(issuer) and subject in {None, session.subject}:
                yield session

    def rotate(self, rotation: Rotation) -> Use:
        """Use a refresh token."""
        with self._mine():
            entry = self._live_entry(rotation.sid)
            if entry is None or rotation.now >= entry.session.expires_at:
                return Use(Outcome.GONE)
            before = entry.address
            if rotation.presented == entry.session.token_hash:
                entry.previous, entry.salt = rotation.presented, rotation.salt
                entry.rotated_at, entry.address = rotation.now, rotation.address
                entry.session = _used(
                    entry.session,
                    rotation,
                    expires_at=rotation.expires_at,
                    token_hash=rotation.successor,
                )
                return Use(Outcome.ROTATED, rotation.salt, before)
            if rotation.presented == entry.previous and rotation.is_in_grace(entry.rotated_at):
                entry.session = _used(entry.session, rotation)
                return Use(Outcome.REPEATED, entry.salt, before)
            self._end(rotation.sid, now=rotation.now)
            return Use(Outcome.REPLAYED, b"", before)

    def end(self, sid: str, *, issuer: str, now: float) -> bool:
        """Remove the session and revoke it."""
        with self._mine():
            entry = self._live_entry(sid)
            if entry is None or not entry.session.is_of(issuer):
                return False
            self._end(sid, now=now, issuer=issuer)
        return True

    def end_all(self, issuer: str, subject: str, *, now: float, expires_at: float) -> None:
        """End all sessions of *subject* and revoke its tokens."""
        key = qualified(issuer, subject)
        with self._mine():
            self._revoke(Revocation("subject", key, int(now), math.ceil(expires_at)))
            self._to_clear[key] = None

    def clear_ended(self, issuer: str, subject: str, *, limit: int) -> int:
        """Remove sessions that :meth:`end_all` has ended."""
        with self._mine():
            return self._clear(qualified(issuer, subject), limit=limit)

    def revoke(self, revocation: Revocation) -> None:
        """Store a revocation."""
        with self._mine():
            self._revoke(revocation)

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        with self._mine():
            head = Cursor(
                self._id, self._number, self._number, self._id
            )  # there is only one history
            last, lost = place(since, head, self._id)
            later = filter(self._log.__contains__, range(last + 1, self._number + 1))
            numbers = [*islice(later, limit)]
            revocations = [self._log[number] for number in numbers]
            complete = len(numbers) < limit
            cursor = head if complete else head._replace(number=numbers[-1])
        return Changes(revocations, cursor, complete, lost)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some expired or ended entries."""
        with self._mine():
            ended = sum(self._clear(key, limit=limit) for key in [*islice(self._to_clear, 1)])
            sessions = [
                sid
                for sid, one in self._sessions.items()
                if one.session.expires_at + MAX_LEEWAY_SECONDS <= now
            ]
            revocations = [
                (one.kind, one.key) for one in self._log.values() if one.expires_at <= now
            ]
            levels = [key for key, one in self._levels.items() if one.idle_from <= now]
            leaves = [key for key, one in self._leaves.items() if one.idle_from <= now]
            for sid in sessions[:limit]:
                self._remove(sid)
            for name in revocations[:limit]:
                del self._log[self._numbers.pop(name)]
            for key in levels[:limit]:
                del self._levels[key]
            for key in leaves[:limit]:
                del self._leaves[key]
        found = (sessions, revocations, levels, leaves)
        return ended + sum(min(len(one), limit) for one in found)

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        """Count a login attempt, if all its buckets have space."""
        with self._mine():
            known = self._leaves.get(attempt.account)
            drips = limiting(attempt, known.last if known else {}, now=now)
            reservation, levels = reserve(drips, self._levels, cost=attempt.cost, now=now)
            self._levels |= levels
        return reservation

    def settle(
        self, attempt: Attempt, reservation: Reservation, *, succeeded: bool, now: float
    ) -> None:
        """Record the result of a counted attempt."""
        with self._mine():
            self._levels |= settle(attempt, reservation, self._levels, succeeded=succeeded, now=now)
            if succeeded and attempt.leaf is not None:
                known = self._leaves.get(attempt.account)
                last = with_leaf(attempt, known.last if known else {}, now=now)
                self._leaves[attempt.account] = _Leaves(last, now + attempt.known_seconds)

    def clear_attempts(self, account: str) -> None:
        """Empty all buckets of an account."""
        with self._mine():
            for key in [one for one in self._levels if one.startswith(f"{account}:")]:
                del self._levels[key]

    def _live_entry(self, sid: str) -> _Entry | None:
        entry = self._sessions.get(sid)
        if entry is None or self._ended_by(entry) is not None:
            return None
        return entry

    def _ended_by(self, entry: _Entry) -> Revocation | None:
        """Return the revocation that ended the subject's sessions after the entry was added."""
        session = entry.session
        for key in (qualified(session.issuer, session.subject), session.subject):
            number = self._numbers.get(("subject", key), 0)
            if number > entry.born:
                return self._log[number]
        return None

    def _clear(self, key: str, *, limit: int) -> int:
        cleared = 0
        for sid in [*islice(self._sids.get(key, ()), limit)]:
            entry = self._sessions.get(sid)
            if entry is None:
                continue
            revocation = self._ended_by(entry)
            if revocation is None:  # as are those that were added after it
                break
            if entry.session.used_at > revocation.revoked_at - NAMED_SECONDS:
                self._end(sid, now=revocation.revoked_at)
            else:
                self._remove(sid)
            cleared += 1
        if cleared < limit:
            self._to_clear.pop(key, None)
        return cleared

    def _end(self, sid: str, *, now: float, issuer: str = "") -> None:
        session = self._remove(sid)
        key = qualified(session.issuer or issuer, sid)
        self._revoke(Revocation("session", key, int(now), math.ceil(session.tokens_until)))

    def _remove(self, sid: str) -> Session:
        session = self._sessions.pop(sid).session
        key = qualified(session.issuer, session.subject)
        sids = self._sids.get(key, {})
        sids.pop(sid, None)
        if not sids:
            self._sids.pop(key, None)
        return session

    def _revoke(self, revocation: Revocation) -> None:
        name = (revocation.kind, revocation.key)
        if name in self._numbers:
            revocation = revocation.joined_with(self._log.pop(self._numbers[name]))
        self._number += 1
        self._log[self._number] = revocation
        self._numbers[name] = self._number

    @contextmanager
    def _mine(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise UnavailableError(
                "sessions in memory are not shared with other workers: give [sessions] a url of"
                " SQLite, PostgreSQL or Redis, or run one worker without preloading"
            )
        with self._lock:
            yield


def _used(session: Session, rotation: Rotation, **changes: Any) -> Session:
    tokens_until = max(session.tokens_until, rotation.tokens_until)
    return replace(session, used_at=rotation.now, tokens_until=tokens_until, **changes)

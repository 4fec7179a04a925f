"""Sessions in the memory of one process: for tests, and for servers of a single process."""

from __future__ import annotations

import math
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from ...core.trust import MAX_LEEWAY_SECONDS
from ...errors import UnavailableError
from ..session import Session
from ..store import NAMED_SECONDS, Changes, Cursor, Outcome, Revocation, Rotation


@dataclass(slots=True)
class _Attempts:
    times: list[float] = field(default_factory=list)
    idle_from: float = 0.0


@dataclass(slots=True)
class _Entry:
    session: Session
    previous: bytes = b""
    salt: bytes = b""
    rotated_at: float = 0.0


class MemorySessions:
    """
    A store that no other process sees, and that ends with its own.

    It refuses to work in a forked child of the process that made it: each worker would have
    sessions of its own, and a token revoked in one would stay good in the others.
    """

    single_process: Final = True

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._id = secrets.token_hex(8)
        self._sessions: dict[str, _Entry] = {}
        # Each revocation has one number, of its latest change.
        self._log: dict[int, Revocation] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._number = 0
        self._attempts: dict[str, _Attempts] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def create_schema(self) -> None:
        """Do nothing: there is none."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def add(self, session: Session) -> None:
        """Record a new session."""
        with self._mine():
            self._sessions[session.sid] = _Entry(session)

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        with self._mine():
            entry = self._sessions.get(sid)
        return None if entry is None else entry.session

    def list(self, *, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one subject."""
        with self._mine():
            sessions = [entry.session for entry in self._sessions.values()]
        return (one for one in sessions if subject is None or one.subject == subject)

    def rotate(self, rotation: Rotation) -> tuple[Outcome, bytes]:
        """Use a refresh token."""
        with self._mine():
            entry = self._sessions.get(rotation.sid)
            if entry is None or rotation.now >= entry.session.expires_at:
                return Outcome.GONE, b""
            if rotation.presented == entry.session.token_hash:
                entry.previous, entry.salt = rotation.presented, rotation.salt
                entry.rotated_at = rotation.now
                entry.session = _used(
                    entry.session,
                    rotation,
                    expires_at=rotation.expires_at,
                    token_hash=rotation.successor,
                )
                return Outcome.ROTATED, rotation.salt
            if rotation.presented == entry.previous and rotation.is_in_grace(entry.rotated_at):
                entry.session = _used(entry.session, rotation)
                return Outcome.REPEATED, entry.salt
            self._end(rotation.sid, now=rotation.now)
            return Outcome.REPLAYED, b""

    def end(self, sid: str, *, now: float) -> bool:
        """Remove the session, and revoke it."""
        with self._mine():
            return self._end(sid, now=now)

    def end_all(self, subject: str, *, now: float, expires_at: float) -> int:
        """End every session of *subject*, and revoke whatever it holds."""
        with self._mine():
            sids = [sid for sid, one in self._sessions.items() if one.session.subject == subject]
            for sid in sids:
                if self._sessions[sid].session.used_at > now - NAMED_SECONDS:
                    self._end(sid, now=now)
                else:
                    del self._sessions[sid]
            self._revoke(Revocation("subject", subject, int(now), math.ceil(expires_at)))
        return len(sids)

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation."""
        with self._mine():
            self._revoke(revocation)

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        with self._mine():
            last = 0
            if since is not None and since.store == self._id and since.number <= self._number:
                last = since.number
            later = filter(self._log.__contains__, range(last + 1, self._number + 1))
            numbers = [*islice(later, limit)]
            revocations = [self._log[number] for number in numbers]
            complete = len(numbers) < limit
            cursor = Cursor(self._id, self._number if complete else numbers[-1])
        return Changes(revocations, cursor, complete)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some of what has expired."""
        with self._mine():
            sessions = [
                sid
                for sid, one in self._sessions.items()
                if one.session.expires_at + MAX_LEEWAY_SECONDS <= now
            ]
            revocations = [
                (one.kind, one.key) for one in self._log.values() if one.expires_at <= now
            ]
            idle = [key for key, entry in self._attempts.items() if entry.idle_from <= now]
            for sid in sessions[:limit]:
                del self._sessions[sid]
            for name in revocations[:limit]:
                del self._log[self._numbers.pop(name)]
            for key in idle[:limit]:
                del self._attempts[key]
        return sum(min(len(found), limit) for found in (sessions, revocations, idle))

    def record_attempt(
        self, quotas: Mapping[str, int], *, window_seconds: float, now: float
    ) -> float:
        """Record a login attempt under each key, if every key has room."""
        with self._mine():
            wait = 0.0
            for key, quota in quotas.items():
                times = [at for at in self._times(key) if at > now - window_seconds]
                if len(times) >= quota:
                    wait = max(wait, times[-quota] + window_seconds - now)
            if not wait:
                for key, quota in quotas.items():
                    attempts = self._attempts.setdefault(key, _Attempts())
                    attempts.times = [*attempts.times, now][-quota:]
                    attempts.idle_from = now + window_seconds
        return wait

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """Forget attempts."""
        with self._mine():
            self._attempts.pop(forgotten, None)
            if taken_back is not None and at in self._times(taken_back):
                self._attempts[taken_back].times.remove(at)

    def _times(self, key: str) -> Sequence[float]:
        attempts = self._attempts.get(key)
        return () if attempts is None else attempts.times

    def _end(self, sid: str, *, now: float) -> bool:
        entry = self._sessions.pop(sid, None)
        if entry is None:
            return False
        self._revoke(Revocation("session", sid, int(now), math.ceil(entry.session.tokens_until)))
        return True

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

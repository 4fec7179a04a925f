"""Sessions in tables: an SQLite file by default, PostgreSQL by URL.  Needs the extra ``sql``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from ....core.trust import MAX_LEEWAY_SECONDS
from ....fork import PerProcess
from ....sql.database import Database
from ...session import Session
from ...store import NAMED_SECONDS, TIMEOUT_SECONDS, Changes, Cursor, Outcome, Revocation, Rotation
from .attempts import Attempts
from .log import Follower, record
from .tables import (
    attempts,
    escape,
    fill,
    metadata,
    name_hash,
    revocations,
    sessions,
    to_row,
    to_session,
)

_PAGE_SIZE: Final = 500
_MEND: Final = "start the application anew, or run `jwt-middleware sessions create-schema`"
_MEND_FOLLOWER: Final = "check the url, and start the application that issues the tokens"

_INSERT: Final = sa.insert(sessions)
_FIND: Final = sa.select(sessions).where(sessions.c.sid == sa.bindparam("sid"))
_LOCK: Final = _FIND.with_for_update()
_LIST: Final = (
    sa.select(sessions)
    .where(sessions.c.sid > sa.bindparam("after"))
    .order_by(sessions.c.sid)
    .limit(_PAGE_SIZE)
)
_LIST_OF: Final = _LIST.where(sessions.c.subject_hash == sa.bindparam("subject"))
# Locked in an order first, so that two who end the same ones do not wait for each other.
_DELETE_OF: Final = (
    sa.delete(sessions)
    .where(
        sessions.c.sid.in_(
            sa.select(sessions.c.sid)
            .where(sessions.c.subject_hash == sa.bindparam("subject"))
            .order_by(sessions.c.sid)
            .with_for_update()
        )
    )
    .returning(sessions.c.sid, sessions.c.tokens_until, sessions.c.used_at)
)
_DELETE: Final = sa.delete(sessions).where(sessions.c.sid == sa.bindparam("gone"))
_UPDATE: Final = sa.update(sessions).where(sessions.c.sid == sa.bindparam("of"))


def _prune(key: sa.Column[Any], expiry: sa.Column[Any]) -> sa.Delete:
    expired = (
        sa.select(key)
        .where(expiry <= sa.bindparam("until"))
        .order_by(expiry)
        .limit(sa.bindparam("most"))
        # Whatever somebody uses at this moment can wait for the next time.
        .with_for_update(skip_locked=True)
    )
    return sa.delete(key.table).where(key.in_(expired))


_PRUNE_SESSIONS: Final = _prune(sessions.c.sid, sessions.c.expires_at)
_PRUNE_REVOCATIONS: Final = _prune(revocations.c.number, revocations.c.expires_at)
_PRUNE_ATTEMPTS: Final = _prune(attempts.c.name_hash, attempts.c.idle_from)


class SQLSessions:
    """
    A store in a SQL database, for all processes and hosts that share it.

    Nothing is connected before the first use, and nothing connected survives a fork.  The tables
    are created by the first use in each process, if they are missing; that is safe while other
    processes do the same.  Where the database's user may not create tables, somebody else calls
    :meth:`create_schema` before; and who only follows somebody else's revocations must not create
    them, or a mistyped URL would mean that nothing is ever revoked.

    Each operation ends within :data:`~.store.TIMEOUT_SECONDS`, whatever the database does.

    Args:
        url: ``sqlite:///sessions.db`` (a file), ``postgresql://user:password@host/database``.
        creates_tables: Whether the first use creates the tables.

    Raises:
        ConfigurationError: The URL cannot be used, or its driver is not installed.
    """

    single_process: Final = False

    def __init__(self, url: str | sa.URL, *, creates_tables: bool = True) -> None:
        self._creates_tables = creates_tables
        mend = _MEND if creates_tables else _MEND_FOLLOWER
        self._database = Database(url, timeout_seconds=TIMEOUT_SECONDS, mend=mend)
        self._prepared = PerProcess(self._prepare)
        self._follower = Follower(self._database)
        self._attempts = Attempts(self._database)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def create_schema(self) -> None:
        """Create what is missing; safe while other processes do the same."""
        self._database.create(metadata, fill=fill)

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._database.close()

    def add(self, session: Session) -> None:
        """Record a new session, durably."""
        with self._prepared.get().writing() as connection:
            connection.execute(_INSERT, to_row(session))

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        with self._prepared.get().reading() as connection:
            row = connection.execute(_FIND, {"sid": escape(sid)}).first()
        return None if row is None else to_session(row)

    def list(self, *, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one subject; nothing is locked between pages of 500."""
        statement, sought = _LIST, dict[str, object](after="")
        if subject is not None:
            statement, sought = _LIST_OF, sought | {"subject": name_hash(subject)}
        while True:
            with self._prepared.get().reading() as connection:
                rows = connection.execute(statement, sought).all()
            yield from map(to_session, rows)
            if len(rows) < _PAGE_SIZE:
                return
            sought["after"] = rows[-1].sid

    def rotate(self, rotation: Rotation) -> tuple[Outcome, bytes]:
        """Use a refresh token."""
        with self._prepared.get().writing() as connection:
            row = connection.execute(_LOCK, {"sid": rotation.sid}).first()
            if row is None or rotation.now >= row.expires_at:
                return Outcome.GONE, b""
            changed = {
                "of": rotation.sid,
                "used_at": rotation.now,
                "tokens_until": max(row.tokens_until, rotation.tokens_until),
            }
            if rotation.presented == row.token_hash:
                changed |= {
                    "expires_at": rotation.expires_at,
                    "token_hash": rotation.successor,
                    "previous_hash": rotation.presented,
                    "salt": rotation.salt,
                    "rotated_at": rotation.now,
                }
                connection.execute(_UPDATE, changed)
                return Outcome.ROTATED, rotation.salt
            if rotation.presented == row.previous_hash and rotation.is_in_grace(row.rotated_at):
                connection.execute(_UPDATE, changed)
                return Outcome.REPEATED, row.salt
            _end(connection, row, now=rotation.now)
        return Outcome.REPLAYED, b""

    def end(self, sid: str, *, now: float) -> bool:
        """Remove the session, and revoke it."""
        with self._prepared.get().writing() as connection:
            row = connection.execute(_LOCK, {"sid": escape(sid)}).first()
            if row is None:
                return False
            _end(connection, row, now=now)
        return True

    def end_all(self, subject: str, *, now: float, expires_at: float) -> int:
        """End every session of *subject*, and revoke whatever it holds."""
        everything = Revocation("subject", subject, int(now), math.ceil(expires_at))
        with self._prepared.get().writing() as connection:
            rows = connection.execute(_DELETE_OF, {"subject": name_hash(subject)}).all()
            named = [
                _ended(sid, tokens_until, now=now)
                for sid, tokens_until, used_at in rows
                if used_at > now - NAMED_SECONDS
            ]
            record(connection, [*named, everything])
        return len(rows)

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation."""
        with self._prepared.get().writing() as connection:
            record(connection, [revocation])

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        self._prepared.get()
        return self._follower.changes(since, limit=limit)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some of what has expired."""
        with self._prepared.get().writing(durable=False) as connection:
            return sum(
                connection.execute(statement, {"until": until, "most": limit}).rowcount
                for statement, until in (
                    (_PRUNE_SESSIONS, now - MAX_LEEWAY_SECONDS),
                    # PostgreSQL would round it to compare it with whole numbers.
                    (_PRUNE_REVOCATIONS, math.floor(now)),
                    (_PRUNE_ATTEMPTS, now),
                )
            )

    def record_attempt(
        self, quotas: Mapping[str, int], *, window_seconds: float, now: float
    ) -> float:
        """Record a login attempt under each key, if every key has room."""
        self._prepared.get()
        return self._attempts.record(quotas, window_seconds=window_seconds, now=now)

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """Forget attempts."""
        self._prepared.get()
        self._attempts.forgive(forgotten=forgotten, taken_back=taken_back, at=at)

    def _prepare(self) -> Database:
        if self._creates_tables:
            self.create_schema()
        return self._database


def _end(connection: sa.Connection, row: sa.Row[Any], *, now: float) -> None:
    """End the session of a locked row, and revoke it."""
    connection.execute(_DELETE, {"gone": row.sid})
    record(connection, [_ended(row.sid, row.tokens_until, now=now)])


def _ended(sid: str, tokens_until: float, *, now: float) -> Revocation:
    return Revocation("session", sid, int(now), math.ceil(tokens_until))

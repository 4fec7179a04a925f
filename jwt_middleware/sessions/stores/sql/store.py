"""Sessions in tables: an SQLite file by default, PostgreSQL by URL."""

# ruff: noqa: S608  every statement is made of constants

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ....core.payload import JWTPayload
from ....core.trust import MAX_LEEWAY_SECONDS
from ....sql.database import Database, Schema
from ....sql.statement import Connection, Statement
from ....sql.urls import DatabaseURL
from ...session import Session
from ...store import NAMED_SECONDS, TIMEOUT_SECONDS, Changes, Cursor, Outcome, Revocation, Rotation
from .attempts import Attempts
from .log import Follower, record
from .tables import TABLES, escape, fill, name_hash

_PAGE_SIZE: Final = 500
_FIX: Final = "restart the application, or run `jwt-middleware sessions create-schema`"
_FIX_FOLLOWER: Final = "check the url, and start the application that issues the tokens"

_INSERT: Final = Statement("""
    INSERT INTO jwt_sessions (
        sid, subject_hash, payload,
        created_at, used_at, expires_at, ends_at, tokens_until, token_hash
    ) VALUES (
        :sid, :subject_hash, :payload,
        :created_at, :used_at, :expires_at, :ends_at, :tokens_until, :token_hash
    )
""")
_COLUMNS: Final = "sid, payload, created_at, used_at, expires_at, ends_at, tokens_until, token_hash"
_FIND: Final = Statement(f"SELECT {_COLUMNS} FROM jwt_sessions WHERE sid = :sid")
_LIST: Final = Statement(f"""
    SELECT {_COLUMNS} FROM jwt_sessions WHERE sid > :after ORDER BY sid LIMIT {_PAGE_SIZE}
""")
_LIST_OF: Final = Statement(f"""
    SELECT {_COLUMNS} FROM jwt_sessions WHERE subject_hash = :subject AND sid > :after
    ORDER BY sid LIMIT {_PAGE_SIZE}
""")
_LOCK: Final = Statement("""
    SELECT expires_at, tokens_until, token_hash, previous_hash, salt, rotated_at
    FROM jwt_sessions WHERE sid = :sid {|FOR UPDATE}
""")
_USE: Final = Statement("""
    UPDATE jwt_sessions SET used_at = :used_at, tokens_until = :tokens_until WHERE sid = :sid
""")
_ROTATE: Final = Statement("""
    UPDATE jwt_sessions SET
        used_at = :used_at,
        tokens_until = :tokens_until,
        expires_at = :expires_at,
        token_hash = :token_hash,
        previous_hash = :previous_hash,
        salt = :salt,
        rotated_at = :used_at
    WHERE sid = :sid
""")
_DELETE: Final = Statement("DELETE FROM jwt_sessions WHERE sid = :sid")
# Locked in an order first, so that two that end the same ones do not wait for each other.
_DELETE_OF: Final = Statement("""
    DELETE FROM jwt_sessions WHERE sid IN (
        SELECT sid FROM jwt_sessions WHERE subject_hash = :subject ORDER BY sid {|FOR UPDATE}
    ) RETURNING sid, tokens_until, used_at
""")


def _prune(table: str, *, key: str, expiry: str) -> Statement:
    # What is in use at this moment can wait for the next time.
    return Statement(f"""
        DELETE FROM {table} WHERE {key} IN (
            SELECT {key} FROM {table} WHERE {expiry} <= :until ORDER BY {expiry} LIMIT :most
            {{|FOR UPDATE SKIP LOCKED}}
        )
    """)


_PRUNE_SESSIONS: Final = _prune("jwt_sessions", key="sid", expiry="expires_at")
_PRUNE_REVOCATIONS: Final = _prune("jwt_revocations", key="number", expiry="expires_at")
_PRUNE_ATTEMPTS: Final = _prune("jwt_attempts", key="name_hash", expiry="idle_from")


class SQLSessions:
    """
    A store in a SQL database, for all processes and hosts that share it.

    Nothing is connected before the first use, and nothing connected survives a fork.  The tables
    are created by the first use in each process, if they are missing; that is safe while other
    processes do the same.  Where the database's user may not create tables, an operator calls
    :meth:`create_schema` before.  An application that only follows another one's revocations must
    not create them, or a mistyped URL would mean that nothing is ever revoked.

    Each operation ends within :data:`~.store.TIMEOUT_SECONDS`, whatever the database does.

    Args:
        url: ``sqlite:///sessions.db`` (a file), ``postgresql://user:password@host/database``.
        creates_tables: Whether the first use creates the tables.

    Raises:
        ConfigurationError: The URL cannot be used, or its driver is not installed.
    """

    single_process: Final = False

    def __init__(self, url: str | DatabaseURL, *, creates_tables: bool = True) -> None:
        fix = _FIX if creates_tables else _FIX_FOLLOWER
        self._database = Database(
            url,
            schema=Schema(tables=TABLES, fill=fill, fix=fix),
            timeout_seconds=TIMEOUT_SECONDS,
            creates_tables=creates_tables,
        )
        self._follower = Follower(self._database)
        self._attempts = Attempts(self._database)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def create_schema(self) -> None:
        """Create what is missing; safe while other processes do the same."""
        self._database.create()

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._database.close()

    def add(self, session: Session) -> None:
        """Record a new session, durably."""
        with self._database.writing() as connection:
            connection.run(_INSERT, _to_row(session))

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        with self._database.reading() as connection:
            row = connection.run(_FIND, {"sid": escape(sid)}).fetchone()
        return None if row is None else _to_session(row)

    def list(self, *, subject: str | None = None) -> Iterator[Session]:
        """Yield all sessions, or those of one subject; nothing is locked between pages of 500."""
        statement, sought = _LIST, dict[str, object](after="")
        if subject is not None:
            statement, sought = _LIST_OF, sought | {"subject": name_hash(subject)}
        while True:
            with self._database.reading() as connection:
                rows = connection.run(statement, sought).fetchall()
            yield from map(_to_session, rows)
            if len(rows) < _PAGE_SIZE:
                return
            sought["after"] = rows[-1][0]

    def rotate(self, rotation: Rotation) -> tuple[Outcome, bytes]:
        """Use a refresh token."""
        with self._database.writing() as connection:
            row = connection.run(_LOCK, {"sid": rotation.sid}).fetchone()
            if row is None or rotation.now >= row[0]:
                return Outcome.GONE, b""
            _, tokens_until, token_hash, previous_hash, salt, rotated_at = row
            used = {
                "sid": rotation.sid,
                "used_at": rotation.now,
                "tokens_until": max(tokens_until, rotation.tokens_until),
            }
            if rotation.presented == token_hash:
                rotated = {
                    "expires_at": rotation.expires_at,
                    "token_hash": rotation.successor,
                    "previous_hash": rotation.presented,
                    "salt": rotation.salt,
                }
                connection.run(_ROTATE, used | rotated)
                return Outcome.ROTATED, rotation.salt
            if rotation.presented == previous_hash and rotation.is_in_grace(rotated_at):
                connection.run(_USE, used)
                return Outcome.REPEATED, salt
            _end(connection, rotation.sid, tokens_until, now=rotation.now)
        return Outcome.REPLAYED, b""

    def end(self, sid: str, *, now: float) -> bool:
        """Remove the session, and revoke it."""
        sid = escape(sid)
        with self._database.writing() as connection:
            row = connection.run(_LOCK, {"sid": sid}).fetchone()
            if row is None:
                return False
            _, tokens_until, *_ = row
            _end(connection, sid, tokens_until, now=now)
        return True

    def end_all(self, subject: str, *, now: float, expires_at: float) -> int:
        """End every session of *subject*, and revoke whatever it holds."""
        everything = Revocation("subject", subject, int(now), math.ceil(expires_at))
        with self._database.writing() as connection:
            rows = connection.run(_DELETE_OF, {"subject": name_hash(subject)}).fetchall()
            named = [
                _ended(sid, tokens_until, now=now)
                for sid, tokens_until, used_at in rows
                if used_at > now - NAMED_SECONDS
            ]
            record(connection, [*named, everything])
        return len(rows)

    def revoke(self, revocation: Revocation) -> None:
        """Record a revocation."""
        with self._database.writing() as connection:
            record(connection, [revocation])

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        return self._follower.changes(since, limit=limit)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some of what has expired."""
        with self._database.writing(durable=False) as connection:
            return sum(
                connection.run(statement, {"until": until, "most": limit}).rowcount
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
        return self._attempts.record(quotas, window_seconds=window_seconds, now=now)

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """Forget attempts."""
        self._attempts.forgive(forgotten=forgotten, taken_back=taken_back, at=at)


def _end(connection: Connection, sid: str, tokens_until: float, *, now: float) -> None:
    """End the session of a locked row, and revoke it."""
    connection.run(_DELETE, {"sid": sid})
    record(connection, [_ended(sid, tokens_until, now=now)])


def _ended(sid: str, tokens_until: float, *, now: float) -> Revocation:
    return Revocation("session", sid, int(now), math.ceil(tokens_until))


def _to_row(session: Session) -> dict[str, object]:
    """Return the row of a session that was never refreshed."""
    return {
        "sid": session.sid,
        "subject_hash": name_hash(session.subject),
        "payload": json.dumps(session.payload.to_json() | {"credential": session.credential}),
        "created_at": session.created_at,
        "used_at": session.used_at,
        "expires_at": session.expires_at,
        "ends_at": session.ends_at,
        "tokens_until": session.tokens_until,
        "token_hash": session.token_hash,
    }


def _to_session(row: Sequence[Any]) -> Session:
    """Undo :func:`_to_row`, for a row of :data:`_COLUMNS`."""
    sid, text, created_at, used_at, expires_at, ends_at, tokens_until, token_hash = row
    payload = json.loads(text)
    credential = payload.pop("credential")
    return Session(
        sid=sid,
        payload=JWTPayload(**payload),
        credential=credential,
        created_at=created_at,
        used_at=used_at,
        expires_at=expires_at,
        ends_at=ends_at,
        tokens_until=tokens_until,
        token_hash=token_hash,
    )

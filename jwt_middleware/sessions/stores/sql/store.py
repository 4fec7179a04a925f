"""Session store in an SQLite file or a PostgreSQL database."""

# ruff: noqa: S608  every statement is made of constants

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from ....core.trust import MAX_LEEWAY_SECONDS
from ....sql.database import Database, Schema
from ....sql.statement import Connection, Statement
from ....sql.urls import DatabaseURL
from ...clock import StoreClock
from ...session import Session
from ...store import (
    DEFAULT_MAX_PER_SUBJECT,
    ENDED_AT_ONCE,
    NAMED_SECONDS,
    TIMEOUT_SECONDS,
    Changes,
    Cursor,
    Outcome,
    Revocation,
    Rotation,
    Use,
    qualified,
)
from .attempts import AttemptTable
from .log import Follower, record
from .tables import (
    BORN,
    COLUMNS,
    TABLES,
    VERSION,
    escape,
    fill,
    names,
    revocation_hashes,
    session_hashes,
    subject_hash,
    to_row,
    to_session,
    unescape,
)

_PAGE_SIZE: Final = 500
_ANY_NUMBER: Final = 2**63 - 1
_FIX: Final = "restart the application, or run `jwt-middleware sessions create-schema`"
_FIX_FOLLOWER: Final = "check the url, and start the application that issues the tokens"

_INSERT: Final = Statement("""
    INSERT INTO jwt_sessions (
        sid, subject_hash, payload,
        created_at, used_at, expires_at, ends_at, tokens_until, token_hash,
        issuer, subject, born
    ) VALUES (
        :sid, :subject_hash, :payload,
        :created_at, :used_at, :expires_at, :ends_at, :tokens_until, :token_hash,
        :issuer, :subject, (SELECT number FROM jwt_store)
    )
""")
_REBIRTH: Final = Statement("""
    UPDATE jwt_sessions SET born = (SELECT number FROM jwt_store) WHERE sid = :sid AND born < (
        SELECT MAX(number) FROM jwt_revocations WHERE name_hash IN (:subject, :old)
    )
""")
_COUNT_OF: Final = Statement("""
    SELECT COUNT(*) FROM (
        SELECT 1 FROM jwt_sessions WHERE subject_hash = :subject LIMIT :most
    ) AS counted
""")
# Of very many (earlier versions had no limit), the oldest of a random part: a sid is a hash.
_OLDEST_OF: Final = Statement("""
    SELECT sid, tokens_until FROM (
        SELECT sid, tokens_until, created_at FROM jwt_sessions
        WHERE subject_hash = :subject ORDER BY sid LIMIT :most {|FOR UPDATE}
    ) AS part ORDER BY created_at LIMIT :excess
""")
_FIND: Final = Statement(f"SELECT {COLUMNS} FROM jwt_sessions WHERE sid = :sid")
_LIST: Final = Statement(f"""
    SELECT {COLUMNS} FROM jwt_sessions WHERE sid > :after ORDER BY sid LIMIT {_PAGE_SIZE}
""")
_LIST_OF: Final = Statement(f"""
    SELECT {COLUMNS} FROM jwt_sessions WHERE subject_hash IN (:subject, :old) AND sid > :after
    ORDER BY sid LIMIT {_PAGE_SIZE}
""")
_LOCK: Final = Statement(f"""
    SELECT {COLUMNS}, previous_hash, salt, rotated_at, address
    FROM jwt_sessions WHERE sid = :sid {{|FOR UPDATE}}
""")
_ENDED: Final = Statement("""
    SELECT number, revoked_at FROM jwt_revocations WHERE name_hash IN (:subject, :old)
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
        rotated_at = :used_at,
        address = :address
    WHERE sid = :sid
""")
# A session of version 0.1 gets the missing columns when it is refreshed.
_ADOPT: Final = Statement("""
    UPDATE jwt_sessions SET
        issuer = :issuer,
        subject = :subject,
        subject_hash = :subject_hash,
        born = (SELECT number FROM jwt_store)
    WHERE sid = :sid
""")
_DELETE: Final = Statement("DELETE FROM jwt_sessions WHERE sid = :sid")
_NOTE_ENDED: Final = Statement("""
    INSERT INTO jwt_ended_subjects (subject_hash, issuer, subject, number)
    VALUES (:subject_hash, :issuer, :subject, (SELECT number FROM jwt_store))
    ON CONFLICT (subject_hash) DO UPDATE SET number = excluded.number
""")
_FORGET_ENDED: Final = Statement(
    "DELETE FROM jwt_ended_subjects WHERE subject_hash = :subject AND number <= :number"
)
_ANY_ENDED: Final = Statement("SELECT issuer, subject FROM jwt_ended_subjects LIMIT 1")
# Locked in order, so that two that clear the same rows do not deadlock.
_CLEARABLE: Final = Statement("""
    SELECT sid, used_at, tokens_until FROM jwt_sessions
    WHERE subject_hash = :subject AND born < :number ORDER BY sid LIMIT :most {|FOR UPDATE}
""")
_OLD_CLEARABLE: Final = Statement("""
    SELECT sid, used_at, tokens_until FROM jwt_sessions
    WHERE subject_hash = :old AND born IS NULL AND created_at < :until
    ORDER BY sid LIMIT :most {|FOR UPDATE}
""")


# By the earlier of two clocks: a host's fast clock must not remove entries that others need.
_PRUNING_TIME: Final = (
    "{MIN(:now, (JULIANDAY('now') - 2440587.5) * 86400.0)"
    "|LEAST(CAST(:now AS DOUBLE PRECISION), EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()))}"
)


def _prune(table: str, *, key: str, expiry: str, margin_seconds: int = 0) -> Statement:
    # Rows in use are left to the next run.
    return Statement(f"""
        DELETE FROM {table} WHERE {key} IN (
            SELECT {key} FROM {table} WHERE {expiry} <= {_PRUNING_TIME} - {margin_seconds}
            ORDER BY {expiry} LIMIT :most {{|FOR UPDATE SKIP LOCKED}}
        )
    """)


_PRUNE_SESSIONS: Final = _prune(
    "jwt_sessions", key="sid", expiry="expires_at", margin_seconds=MAX_LEEWAY_SECONDS
)
_PRUNE_REVOCATIONS: Final = _prune("jwt_revocations", key="number", expiry="expires_at")
_PRUNE_ATTEMPTS: Final = _prune("jwt_attempts", key="name_hash", expiry="idle_from")


class SQLSessions(AttemptTable):
    """
    A store in a SQL database, shared by processes and hosts.

    It connects on first use and again after a fork.  The first use in each process creates missing
    tables; that is safe while other processes do the same.  Where the database's user lacks the
    privilege, an operator calls :meth:`create_schema` first.  An application that only follows
    another one's revocations must not create tables: with a mistyped URL nothing would ever be
    revoked.

    Each operation ends within :data:`~.store.TIMEOUT_SECONDS`.

    Args:
        url: ``sqlite:///sessions.db`` (a file), ``postgresql://user:password@host/database``.
        creates_tables: Whether the first use creates missing tables.

    Raises:
        ConfigurationError: The URL is invalid, or its driver is not installed.
    """

    single_process: Final = False

    def __init__(self, url: str | DatabaseURL, *, creates_tables: bool = True) -> None:
        fix = _FIX if creates_tables else _FIX_FOLLOWER
        super().__init__(
            Database(
                url,
                schema=Schema(tables=TABLES, version=VERSION, fill=fill, fix=fix),
                timeout_seconds=TIMEOUT_SECONDS,
                creates_tables=creates_tables,
            )
        )
        self.store_clock: StoreClock = StoreClock(
            self._database.time, store=f"database {self._database}"
        )
        self._follower = Follower(self._database, creates_tables=creates_tables)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    @property
    def is_missing(self) -> bool:
        """Whether it is a missing SQLite file."""
        return self._database.is_missing

    def create_schema(self) -> None:
        """Create missing tables; safe while other processes do the same."""
        self._database.create()

    def close(self) -> None:
        """Close this process's idle connections.  The next operation reconnects."""
        self._database.close()

    def seconds_ahead(self) -> float:
        """Measure how far this host's clock is ahead of the database's."""
        return self.store_clock.seconds_ahead()

    def schema_version(self) -> int:
        """Return the schema version of the tables."""
        return self._database.schema_version()

    def add(self, session: Session, *, max_per_subject: int = DEFAULT_MAX_PER_SUBJECT) -> None:
        """Store a new session durably."""
        row = to_row(session)
        with self._database.writing() as connection:
            connection.run(_INSERT, row)
            sought = {"subject": row["subject_hash"], "most": max_per_subject + ENDED_AT_ONCE}
            (count,) = connection.run(_COUNT_OF, sought).fetchone()
            if count > max_per_subject:
                sought |= {"most": count, "excess": count - max_per_subject}
                oldest = connection.run(_OLDEST_OF, sought).fetchall()
                connection.run_many(_DELETE, [{"sid": sid} for sid, _ in oldest])
                record(
                    connection,
                    [
                        _ended(session.issuer, sid, tokens_until, now=session.created_at)
                        for sid, tokens_until in oldest
                    ],
                )
        if self._database.is_file:
            return
        # All sessions of the subject may have been ended between number and commit.  Then the login
        # counts as later, and its account is re-checked after this.
        with self._database.writing(durable=False) as connection:
            hashes = revocation_hashes(session.issuer, session.subject)
            connection.run(_REBIRTH, {"sid": row["sid"], **hashes})

    def find(self, sid: str) -> Session | None:
        """Return the session."""
        with self._database.reading() as connection:
            row = connection.run(_FIND, {"sid": escape(sid)}).fetchone()
            if row is None:
                return None
            session, born = to_session(row), row[BORN]
            return None if _has_ended(connection, session, born, session.issuer) else session

    def list(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[Session]:
        """Yield sessions in pages of 500, each its own query."""
        statement, sought = _LIST, dict[str, object](after="")
        if issuer is not None and subject is not None:
            statement = _LIST_OF
            sought |= session_hashes(issuer, subject)
        while True:
            with self._database.reading() as connection:
                rows = connection.run(statement, sought).fetchall()
                sessions = [(to_session(row), row[BORN]) for row in rows]
                ended = _ended_sids(connection, sessions)
            for one, _ in sessions:
                if one.is_of(issuer) and subject in {None, one.subject} and one.sid not in ended:
                    yield one
            if len(rows) < _PAGE_SIZE:
                return
            sought["after"] = rows[-1][0]

    def rotate(self, rotation: Rotation) -> Use:
        """Use a refresh token."""
        with self._database.writing() as connection:
            row = connection.run(_LOCK, {"sid": rotation.sid}).fetchone()
            if row is None:
                return Use(Outcome.GONE)
            session, born = to_session(row[:-4]), row[BORN]
            previous_hash, salt, rotated_at, address = row[-4:]
            if rotation.now >= session.expires_at or _has_ended(
                connection, session, born, rotation.issuer
            ):
                return Use(Outcome.GONE)
            used = {
                "sid": rotation.sid,
                "used_at": rotation.now,
                "tokens_until": max(session.tokens_until, rotation.tokens_until),
            }
            before = address or ""
            if rotation.presented == session.token_hash:
                rotated = {
                    "expires_at": rotation.expires_at,
                    "token_hash": rotation.successor,
                    "previous_hash": rotation.presented,
                    "salt": rotation.salt,
                    "address": rotation.address,
                }
                connection.run(_ROTATE, used | rotated)
                if born is None:
                    connection.run(_ADOPT, names(rotation.issuer, session))
                return Use(Outcome.ROTATED, rotation.salt, before)
            if rotation.presented == previous_hash and rotation.is_in_grace(rotated_at):
                connection.run(_USE, used)
                return Use(Outcome.REPEATED, salt, before)
            _end(connection, session, rotation.issuer, now=rotation.now)
        return Use(Outcome.REPLAYED, b"", before)

    def end(self, sid: str, *, issuer: str, now: float) -> bool:
        """Remove the session and revoke it."""
        with self._database.writing() as connection:
            row = connection.run(_LOCK, {"sid": escape(sid)}).fetchone()
            if row is None:
                return False
            session = to_session(row[:-4])
            if not session.is_of(issuer) or _has_ended(connection, session, row[BORN], issuer):
                return False
            _end(connection, session, issuer, now=now)
        return True

    def end_all(self, issuer: str, subject: str, *, now: float, expires_at: float) -> None:
        """End all sessions of *subject* and revoke its tokens."""
        key = qualified(issuer, subject)
        noted = {
            "subject_hash": subject_hash(issuer, subject),
            "issuer": escape(issuer),
            "subject": escape(subject),
        }
        with self._database.writing() as connection:
            record(connection, [Revocation("subject", key, int(now), math.ceil(expires_at))])
            connection.run(_NOTE_ENDED, noted)

    def clear_ended(self, issuer: str, subject: str, *, limit: int) -> int:
        """Remove sessions that :meth:`end_all` has ended."""
        with self._database.writing() as connection:
            return _clear(connection, issuer, subject, limit=limit)

    def revoke(self, revocation: Revocation) -> None:
        """Store a revocation."""
        with self._database.writing() as connection:
            record(connection, [revocation])

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return revocations that were recorded after *since*."""
        return self._follower.changes(since, limit=limit)

    def prune(self, *, now: float, limit: int) -> int:
        """Remove some expired or ended entries."""
        with self._database.writing(durable=False) as connection:
            removed = sum(
                connection.run(statement, {"now": now, "most": limit}).rowcount
                for statement in (_PRUNE_SESSIONS, _PRUNE_REVOCATIONS, _PRUNE_ATTEMPTS)
            )
        with self._database.writing() as connection:
            ended = connection.run(_ANY_ENDED).fetchone()
            if ended is not None:
                removed += _clear(connection, *map(unescape, ended), limit=limit)
        return removed


def _has_ended(connection: Connection, session: Session, born: int | None, issuer: str) -> bool:
    """Return whether all sessions of its subject were ended after it was added."""
    sought = revocation_hashes(issuer, session.subject)
    return any(
        _is_ended(session, born, number, revoked_at)
        for number, revoked_at in connection.run(_ENDED, sought).fetchall()
    )


def _ended_sids(connection: Connection, sessions: Sequence[tuple[Session, int | None]]) -> set[str]:
    """Return the *sid* of each session in a page that :meth:`end_all` has ended."""
    hashes: dict[bytes, list[tuple[Session, int | None]]] = {}
    for session, born in sessions:
        for one in revocation_hashes(session.issuer, session.subject).values():
            hashes.setdefault(one, []).append((session, born))
    if not hashes:
        return set()
    sought = {f"hash{number}": one for number, one in enumerate(hashes)}
    names = ", ".join(f":{name}" for name in sought)
    statement = Statement(
        f"SELECT name_hash, number, revoked_at FROM jwt_revocations WHERE name_hash IN ({names})"
    )
    return {
        session.sid
        for one, number, revoked_at in connection.run(statement, sought).fetchall()
        for session, born in hashes[bytes(one)]
        if _is_ended(session, born, number, revoked_at)
    }


def _is_ended(session: Session, born: int | None, number: int, revoked_at: int) -> bool:
    """Return whether the subject's revocation came after the session was added."""
    if born is None:  # of version 0.1, which removed ended sessions at once
        return math.floor(session.created_at) <= revoked_at
    return number > born


def _clear(connection: Connection, issuer: str, subject: str, *, limit: int) -> int:
    hashes = session_hashes(issuer, subject)
    found = connection.run(_ENDED, revocation_hashes(issuer, subject)).fetchall()
    if not found:  # it has expired, and so have the sessions
        connection.run(_FORGET_ENDED, {"subject": hashes["subject"], "number": _ANY_NUMBER})
        return 0
    number, revoked_at = max(found)
    sought = hashes | {"number": number, "until": revoked_at + 1, "most": limit}
    rows = connection.run(_CLEARABLE, sought).fetchall()
    if len(rows) < limit:
        rows += connection.run(_OLD_CLEARABLE, sought | {"most": limit - len(rows)}).fetchall()
    connection.run_many(_DELETE, [{"sid": sid} for sid, *_ in rows])
    record(
        connection,
        [
            _ended(issuer, sid, tokens_until, now=revoked_at)
            for sid, used_at, tokens_until in rows
            if used_at > revoked_at - NAMED_SECONDS
        ],
    )
    if len(rows) < limit:  # unless they were ended again meanwhile
        connection.run(_FORGET_ENDED, {"subject": hashes["subject"], "number": number})
    return len(rows)


def _end(connection: Connection, session: Session, issuer: str, *, now: float) -> None:
    """End the session of a locked row and revoke it."""
    connection.run(_DELETE, {"sid": escape(session.sid)})
    record(connection, [_ended(issuer, session.sid, session.tokens_until, now=now)])


def _ended(issuer: str, sid: str, tokens_until: float, *, now: float) -> Revocation:
    return Revocation("session", qualified(issuer, sid), int(now), math.ceil(tokens_until))

"""Tables of sessions, revocations and login attempts, and the rows of sessions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from ....sql.statement import Connection, Statement, Table
from ....sql.versions import FIRST, UNREADABLE, SchemaVersion, unreadable
from ...session import Session, stored_payload

VERSION: Final = SchemaVersion("sessions", 2, oldest=FIRST, package="0.1.0")

# Prefixed, so that they do not collide with an application's tables.
TABLES: Final = [
    # One row with the number of the latest revocation.  A writer locks it until its commit, so that
    # revocations become visible in the order of their numbers; a sequence does not ensure that.
    Table(
        "jwt_store",
        [
            Statement("""
                CREATE TABLE jwt_store (
                    id INTEGER NOT NULL PRIMARY KEY,
                    identity VARCHAR(32) NOT NULL,
                    number BIGINT NOT NULL
                )
            """)
        ],
    ),
    # Four columns describe the last rotation: hash of the current token, hash of the used token,
    # salt of the successor, and time.  Version 0.1 lacks the columns after these: its rows have no
    # issuer, their subject is the uid in the payload and is hashed alone.  "born" is the number of
    # the latest revocation when the session was added: a later one of its subject ends it.
    Table(
        "jwt_sessions",
        [
            Statement("""
                CREATE TABLE jwt_sessions (
                    sid TEXT NOT NULL PRIMARY KEY,
                    subject_hash {BLOB|BYTEA} NOT NULL,
                    payload TEXT NOT NULL,
                    created_at {DOUBLE|DOUBLE PRECISION} NOT NULL,
                    used_at {DOUBLE|DOUBLE PRECISION} NOT NULL,
                    expires_at {DOUBLE|DOUBLE PRECISION} NOT NULL,
                    ends_at {DOUBLE|DOUBLE PRECISION} NOT NULL,
                    tokens_until {DOUBLE|DOUBLE PRECISION} NOT NULL,
                    token_hash {BLOB|BYTEA},
                    previous_hash {BLOB|BYTEA},
                    salt {BLOB|BYTEA},
                    rotated_at {DOUBLE|DOUBLE PRECISION},
                    issuer TEXT,
                    subject TEXT,
                    born BIGINT,
                    address TEXT
                ) {WITHOUT ROWID|}
            """),  # without: one B-tree less to write
            Statement("CREATE INDEX ix_jwt_sessions_expires_at ON jwt_sessions (expires_at)"),
            Statement("CREATE INDEX ix_jwt_sessions_subject ON jwt_sessions (subject_hash, sid)"),
        ],
        added={
            column: Statement(f"ALTER TABLE jwt_sessions ADD COLUMN {column} {kind}")
            for column, kind in (
                ("issuer", "TEXT"),
                ("subject", "TEXT"),
                ("born", "BIGINT"),
                ("address", "TEXT"),
            )
        },
    ),
    # Subjects with ended sessions that may not be removed yet, and the revocation's number.
    Table(
        "jwt_ended_subjects",
        [
            Statement("""
                CREATE TABLE jwt_ended_subjects (
                    subject_hash {BLOB|BYTEA} NOT NULL PRIMARY KEY,
                    issuer TEXT NOT NULL,
                    subject TEXT NOT NULL,
                    number BIGINT NOT NULL
                ) {WITHOUT ROWID|}
            """)
        ],
    ),
    # The number is the key, so that SQLite stores rows in reading order.
    Table(
        "jwt_revocations",
        [
            Statement("""
                CREATE TABLE jwt_revocations (
                    number {INTEGER|BIGINT} NOT NULL PRIMARY KEY,
                    name_hash {BLOB|BYTEA} NOT NULL UNIQUE,
                    kind VARCHAR(8) NOT NULL,
                    name TEXT NOT NULL,
                    revoked_at BIGINT NOT NULL,
                    expires_at BIGINT NOT NULL
                )
            """),
            Statement("CREATE INDEX ix_jwt_revocations_expires_at ON jwt_revocations (expires_at)"),
        ],
    ),
    # The tags of recent numbers, by the number's low bits: see Cursor.
    Table(
        "jwt_positions",
        [
            Statement("""
                CREATE TABLE jwt_positions (
                    slot INTEGER NOT NULL PRIMARY KEY,
                    number BIGINT NOT NULL,
                    tag VARCHAR(16) NOT NULL
                )
            """)
        ],
    ),
    # The times are JSON: a bucket's level, or an account's known leaves.
    Table(
        "jwt_attempts",
        [
            Statement("""
                CREATE TABLE jwt_attempts (
                    name_hash {BLOB|BYTEA} NOT NULL PRIMARY KEY,
                    times TEXT NOT NULL,
                    idle_from {DOUBLE|DOUBLE PRECISION} NOT NULL
                ) {WITHOUT ROWID|}
            """),
            Statement("CREATE INDEX ix_jwt_attempts_idle_from ON jwt_attempts (idle_from)"),
        ],
    ),
]

_HASH_BYTES: Final = 16
_IS_FILLED: Final = Statement("SELECT id FROM jwt_store")
_FILL: Final = Statement("""
    INSERT INTO jwt_store (id, identity, number)
    VALUES (1, :identity, (SELECT COALESCE(MAX(number), 0) FROM jwt_revocations))
    ON CONFLICT (id) DO NOTHING
""")


def fill(connection: Connection) -> None:
    """Give a new or emptied store an ID."""
    if connection.run(_IS_FILLED).fetchone() is None:
        connection.run(_FILL, {"identity": secrets.token_hex(8)})


def name_hash(*names: str) -> bytes:
    """
    Return the hash of names for an index.

    A PostgreSQL index accepts at most 2,704 bytes, and its text no NUL: a subject may be longer,
    and another issuer's *jti* may be any text.
    """
    text = "\n".join(names).encode("utf-8", "surrogatepass")
    return sha256(text).digest()[:_HASH_BYTES]


def subject_hash(issuer: str, subject: str) -> bytes:
    """Return the hash of a subject: the *name_hash* of the revocation of all its tokens."""
    return name_hash("subject", issuer, subject)  # as in record(): qualified, two lines


def session_hashes(issuer: str, subject: str) -> dict[str, bytes]:
    """Return the hashes of a subject's sessions: current, and of version 0.1."""
    return {"subject": subject_hash(issuer, subject), "old": name_hash(subject)}


def revocation_hashes(issuer: str, subject: str) -> dict[str, bytes]:
    """Return the hashes of a subject's revocation: current, and of version 0.1."""
    return {"subject": subject_hash(issuer, subject), "old": name_hash("subject", subject)}


def escape(text: str) -> str:
    """
    Escape *text* to printable ASCII; most text, and every *sid* of ours, stays unchanged.

    A *sid* in a token that another program signed with our key may be any text.
    """
    return text.encode("unicode_escape").decode("ascii")


def unescape(text: str) -> str:
    """Undo :func:`escape`."""
    if "\\" not in text:
        return text
    # The usual case: issuer, line break, name.
    if "\\n" in text and text.count("\\") == 1:
        return text.replace("\\n", "\n")
    return text.encode("ascii").decode("unicode_escape")


COLUMNS: Final = (
    "sid, payload, created_at, used_at, expires_at, ends_at, tokens_until, token_hash,"
    " issuer, subject, born"
)
BORN: Final = 10
"""Index of the column *born* in a row of :data:`COLUMNS`."""


def names(issuer: str, session: Session) -> dict[str, object]:
    """Return the index columns of a session."""
    payload = session.payload
    return {
        "sid": escape(session.sid),
        "issuer": escape(issuer),
        "subject": escape(payload.subject),
        "subject_hash": subject_hash(issuer, payload.sub),
    }


def to_row(session: Session) -> dict[str, object]:
    """Convert a session that was never refreshed to a row."""
    payload = session.payload.to_json()
    payload.pop("subject", None)  # has a column
    return {
        **names(session.issuer, session),
        "payload": json.dumps(payload | {"credential": session.credential}),
        "created_at": session.created_at,
        "used_at": session.used_at,
        "expires_at": session.expires_at,
        "ends_at": session.ends_at,
        "tokens_until": session.tokens_until,
        "token_hash": session.token_hash,
    }


def to_session(row: Sequence[Any]) -> Session:
    """
    Convert a row of :data:`COLUMNS` to a session.

    Raises:
        UnavailableError: The row cannot be read.
    """
    sid, text, created_at, used_at, expires_at, ends_at, tokens_until, token_hash = row[:8]
    issuer, subject, _ = row[8:]
    try:
        payload = json.loads(text)
        return Session(
            sid=sid,
            issuer=unescape(issuer or ""),
            payload=stored_payload(payload | {"subject": unescape(subject or "")}),
            credential=payload["credential"],
            created_at=created_at,
            used_at=used_at,
            expires_at=expires_at,
            ends_at=ends_at,
            tokens_until=tokens_until,
            token_hash=token_hash,
        )
    except UNREADABLE:
        raise unreadable("a session") from None

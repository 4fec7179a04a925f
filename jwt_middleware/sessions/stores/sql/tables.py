"""The tables of sessions, revocations and login attempts, and how a session is written to them."""

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

# Names that no application has for its own tables in the same database.
TABLES: Final = [
    # There is one row.  Its number is that of the latest revocation: a writer of one holds the
    # lock of this row until it is committed, so that they become visible in the order of their
    # numbers.  A sequence could not promise that.
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
    # Four columns are of the last rotation: hash of the latest token, of the token that was used,
    # the salt from which its successor follows, and when.  Version 0.1 has not the columns after
    # these: its rows have no issuer, their subject is the uid in the payload, and alone is hashed.
    # A session was born at the number of the latest revocation: a later one of its subject ends it.
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
            """),  # without: one tree less to write to
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
    # Subjects whose sessions have been ended and may still be there, with the number of that.
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
    # The number is the key, so that SQLite stores the table in the order in which it is read.
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
    # The tag of each number that was given out lately, by the number's last bits: see Cursor.
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
    # The times are JSON: of a bucket its level, of an account the leaves that it is known at.
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
    """Give a store that is new, or has been emptied, an identity."""
    if connection.run(_IS_FILLED).fetchone() is None:
        connection.run(_FILL, {"identity": secrets.token_hex(8)})


def name_hash(*names: str) -> bytes:
    """
    Return what stands for names in an index.

    An index of PostgreSQL takes no text above 2,704 bytes, and its texts no NUL: a subject may be
    longer, and the *jti* of another issuer may be anything.
    """
    text = "\n".join(names).encode("utf-8", "surrogatepass")
    return sha256(text).digest()[:_HASH_BYTES]


def subject_hash(issuer: str, subject: str) -> bytes:
    """Return what stands for a subject: the *name_hash* of the revocation that ends all it has."""
    return name_hash("subject", issuer, subject)  # as record() has it: qualified, in two lines


def session_hashes(issuer: str, subject: str) -> dict[str, bytes]:
    """Return by what a subject's sessions are found, and what version 0.1 has for them."""
    return {"subject": subject_hash(issuer, subject), "old": name_hash(subject)}


def revocation_hashes(issuer: str, subject: str) -> dict[str, bytes]:
    """Return by what the end of all its sessions is found, and what version 0.1 has for that."""
    return {"subject": subject_hash(issuer, subject), "old": name_hash("subject", subject)}


def escape(text: str) -> str:
    """
    Return printable ASCII, which reads as *text* itself in most cases, and always for a *sid*.

    A *sid* in a token that others signed with our key may be any text.
    """
    return text.encode("unicode_escape").decode("ascii")


def unescape(text: str) -> str:
    """Undo :func:`escape`."""
    if "\\" not in text:
        return text
    # As nearly all are: an issuer and a name, with a line break between them.
    if "\\n" in text and text.count("\\") == 1:
        return text.replace("\\n", "\n")
    return text.encode("ascii").decode("unicode_escape")


COLUMNS: Final = (
    "sid, payload, created_at, used_at, expires_at, ends_at, tokens_until, token_hash,"
    " issuer, subject, born"
)
BORN: Final = 10
"""Where the column *born* is in a row of :data:`COLUMNS`."""


def names(issuer: str, session: Session) -> dict[str, object]:
    """Return the columns by which a session is found."""
    payload = session.payload
    return {
        "sid": escape(session.sid),
        "issuer": escape(issuer),
        "subject": escape(payload.subject),
        "subject_hash": subject_hash(issuer, payload.sub),
    }


def to_row(session: Session) -> dict[str, object]:
    """Return the row of a session that was never refreshed."""
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
    Undo :func:`to_row`, for a row of :data:`COLUMNS`.

    Raises:
        UnavailableError: It cannot be read.
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

"""The tables of sessions, revocations and login attempts, and how values are written to them."""

from __future__ import annotations

import json
import secrets
from hashlib import sha256
from typing import Any, Final

import sqlalchemy as sa

from ....core.payload import JWTPayload
from ...session import Session

# Names that no application has for its own tables in the same database.
metadata = sa.MetaData()

store = sa.Table(
    "jwt_store",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # there is one row
    sa.Column("identity", sa.String(32), nullable=False),
    # Of the latest revocation.  Who writes one holds the lock of this row until it is committed:
    # so they become visible in the order of their numbers.  A sequence could not promise that.
    sa.Column("number", sa.BigInteger, nullable=False),
)

sessions = sa.Table(
    "jwt_sessions",
    metadata,
    sa.Column("sid", sa.Text, primary_key=True),
    sa.Column("subject_hash", sa.LargeBinary, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("used_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
    sa.Column("ends_at", sa.Double, nullable=False),
    sa.Column("tokens_until", sa.Double, nullable=False),
    sa.Column("token_hash", sa.LargeBinary),
    # Of the last rotation: the token that was used, from what its successor follows, and when.
    sa.Column("previous_hash", sa.LargeBinary),
    sa.Column("salt", sa.LargeBinary),
    sa.Column("rotated_at", sa.Double),
    sa.Index("ix_jwt_sessions_subject", "subject_hash", "sid"),
    sqlite_with_rowid=False,  # one tree less to write to
)

revocations = sa.Table(
    "jwt_revocations",
    metadata,
    # The key, so that SQLite stores the table in the order in which it is read.
    sa.Column(
        "number",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("name_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

attempts = sa.Table(
    "jwt_attempts",
    metadata,
    sa.Column("name_hash", sa.LargeBinary, primary_key=True),
    sa.Column("times", sa.Text, nullable=False),  # a JSON list
    sa.Column("idle_from", sa.Double, nullable=False, index=True),
    sqlite_with_rowid=False,
)

_HASH_BYTES: Final = 16


def name_hash(*names: str) -> bytes:
    """
    Return what stands for names in an index.

    An index of PostgreSQL takes no text above 2,704 bytes, and its texts no NUL: a subject may be
    longer, and the *jti* of another issuer may be anything.
    """
    text = "\n".join(names).encode("utf-8", "surrogatepass")
    return sha256(text).digest()[:_HASH_BYTES]


def escape(text: str) -> str:
    """
    Return printable ASCII, which reads as *text* itself in most cases, and always for a *sid*.

    What claims to be one, in a token that others signed with our key, may be anything.
    """
    return text.encode("unicode_escape").decode("ascii")


def unescape(text: str) -> str:
    """Undo :func:`escape`."""
    return text.encode("ascii").decode("unicode_escape") if "\\" in text else text


def to_row(session: Session) -> dict[str, Any]:
    """Return the row of a session that was never refreshed."""
    return {
        "sid": session.sid,
        "subject_hash": name_hash(session.subject),
        "payload": json.dumps({**session.payload.to_json(), "credential": session.credential}),
        "created_at": session.created_at,
        "used_at": session.used_at,
        "expires_at": session.expires_at,
        "ends_at": session.ends_at,
        "tokens_until": session.tokens_until,
        "token_hash": session.token_hash,
    }


def to_session(row: sa.Row[Any]) -> Session:
    """Undo :func:`to_row`, for a row with all columns."""
    payload = json.loads(row.payload)
    credential = payload.pop("credential")
    return Session(
        sid=row.sid,
        payload=JWTPayload(**payload),
        credential=credential,
        created_at=row.created_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
        ends_at=row.ends_at,
        tokens_until=row.tokens_until,
        token_hash=row.token_hash,
    )


def fill(connection: sa.Connection) -> None:
    """Give a new store its identity, while no other process does."""
    if connection.execute(sa.select(store.c.id)).first() is None:
        row = {"id": 1, "identity": secrets.token_hex(8), "number": 0}
        connection.execute(sa.insert(store).values(row))

"""The least that an endpoint has to do: the statements by SQLite's driver, and a JWT by PyJWT."""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path
from typing import Final

import jwt

from .subject import AUDIENCE, SECRET, new_tokens

_BUCKETS: Final = 5  # of an account, an address and two networks, and of an address in all
_SCHEMA: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT, hash TEXT, scope TEXT);
    CREATE TABLE attempts (bucket BLOB PRIMARY KEY, level TEXT, until REAL) WITHOUT ROWID;
    CREATE TABLE sessions (
        sid TEXT PRIMARY KEY, subject BLOB, payload TEXT,
        created_at REAL, used_at REAL, expires_at REAL, token BLOB, previous BLOB
    ) WITHOUT ROWID;
    CREATE INDEX by_subject ON sessions (subject, sid);
    CREATE INDEX by_expiry ON sessions (expires_at);
    INSERT INTO accounts VALUES (42, 'billing', 'a hash', 'read write');
"""
_LEVELS: Final = f"SELECT bucket, level FROM attempts WHERE bucket IN ({', '.join('?' * _BUCKETS)})"  # noqa: S608  a constant
_COUNT: Final = """
    INSERT INTO attempts VALUES (?, ?, ?)
    ON CONFLICT (bucket) DO UPDATE SET level = excluded.level, until = excluded.until
"""


class Statements:
    """
    What a login, a refresh and an introspection cannot do without.

    Args:
        file: A database that is not there yet.
    """

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.executescript(_SCHEMA)
        self._token = new_tokens(1)[0]
        self._claims = jwt.decode(self._token, options={"verify_signature": False})
        self._sids: list[str] = []

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def log_in(self, number: int) -> None:
        """Count an attempt; record a session, and take the attempt back; sign a token."""
        execute, now = self._connection.execute, time.time()
        buckets = [bytes([number % 256, one]) * 16 for one in range(_BUCKETS)]
        sid, subject = secrets.token_urlsafe(16), b"of a subject" + bytes([number % 256])
        levels = [(bucket, f"[{now}, 1, {now}]", now) for bucket in buckets]
        execute("BEGIN IMMEDIATE")
        execute(_LEVELS, buckets).fetchall()
        self._connection.executemany(_COUNT, levels)
        execute("COMMIT")
        execute("BEGIN IMMEDIATE")
        row = (sid, subject, '{"uid": 42}', now, now, now + 7200, secrets.token_bytes(32))
        execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", row)
        execute("SELECT COUNT(*) FROM sessions WHERE subject = ?", [subject]).fetchone()
        execute(_LEVELS, buckets).fetchall()
        self._connection.executemany(_COUNT, levels)
        execute("COMMIT")
        jwt.encode(self._claims, SECRET)
        self._sids.append(sid)

    def refresh(self, number: int) -> None:
        """Use the token of a session, and sign another."""
        execute, now = self._connection.execute, time.time()
        sid = self._sids[number % len(self._sids)]
        execute("BEGIN IMMEDIATE")
        execute("SELECT * FROM sessions WHERE sid = ?", [sid]).fetchone()
        execute(
            "UPDATE sessions SET used_at = ?, expires_at = ?, previous = token, token = ?"
            " WHERE sid = ?",
            [now, now + 7200, secrets.token_bytes(32), sid],
        )
        execute("COMMIT")
        jwt.encode(self._claims, SECRET)

    def introspect(self, _number: int) -> None:
        """Find the account of a client, and verify a token."""
        self._connection.execute("SELECT * FROM accounts WHERE id = 42").fetchone()
        jwt.decode(self._token, SECRET, algorithms=["HS256"], audience=AUDIENCE)

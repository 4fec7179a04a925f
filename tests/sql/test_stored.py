"""Databases of version 0.1.0, dumped with a row of each kind, are used as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import BadCredentialsError
from jwt_middleware.sessions.store import Outcome, Revocation
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from ..sessions.values import (
    NOW,
    SALT,
    SECOND,
    THIRD,
    a_revocation,
    a_rotation,
    a_session,
    read_all,
)

DUMPS = Path(__file__).with_name("stored")
# What PostgreSQL knows about a database; SQLite keeps the statements themselves.
COLUMNS = """
    SELECT table_name, ordinal_position, column_name, data_type, character_maximum_length,
        is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'stored.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    with psycopg.connect(found) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return found


def restore(url: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript((DUMPS / "sqlite.sql").read_text())
        return
    dump: Any = (DUMPS / "postgresql.sql").read_text()
    with psycopg.connect(url, autocommit=True) as postgresql:
        postgresql.execute(dump)


def schema(url: str) -> list[Any]:
    """Return all that the database knows of its tables and indexes."""
    if not url.startswith("sqlite"):
        with psycopg.connect(url) as postgresql:
            return [*postgresql.execute(COLUMNS), *postgresql.execute(INDEXES)]
    found: list[Any] = []
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        master = "SELECT name, type FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        for name, kind in connection.execute(master).fetchall():
            found.append((name, kind))
            if kind == "table":
                found += connection.execute(f"PRAGMA table_info({name})")
                found += connection.execute(f"PRAGMA index_list({name})")
                # Whether it has row ids.
                listed = connection.execute("PRAGMA table_list").fetchall()
                found += [row for row in listed if row[1] == name]
            else:
                found += connection.execute(f"PRAGMA index_xinfo({name})")
    return found


def create(url: str) -> None:
    for one in (SQLAccounts(url), SQLSessions(url)):
        with closing(one):
            one.create_schema()


def test_new_tables_are_like_stored_ones(url: str, tmp_path: Path) -> None:
    create(url)
    made = schema(url)
    if url.startswith("sqlite"):
        url = f"sqlite:///{tmp_path / 'another.db'}"
    else:
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    restore(url)
    assert made == schema(url)
    create(url)
    assert made == schema(url)


def test_accounts_are_read_and_added(url: str, hasher: SecretHasher) -> None:
    restore(url)
    with closing(SQLAccounts(url, hasher=hasher)) as accounts:
        ann = accounts.verify("email", "ann@x", "hunter2")
        assert (ann.uid, ann.scope, ann.credential) == (1, "read write", "1700000000")
        with pytest.raises(BadCredentialsError):
            accounts.verify("username", "bob", "hunter2")
        assert [account.disabled for account in accounts.list()] == [False, True]
        accounts.set_secret("email", "ann@x", "another")
        assert accounts.verify("email", "ann@x", "another").uid == 1
        assert accounts.add("email", "eve@x", "hunter2").uid == 3


def test_sessions_go_on(url: str) -> None:
    restore(url)
    with closing(SQLSessions(url)) as store:
        assert store.find("sid") == a_session()
        assert [one.sid for one in store.list(subject="x")] == ["used"]
        assert store.rotate(a_rotation(sid="used")) == (Outcome.REPEATED, SALT)
        assert store.rotate(a_rotation(SECOND, THIRD, sid="used"))[0] is Outcome.ROTATED
        assert store.rotate(a_rotation(SECOND, THIRD, grace_seconds=0, sid="used"))[0] is (
            Outcome.REPLAYED
        )
        assert store.end_all("42", now=NOW, expires_at=NOW + 100) == 1


def test_revocations_and_attempts_are_remembered(url: str) -> None:
    restore(url)
    with closing(SQLSessions(url)) as store:
        stored = a_revocation("j\x00\ud800ti")
        found, cursor = read_all(store)
        assert found == [stored]
        assert cursor.number == 1
        store.revoke(a_revocation("new"))
        assert read_all(store, cursor)[0] == [a_revocation("new")]
        store.revoke(Revocation("token", stored.key, 0, 0))
        assert read_all(store)[0] == [a_revocation("new"), stored]
        quotas = {"ann": 2, "address": 9}
        assert store.record_attempt(quotas, window_seconds=60, now=NOW + 1) == 0
        assert store.record_attempt(quotas, window_seconds=60, now=NOW + 2) == 58

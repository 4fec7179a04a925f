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
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.store import Outcome, Revocation
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from ..sessions.values import (
    ISS,
    NOW,
    SALT,
    SECOND,
    THIRD,
    a_revocation,
    a_rotation,
    a_session,
    an_attempt,
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


def names(found: list[Any]) -> set[str]:
    return {str(row) for row in found}


def test_stored_tables_get_what_new_ones_have_and_lose_nothing(url: str, tmp_path: Path) -> None:
    create(url)
    made = schema(url)
    if url.startswith("sqlite"):
        url = f"sqlite:///{tmp_path / 'another.db'}"
    else:
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    restore(url)
    stored = schema(url)
    create(url)
    migrated = schema(url)
    create(url)
    assert schema(url) == migrated
    # SQLite counts the columns of a table in one of these rows.
    grown = ("'jwt_sessions', 'table'", "'accounts', 'table'")
    counted = {row for row in names(stored) if any(one in row for one in grown)}
    assert names(stored) - counted <= names(migrated)
    assert names(migrated) == names(made)


def test_accounts_are_read_and_added(url: str, hasher: SecretHasher) -> None:
    restore(url)
    with closing(SQLAccounts(url, hasher=hasher, min_secret_chars=1)) as accounts:
        ann = accounts.verify("email", "ann@x", "hunter2")
        assert (ann.uid, ann.scope, ann.credential) == (1, "read write", "1700000000")
        with pytest.raises(BadCredentialsError):
            accounts.verify("username", "bob", "hunter2")
        assert [account.disabled for account in accounts.list()] == [False, True]
        accounts.set_secret("email", "ann@x", "another")
        assert accounts.verify("email", "ann@x", "another").uid == 1
        assert accounts.add("email", "eve@x", "hunter2").uid == 3


def test_sessions_go_on_and_get_an_issuer(url: str) -> None:
    restore(url)
    with closing(SQLSessions(url)) as store:
        assert store.find("sid") == a_session(issuer="")
        assert [one.sid for one in store.list(issuer=ISS, subject="x")] == ["used"]
        assert store.rotate(a_rotation(sid="used")) == (Outcome.REPEATED, SALT, "")
        assert store.rotate(a_rotation(SECOND, THIRD, sid="used")).outcome is Outcome.ROTATED
        found = store.find("used")
        assert found is not None
        assert (found.issuer, found.subject) == (ISS, "x")
        assert [one.sid for one in store.list(issuer=ISS, subject="x")] == ["used"]
        assert [*store.list(issuer="https://other", subject="x")] == []
        again = a_rotation(SECOND, THIRD, grace_seconds=0, sid="used")
        assert store.rotate(again).outcome is Outcome.REPLAYED


def test_sessions_end_with_all_of_their_subject(url: str) -> None:
    restore(url)
    with closing(SQLSessions(url)) as store:
        store.add(later := a_session("later", uid="y"))
        store.end_all(ISS, "42", now=NOW, expires_at=NOW + 100)
        assert store.rotate(a_rotation()).outcome is Outcome.GONE
        assert store.clear_ended(ISS, "42", limit=9) == 1
        assert store.find("sid") is None
        assert [one.sid for one in store.list(issuer=ISS, subject="y")] == [later.sid]


def test_a_session_that_began_after_a_stored_end_of_all_goes_on(url: str) -> None:
    restore(url)
    with closing(SQLSessions(url)) as store:
        earlier = int(NOW) - 60
        store.revoke(Revocation("subject", "42", earlier, int(NOW) + 9_000))
        assert store.find("sid") is not None
        assert store.rotate(a_rotation()).outcome is Outcome.ROTATED
        # It counts for all that there is now, of every issuer.
        store.revoke(Revocation("subject", "42", int(NOW), int(NOW) + 9_000))
        assert store.find("sid") is None


def test_revocations_are_remembered(url: str) -> None:
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


def test_stored_attempts_are_pruned(url: str) -> None:
    restore(url)
    with closing(SQLSessions(url)) as store:
        attempt = an_attempt(pool=Drip(1, 60.0))
        assert store.reserve(attempt, now=NOW).wait_seconds == 0
        while store.prune(now=NOW + 10**6, limit=10):
            pass
        assert store.reserve(attempt, now=NOW + 10**6).wait_seconds == 0

"""Versions of tables: written once, never back, and refused by what is too old for them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.stores.sql.store import SQLSessions
from jwt_middleware.sql.versions import SchemaVersion


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "all.db"


def open_all(path: Path) -> tuple[SQLSessions, SQLAccounts]:
    return SQLSessions(f"sqlite:///{path}"), SQLAccounts(f"sqlite:///{path}")


def set_versions(path: Path, *, oldest: int, version: int = 9, package: str = "0.9.0") -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE jwt_schema SET version = ?, oldest = ?, package = ?", (version, oldest, package)
        )
    connection.close()


def test_sessions_and_accounts_of_one_file_have_a_version_each(path: Path) -> None:
    sessions, accounts = open_all(path)
    sessions.create_schema()
    assert (sessions.schema_version(), accounts.schema_version()) == (2, 1)
    accounts.create_schema()
    assert accounts.schema_version() == 2


def test_tables_without_versions_are_of_the_first(path: Path) -> None:
    sessions, accounts = open_all(path)
    sessions.create_schema()
    accounts.create_schema()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE jwt_schema")
    connection.close()
    followers = SQLSessions(f"sqlite:///{path}", creates_tables=False)
    assert (followers.schema_version(), accounts.schema_version()) == (1, 1)
    assert SQLSessions(f"sqlite:///{path}").schema_version() == 2  # its first use has written it


def test_a_later_version_that_this_one_may_use_stands(path: Path) -> None:
    for one in open_all(path):
        one.create_schema()
    set_versions(path, oldest=2)
    for one in open_all(path):
        one.create_schema()
        assert one.schema_version() == 9


@pytest.mark.parametrize("package", ["0.9.0", "\x1b[1m"])
def test_what_is_too_new_is_refused_with_the_fix(path: Path, package: str) -> None:
    for one in open_all(path):
        one.create_schema()
    running, _ = open_all(path)
    running.store_clock()
    set_versions(path, oldest=3, package=package)
    shown = "0.9.0" if package == "0.9.0" else r"\?"
    fix = rf"all\.db: its \w+ are of schema version 9, .* knows 2: upgrade .* to {shown} or later"
    sessions, accounts = open_all(path)
    follower = SQLSessions(f"sqlite:///{path}", creates_tables=False)
    for use in (
        sessions.create_schema,
        lambda: sessions.find("sid"),
        lambda: follower.changes(None, limit=1),
        lambda: accounts.find(1),
        accounts.create_schema,
        running.seconds_ahead,  # and every ten seconds where it runs already
    ):
        with pytest.raises(UnavailableError, match=fix):
            use()


def test_a_user_who_was_not_granted_to_read_versions_goes_on(postgresql_url: str) -> None:
    owner = SQLAccounts(postgresql_url)
    owner.create_schema()
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE jwt_worker LOGIN")
        try:
            connection.execute("GRANT USAGE ON SCHEMA public TO jwt_worker")
            connection.execute("GRANT SELECT ON accounts TO jwt_worker")
            worker = SQLAccounts(postgresql_url.replace("postgres@", "jwt_worker@"))
            assert worker.find(10**9) is None
            assert (worker.schema_version(), owner.schema_version()) == (1, 2)
            worker.close()
        finally:
            connection.execute("DROP OWNED BY jwt_worker")
            connection.execute("DROP ROLE jwt_worker")
    owner.close()


def test_an_unwritten_version_may_be_used_by_all() -> None:
    SchemaVersion("part", 2, 1, "").check(SchemaVersion("part", 1, 1, ""))

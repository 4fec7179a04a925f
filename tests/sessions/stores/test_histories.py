"""Stores that go back in time, and rows that the last version has written without a tag."""

# ruff: noqa: S608  every statement is made of constants

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions import Revocations, SessionStore
from jwt_middleware.sessions.store import Changes, Cursor, Revocation
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from ..values import NOW, a_revocation, read_all

TABLES = ("jwt_store", "jwt_positions", "jwt_revocations")


def copy_of(url: str) -> Callable[[], None]:
    """Copy all that a store holds, and return what puts the copy back, at the same address."""
    if url.startswith("sqlite"):
        return _copy_of_file(Path(url.removeprefix("sqlite:///")))
    return _copy_of_rows(url) if url.startswith("postgresql") else _copy_of_keys(url)


def _copy_of_file(file: Path) -> Callable[[], None]:
    copy = file.with_name("copy")

    def back_up(source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)

    back_up(file, copy)
    return lambda: back_up(copy, file)


def _copy_of_rows(url: str) -> Callable[[], None]:
    with psycopg.connect(url) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE copy_{table} AS SELECT * FROM {table}")

    def restore() -> None:
        with psycopg.connect(url) as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")
                connection.execute(f"INSERT INTO {table} SELECT * FROM copy_{table}")

    return restore


def _copy_of_keys(url: str) -> Callable[[], None]:
    with redis.Redis.from_url(url) as client:
        kept = {key: client.dump(key) for key in client.scan_iter()}

    def restore() -> None:
        with redis.Redis.from_url(url) as client:
            client.flushall()
            for key, value in kept.items():
                client.restore(key, 0, value)

    return restore


@pytest.mark.parametrize("lost", [1, 3])
def test_a_store_that_goes_back_in_time_is_read_again_however_far_it_goes_on(
    shared_store: SessionStore, empty_store_url: str, lost: int
) -> None:
    shared_store.revoke(a_revocation("kept"))
    _, before = read_all(shared_store)
    restore = copy_of(empty_store_url)
    for number in range(lost):
        shared_store.revoke(a_revocation(f"lost{number}"))
    _, cursor = read_all(shared_store)
    restore()
    assert shared_store.changes(cursor, limit=9).lost
    for number in range(lost + 2):
        shared_store.revoke(a_revocation(f"new{number}"))
        changes = shared_store.changes(cursor, limit=9)
        expected = ["kept", *(f"new{one}" for one in range(number + 1))]
        assert [one.key for one in changes.revocations] == expected
        assert changes.lost
        # What was read before the copy was made is of both histories.
        since = shared_store.changes(before, limit=9)
        assert [one.key for one in since.revocations] == expected[1:]
        assert not since.lost


def test_own_revocations_are_recorded_again_however_often_the_store_goes_back(
    shared_store: SessionStore, empty_store_url: str
) -> None:
    shared_store.revoke(a_revocation("kept"))
    revocations = Revocations(shared_store, max_delay_seconds=0, clock=lambda: NOW)
    revocations.current()
    restore = copy_of(empty_store_url)
    own = a_revocation("own")._replace(expires_at=2**33)
    shared_store.revoke(own)
    revocations.add(own)
    revocations.current()
    for _ in range(3):
        restore()
        revocations.current()
        assert [one.key for one in read_all(shared_store)[0]] == ["kept", "own"]
        revocations.current()


def test_what_was_not_recorded_again_before_the_next_loss_is_recorded_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sessions.db"
    store = SQLSessions(f"sqlite:///{file}")
    store.create_schema()
    revocations = Revocations(store, max_delay_seconds=0)
    store.revoke(a_revocation("kept"))
    revocations.current()
    restore = _copy_of_file(file)
    own = a_revocation("own")._replace(expires_at=2**33)
    store.revoke(own)
    revocations.add(own)
    revocations.current()
    restore()
    with monkeypatch.context() as patch, closing(SQLSessions(f"sqlite:///{file}")) as another:
        patch.setattr(store, "revoke", _refuse)
        revocations.current()
        another.revoke(a_revocation("elsewhere"))
        revocations.current()
        restore = _copy_of_file(file)
        another.revoke(a_revocation("lost"))
        revocations.current()
        restore()
        revocations.current()
    revocations.current()
    assert "own" in [one.key for one in read_all(store)[0]]
    store.close()


def _refuse(revocation: Revocation) -> None:
    raise UnavailableError("it takes no writes")


def test_numbers_that_the_last_version_gives_are_followed(
    shared_store: SessionStore, empty_store_url: str
) -> None:
    _, start = read_all(shared_store)
    untag = _untagged(empty_store_url)
    shared_store.revoke(a_revocation("a"))
    untag()
    _, cursor = read_all(shared_store)
    assert read_all(shared_store, cursor) == ([], cursor)
    shared_store.revoke(a_revocation("b"))
    untag()
    for key in ("c", "d"):
        changes = shared_store.changes(cursor, limit=9)
        assert not changes.lost
        assert len(changes.revocations) == 1
        cursor = changes.cursor
        shared_store.revoke(a_revocation(key))
    changes = shared_store.changes(cursor, limit=9)
    assert ([one.key for one in changes.revocations], changes.lost) == (["d"], False)
    assert len(read_all(shared_store, start)[0]) == 4


def _untagged(url: str) -> Callable[[], None]:
    """Return what takes away the tags, as if the last version had given the numbers."""

    def untag() -> None:
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
                file.execute("DELETE FROM jwt_positions")
                file.commit()
        elif url.startswith("postgresql"):
            with psycopg.connect(url) as connection:
                connection.execute("DELETE FROM jwt_positions")
        else:
            with redis.Redis.from_url(url) as client:
                client.delete("{jwt_middleware}:tags")

    return untag


def test_emptied_tables_are_another_store(shared_store: SessionStore, empty_store_url: str) -> None:
    shared_store.revoke(a_revocation("a"))
    _, cursor = read_all(shared_store)
    _empty(empty_store_url)
    changes = shared_store.changes(cursor, limit=9)
    assert changes.lost
    assert changes.cursor.store != cursor.store
    shared_store.revoke(a_revocation("b"))
    assert [one.key for one in read_all(shared_store, cursor)[0]] == ["b"]


def test_emptied_tables_take_revocations(shared_store: SessionStore, empty_store_url: str) -> None:
    shared_store.revoke(a_revocation("a"))
    _empty(empty_store_url)
    shared_store.revoke(a_revocation("b"))
    assert [one.key for one in read_all(shared_store)[0]] == ["b"]


def _empty(url: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            for table in (*TABLES, "jwt_sessions"):
                file.execute(f"DELETE FROM {table}")
            file.commit()
    elif url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            connection.execute("TRUNCATE jwt_store, jwt_positions, jwt_revocations, jwt_sessions")
    else:
        with redis.Redis.from_url(url) as client:
            client.flushall()


def test_of_a_history_that_parted_only_what_came_later_is_read(
    shared_store: SessionStore, empty_store_url: str
) -> None:
    now = [1_000.0]
    revocations = Revocations(shared_store, monotonic=lambda: now[0])

    def revoke(begin: int, end: int) -> None:
        for number in range(begin, end):
            shared_store.revoke(a_revocation(f"{number}", expires_at=2**31))
            now[0] += 1
            revocations.current()

    revoke(0, 31)
    restore = copy_of(empty_store_url)
    revoke(31, 40)
    restore()
    for number in range(20):
        shared_store.revoke(a_revocation(f"new{number}", expires_at=2**31))
    read: list[str] = []
    changes = shared_store.changes

    def counted(since: Cursor | None, *, limit: int) -> Changes:
        found = changes(since, limit=limit)
        if limit > 1:
            read.extend(one.key for one in found.revocations)
        return found

    shared_store.changes = counted  # type: ignore[method-assign]
    now[0] += 1
    revocations.current()
    assert len(revocations) == 60
    assert read[-20:] == [f"new{number}" for number in range(20)]
    assert len(read) <= 31 + 20 + 20 + 2  # and what the first answer began with


class TestSQL:
    @pytest.fixture(params=["sqlite", "postgresql"])
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        if request.param == "sqlite":
            return f"sqlite:///{tmp_path / 'sessions.db'}"
        url: str = request.getfixturevalue("postgresql_url")
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return url

    def drop(self, url: str, *tables: str) -> None:
        statements = [f"DROP TABLE {table}" for table in tables]
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
                file.executescript(";".join(statements))
            return
        with psycopg.connect(url) as connection:
            for statement in statements:
                connection.execute(statement)

    def test_tables_that_were_dropped_are_created_again(self, url: str) -> None:
        with closing(SQLSessions(url)) as store:
            store.revoke(a_revocation("a"))
            _, cursor = read_all(store)
            self.drop(url, *TABLES, "jwt_sessions", "jwt_attempts", "jwt_ended_subjects")
            changes = store.changes(cursor, limit=9)
            assert changes.lost
            store.revoke(a_revocation("b"))
            assert [one.key for one in read_all(store, changes.cursor)[0]] == ["b"]

    def test_one_that_only_follows_reads_the_tables_of_the_last_version(self, url: str) -> None:
        with (
            closing(SQLSessions(url)) as store,
            closing(SQLSessions(url, creates_tables=False)) as follower,
        ):
            store.revoke(a_revocation("a"))
            self.drop(url, "jwt_positions")
            read, cursor = read_all(follower)
            assert [one.key for one in read] == ["a"]
            assert read_all(follower, cursor) == ([], cursor)
            store.create_schema()
            assert read_all(follower, cursor) == ([], cursor)
            store.revoke(a_revocation("b"))
            changes = follower.changes(cursor, limit=9)
            assert [one.key for one in changes.revocations] == ["b"]
            assert not changes.lost

    def test_a_file_that_stays_away_is_created_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "gone.db"
        with closing(SQLSessions(f"sqlite:///{file}")) as store:
            store.revoke(a_revocation("a"))
            _, cursor = read_all(store)
            for one in tmp_path.glob("gone.db*"):
                one.unlink()
            monkeypatch.setattr("jwt_middleware.sessions.stores.sql.log._ABSENT_SECONDS", 0)
            changes = store.changes(cursor, limit=9)
            assert (changes.lost, changes.revocations) == (True, [])
            store.prune(now=NOW, limit=9)

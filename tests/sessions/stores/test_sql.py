from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.stores.sql.log import record
from jwt_middleware.sessions.stores.sql.store import _INSERT, SQLSessions
from jwt_middleware.sessions.stores.sql.tables import to_row

from ...faults.stores import PostgreSQLStore, running
from ...sql.spies import counted_statements
from ..conftest import PROCESSES, Processes
from ..values import ISS, NOW, a_revocation, a_session, an_attempt, key_of, read_all

KINDS = ["sqlite", "postgresql"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have stores that are made from now on give up early."""
    monkeypatch.setattr("jwt_middleware.sessions.stores.sql.store.TIMEOUT_SECONDS", 0.4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def sqlite_store(file: Path) -> Iterator[SQLSessions]:
    store = SQLSessions(f"sqlite:///{file}")
    yield store
    store.close()


# --- Tables ------------------------------------------------------------------------------------


def test_the_first_use_creates_the_tables(empty_store_url: str) -> None:
    with closing(SQLSessions(empty_store_url)) as store:
        store.add(a_session())
        assert store.find("sid") == a_session()
    with closing(SQLSessions(empty_store_url)) as another:
        assert another.find("sid") == a_session()


@pytest.mark.parametrize("time", range(3))
def test_the_first_uses_of_processes_create_the_tables_at_once(
    processes: Processes, time: int
) -> None:
    assert processes([("count", {})] * PROCESSES) == [0] * PROCESSES


def test_a_file_that_was_removed_is_not_made_anew_by_the_way(
    sqlite_store: SQLSessions, file: Path
) -> None:
    sqlite_store.add(a_session())
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    for use in (
        lambda: sqlite_store.find("sid"),
        lambda: sqlite_store.changes(None, limit=9),
        lambda: sqlite_store.revoke(a_revocation("a")),
    ):
        with pytest.raises(UnavailableError, match="cannot be opened; if it is missing, restart"):
            use()
    assert not file.exists()
    sqlite_store.create_schema()
    assert sqlite_store.find("sid") is None


def test_more_sessions_than_a_page_are_listed(empty_store_url: str) -> None:
    with closing(SQLSessions(empty_store_url)) as store:
        store.create_schema()
        rows = [a_session(f"s{number:04}", uid=number % 2) for number in range(1_001)]
        with store._database.writing() as connection:
            connection.run_many(_INSERT, [to_row(row) for row in rows])
        assert [*store.list()] == rows
        assert len([*store.list(issuer=ISS, subject="0")]) == 501


def test_no_password_is_shown() -> None:
    store = SQLSessions("postgresql://ann:hunter2@127.0.0.1:1/db?password=hunter2")
    with pytest.raises(UnavailableError, match="does not answer") as it:
        store.find("sid")
    assert "hunter2" not in f"{store!r} {it.value} {it.value.__cause__}"


def test_a_forked_child_has_connections_of_its_own(shared_store: SessionStore) -> None:
    shared_store.add(a_session())
    shared_store.changes(None, limit=9)
    pid = os.fork()
    if not pid:
        try:
            shared_store.end("sid", issuer=ISS, now=NOW)
            read, _ = read_all(shared_store)
            os._exit(0 if [one.key for one in read] == [key_of("sid")] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert shared_store.find("sid") is None
    assert [one.key for one in read_all(shared_store)[0]] == [key_of("sid")]


# --- Following ---------------------------------------------------------------------------------


def test_who_writes_later_is_not_seen_before_who_wrote_first(shared_store: SessionStore) -> None:
    assert isinstance(shared_store, SQLSessions)
    _, cursor = read_all(shared_store)
    late = threading.Thread(target=shared_store.revoke, args=[a_revocation("second")])
    with shared_store._database.writing() as connection:
        record(connection, [a_revocation("first")])
        late.start()
        late.join(0.1)
        assert read_all(shared_store, cursor) == ([], cursor)
    late.join()
    assert [one.key for one in read_all(shared_store, cursor)[0]] == ["first", "second"]


def test_nothing_is_asked_of_a_file_that_nobody_wrote_to(
    sqlite_store: SQLSessions, file: Path
) -> None:
    _, cursor = read_all(sqlite_store)
    with closing(SQLSessions(f"sqlite:///{file}")) as another:
        another.create_schema()
        read_all(sqlite_store, cursor)
        with counted_statements() as statements:
            assert read_all(sqlite_store, cursor) == ([], cursor)
        assert statements == []
        another.revoke(a_revocation("a"))
        with counted_statements() as statements:
            assert read_all(sqlite_store, cursor)[0] == [a_revocation("a")]
        assert len(statements) == 2


def test_what_this_process_wrote_itself_is_noticed(sqlite_store: SQLSessions) -> None:
    _, cursor = read_all(sqlite_store)
    sqlite_store.revoke(a_revocation("a"))
    assert read_all(sqlite_store, cursor)[0] == [a_revocation("a")]


def test_one_question_tells_that_nothing_is_new(shared_store: SessionStore) -> None:
    assert isinstance(shared_store, SQLSessions)
    _, cursor = read_all(shared_store)
    shared_store.add(a_session())
    with counted_statements() as statements:
        assert read_all(shared_store, cursor) == ([], cursor)
    assert len(statements) == 1


def test_a_file_in_the_place_of_another_is_read_from_its_beginning(
    sqlite_store: SQLSessions, file: Path
) -> None:
    sqlite_store.revoke(a_revocation("old"))
    _, cursor = read_all(sqlite_store)
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    with closing(SQLSessions(f"sqlite:///{file}")) as another:
        another.revoke(a_revocation("new"))
    revocations, after = read_all(sqlite_store, cursor)
    assert revocations == [a_revocation("new")]
    assert after.store != cursor.store


def test_a_file_that_was_restored_is_read_from_its_beginning(
    sqlite_store: SQLSessions, file: Path
) -> None:
    sqlite_store.revoke(a_revocation("kept"))
    copy = file.with_name("copy")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    sqlite_store.revoke(a_revocation("lost"))
    _, cursor = read_all(sqlite_store)
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    copy.rename(file)
    with closing(SQLSessions(f"sqlite:///{file}")) as another:
        another.revoke(a_revocation("first"))  # under the number that the lost one had
        another.revoke(a_revocation("second"))
    revocations, _ = read_all(sqlite_store, cursor)
    assert revocations == [a_revocation(name) for name in ("kept", "first", "second")]


# --- Faults ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_a_file_locked_by_another_is_read_and_not_written(file: Path) -> None:
    with closing(SQLSessions(f"sqlite:///{file}")) as store:
        store.add(a_session())
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            for write in (
                lambda: store.revoke(a_revocation("a")),
                lambda: store.reserve(an_attempt(pool=Drip(1, 60.0)), now=NOW),
            ):
                with pytest.raises(UnavailableError, match="is locked by another"):
                    write()
            assert store.find("sid") == a_session()
            assert read_all(store)[0] == []
            other.rollback()
        store.revoke(a_revocation("a"))
        assert read_all(store)[0] == [a_revocation("a")]


def test_what_finds_no_room_on_the_disk_is_not_recorded(
    file: Path, waiting_processes: Processes
) -> None:
    pid = waiting_processes.pids[0]

    def ask(name: str, **arguments: str) -> object:
        return waiting_processes([(name, arguments)])[0]

    ask("open", url=f"sqlite:///{file}")
    assert ask("add", sid="before") is None
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4_096, unlimited[1]))
    try:
        refused = ask("add", sid="meanwhile")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    assert "unavailable: " in str(refused)
    assert ask("add", sid="after") is None
    ask("close")
    with closing(SQLSessions(f"sqlite:///{file}")) as store:
        assert {one.sid for one in store.list()} == {"before", "after"}


@contextmanager
def paused(url: str) -> Iterator[None]:
    """Stop all processes of a PostgreSQL; the kernel goes on accepting what is sent to it."""
    (folder,) = parse_qs(urlsplit(url).query)["host"]
    pids = [int((Path(folder) / "cluster" / "postmaster.pid").read_text().split("\n")[0])]
    with psycopg.connect(url) as connection:
        asked = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        pids += [pid for (pid,) in connection.execute(asked)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_paused_is_given_up_and_used_again(postgresql_url: str) -> None:
    with closing(SQLSessions(postgresql_url)) as store:
        store.create_schema()
        store.add(a_session("paused"))
        with paused(postgresql_url), closing(SQLSessions(postgresql_url)) as unconnected:
            for use in (
                lambda: store.find("paused"),
                lambda: store.changes(None, limit=9),
                lambda: store.end("paused", issuer=ISS, now=NOW),
                lambda: unconnected.find("paused"),
            ):
                with pytest.raises(UnavailableError, match="does not answer"):
                    use()
        assert store.end("paused", issuer=ISS, now=NOW)


@pytest.mark.slow
def test_a_standby_does_not_say_that_nothing_is_new() -> None:
    with running("postgresql") as server:
        assert isinstance(server, PostgreSQLStore)
        store = SQLSessions(server.url)
        store.revoke(a_revocation("token"))
        _, cursor = read_all(store)
        store.close()
        server.demote()
        for since in (cursor, None):
            with pytest.raises(UnavailableError, match="is a standby: the url must lead"):
                store.changes(since, limit=10)
        store.close()


@pytest.mark.usefixtures("impatient")
def test_a_locked_table_is_not_waited_for(postgresql_url: str) -> None:
    with closing(SQLSessions(postgresql_url)) as store:
        store.create_schema()
        with psycopg.connect(postgresql_url) as connection:
            connection.execute("LOCK TABLE jwt_sessions")
            with pytest.raises(UnavailableError, match="is locked by another"):
                store.find("a")
        assert store.find("a") is None


def test_who_only_follows_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mistyped.db"
    store = SQLSessions(f"sqlite:///{path}", creates_tables=False)
    with pytest.raises(UnavailableError, match="check the url, and start the application that"):
        store.changes(None, limit=10)
    assert not path.exists()
    path.touch()
    with pytest.raises(UnavailableError, match="lacks the tables"):
        store.changes(None, limit=10)
    issuing = SQLSessions(f"sqlite:///{path}")
    issuing.create_schema()
    assert store.changes(None, limit=10).complete
    for one in (store, issuing):
        one.close()

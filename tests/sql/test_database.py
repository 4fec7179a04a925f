from __future__ import annotations

import json
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import AccountExistsError, BadCredentialsError, UnavailableError
from jwt_middleware.events import Name, listen
from jwt_middleware.sql.statement import Statement
from jwt_middleware.sql.urls import sqlite_url

CREATES = """if True:
    import json, sys
    from jwt_middleware.accounts.sql import SQLAccounts
    for line in sys.stdin:
        accounts = SQLAccounts(json.loads(line))
        try:
            accounts.create_schema()
            assert list(accounts.list()) == []
            print("created", flush=True)
        except Exception as error:
            print(repr(error), flush=True)
        accounts.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_processes_create_the_schema_at_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for number in range(3):
            url = f"sqlite:///{tmp_path / str(number)}"
            if database == "postgresql":
                url = request.getfixturevalue("postgresql_url")
                with psycopg.connect(url) as connection:
                    connection.execute("DROP TABLE IF EXISTS accounts")
            for process in processes:
                assert process.stdin
                process.stdin.write(json.dumps(url) + "\n")
            for process in processes:
                assert process.stdin
                process.stdin.flush()
            answers = [process.stdout.readline() for process in processes if process.stdout]
            assert answers == ["created\n"] * 4
    finally:
        for process in processes:
            process.communicate(timeout=20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a folder %41" / "accounts?.db"


@pytest.fixture
def file_accounts(file: Path, hasher: SecretHasher) -> Iterator[SQLAccounts]:
    accounts = SQLAccounts(sqlite_url(file), hasher=hasher, min_secret_chars=1)
    yield accounts
    accounts.close()


def test_nothing_is_created_before_it_is_asked_for(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    with pytest.raises(UnavailableError, match="cannot be opened; if it is missing, call"):
        file_accounts.verify("email", "ann@x", "hunter2")
    assert not file.exists()


def test_a_new_file_is_its_owner_s_only(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    file_accounts.add("email", "ann@x", "hunter2")
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"accounts?.db", "accounts?.db-wal", "accounts?.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}


def test_an_existing_file_keeps_its_mode(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    file.chmod(0o640)
    file_accounts.create_schema()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_file_in_a_missing_folder_cannot_be_created(file_accounts: SQLAccounts) -> None:
    with pytest.raises(UnavailableError, match="cannot be created: No such file"):
        file_accounts.create_schema()


def test_what_is_no_database_cannot_be_asked(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("not a database, " * 100)
    for use in (file_accounts.create_schema, lambda: next(file_accounts.list())):
        with pytest.raises(UnavailableError, match="unavailable"):
            use()


def test_a_relative_path_outlives_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    accounts = SQLAccounts("sqlite:///accounts.db")
    monkeypatch.chdir("/")
    accounts.create_schema()
    accounts.close()
    assert (tmp_path / "accounts.db").exists()


def test_uids_are_not_used_again(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    first = file_accounts.add("email", "ann@x", "hunter2")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM accounts")
    assert file_accounts.add("email", "bob@x", "hunter2").uid != first.uid


def test_a_locked_file_is_read_and_not_written(
    file: Path, hasher: SecretHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.01)
    accounts = SQLAccounts(sqlite_url(file), hasher=hasher, min_secret_chars=1)
    accounts.create_schema()
    accounts.add("email", "ann@x", "hunter2")
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="unavailable"):
            accounts.disable("email", "ann@x")
        accounts.verify("email", "ann@x", "hunter2")
        other.rollback()
    accounts.disable("email", "ann@x")
    accounts.close()


def test_a_writer_has_the_lock_before_it_reads(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    with (
        file_accounts._database.writing(),
        closing(sqlite3.connect(file, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_a_reader_locks_nobody_out(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    with (
        file_accounts._database.reading() as connection,
        closing(sqlite3.connect(file, timeout=0)) as other,
    ):
        assert connection.run(Statement("SELECT count(*) FROM accounts")).fetchone() == (0,)
        other.execute("BEGIN IMMEDIATE")


def test_waits_for_the_lock_that_write_ahead_logging_needs(
    file_accounts: SQLAccounts, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                other.rollback()

        monkeypatch.setattr("jwt_middleware.sql.sqlite.time.sleep", wait)
        file_accounts.create_schema()
    assert len(waits) == 3
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_does_not_wait_for_ever_for_write_ahead_logging(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.01)
    accounts = SQLAccounts(sqlite_url(file))
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="unavailable"):
            accounts.create_schema()


def test_only_what_is_to_last_waits_for_the_disk(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    asked = []
    for durable in (True, False, True):
        with file_accounts._database.writing(durable=durable) as connection:
            asked += connection.run(Statement("PRAGMA synchronous")).fetchall()
    assert asked == [(2,), (1,), (2,)]  # FULL, NORMAL: https://www.sqlite.org/pragma.html


def test_a_writer_waits_for_others_of_its_process(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.05)
    with closing(SQLAccounts(sqlite_url(file))) as accounts:
        accounts.create_schema()
        with (
            accounts._database.writing(),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(UnavailableError, match="connection pool exhausted"),
        ):
            pool.submit(accounts.disable, "email", "ann@x").result()


# --- PostgreSQL --------------------------------------------------------------------------------


def test_an_answer_that_does_not_come_is_not_waited_for(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.4)
    # The server itself is not told to give up.
    with closing(SQLAccounts(f"{postgresql_url}&options=-c%20statement_timeout=0")) as accounts:
        drivers: list[Any] = []

        def ask(statement: str) -> object:
            with accounts._database.reading() as connection:
                drivers.append(connection)
                return connection.run(Statement(statement)).fetchone()

        with pytest.raises(UnavailableError, match="does not answer"):
            ask("SELECT pg_sleep(60)")
        assert drivers[0].closed
        assert ask("SELECT 1") == (1,)


def test_a_lost_connection_is_made_anew(postgresql_url: str, hasher: SecretHasher) -> None:
    accounts = SQLAccounts(postgresql_url, hasher=hasher, min_secret_chars=1)
    accounts.create_schema()
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("TRUNCATE accounts")
    accounts.add("email", "ann@x", "hunter2")
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    accounts.verify("email", "ann@x", "hunter2")
    accounts.close()


def test_a_locked_table_does_not_hold_a_login_for_ever(
    postgresql_url: str, hasher: SecretHasher
) -> None:
    accounts = SQLAccounts(
        f"{postgresql_url}&options=-c%20statement_timeout=50", hasher=hasher, min_secret_chars=1
    )
    accounts.create_schema()
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("LOCK TABLE accounts")
        with pytest.raises(UnavailableError, match="unavailable"):
            accounts.verify("email", "ann@x", "hunter2")
    accounts.close()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://ann:hunter2@127.0.0.1:1/db", id="refused"),
        pytest.param("postgresql://ann:hunter2@/db?host=/nowhere", id="no-socket"),
        pytest.param("postgresql://ann@127.0.0.1:1/db?password=hunter2", id="in-the-query"),
        pytest.param("postgresql+psycopg://ann:hunter2@127.0.0.1:1/db", id="with-its-driver"),
    ],
)
def test_a_server_that_is_down_is_unavailable(url: str) -> None:
    accounts = SQLAccounts(url)
    for use in (accounts.create_schema, lambda: accounts.verify("email", "ann@x", "hunter2")):
        with pytest.raises(UnavailableError, match=r"^database postgresql\+psycopg://ann") as it:
            use()
        assert "hunter2" not in f"{it.value} {it.value.__cause__}"
    assert "hunter2" not in repr(accounts)


def test_the_server_is_told_how_long_it_may_take(postgresql_url: str) -> None:
    accounts = SQLAccounts(postgresql_url)
    with accounts._database.reading() as connection:
        asked = {
            name: connection.run(Statement(f"SHOW {name}")).fetchone()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout")
        }
        driver: Any = connection
        told = driver.info.get_parameters()
    assert asked == {
        "statement_timeout": ("4s",),
        "idle_in_transaction_session_timeout": ("10s",),
    }
    assert told["tcp_user_timeout"] == "5000"
    accounts.close()


def test_a_server_that_may_only_be_read_is_connected_anew(postgresql_url: str) -> None:
    read_only = f"{postgresql_url}&options=-c%20default_transaction_read_only%3Don"
    connections = []

    def write(accounts: SQLAccounts) -> None:
        with accounts._database.writing() as connection:
            connections.append(connection)
            connection.run(Statement("CREATE TABLE nothing (id INTEGER)"))

    with closing(SQLAccounts(read_only)) as accounts:
        for _ in range(2):
            with pytest.raises(UnavailableError, match="unavailable: it is read-only"):
                write(accounts)
    assert connections[0] is not connections[1]


def test_an_interrupted_operation_leaves_no_connection_inside_a_transaction(
    postgresql_url: str,
) -> None:
    class InterruptError(BaseException):
        pass

    connections = []

    def begin(accounts: SQLAccounts) -> None:
        with accounts._database.reading() as connection:
            connections.append(connection)
            connection.run(Statement("BEGIN"))
            raise InterruptError

    with closing(SQLAccounts(postgresql_url)) as accounts:
        with pytest.raises(InterruptError):
            begin(accounts)
        with accounts._database.reading() as another:
            assert another is not connections[0]


def test_more_threads_than_connections_wait_for_their_turn(postgresql_url: str) -> None:
    with closing(SQLAccounts(postgresql_url)) as accounts:
        seen = set()

        def ask(number: int) -> object:
            with accounts._database.reading() as connection:
                seen.add(connection)
                return connection.run(
                    Statement("SELECT :number + 0"), {"number": number}
                ).fetchone()

        with ThreadPoolExecutor(25) as pool:
            assert [*pool.map(ask, range(200))] == [(number,) for number in range(200)]
    assert len(seen) <= 5


def test_a_slow_drip_is_given_up_at_the_deadline(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.4)
    (folder,) = parse_qs(urlsplit(postgresql_url).query)["host"]
    with dripping(Path(folder) / ".s.PGSQL.5432") as (port, answered):
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"
        with closing(SQLAccounts(url)) as accounts:
            with accounts._database.reading() as connection:
                connection.run(Statement("SELECT 1"))
            answered.clear()  # from now on, a byte at a time
            begun = time.monotonic()
            with (
                pytest.raises(UnavailableError, match="does not answer"),
                accounts._database.reading() as connection,
            ):
                connection.run(Statement("SELECT repeat('x', 1000)"))
            # 1,000 pieces of 30 ms each would have taken 30 s.
            assert time.monotonic() - begun < 10


@contextmanager
def dripping(server: Path) -> Iterator[tuple[int, threading.Event]]:
    """Stand between a client and *server*; once the event is cleared, answers only drip."""
    fast, over = threading.Event(), threading.Event()
    fast.set()

    def answer(client: socket.socket, behind: socket.socket) -> None:
        with suppress(OSError):
            while data := behind.recv(65_536):
                if fast.is_set():
                    client.sendall(data)
                    continue
                for byte in data:
                    client.sendall(bytes([byte]))
                    if over.wait(0.03):
                        return

    def ask(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, socket.socket(socket.AF_UNIX) as behind:
            behind.connect(str(server))
            thread = threading.Thread(target=answer, args=[client, behind])
            thread.start()
            with suppress(OSError):
                while data := client.recv(65_536):
                    behind.sendall(data)
            over.set()
            behind.shutdown(socket.SHUT_RDWR)
            thread.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=ask, args=[listening])
        thread.start()
        yield listening.getsockname()[1], fast
        thread.join()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_no_longer_there_is_given_up(
    file_accounts: SQLAccounts, file: Path, hasher: SecretHasher, how: str
) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    file_accounts.add("email", "ann@x", "hunter2")
    file_accounts.verify("email", "ann@x", "hunter2")
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    if how == "removed":
        with pytest.raises(UnavailableError):
            file_accounts.verify("email", "ann@x", "hunter2")
        return
    with closing(SQLAccounts(sqlite_url(file), hasher=hasher, min_secret_chars=1)) as other:
        other.create_schema()
        other.add("email", "ann@x", "correct horse")
    with pytest.raises(BadCredentialsError):
        file_accounts.verify("email", "ann@x", "hunter2")
    file_accounts.verify("email", "ann@x", "correct horse")


# --- Outages -----------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[Name]]:
    got: list[Name] = []
    remove = listen(lambda event: got.append(event.name))
    yield got
    remove()


@pytest.fixture
def missing(file_accounts: SQLAccounts, file: Path) -> Path:
    """Move the file of *file_accounts* away, and return where it is."""
    file.parent.mkdir()
    file_accounts.create_schema()
    file_accounts.find(1)
    file_accounts.close()
    return file.rename(file.with_name("away.db"))


def test_an_outage_is_told_once_and_its_end_as_well(
    file_accounts: SQLAccounts, file: Path, missing: Path, heard: list[Name]
) -> None:
    for _ in range(3):
        with pytest.raises(UnavailableError):
            file_accounts.find(1)
    assert heard == [Name.STORE_LOST]
    missing.rename(file)
    for _ in range(3):
        assert file_accounts.find(1) is None
    assert heard == [Name.STORE_LOST, Name.STORE_BACK]


def test_a_failure_that_began_before_another_operation_succeeded_is_no_outage(
    file_accounts: SQLAccounts, file: Path, heard: list[Name]
) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    with suppress(UnavailableError), file_accounts._database.reading() as connection:
        file_accounts.find(1)
        connection.run(Statement("SELECT * FROM nothing"))
    assert not heard


def test_what_is_wrong_with_a_row_or_with_this_process_is_no_outage(
    file: Path, heard: list[Name], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.05)
    with closing(SQLAccounts(sqlite_url(file), min_secret_chars=1)) as accounts:
        accounts.create_schema()
        accounts.add("email", "ann@x", "hunter2")
        with pytest.raises(AccountExistsError):
            accounts.add("email", "ann@x", "hunter2")
        with (
            accounts._database.writing(),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(UnavailableError, match="connection pool exhausted"),
        ):
            pool.submit(accounts.disable, "email", "ann@x").result()
    assert not heard

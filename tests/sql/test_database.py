from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import BadCredentialsError, UnavailableError


def engine_of(accounts: SQLAccounts) -> sa.Engine:
    return accounts._database._engine.get()


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
        for number in range(8):
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
    accounts = SQLAccounts(sa.URL.create("sqlite", database=str(file)), hasher=hasher)
    yield accounts
    accounts.close()


def test_nothing_is_created_before_it_is_asked_for(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    with pytest.raises(UnavailableError, match="cannot be opened; if it is not there, call"):
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
        with pytest.raises(UnavailableError, match="cannot be asked"):
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
    with engine_of(file_accounts).begin() as connection:
        connection.exec_driver_sql("DELETE FROM accounts")
    assert file_accounts.add("email", "bob@x", "hunter2").uid != first.uid


def test_a_locked_file_is_read_and_not_written(
    file: Path, hasher: SecretHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.01)
    accounts = SQLAccounts(sa.URL.create("sqlite", database=str(file)), hasher=hasher)
    accounts.create_schema()
    accounts.add("email", "ann@x", "hunter2")
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="cannot be asked"):
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
        assert connection.exec_driver_sql("SELECT count(*) FROM accounts").scalar() == 0
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
    accounts = SQLAccounts(sa.URL.create("sqlite", database=str(file)))
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="cannot be asked"):
            accounts.create_schema()


def test_only_what_is_to_last_waits_for_the_disk(file_accounts: SQLAccounts, file: Path) -> None:
    file.parent.mkdir()
    file_accounts.create_schema()
    asked = []
    for durable in (True, False, True):
        with file_accounts._database.writing(durable=durable) as connection:
            asked.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    assert asked == [2, 1, 2]  # FULL, NORMAL: https://www.sqlite.org/pragma.html


def test_a_writer_waits_for_others_of_its_process(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    monkeypatch.setattr("jwt_middleware.accounts.sql.TIMEOUT_SECONDS", 0.05)
    with closing(SQLAccounts(sa.URL.create("sqlite", database=str(file)))) as accounts:
        accounts.create_schema()
        with (
            accounts._database.writing(),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(UnavailableError, match="too many others of this process"),
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
                drivers.append(connection.connection.driver_connection)
                return connection.exec_driver_sql(statement).scalar()

        with pytest.raises(UnavailableError, match="does not answer"):
            ask("SELECT pg_sleep(60)")
        assert drivers[0].closed
        assert ask("SELECT 1") == 1


def test_a_lost_connection_is_made_anew(postgresql_url: str, hasher: SecretHasher) -> None:
    accounts = SQLAccounts(postgresql_url, hasher=hasher)
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
    accounts = SQLAccounts(f"{postgresql_url}&options=-c%20statement_timeout=50", hasher=hasher)
    accounts.create_schema()
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("LOCK TABLE accounts")
        with pytest.raises(UnavailableError, match="cannot be asked"):
            accounts.verify("email", "ann@x", "hunter2")
    accounts.close()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://ann:hunter2@127.0.0.1:1/db", id="refused"),
        pytest.param("postgresql://ann:hunter2@/db?host=/nowhere", id="no-socket"),
        pytest.param("postgresql://ann@127.0.0.1:1/db?password=hunter2", id="in-the-query"),
        pytest.param("postgresql+psycopg://ann:hunter2@127.0.0.1:1/db?nonsense=1", id="nonsense"),
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
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout")
        }
        driver: Any = connection.connection.driver_connection
        told = driver.info.get_parameters()
    assert asked == {"statement_timeout": "4s", "idle_in_transaction_session_timeout": "10s"}
    assert {told["connect_timeout"], told["tcp_user_timeout"]} == {"2", "5000"}
    accounts.close()


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
    with closing(SQLAccounts(file_accounts._database._url, hasher=hasher)) as other:
        other.create_schema()
        other.add("email", "ann@x", "correct horse")
    with pytest.raises(BadCredentialsError):
        file_accounts.verify("email", "ann@x", "hunter2")
    file_accounts.verify("email", "ann@x", "correct horse")

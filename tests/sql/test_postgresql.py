from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sql.database import Database, Schema
from jwt_middleware.sql.statement import Statement, Table
from jwt_middleware.sql.versions import SchemaVersion

NOTES = Table("notes", [Statement("CREATE TABLE notes (note TEXT)")])
WRITE = Statement("INSERT INTO notes VALUES (:note)")
DEMOTE = Statement("SET default_transaction_read_only = on")
RAISE = Statement("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '%s'; END $$")


def a_database(url: str, seconds: float = 5) -> Database:
    schema = Schema(tables=[NOTES], version=SchemaVersion("notes", 1, 1, "0.1"), fix="")
    return Database(url, schema=schema, timeout_seconds=seconds, creates_tables=True)


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    with closing(a_database(postgresql_url)) as database:
        yield database


def run_on_idle(database: Database, statement: Statement, *, connections: int = 3) -> None:
    """Run *statement* on so many connections, which are idle afterwards."""
    with ExitStack() as lent:
        for one in [lent.enter_context(database.reading()) for _ in range(connections)]:
            one.run(statement)


def test_connections_to_a_demoted_primary_cost_no_operation(database: Database) -> None:
    run_on_idle(database, DEMOTE)
    with database.writing() as connection:
        connection.run(WRITE, {"note": "a"})
    run_on_idle(database, DEMOTE)
    with database.reading() as connection:  # what is read there may be old
        assert connection.run(Statement("SHOW transaction_read_only")).fetchone() == ("off",)


@pytest.mark.parametrize(
    "code",
    [
        *("08006", "25006", "53300", "57P01", "57P03", "58030", "XX001"),
        *("42P01", "42703", "3F000", "26000"),
    ],
)
def test_an_answer_of_a_server_that_is_the_wrong_one_ends_its_connections(
    database: Database, code: str
) -> None:
    told = Statement(RAISE.sqlite % code)
    with database.reading() as one:
        with pytest.raises(UnavailableError), database.reading() as other:
            other.run(told)
        with database.reading() as third:
            assert third is not other
            assert third is not one


@pytest.mark.parametrize("code", ["22012", "23505", "40001", "42501", "55P03", "57014"])
def test_an_answer_about_the_statement_does_not(database: Database, code: str) -> None:
    with pytest.raises(UnavailableError), database.reading() as one:
        one.run(Statement(RAISE.sqlite % code))
    with database.reading() as another:
        assert another is one


def test_one_deadline_is_shared_by_several_hosts(postgresql_url: str) -> None:
    (folder,) = parse_qs(urlsplit(postgresql_url).query)["host"]
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        port = silent.getsockname()[1]
        url = f"postgresql://postgres@/postgres?host=127.0.0.1,{folder}&port={port},5432"
        with closing(a_database(f"{url}&target_session_attrs=read-write", 2)) as database:
            for _ in range(2):
                with database.writing() as connection:
                    connection.run(WRITE, {"note": "a"})
                database.close()
        # The second time, the host that answered is asked first.
        silent.accept()[0].close()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_resolver_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        with (
            pytest.raises(UnavailableError, match="does not answer"),
            a_database("postgresql://db.example/db", 0.05).reading(),
        ):
            pass
        assert not answered.is_set()
    finally:
        answered.set()


def test_threads_that_wait_for_the_tables_wait_no_longer_than_the_first() -> None:
    database = a_database("postgresql://127.0.0.1:1/db", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db"
        database = a_database(url, 0.2)

        def use(_: int) -> str:
            with pytest.raises(UnavailableError) as caught, database.reading():
                pass
            return str(caught.value)

        with ThreadPoolExecutor(20) as threads:
            reasons = [*threads.map(use, range(20))]
    # One by one, each would find the lock free and connect for as long again.
    assert sum("does not answer" in reason for reason in reasons) < 10


@pytest.mark.parametrize(
    ("database", "value"),
    [("postgresql", "a\0b"), ("postgresql", "\udc80"), ("sqlite", "\udc80"), ("sqlite", 10**30)],
)
def test_a_parameter_that_cannot_be_stored_is_unavailable(
    database: str, value: object, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/notes.db"
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")

    def write(database: Database, *, many: bool) -> None:
        with database.writing() as connection:
            if many:
                connection.run_many(WRITE, [{"note": value}])
            else:
                connection.run(WRITE, {"note": value})

    with closing(a_database(url)) as opened:
        for many in (False, True):
            with pytest.raises(UnavailableError, match="parameter cannot be stored") as caught:
                write(opened, many=many)
            error: BaseException | None = caught.value
            while error := error and error.__cause__:
                assert not isinstance(error, ValueError)  # it holds the parameter

"""An SQLite file whose log is removed while it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sql.database import Database, Schema
from jwt_middleware.sql.statement import Statement, Table
from jwt_middleware.sql.versions import FIRST, SchemaVersion

NOTES = Table("notes", [Statement("CREATE TABLE notes (note TEXT)")])
WRITE = Statement("INSERT INTO notes VALUES (:note)")
READ = Statement("SELECT note FROM notes")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


def opened(file: Path) -> Database:
    version = SchemaVersion("notes", 1, oldest=FIRST, package="0.1.0")
    schema = Schema(tables=[NOTES], version=version, fix="")
    return Database(f"sqlite:///{file}", schema=schema, timeout_seconds=5, creates_tables=True)


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    with closing(opened(file)) as database:
        yield database


def write(database: Database, note: str) -> None:
    with database.writing() as connection:
        connection.run(WRITE, {"note": note})


def notes(database: Database) -> list[str]:
    with database.reading() as connection:
        return [note for (note,) in connection.run(READ).fetchall()]


def test_what_was_in_it_is_saved_and_it_is_said_once(
    database: Database, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(database, "before")
    log = file.with_name("notes.db-wal")
    assert log.stat().st_size
    log.unlink()
    write(database, "after")
    assert notes(database) == ["before", "after"]
    with closing(opened(file)) as another:
        assert notes(another) == ["before", "after"]
    (said,) = [one.message for one in caplog.records if "store.unsafe" in one.message]
    assert "notes.db-wal was removed while in use; what was in it was saved to the file" in said


def test_another_process_goes_on_with_what_was_saved(database: Database, file: Path) -> None:
    with closing(opened(file)) as other:
        for number in range(3):
            write(database, f"one{number}")
            write(other, f"other{number}")
        file.with_name("notes.db-wal").unlink()
        for number in range(3, 6):
            for one, note in ((database, f"one{number}"), (other, f"other{number}")):
                try:
                    write(one, note)
                except UnavailableError:  # it is noticed only then: the client tries again
                    write(one, note)
    with closing(opened(file)) as third:
        kept = sorted(notes(third))
    assert kept == sorted(f"{name}{number}" for number in range(6) for name in ("one", "other"))


def test_a_copy_over_the_file_is_used_once_no_connection_is_to_the_old_log(
    database: Database, file: Path, tmp_path: Path
) -> None:
    with closing(opened(tmp_path / "copy.db")) as copy:
        write(copy, "copy")
    write(database, "before")
    file.with_name("notes.db-wal").unlink()
    file.with_name("notes.db-shm").unlink()
    file.write_bytes((tmp_path / "copy.db").read_bytes())
    with pytest.raises(UnavailableError):
        notes(database)
    # The last connection to a log copies it to the file: SQLite does so itself.
    assert notes(database) in (["copy"], ["before"])
    write(database, "after")
    assert notes(database)[-1] == "after"


def test_a_copy_put_in_place_after_garbage_is_read_again(database: Database, file: Path) -> None:
    write(database, "before")
    assert notes(database) == ["before"]
    assert database.version() is not None
    with closing(opened(file.with_name("copy.db"))) as copy:
        write(copy, "restored")
    for suffix in ("-wal", "-shm"):
        file.with_name(f"notes.db{suffix}").unlink()
    file.write_bytes(b"no database" * 2_000)
    for _ in range(3):
        with suppress(UnavailableError):
            database.version()
    file.write_bytes(file.with_name("copy.db").read_bytes())
    for _ in range(2):
        with suppress(UnavailableError):
            database.version()
    assert database.version() is not None
    assert notes(database) == ["restored"]

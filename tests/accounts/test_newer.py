"""Accounts that a newer version has written: additions are ignored, the unreadable is a 503."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import UnavailableError


def run(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accounts.db"


@pytest.fixture
def one(path: Path, hasher: SecretHasher) -> SQLAccounts:
    accounts = SQLAccounts(f"sqlite:///{path}", hasher=hasher)
    accounts.create_schema()
    accounts.add("email", "ann@x", "hunter2!", scope="read", claims={"team": "a"})
    return accounts


@pytest.mark.parametrize("kind", ["TEXT", "TEXT NOT NULL DEFAULT 'new'"])
def test_other_columns_change_nothing(one: SQLAccounts, path: Path, kind: str) -> None:
    run(path, f"ALTER TABLE accounts ADD COLUMN another {kind}")
    one.create_schema()
    one.add("email", "bob@x", "hunter2!")
    one.set_secret("email", "ann@x", "hunter3!")
    assert one.verify("email", "ann@x", "hunter3!").claims == {"team": "a"}
    assert [account.name for account in one.list()] == ["ann@x", "bob@x"]


@pytest.mark.parametrize("claims", ["{", "7", '{"iss": "another"}'])
def test_an_account_that_cannot_be_read_is_unavailable(
    one: SQLAccounts, path: Path, claims: str
) -> None:
    run(path, f"UPDATE accounts SET claims = '{claims}'")  # noqa: S608  a test's own
    fault = r"an account cannot be read: .* newer version"
    with pytest.raises(UnavailableError, match=fault):
        one.verify("email", "ann@x", "hunter2!")
    with pytest.raises(UnavailableError, match=fault):
        one.lookup("email")(1)

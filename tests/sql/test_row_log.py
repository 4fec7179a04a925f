from __future__ import annotations

import logging
from pathlib import Path

import pytest

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_row_is_logged_at_any_level(
    database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    hasher: SecretHasher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = f"sqlite:///{tmp_path / 'accounts.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    caplog.set_level(logging.DEBUG, "sqlalchemy")
    accounts = SQLAccounts(url, hasher=hasher)
    accounts.create_schema()
    name = f"ann of {tmp_path.name}"
    accounts.add("username", name, "right")
    accounts.verify("username", name, "right")
    accounts.close()
    assert "SELECT" in caplog.text  # who asks for statements gets them
    assert "argon2" not in caplog.text
    assert name not in caplog.text

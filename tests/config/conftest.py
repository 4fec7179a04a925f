"""Configurations with sessions, and who logs in by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.config import load

Write = Callable[[str], Path]
IssueToken = Callable[[], str]

SECRET = "a secret of thirty-two bytes or more"
HEAD = """\
issuer = "https://auth.example.com"
audience = "api"
[keys]
secret_file = "secret"
"""


@pytest.fixture
def write(folder: Path) -> Write:
    """Return a function that writes a configuration with keys and *text*."""

    def write(text: str) -> Path:
        (folder / "jwt.toml").write_text(HEAD + text)
        return folder / "jwt.toml"

    return write


@pytest.fixture
def issue_token() -> IssueToken:
    """Return a function that issues a token of the configured issuer, without a session."""
    keys = KeySet([Key.from_secret(SECRET)])

    def issue_token() -> str:
        issuer = TokenIssuer(keys=keys, issuer="https://auth.example.com", audience="api")
        return issuer.issue(JWTPayload(uid=42)).token

    return issue_token


@pytest.fixture
def ann(folder: Path) -> Iterator[SQLAccounts]:
    """Return the accounts that [accounts] of the tests names, with one in them."""
    (folder / "jwt.toml").write_text(
        HEAD + '[accounts]\nurl = "sqlite:///accounts.db"\nmin_secret_chars = 1\n'
        "[accounts.hasher]\ntime_cost = 1\nmemory_cost_kib = 8\n"
    )
    accounts = load(folder / "jwt.toml").build_accounts()
    accounts.create_schema()
    accounts.add("email", "ann@example.com", "right", scope="read")
    yield accounts
    accounts.close()

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware.accounts import InvalidAccountError
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts

CLAIMS = {"tenant": "acme", "plan": {"seats": 5}}
SECRET = "correct horse battery"


def test_claims_are_kept_and_changed(accounts: SQLAccounts) -> None:
    added = accounts.add("email", "ann@x", SECRET, claims=CLAIMS)
    assert added.claims == CLAIMS
    assert accounts.verify("email", "ann@x", SECRET) == added
    accounts.set_claims("email", "ann@x", {"tenant": "other"})
    found = accounts.find_named("email", "ann@x")
    assert found.claims == {"tenant": "other"}
    look_up: Any = accounts.lookup("email")
    assert look_up(found.uid).claims == {"tenant": "other"}
    accounts.set_claims("email", "ann@x", {})
    assert accounts.verify("email", "ann@x", SECRET).claims == {}


@pytest.mark.parametrize("claims", [{"exp": 1}, {"a": float("nan")}, ["a"], {"a": "x" * 5000}])
def test_claims_that_no_token_can_have_are_refused(claims: Any, accounts: SQLAccounts) -> None:
    with pytest.raises(InvalidAccountError, match="claims"):
        accounts.add("email", "ann@x", SECRET, claims=claims)
    accounts.add("email", "ann@x", SECRET)
    with pytest.raises(InvalidAccountError, match="claims"):
        accounts.set_claims("email", "ann@x", claims)


def test_a_service_has_no_colon_in_its_name(accounts: SQLAccounts) -> None:
    with pytest.raises(InvalidAccountError, match="colon"):
        accounts.add("service", "a:b", SECRET)
    accounts.add("username", "a:b", SECRET)


def test_a_table_of_version_0_1_works_and_gets_the_column(
    tmp_path: Path, hasher: SecretHasher
) -> None:
    file = tmp_path / "a.db"
    accounts = SQLAccounts(f"sqlite:///{file}", hasher=hasher)
    accounts.create_schema()
    accounts.add("email", "ann@x", SECRET)
    accounts.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE accounts DROP COLUMN claims")
        connection.commit()
    old = SQLAccounts(f"sqlite:///{file}", hasher=hasher)
    assert old.verify("email", "ann@x", SECRET).claims == {}
    old.add("email", "bob@x", SECRET)
    assert [one.claims for one in old.list()] == [{}, {}]
    old.create_schema()
    old.set_claims("email", "ann@x", CLAIMS)
    assert old.verify("email", "ann@x", SECRET).claims == CLAIMS
    old.close()

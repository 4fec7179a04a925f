from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jwt_middleware.accounts import (
    AccountExistsError,
    ClientType,
    Identity,
    InvalidAccountError,
    InvalidSecretError,
    UnknownAccountError,
)
from jwt_middleware.accounts import sql as sql_module
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import Account, SQLAccounts
from jwt_middleware.errors import BadCredentialsError, ConfigurationError, UnavailableError

from ..sql.spies import counted_connections, counted_statements

NOW = 1_700_000_000  # the clock of the fixture ``accounts``


class CountingHasher(SecretHasher):
    def __init__(self, *, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost_kib=8)
        self.calls: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def hash(self, secret: str) -> str:
        self.calls.append("hash")
        self.meanwhile()
        return super().hash(secret)

    def verify(self, encoded: str, secret: str) -> bool:
        self.calls.append("verify")
        self.meanwhile()
        return super().verify(encoded, secret)


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Do what an operator does beside the package."""
    connect: Any = psycopg.connect
    if url.startswith("sqlite"):
        connect, url = sqlite3.connect, url.removeprefix("sqlite:///")
    with closing(connect(url)) as connection:
        cursor = connection.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        connection.commit()
    return rows


def stored_hash(url: str) -> str:
    [(found,)] = execute(url, "SELECT secret_hash FROM accounts")
    return str(found)


def test_logs_in_who_was_added(accounts: SQLAccounts) -> None:
    added = accounts.add("email", "Ann@Example.org", "hunter2", scope="read write", auth="red")
    assert added == Identity(1, "read write", "red", credential=str(NOW))
    assert accounts.verify("email", "ann@example.ORG ", "hunter2") == added


def test_a_verifier_is_for_one_client_type(accounts: SQLAccounts) -> None:
    added = accounts.add(ClientType.EMAIL.label, "ann", "hunter2")
    accounts.add("username", "ann", "other")
    assert Identity.of(accounts.verifier("email")("ann", "hunter2")) == added
    with pytest.raises(BadCredentialsError):
        accounts.verifier("username")("ann", "hunter2")


def test_custom_client_types_will_do(accounts: SQLAccounts) -> None:
    added = accounts.add("door_badge", "7F", "hunter2")
    assert accounts.verify("door_badge", "7F", "hunter2") == added
    with pytest.raises(BadCredentialsError):
        accounts.verify("door_badge", "7f", "hunter2")


def test_an_operator_sees_everything_but_the_secret(accounts: SQLAccounts) -> None:
    accounts.add("email", "Ann@x", "hunter2", scope="read", auth="red")
    accounts.add("mobile", "１３８", "hunter2")
    accounts.disable("mobile", "138")
    ann = Account(
        uid=1,
        client_type="email",
        name="ann@x",
        scope="read",
        auth="red",
        disabled=False,
        created_at=NOW,
        secret_changed_at=NOW,
    )
    assert next(accounts.list()) == ann
    assert [(a.uid, a.name, a.disabled) for a in accounts.list()] == [
        (1, "ann@x", False),
        (2, "138", True),
    ]
    assert accounts.find(1) == ann
    assert accounts.find(3) is None


def test_finds_an_account_by_any_spelling_of_its_name(accounts: SQLAccounts) -> None:
    accounts.add("mobile", "138", "x")
    accounts.add("email", "ann@x", "x")
    assert accounts.find_named("email", " ANN@x").uid == 2
    for client_type, name in (("mobile", "ann@x"), ("email", "bob@x")):
        with pytest.raises(UnknownAccountError, match=f"no {client_type} account '{name}'"):
            accounts.find_named(client_type, name)


def test_lists_page_by_page(accounts: SQLAccounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_module, "_PAGE_SIZE", 2)
    for name in "abcde":
        accounts.add("username", name, "x")
    names = []
    with counted_connections() as lent:
        for account in accounts.list():
            names.append(account.name)
            assert lent() == 0
    assert names == list("abcde")


@pytest.mark.parametrize("again", ["ann@x", "ANN@X", " Ann@x\u3000", "ａｎｎ@x"])
def test_refuses_another_spelling_of_an_account(accounts: SQLAccounts, again: str) -> None:
    accounts.add("email", "ann@x", "hunter2")
    with pytest.raises(AccountExistsError, match="account 'ann@x' of the type email"):
        accounts.add("email", again, "other")
    accounts.verify("email", again, "hunter2")


def test_a_refused_account_leaves_nothing_behind(accounts: SQLAccounts) -> None:
    for name, secret, scope, error in [
        ("a\x00", "x", "", InvalidAccountError),
        ("", "x", "", InvalidAccountError),
        ("ann", "", "", InvalidSecretError),
        ("ann", "x" * 1025, "", InvalidSecretError),
        ("ann", "\ud800", "", InvalidSecretError),
        ("ann", "nul\0 in it", "", InvalidSecretError),
        ("ann", "x", "a\x00", InvalidAccountError),
        ("ann", "x", "\ud800", InvalidAccountError),
    ]:
        with pytest.raises(error):
            accounts.add("email", name, secret, scope=scope)
    with pytest.raises(InvalidAccountError):
        accounts.add("email", "ann", "x", auth="a\n")
    assert list(accounts.list()) == []


@pytest.mark.parametrize("client_type", ["", "Email", "e mail", "1st", "x" * 33, "émail", "a\n"])
def test_refuses_a_client_type_that_is_no_label(accounts: SQLAccounts, client_type: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: accounts.add(client_type, "ann", "x"),
        lambda: accounts.verify(client_type, "ann", "x"),
        lambda: accounts.verifier(client_type),
        lambda: accounts.disable(client_type, "ann"),
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match="a client type is"):
            use()


def test_disabled_and_enabled_again(accounts: SQLAccounts) -> None:
    accounts.add("email", "ann@x", "hunter2")
    accounts.disable("email", "ANN@x")
    accounts.disable("email", "ann@x")
    with pytest.raises(BadCredentialsError):
        accounts.verify("email", "ann@x", "hunter2")
    accounts.enable("email", "ann@x")
    accounts.verify("email", "ann@x", "hunter2")


def test_a_new_secret_replaces_the_old_one(empty_database_url: str, hasher: SecretHasher) -> None:
    times = iter([10.0, 20.9])
    accounts = SQLAccounts(
        empty_database_url, hasher=hasher, min_secret_chars=1, clock=lambda: next(times)
    )
    accounts.create_schema()
    accounts.add("email", "ann@x", "hunter2")
    accounts.set_secret("email", "ANN@x", "hunter3")
    [account] = accounts.list()
    assert (account.created_at, account.secret_changed_at) == (10, 20)
    accounts.verify("email", "ann@x", "hunter3")
    with pytest.raises(BadCredentialsError):
        accounts.verify("email", "ann@x", "hunter2")
    accounts.close()


@pytest.mark.parametrize("now", [10.0, 10.9, 3.0], ids=["same", "same-second", "set-back"])
def test_no_two_secrets_of_an_account_share_a_credential(
    now: float, empty_database_url: str, hasher: SecretHasher
) -> None:
    times = iter([10.0, now, now])
    accounts = SQLAccounts(
        empty_database_url, hasher=hasher, min_secret_chars=1, clock=lambda: next(times)
    )
    accounts.create_schema()
    seen = [accounts.add("email", "ann@x", "0").credential]
    for secret in ("1", "2"):
        accounts.set_secret("email", "ann@x", secret)
        seen.append(accounts.verify("email", "ann@x", secret).credential)
    assert seen == ["10", "11", "12"]
    accounts.close()


def test_a_lookup_says_what_a_login_would(accounts: SQLAccounts) -> None:
    accounts.add("email", "ann@x", "x", scope="read", auth="red")
    identity = accounts.verify("email", "ann@x", "x")
    looked_up = accounts.lookup("email")(identity.uid)
    assert looked_up == identity
    assert identity.credential == str(NOW)
    assert isinstance(looked_up, Identity)
    assert looked_up.credential == identity.credential


def test_a_lookup_knows_no_account_that_may_not_log_in(accounts: SQLAccounts) -> None:
    uid = accounts.add("email", "ann@x", "x").uid
    look_up = accounts.lookup("email")
    assert accounts.lookup("username")(uid) is None
    accounts.disable("email", "ann@x")
    assert look_up(uid) is None
    accounts.enable("email", "ann@x")
    assert look_up(uid) is not None


@pytest.mark.parametrize("uid", [2, 0, -1, 2**63 - 1, 2**63, 10**30, "1", ""])
def test_a_lookup_of_any_other_uid_finds_nobody(uid: int | str, accounts: SQLAccounts) -> None:
    accounts.add("email", "ann@x", "x")
    assert accounts.lookup("email")(uid) is None


def test_says_that_an_account_is_unknown(accounts: SQLAccounts) -> None:
    accounts.add("username", "ann", "x")
    changes: list[Callable[[], object]] = [
        lambda: accounts.disable("email", "Ann"),
        lambda: accounts.enable("email", "Ann"),
        lambda: accounts.set_secret("email", "Ann", "x"),
    ]
    for change in changes:
        with pytest.raises(UnknownAccountError, match="no email account 'ann'"):
            change()
    with pytest.raises(InvalidAccountError):
        accounts.disable("email", "a\x00")


REFUSED = [
    pytest.param("ann@x", "wrong", id="wrong-secret"),
    pytest.param("ann@x", "", id="empty-secret"),
    pytest.param("ann@x", "x" * 1_000_000, id="long-secret"),
    pytest.param("ann@x", "\ud800", id="surrogate-secret"),
    pytest.param("eve@x", "hunter2", id="unknown"),
    pytest.param("off@x", "hunter2", id="disabled"),
    pytest.param("off@x", "wrong", id="disabled-wrong-secret"),
    pytest.param("", "hunter2", id="empty-name"),
    pytest.param("a\x00", "hunter2", id="nul-name"),
    pytest.param("\ud800", "hunter2", id="surrogate-name"),
    pytest.param("a" * 1_000_000, "hunter2", id="long-name"),
    pytest.param("' OR 1=1 --", "hunter2", id="sql"),
]


@pytest.mark.parametrize(("account", "secret"), REFUSED)
def test_refused_logins_cost_the_same_and_are_answered_the_same(
    accounts: SQLAccounts, account: str, secret: str
) -> None:
    accounts.add("email", "ann@x", "hunter2")
    accounts.add("email", "off@x", "hunter2")
    accounts.disable("email", "off@x")
    # Other parameters than those stored: who is refused is not rehashed either.
    accounts._hasher = counting = CountingHasher(time_cost=2)
    with (
        counted_statements() as statements,
        pytest.raises(BadCredentialsError) as raised,
    ):
        accounts.verify("email", account, secret)
    assert counting.calls == ["verify"]
    assert statements == ["SELECT"]
    assert str(raised.value) == BadCredentialsError.sentence
    assert raised.value.__context__ is None


def test_a_login_costs_as_much_as_a_refusal(accounts: SQLAccounts) -> None:
    accounts.add("email", "ann@x", "hunter2")
    accounts._hasher = counting = CountingHasher()
    with counted_statements() as statements:
        accounts.verify("email", "ann@x", "hunter2")
    assert counting.calls == ["verify"]
    assert statements == ["SELECT"]


def test_nothing_is_hashed_while_a_connection_is_held(accounts: SQLAccounts) -> None:
    held: list[int] = []
    with counted_connections() as lent:
        accounts._hasher = counting = CountingHasher()
        counting.meanwhile = lambda: held.append(lent())
        accounts.add("email", "ann@x", "hunter2")
        accounts._hasher = counting = CountingHasher(time_cost=2)
        counting.meanwhile = lambda: held.append(lent())
        accounts.verify("email", "ann@x", "hunter2")
        accounts.set_secret("email", "ann@x", "hunter3")
    assert held == [0] * 4


def test_rehashes_once_when_parameters_change(
    accounts: SQLAccounts, empty_database_url: str
) -> None:
    accounts.add("email", "ann@x", "hunter2")
    accounts._hasher = counting = CountingHasher(time_cost=2)
    for _ in range(2):
        accounts.verify("email", "ann@x", "hunter2")
    assert counting.calls == ["verify", "hash", "verify"]
    assert "t=2" in stored_hash(empty_database_url)
    [account] = accounts.list()
    assert account.secret_changed_at == NOW


def test_a_rehash_does_not_undo_a_change_of_secret(
    accounts: SQLAccounts, empty_database_url: str, hasher: SecretHasher
) -> None:
    accounts.add("email", "ann@x", "hunter2")
    other = SQLAccounts(empty_database_url, hasher=hasher, min_secret_chars=1)
    accounts._hasher = counting = CountingHasher(time_cost=2)

    def change_while_the_rehash_is_computed() -> None:
        if counting.calls == ["verify", "hash"]:
            other.set_secret("email", "ann@x", "hunter3")

    counting.meanwhile = change_while_the_rehash_is_computed
    accounts.verify("email", "ann@x", "hunter2")
    accounts.verify("email", "ann@x", "hunter3")
    with pytest.raises(BadCredentialsError):
        accounts.verify("email", "ann@x", "hunter2")
    other.close()


def test_a_failed_rehash_does_not_fail_the_login(
    accounts: SQLAccounts, empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.add("email", "ann@x", "hunter2")
    before = stored_hash(empty_database_url)
    accounts._hasher = counting = CountingHasher(time_cost=2)

    def move_the_table_away() -> None:
        if counting.calls == ["verify", "hash"]:
            execute(empty_database_url, "ALTER TABLE accounts RENAME TO away")

    counting.meanwhile = move_the_table_away
    accounts.verify("email", "ann@x", "hunter2")
    execute(empty_database_url, "ALTER TABLE away RENAME TO accounts")
    assert stored_hash(empty_database_url) == before
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "account 1 keeps its old secret hash" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert before not in caplog.text


def test_a_damaged_hash_is_a_refused_login(accounts: SQLAccounts, empty_database_url: str) -> None:
    accounts.add("email", "ann@x", "hunter2")
    execute(empty_database_url, "UPDATE accounts SET secret_hash = 'hunter2'")
    with pytest.raises(BadCredentialsError):
        accounts.verify("email", "ann@x", "hunter2")


def test_a_missing_table_is_said_to_be_missing(
    empty_database_url: str, hasher: SecretHasher
) -> None:
    accounts = SQLAccounts(empty_database_url, hasher=hasher, min_secret_chars=1)
    for use in (
        lambda: accounts.verify("email", "ann@x", "hunter2"),
        lambda: accounts.add("email", "ann@x", "hunter2"),
        lambda: list(accounts.list()),
    ):
        with pytest.raises(
            UnavailableError, match=r"create_schema.*`jwt-middleware account add`"
        ) as it:
            use()
        assert "hunter2" not in repr(it.value.__cause__)
    accounts.create_schema()
    accounts.create_schema()
    accounts.add("email", "ann@x", "hunter2")
    accounts.close()


def test_an_error_shows_no_hash(accounts: SQLAccounts) -> None:
    accounts.add("email", "ann@x", "hunter2")
    with pytest.raises(AccountExistsError) as raised:
        accounts.add("email", "ann@x", "hunter22")
    assert "argon2" not in str(raised.value.__cause__)


def test_a_closed_one_can_be_used_again(accounts: SQLAccounts) -> None:
    accounts.add("email", "ann@x", "hunter2")
    with accounts._database.reading() as connection:
        first = connection
    accounts.close()
    with accounts._database.reading() as connection:
        assert connection is not first
    accounts.verify("email", "ann@x", "hunter2")


def test_one_of_many_simultaneous_additions_wins(accounts: SQLAccounts) -> None:
    # Hashing is not what this is about: all of them find room.
    accounts._hasher = SecretHasher(time_cost=1, memory_cost_kib=8, max_waiting=8)
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def add() -> None:
        start.wait(timeout=10)
        try:
            accounts.add("email", "ann@x", "hunter2")
        except AccountExistsError:
            outcomes.append("exists")
        else:
            outcomes.append("added")

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(outcomes) == ["added"] + ["exists"] * 7


FORKS = """if True:
    import os, sys
    from jwt_middleware.accounts.hashing import SecretHasher
    from jwt_middleware.accounts.sql import SQLAccounts
    from jwt_middleware.sql.statement import Statement
    accounts = SQLAccounts(sys.argv[1], hasher=SecretHasher(time_cost=1, memory_cost_kib=8))
    accounts.verify("email", "ann@x", "hunter2")
    with accounts._database.reading() as connection:
        parents = connection
    child = os.fork()
    if not child:
        accounts.verify("email", "ann@x", "hunter2")
        with accounts._database.reading() as connection:
            assert connection is not parents
        accounts.close()
        sys.exit()  # not _exit: what the interpreter collects at its end counts
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with accounts._database.reading() as connection:
        # The very one: it would have been replaced had the child closed it.
        assert connection is parents
        assert connection.run(Statement("SELECT 1")).fetchone() == (1,)
    accounts.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_connections_of_its_own(
    accounts: SQLAccounts, empty_database_url: str
) -> None:
    accounts.add("email", "ann@x", "hunter2")
    subprocess.run([sys.executable, "-c", FORKS, empty_database_url], check=True)


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
    caplog.set_level(logging.DEBUG)
    accounts = SQLAccounts(url, hasher=hasher, min_secret_chars=1)
    accounts.create_schema()
    name = f"ann of {tmp_path.name}"
    accounts.add("username", name, "right")
    accounts.verify("username", name, "right")
    accounts.close()
    assert "argon2" not in caplog.text
    assert name not in caplog.text


@pytest.mark.parametrize(
    ("database", "change"),
    [
        (
            "sqlite",
            "CREATE TRIGGER newer BEFORE INSERT ON accounts BEGIN SELECT RAISE(ABORT, 'a'); END",
        ),
        ("postgresql", "ALTER TABLE accounts ADD CONSTRAINT newer CHECK (name = 'a')"),
    ],
)
def test_a_row_that_a_newer_version_s_table_refuses_is_no_duplicate(
    database: str, change: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'accounts.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        execute(url, "DROP TABLE IF EXISTS accounts")
        request.addfinalizer(lambda: execute(url, "DROP TABLE accounts"))  # other tests use it
    with closing(SQLAccounts(url)) as accounts:
        accounts.create_schema()
        execute(url, change)
        with pytest.raises(UnavailableError, match="its tables refuse the row; a newer") as raised:
            accounts.add("email", "ann@x", "hunter22")
    assert "argon2" not in str(raised.value)

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import Result

from jwt_middleware import JWTPayload, LoginThrottle, Sessions
from jwt_middleware.accounts import Identity
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.config import load
from jwt_middleware.errors import BadCredentialsError, TooManyAttemptsError

Invoke = Callable[..., Result]


@pytest.fixture
def accounts(folder_with_endpoint: Path) -> SQLAccounts:
    return load(folder_with_endpoint / "jwt.toml").build_accounts()


class TestAdd:
    def test_makes_an_account_that_can_log_in(self, invoke: Invoke, accounts: SQLAccounts) -> None:
        result = invoke("account", "add", "Ann@example.com", "--scope", "read", stdin="right\n")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "added email account 'Ann@example.com', uid 1\n"
        identity = accounts.verify("email", "ann@example.com", "right")
        assert replace(identity, credential="") == Identity(uid=1, scope="read")
        accounts.close()

    @pytest.mark.parametrize("client_type", ["mobile", "username", "service"])
    def test_takes_every_client_type(
        self, invoke: Invoke, accounts: SQLAccounts, client_type: str
    ) -> None:
        result = invoke("account", "add", "12345", "--type", client_type, stdin="right")
        assert result.exit_code == 0
        assert accounts.verify(client_type, "12345", "right")
        accounts.close()

    def test_takes_several_scopes_and_an_auth(self, invoke: Invoke, accounts: SQLAccounts) -> None:
        options = ["--scope", "read  write", "--scope", "admin", "--auth", "gold"]
        assert invoke("account", "add", "a@example.com", *options, stdin="right").exit_code == 0
        identity = accounts.verify("email", "a@example.com", "right")
        assert (identity.scope, identity.auth) == ("read write admin", "gold")
        accounts.close()

    @pytest.mark.parametrize(
        ("stdin", "secret"),
        [
            pytest.param(b"right\r\n", "right", id="a line break is stripped"),
            pytest.param(b" right ", " right ", id="spaces belong to it"),
            pytest.param("密码\n".encode(), "密码", id="UTF-8"),
        ],
    )
    def test_reads_the_secret_from_standard_input(
        self, invoke: Invoke, accounts: SQLAccounts, stdin: bytes, secret: str
    ) -> None:
        assert invoke("account", "add", "a@example.com", stdin=stdin).exit_code == 0
        assert accounts.verify("email", "a@example.com", secret)
        accounts.close()

    @pytest.mark.parametrize(
        ("stdin", "message"),
        [
            pytest.param(b"", "standard input is empty", id="empty"),
            pytest.param(
                b"right\n\n", "standard input has more than one line", id="second line empty"
            ),
            pytest.param(b"right\nleft\n", "standard input has more than one line", id="two lines"),
            pytest.param(
                b"\xef\xbb\xbfright\n",
                "standard input has more than one line, or a byte",
                id="BOM",
            ),
            pytest.param(b"\n", "standard input is empty", id="empty line"),
            pytest.param(b"secret\xff", "standard input is not UTF-8", id="no text"),
            pytest.param(b"s" * 65537, "standard input is longer than 65536 bytes", id="endless"),
            pytest.param(b"s" * 1025, "a secret has 1 to 1024 characters, not 1025", id="long"),
        ],
    )
    def test_refuses_what_is_no_secret(self, invoke: Invoke, stdin: bytes, message: str) -> None:
        result = invoke("account", "add", "a@example.com", stdin=stdin)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {message}")
        assert result.stderr.count("\n") == 1

    def test_asks_twice_at_a_terminal_without_showing(
        self, invoke: Invoke, accounts: SQLAccounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jwt_middleware.cli.terminal._is_terminal", lambda: True)
        result = invoke("account", "add", "a@example.com", stdin="right\nright\n")
        assert result.exit_code == 0
        assert "Repeat for confirmation" in result.stderr
        assert "right" not in result.output
        assert accounts.verify("email", "a@example.com", "right")
        accounts.close()

    @pytest.mark.parametrize("client_type", ["Email", "emial", "blue-app", "service"])
    def test_takes_only_a_configured_type(
        self, invoke: Invoke, folder_with_endpoint: Path, client_type: str
    ) -> None:
        config = folder_with_endpoint / "jwt.toml"
        text = config.read_text()
        config.write_text(text.replace("[endpoint]", '[endpoint]\nclient_types = ["email"]'))
        result = invoke("account", "add", "a@b.c", "--type", client_type, stdin="secret-1")
        assert result.exit_code == 2
        assert f"{client_type!r} is not one of client_types in [endpoint]: email" in result.stderr

    @pytest.mark.parametrize("secret", ["hunter2", "Password", "12345678", "Ann@Example.com"])
    def test_refuses_a_secret_that_is_guessed_first(
        self, invoke: Invoke, folder_with_endpoint: Path, secret: str
    ) -> None:
        config = folder_with_endpoint / "jwt.toml"
        config.write_text(config.read_text().replace("min_secret_chars = 1\n", ""))
        result = invoke("account", "add", "ann@example.com", stdin=secret)
        assert result.exit_code == 1
        assert "secret" in result.stderr
        assert secret not in result.output
        result = invoke("account", "add", "ann@example.com", stdin="correct horse")
        assert result.exit_code == 0
        assert invoke("account", "set-secret", "ann@example.com", stdin=secret).exit_code == 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            pytest.param(["a\nb"], "an account's name cannot contain U+000A", id="name"),
            pytest.param(["a@b.c", "--scope", "a\x00"], "scope must be scopes", id="scope"),
            pytest.param(["a@b.c", "--scope", "é"], "scope must be scopes", id="scope-of-letters"),
            pytest.param(["a@b.c", "--auth", "a\x00"], "auth must not hold", id="auth"),
        ],
    )
    def test_refuses_what_is_no_account(
        self, invoke: Invoke, arguments: list[str], message: str
    ) -> None:
        result = invoke("account", "add", *arguments, stdin="secret-1")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {message}")
        assert result.stderr.count("\n") == 1
        assert "secret-1" not in result.output

    def test_refuses_an_account_that_is_there(self, invoke: Invoke) -> None:
        invoke("account", "add", "a@example.com", stdin="right")
        result = invoke("account", "add", "A@EXAMPLE.COM", stdin="other")
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: an account 'a@example.com' of the type email already exists\n"
        )

    def test_takes_no_secret_as_an_argument(self, invoke: Invoke) -> None:
        assert invoke("account", "add", "a@example.com", "right").exit_code == 2
        assert invoke("account", "add", "a@example.com", "--secret", "right").exit_code == 2


class TestList:
    def test_shows_every_account_and_no_secret(self, invoke: Invoke) -> None:
        invoke("account", "add", "a@example.com", "--scope", "read admin", stdin="right")
        invoke("account", "add", "bob", "--type", "username", stdin="right")
        invoke("account", "disable", "bob", "--type", "username")
        result = invoke("account", "list")
        assert result.stdout.splitlines() == [
            "uid\ttype\taccount\tscope\tauth\tstate",
            "1\temail\ta@example.com\tread admin\tblue\tenabled",
            "2\tusername\tbob\t\tblue\tdisabled",
        ]

    def test_says_that_there_is_no_database(self, invoke: Invoke) -> None:
        result = invoke("account", "list")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: database /")
        assert result.stderr.count("\n") == 1

    def test_says_that_there_are_no_accounts_configured(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").write_text(
            'issuer = "i"\naudience = "a"\n[keys]\nsecret_file = "secret"\n'
        )
        result = invoke("account", "list")
        assert result.exit_code == 1
        assert "jwt.toml: accounts: is missing: add an [accounts] table" in result.stderr


class TestChange:
    @pytest.fixture(autouse=True)
    def ann(self, invoke: Invoke) -> None:
        invoke("account", "add", "ann@example.com", stdin="right")

    def test_disable_and_enable(self, invoke: Invoke, accounts: SQLAccounts) -> None:
        assert invoke("account", "disable", "ann@example.com").exit_code == 0
        with pytest.raises(BadCredentialsError):
            accounts.verify("email", "ann@example.com", "right")
        assert invoke("account", "enable", "ann@example.com").exit_code == 0
        assert accounts.verify("email", "ann@example.com", "right")
        accounts.close()

    def test_set_secret(self, invoke: Invoke, accounts: SQLAccounts) -> None:
        result = invoke("account", "set-secret", "ann@example.com", stdin="other\n")
        assert result.exit_code == 0
        assert "other" not in result.output
        assert accounts.verify("email", "ann@example.com", "other")
        accounts.close()

    @pytest.mark.parametrize("command", ["disable", "enable", "set-secret"])
    def test_of_an_unknown_account(self, invoke: Invoke, command: str) -> None:
        result = invoke("account", command, "bob", "--type", "username", stdin="other")
        assert result.exit_code == 1
        assert result.stderr == "Error: there is no username account 'bob'\n"


class TestEndsSessions:
    @pytest.fixture(autouse=True)
    def ann(self, invoke: Invoke, sessions: Sessions) -> None:
        invoke("account", "add", "ann@example.com", stdin="right")

    @pytest.fixture
    def tokens(self, invoke: Invoke, sessions: Sessions) -> list[str]:
        """Return the tokens of two sessions of Ann's."""
        payload = JWTPayload(uid=1)
        return [sessions.start(payload).issued.token for _ in range(2)]

    def is_good(self, invoke: Invoke, token: str) -> bool:
        return invoke("token", "verify", stdin=token).exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ["disable", "ann@example.com"],
                "disabled email account 'ann@example.com'\nended 2 sessions\n",
            ),
            (
                ["set-secret", "Ann@Example.com"],
                "changed the secret of email account 'Ann@Example.com'\nended 2 sessions\n",
            ),
            (["logout-everywhere", "ann@example.com"], "ended 2 sessions of uid 1\n"),
            (["logout-everywhere", "--uid", "1"], "ended 2 sessions of uid 1\n"),
        ],
    )
    def test_of_the_account(
        self,
        invoke: Invoke,
        sessions: Sessions,
        tokens: list[str],
        arguments: list[str],
        said: str,
    ) -> None:
        other = sessions.start(JWTPayload(uid=2)).issued.token
        by_hand = invoke("token", "issue", "--uid", "1").stdout
        result = invoke("account", *arguments, stdin="other")
        assert (result.exit_code, result.stdout) == (0, said)
        for token in (*tokens, by_hand):
            assert not self.is_good(invoke, token)
        assert self.is_good(invoke, other)

    def test_and_takes_new_ones_after_a_logout(self, invoke: Invoke, sessions: Sessions) -> None:
        invoke("account", "logout-everywhere", "ann@example.com")
        assert self.is_good(invoke, sessions.start(JWTPayload(uid=1)).issued.token)

    @pytest.mark.parametrize(
        ("command", "mended"), [("disable", "disabled"), ("set-secret", "changed the secret of")]
    )
    def test_or_says_that_they_go_on(
        self, invoke: Invoke, accounts: SQLAccounts, command: str, mended: str
    ) -> None:
        config = Path("jwt.toml")
        config.write_text(config.read_text().replace("sessions.db", "no/such/folder/sessions.db"))
        result = invoke("account", command, "ann@example.com", stdin="other")
        assert result.exit_code == 1
        assert result.stdout == f"{mended} email account 'ann@example.com'\n"
        assert result.stderr.startswith("Error: that is done, but its sessions continue: database ")
        assert (
            "run `jwt-middleware -c jwt.toml account logout-everywhere ann@example.com"
            " --type email`" in result.stderr
        )
        with pytest.raises(BadCredentialsError):  # it is disabled, or has the other secret
            accounts.verify("email", "ann@example.com", "right")
        accounts.close()

    @pytest.mark.parametrize("arguments", [[], ["ann@example.com", "--uid", "1"]])
    def test_of_whom_must_be_clear(self, invoke: Invoke, arguments: list[str]) -> None:
        result = invoke("account", "logout-everywhere", *arguments)
        assert result.exit_code == 2
        assert "give either ACCOUNT or --uid" in result.stderr

    def test_of_an_unknown_account(self, invoke: Invoke) -> None:
        result = invoke("account", "logout-everywhere", "bob", "--type", "username")
        assert result.exit_code == 1
        assert result.stderr == "Error: there is no username account 'bob'\n"


def test_a_closed_standard_input_is_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from jwt_middleware.cli import terminal  # noqa: PLC0415  it is click's before

    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(click.ClickException, match="standard input is empty"):
        terminal.read_secret()


def test_a_terminal_is_told_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    from jwt_middleware.cli import terminal  # noqa: PLC0415

    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert not terminal._is_terminal()


class TestChanges:
    @pytest.fixture
    def ann(self, invoke: Invoke, accounts: SQLAccounts) -> Iterator[SQLAccounts]:
        options = ["--scope", "read write", "--auth", "gold"]
        assert invoke("account", "add", "ann@x", *options, stdin="right").exit_code == 0
        yield accounts
        accounts.close()

    def test_an_account_is_shown(self, invoke: Invoke, ann: SQLAccounts) -> None:
        result = invoke("account", "show", "ANN@x")
        shown = dict(line.split("\t") for line in result.stdout.splitlines())
        created = shown.pop("created")
        assert shown == {
            "uid": "1",
            "sub": "1",
            "type": "email",
            "account": "ann@x",
            "scope": "read write",
            "auth": "gold",
            "claims": "{}",
            "state": "enabled",
            "secret changed": created,
        }
        assert invoke("account", "show", "bob@x").exit_code == 1

    def test_scope_and_auth_are_changed(self, invoke: Invoke, ann: SQLAccounts) -> None:
        assert invoke("account", "set-scope", "ann@x", "--scope", "read").exit_code == 0
        assert invoke("account", "set-auth", "ann@x", "blue").exit_code == 0
        identity = ann.verify("email", "ann@x", "right")
        assert (identity.scope, identity.auth) == ("read", "blue")
        assert invoke("account", "set-scope", "ann@x").exit_code == 0
        assert ann.verify("email", "ann@x", "right").scope == ""
        assert invoke("account", "set-scope", "ann@x", "--scope", 'a"b').exit_code == 1
        assert invoke("account", "set-auth", "bob@x", "blue").exit_code == 1

    def test_an_account_is_renamed(self, invoke: Invoke, ann: SQLAccounts) -> None:
        assert invoke("account", "rename", "ann@x", "Eve@X").exit_code == 0
        assert ann.verify("email", "eve@x", "right").uid == 1
        invoke("account", "add", "ann@x", stdin="another")
        result = invoke("account", "rename", "ann@x", "EVE@x")
        assert (result.exit_code, "already exists" in result.stderr) == (1, True)
        assert invoke("account", "rename", "bob@x", "zoe@x").exit_code == 1

    def test_an_account_is_removed_and_its_uid_never_used_again(
        self, invoke: Invoke, ann: SQLAccounts, sessions: Sessions
    ) -> None:
        sessions.start(JWTPayload(uid=1))
        result = invoke("account", "remove", "ann@x")
        assert result.stdout == "removed email account 'ann@x'\nended 1 sessions\n"
        assert [*sessions.store.list()] == []
        assert invoke("account", "remove", "ann@x").exit_code == 1
        assert "uid 2" in invoke("account", "add", "ann@x", stdin="another").stdout

    def test_attempts_are_cleared(self, invoke: Invoke, sessions: Sessions) -> None:
        throttle = LoginThrottle(sessions.store)
        issuer = "https://auth.example.com"
        for _ in range(5):
            throttle.attempt("ldap", "ann", issuer=issuer, address=None)
        with pytest.raises(TooManyAttemptsError):
            throttle.attempt("ldap", "ann", issuer=issuer, address=None)
        assert invoke("account", "clear-attempts", "ann", "--type", "ldap").exit_code == 0
        throttle.attempt("ldap", "ann", issuer=issuer, address=None)

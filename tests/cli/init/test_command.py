from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from jwt_middleware import wrap
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.cli import main
from jwt_middleware.cli.init.providers import PROVIDERS
from jwt_middleware.cli.init.template import render
from jwt_middleware.config import Settings, load
from jwt_middleware.config.reading import Section
from jwt_middleware.errors import UnavailableError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# A setting that is commented out: "# name = value" or "# [table]".
COMMENTED = re.compile(r"^# (?=\[|\w+ = )", re.MULTILINE)
EXAMPLES = {"token_type", "kid", "password_env", "previous", "rules"}

Init = Callable[..., Result]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise NotImplementedError


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, ["init", *arguments])


def without_extra(name: str) -> object:
    return None


class TestFiles:
    def test_are_loadable_as_they_stand(self, target: Path) -> None:
        result = init()
        assert (result.exit_code, result.stderr) == (0, "")
        assert wrap(target / "jwt.toml", app).endpoint is not None
        names = {path.name for path in target.iterdir()}
        assert names == {"jwt.toml", "secret", "accounts.db", "sessions.db"}

    def test_have_accounts_that_can_be_asked(self, target: Path) -> None:
        init()
        accounts = load(target / "jwt.toml").build_accounts()
        assert list(accounts.list()) == []
        accounts.close()

    def test_keep_the_secret_to_the_owner(self, target: Path) -> None:
        init()
        for name in ("secret", "accounts.db", "sessions.db"):
            assert stat.S_IMODE((target / name).stat().st_mode) == 0o600

    def test_have_a_secret_of_their_own_strong_enough_for_every_alg(self, target: Path) -> None:
        init("--directory", "one")
        init("--directory", "two")
        one, two = ((target / name / "secret").read_text() for name in ("one", "two"))
        assert one != two
        assert len(one.strip()) >= 64

    def test_go_to_a_directory_that_is_made(self, target: Path) -> None:
        result = init("--directory", "etc/jwt one")
        assert result.exit_code == 0
        assert load(target / "etc/jwt one/jwt.toml").build_own()
        assert "jwt-middleware -c 'etc/jwt one/jwt.toml' account add" in result.stdout
        assert "wrap('etc/jwt one/jwt.toml', 'myapp:app')" in result.stdout

    def test_are_loadable_without_the_extra(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jwt_middleware.cli.init.command.find_spec", without_extra)
        result = init()
        assert wrap(target / "jwt.toml", app).endpoint is None
        assert not list(target.glob("*.db"))
        assert "pip install 'wsgi-jwt-middleware[sql]'" in result.stdout

    @pytest.mark.parametrize(
        "name",
        ["jwt.toml", "secret", "accounts.db", "sessions.db"],
        ids=["config", "secret", "accounts", "sessions"],
    )
    def test_never_replace_one_that_is_there(self, target: Path, name: str) -> None:
        (target / name).write_text("mine")
        (target / "accounts.db.backup").write_text("mine")
        result = init()
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {name} exists and is not overwritten")
        assert result.stderr.count("\n") == 1
        assert {path.name for path in target.iterdir()} == {name, "accounts.db.backup"}
        assert (target / name).read_text() == "mine"

    def test_are_not_left_behind_by_a_failure(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create_schema = SQLAccounts.create_schema

        def fail(accounts: SQLAccounts) -> None:
            create_schema(accounts)
            raise UnavailableError("the disk is full")

        monkeypatch.setattr(SQLAccounts, "create_schema", fail)
        result = init()
        assert (result.exit_code, result.stderr) == (1, "Error: the disk is full\n")
        assert list(target.iterdir()) == []

    def test_need_a_directory(self, target: Path) -> None:
        (target / "file").touch()
        result = init("--directory", "file/below")
        assert result.exit_code == 1
        assert result.stderr.endswith("(Not a directory): a part of its path is a file\n")


class TestProvider:
    @pytest.mark.parametrize("name", PROVIDERS)
    def test_is_written_with_what_has_to_be_filled_in(self, target: Path, name: str) -> None:
        result = init("--provider", name)
        assert (result.exit_code, result.stderr) == (0, "")
        assert [path.name for path in target.iterdir()] == ["jwt.toml"]
        (trusted,) = load(target / "jwt.toml").trusted
        assert trusted.source()
        for word, meaning in PROVIDERS[name].fill_in.items():
            assert f"replace {word}: {meaning}" in result.stdout
            assert word in (target / "jwt.toml").read_text()

    def test_goes_to_a_directory_and_overwrites_nothing(self, target: Path) -> None:
        assert "check" in init("--provider", "okta", "--directory", "etc").stdout
        result = init("--provider", "entra", "--directory", "etc")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "exists and is not" in result.stderr
        assert "okta" in (target / "etc" / "jwt.toml").read_text()

    def test_must_be_known(self, target: Path) -> None:
        result = init("--provider", "myspace")
        assert result.exit_code == 2
        assert "keycloak" in result.stderr
        assert list(target.iterdir()) == []


class TestTemplate:
    @pytest.mark.parametrize("with_accounts", [True, False])
    def test_with_every_setting_in_force_has_the_defaults(
        self,
        folder: Path,
        with_accounts: bool,  # noqa: FBT001
    ) -> None:
        text = COMMENTED.sub("", render(with_accounts=with_accounts))
        (folder / "jwt.toml").write_text(text)
        settings = load(folder / "jwt.toml")
        assert len(settings.rules) == 2
        assert settings.keys is not None
        assert len(settings.keys.previous) == 1
        for section in sections(settings):
            for name, one in section.settings.items():
                if name not in EXAMPLES and isinstance(one.default, int | float | str):
                    assert getattr(section, name) == one.default, name


def sections(settings: Settings) -> Iterator[Section]:
    """Yield what has defaults to compare: rules and previous keys are examples."""
    assert settings.endpoint is not None
    assert settings.accounts is not None
    assert settings.accounts.hasher is not None
    assert settings.responses is not None
    yield settings
    yield settings.endpoint
    yield settings.accounts
    yield settings.accounts.hasher
    yield settings.responses
    assert settings.sessions is not None
    assert settings.login is not None
    yield settings.sessions
    yield settings.login
    # The alg of a secret is not a default of the table, as a PEM has none.
    assert settings.keys is not None
    assert settings.keys.alg == "HS256"

"""``jwt-middleware init``: write a working configuration and a new secret."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from ...config import load
from ...files import writing
from .providers import PROVIDERS
from .template import render

_SECRET_BYTES = 64  # enough for HS512 as well


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Output directory; created if missing.  [default: the working directory]",
)
@click.option(
    "--provider",
    type=click.Choice([*PROVIDERS]),
    help="Write the [[trusted]] table for the tokens of this identity provider instead.",
)
def init(directory: Path, provider: str | None) -> None:
    """
    Write a commented jwt.toml and a new secret, and create the account and session stores.

    With --provider, write only a jwt.toml that accepts the tokens of an identity provider.  Never
    overwrites a file, and removes what it wrote if it fails.
    """
    config = directory / "jwt.toml"
    if provider is not None:
        _write_provider(config, provider)
        return
    with_accounts = find_spec("argon2") is not None
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with (
        _new_database(directory / "accounts.db"),
        _new_database(directory / "sessions.db"),
        _new_file(directory / "secret", secrets.token_urlsafe(_SECRET_BYTES) + "\n", mode=0o600),
        _new_file(config, render(with_accounts=with_accounts), mode=0o666),
    ):
        settings = load(config)
        settings.build_own()
        if with_accounts:
            with closing(settings.build_accounts()) as accounts:
                accounts.create_schema()
            with closing(settings.require_sessions().build_store()) as sessions:
                sessions.create_schema()
    _print_next_steps(config, with_accounts=with_accounts)


def _write_provider(config: Path, provider: str) -> None:
    with writing(config.parent):
        config.parent.mkdir(parents=True, exist_ok=True)
    chosen = PROVIDERS[provider]
    with _new_file(config, chosen.render(), mode=0o666):
        load(config)
    click.echo(f"wrote {config}, for {chosen.name}")
    click.echo("next:")
    for word, meaning in chosen.fill_in.items():
        click.echo(f"  replace {word}: {meaning}")
    click.echo(f"  jwt-middleware{_config_option(config)} check")


def _config_option(config: Path) -> str:
    return "" if config == Path("jwt.toml") else f" -c {shlex.quote(str(config))}"


@contextmanager
def _new_file(path: Path, content: str, *, mode: int) -> Iterator[None]:
    """Write a new file, and remove it if the block fails."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    except FileExistsError as error:
        raise _in_the_way(path) from error
    try:
        with writing(path), os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        yield
    except BaseException:
        path.unlink()
        raise


@contextmanager
def _new_database(path: Path) -> Iterator[None]:
    """Refuse an existing database, and remove a new one if the block fails."""
    if path.exists():
        raise _in_the_way(path)
    try:
        yield
    except BaseException:
        if path.exists():
            for suffix in ("", "-wal", "-shm"):  # https://www.sqlite.org/tempfiles.html
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        raise


def _in_the_way(path: Path) -> click.ClickException:
    return click.ClickException(
        f"{path} exists and is not overwritten: give another --directory, or move it"
    )


def _print_next_steps(config: Path, *, with_accounts: bool) -> None:
    option = _config_option(config)
    click.echo(f"wrote {config} and {config.parent / 'secret'}, which only you can read")
    if with_accounts:
        databases = (config.parent / "accounts.db", config.parent / "sessions.db")
        click.echo(f"created {databases[0]} and {databases[1]}")
    click.echo("next:")
    click.echo(f"  change issuer and audience in {config}")
    if with_accounts:
        click.echo(f"  jwt-middleware{option} account add you@example.com --scope read")
    else:
        click.echo("  pip install 'wsgi-jwt-middleware[sql]', for accounts that can log in")
    click.echo(f"""  gunicorn "jwt_middleware:wrap({str(config)!r}, 'myapp:app')\"""")

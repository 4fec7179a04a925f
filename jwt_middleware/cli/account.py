"""``jwt-middleware account``: who may log in."""

from __future__ import annotations

import shlex
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..accounts.identity import DEFAULT_AUTH
from ..config import load
from ..errors import JWTMiddlewareError
from .terminal import read_secret

if TYPE_CHECKING:
    from ..accounts.sql import Account, SQLAccounts
    from ..config.sessions import SessionSettings

_account = click.argument("name", metavar="ACCOUNT")
_type = click.option(
    "--type",
    "client_type",
    default="email",
    show_default=True,
    help="email, mobile, username, service, or a client type of your own.",
)


@click.group()
def account() -> None:
    """Add, list and change the accounts that may log in."""


@account.command()
@_account
@_type
@click.option("--scope", "scopes", multiple=True, help="Scopes of its tokens; can be repeated.")
@click.option(
    "--auth",
    default=DEFAULT_AUTH,
    show_default=True,
    help="The claim auth of its tokens.",
)
@click.pass_obj
def add(config: Path, name: str, client_type: str, scopes: tuple[str, ...], auth: str) -> None:
    """
    Add ACCOUNT.  The secret is asked for, or read from standard input.

    Creates the table of accounts if it is missing.
    """
    with _accounts(config) as accounts:
        secret = read_secret()
        accounts.create_schema()
        scope = " ".join(" ".join(scopes).split())
        identity = accounts.add(client_type, name, secret, scope=scope, auth=auth)
    click.echo(f"added {client_type} account {name!r}, uid {identity.uid}")


@account.command("list")
@click.pass_obj
def list_(config: Path) -> None:
    """List all accounts, tab-separated."""
    with _accounts(config) as accounts:
        found = [*accounts.list()]
        click.echo("uid\ttype\taccount\tscope\tauth\tstate")
        for one in found:
            state = "disabled" if one.disabled else "enabled"
            click.echo(
                f"{one.uid}\t{one.client_type}\t{one.name}\t{one.scope}\t{one.auth}\t{state}"
            )


@account.command()
@_account
@_type
@click.pass_obj
def disable(config: Path, name: str, client_type: str) -> None:
    """
    Refuse the logins of ACCOUNT, and end its sessions.

    Without a [sessions] table, tokens it has are good until they expire.
    """
    with _accounts(config) as accounts:
        accounts.disable(client_type, name)
        click.echo(f"disabled {client_type} account {name!r}")
        _end_sessions(config, accounts.find_named(client_type, name))


@account.command()
@_account
@_type
@click.pass_obj
def enable(config: Path, name: str, client_type: str) -> None:
    """Allow the logins of ACCOUNT again."""
    with _accounts(config) as accounts:
        accounts.enable(client_type, name)
    click.echo(f"enabled {client_type} account {name!r}")


@account.command("set-secret")
@_account
@_type
@click.pass_obj
def set_secret(config: Path, name: str, client_type: str) -> None:
    """
    Give ACCOUNT another secret, asked for or read from standard input, and end its sessions.

    Without a [sessions] table, tokens it has are good until they expire.
    """
    with _accounts(config) as accounts:
        accounts.set_secret(client_type, name, read_secret())
        click.echo(f"changed the secret of {client_type} account {name!r}")
        _end_sessions(config, accounts.find_named(client_type, name))


@account.command("logout-everywhere")
@click.argument("name", metavar="[ACCOUNT]", required=False)
@_type
@click.option("--uid", help="Whom, instead of ACCOUNT: the claim sub of its tokens.")
@click.pass_obj
def logout_everywhere(config: Path, name: str | None, client_type: str, uid: str | None) -> None:
    """
    End all sessions of ACCOUNT, and whatever other token it got before now.

    It can log in again at once, unless it is disabled.
    """
    if (name is None) == (uid is None):
        raise click.UsageError("give either ACCOUNT or --uid")
    sessions = load(config).require_sessions()
    if name is not None:
        with _accounts(config) as accounts:
            uid = str(accounts.find_named(client_type, name).uid)
    click.echo(f"ended {_end_all(sessions, str(uid))} sessions of uid {uid}")


def _accounts(config: Path) -> closing[SQLAccounts]:
    return closing(load(config).build_accounts())


def _end_sessions(config: Path, account: Account) -> None:
    """End what the account holds, if sessions are configured; it was changed before."""
    sessions = load(config).sessions
    if sessions is None:
        return
    try:
        ended = _end_all(sessions, str(account.uid))
    except JWTMiddlewareError as error:
        name, option = shlex.quote(account.name), f"-c {shlex.quote(str(config))}"
        raise click.ClickException(
            f"that is done, but its sessions go on: {error}; once that is fixed, run"
            f" `jwt-middleware {option} account logout-everywhere {name}"
            f" --type {account.client_type}`"
        ) from error
    click.echo(f"ended {ended} sessions")


def _end_all(sessions: SessionSettings, uid: str) -> int:
    now = time.time()
    with closing(sessions.build_shared_store()) as store:
        return store.end_all(uid, now=now, expires_at=now + sessions.max_lifetime_seconds)

"""``jwt-middleware account``: manage the accounts that may log in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..accounts.identity import DEFAULT_AUTH
from ..config import load
from ..config.logins import CLIENT_TYPES
from ..core.encoding import parse_json
from ..endpoint.limits import LoginThrottle
from ..errors import JWTMiddlewareError
from ..sessions.clock import clock_of
from ..sessions.sessions import end_subject
from .terminal import read_secret, shown

if TYPE_CHECKING:
    from ..accounts.sql import Account, SQLAccounts
    from ..config import Settings

_CLEARING_SECONDS: Final = 10.0

_account = click.argument("name", metavar="ACCOUNT")
_type = click.option(
    "--type",
    "client_type",
    default="email",
    show_default=True,
    help="One of client_types in [endpoint].",
)


@click.group()
def account() -> None:
    """Add, list and change the accounts that may log in."""


_scopes = click.option(
    "--scope", "scopes", multiple=True, help="Scopes of its tokens; can be repeated."
)


def _read_claims(_context: click.Context, _: click.Parameter, text: str) -> Mapping[str, object]:
    try:
        found = parse_json(text.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.BadParameter('is not a JSON object, as in \'{"tenant": "acme"}\'')
    return found


@account.command()
@_account
@_type
@_scopes
@click.option(
    "--claims",
    callback=_read_claims,
    default="{}",
    help="Further claims of its tokens, as a JSON object.",
)
@click.option(
    "--auth",
    default=DEFAULT_AUTH,
    show_default=True,
    help="The claim auth of its tokens.",
)
@click.pass_obj
def add(
    config: Path,
    *,
    name: str,
    client_type: str,
    scopes: tuple[str, ...],
    claims: Mapping[str, object],
    auth: str,
) -> None:
    """
    Add ACCOUNT.  Prompts for the secret, or reads it from standard input.

    Creates the table of accounts if it is missing.
    """
    _check_type(load(config), client_type)
    with _accounts(config) as accounts:
        secret = read_secret()
        accounts.create_schema()
        identity = accounts.add(
            client_type, name, secret, scope=_joined(scopes), auth=auth, claims=claims
        )
    click.echo(f"added {client_type} account {name!r}, uid {identity.uid}")


@account.command("list")
@click.pass_obj
def list_(config: Path) -> None:
    """List all accounts, tab-separated."""
    with _accounts(config) as accounts:
        found = [*accounts.list()]
        click.echo("uid\ttype\taccount\tscope\tauth\tstate")
        for one in found:
            click.echo(
                f"{one.uid}\t{one.client_type}\t{one.name}\t{one.scope}\t{one.auth}\t{_state(one)}"
            )


@account.command()
@_account
@_type
@click.pass_obj
def show(config: Path, name: str, client_type: str) -> None:
    """Show ACCOUNT, tab-separated; times are UTC."""
    settings = load(config)
    with _accounts(config) as accounts:
        found = accounts.find_named(client_type, name)
    for title, value in (
        ("uid", str(found.uid)),
        ("sub", _subject(settings, found)),
        ("type", found.client_type),
        ("account", found.name),
        ("scope", found.scope),
        ("auth", found.auth),
        ("claims", json.dumps(found.claims)),
        ("state", _state(found)),
        ("created", shown(found.created_at)),
        ("secret changed", shown(found.secret_changed_at)),
    ):
        click.echo(f"{title}\t{value}")


@account.command("set-scope")
@_account
@_type
@_scopes
@click.pass_obj
def set_scope(config: Path, name: str, client_type: str, scopes: tuple[str, ...]) -> None:
    """
    Replace the scopes of ACCOUNT; without --scope it has none.

    Its sessions lose removed scopes at their next refresh; added scopes need another login.
    """
    with _accounts(config) as accounts:
        accounts.set_scope(client_type, name, _joined(scopes))
    click.echo(f"changed the scope of {client_type} account {name!r}")


@account.command("set-auth")
@_account
@click.argument("auth")
@_type
@click.pass_obj
def set_auth(config: Path, name: str, auth: str, client_type: str) -> None:
    """Set the claim auth of ACCOUNT to AUTH, from the next login or refresh on."""
    with _accounts(config) as accounts:
        accounts.set_auth(client_type, name, auth)
    click.echo(f"changed the auth of {client_type} account {name!r}")


@account.command("set-claims")
@_account
@click.argument("claims", callback=_read_claims)
@_type
@click.pass_obj
def set_claims(config: Path, name: str, claims: Mapping[str, object], client_type: str) -> None:
    """
    Set the CLAIMS of ACCOUNT, a JSON object, from the next login or refresh on.

    Adds the column to an account table of version 0.1.
    """
    with _accounts(config) as accounts:
        accounts.create_schema()
        accounts.set_claims(client_type, name, claims)
    click.echo(f"changed the claims of {client_type} account {name!r}")


@account.command()
@_account
@click.argument("new")
@_type
@click.pass_obj
def rename(config: Path, name: str, new: str, client_type: str) -> None:
    """Rename ACCOUNT to NEW; its uid, secret and sessions are kept."""
    with _accounts(config) as accounts:
        accounts.rename(client_type, name, new)
    click.echo(f"renamed {client_type} account {name!r} to {new!r}")


@account.command()
@_account
@_type
@click.pass_obj
def remove(config: Path, name: str, client_type: str) -> None:
    """
    Remove ACCOUNT, and end its sessions.  Its uid is never reused.

    Without a [sessions] table, its tokens are valid until they expire.
    """
    with _accounts(config) as accounts:
        found = accounts.find_named(client_type, name)
        accounts.remove(client_type, name)
    click.echo(f"removed {client_type} account {name!r}")
    _end_sessions(config, found, by_name=False)


@account.command()
@_account
@_type
@click.pass_obj
def disable(config: Path, name: str, client_type: str) -> None:
    """
    Refuse logins of ACCOUNT, and end its sessions.

    Without a [sessions] table, its tokens are valid until they expire.
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
    """Allow logins of ACCOUNT again."""
    with _accounts(config) as accounts:
        accounts.enable(client_type, name)
    click.echo(f"enabled {client_type} account {name!r}")


@account.command("set-secret")
@_account
@_type
@click.pass_obj
def set_secret(config: Path, name: str, client_type: str) -> None:
    """
    Change the secret of ACCOUNT, and end its sessions.

    Prompts for the secret, or reads it from standard input.  Without a [sessions] table, its tokens
    are valid until they expire.
    """
    with _accounts(config) as accounts:
        accounts.set_secret(client_type, name, read_secret())
        click.echo(f"changed the secret of {client_type} account {name!r}")
        _end_sessions(config, accounts.find_named(client_type, name))


@account.command("clear-attempts")
@_account
@_type
@click.pass_obj
def clear_attempts(config: Path, name: str, client_type: str) -> None:
    """Clear the failed logins of ACCOUNT, which need not be in [accounts]."""
    settings = load(config)
    sessions = settings.require_sessions()
    with closing(sessions.build_shared_store()) as store:
        issuer = sessions.whose(settings.issuer)
        LoginThrottle(store).clear(client_type, name, issuer=issuer)
    click.echo(f"cleared the attempts of {client_type} account {name!r}")


@account.command("logout-everywhere")
@click.argument("name", metavar="[ACCOUNT]", required=False)
@_type
@click.option("--uid", help="The claim sub of its tokens, instead of ACCOUNT.")
@click.pass_obj
def logout_everywhere(config: Path, name: str | None, client_type: str, uid: str | None) -> None:
    """
    End all sessions of ACCOUNT, and revoke all its other tokens issued before now.

    It can log in again at once, unless it is disabled.
    """
    if (name is None) == (uid is None):
        raise click.UsageError("give either ACCOUNT or --uid")
    settings = load(config)
    settings.require_sessions()
    if name is not None:
        with _accounts(config) as accounts:
            uid = _subject(settings, accounts.find_named(client_type, name))
    click.echo(f"ended {_end_all(settings, str(uid))} sessions of uid {uid}")


def _accounts(config: Path) -> closing[SQLAccounts]:
    return closing(load(config).build_accounts())


def _check_type(settings: Settings, client_type: str) -> None:
    endpoint = settings.endpoint
    known = (endpoint and endpoint.client_types) or CLIENT_TYPES
    if client_type not in known:
        raise click.BadParameter(
            f"{client_type!r} is not one of client_types in [endpoint]: {', '.join(known)}",
            param_hint="--type",
        )


def _joined(scopes: tuple[str, ...]) -> str:
    return " ".join(" ".join(scopes).split())


def _state(account: Account) -> str:
    return "disabled" if account.disabled else "enabled"


def _subject(settings: Settings, account: Account) -> str:
    """Return the claim sub of the account's tokens."""
    if settings.endpoint is None:
        return str(account.uid)
    return settings.endpoint.subject(account.client_type, account.uid)


def _end_sessions(config: Path, account: Account, *, by_name: bool = True) -> None:
    """End the account's sessions, if sessions are configured; the account is already changed."""
    settings = load(config)
    if settings.sessions is None:
        return
    subject = _subject(settings, account)
    try:
        ended = _end_all(settings, subject)
    except JWTMiddlewareError as error:
        named = f"--uid {shlex.quote(subject)}"
        if by_name:
            named = f"{shlex.quote(account.name)} --type {account.client_type}"
        raise click.ClickException(
            f"that is done, but its sessions continue: {error}; once that is fixed, run"
            f" `jwt-middleware -c {shlex.quote(str(config))} account logout-everywhere {named}`"
        ) from error
    click.echo(f"ended {ended} sessions")


def _end_all(settings: Settings, subject: str) -> int:
    sessions = settings.require_sessions()
    with closing(sessions.build_shared_store()) as store:
        return end_subject(
            store,
            issuer=sessions.whose(settings.issuer),
            subject=subject,
            now=clock_of(store)(),
            max_lifetime_seconds=sessions.max_lifetime_seconds,
            clearing_seconds=_CLEARING_SECONDS,
        )

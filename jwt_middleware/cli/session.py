"""``jwt-middleware session``: list, show and end sessions."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final

import click

from ..config import load
from ..sessions import SessionStore
from ..sessions.clock import clock_of
from .terminal import shown

_PRUNED_AT_ONCE: Final = 500

# A sid may begin with "-": it is not read as an option, nor "-h..." as --help.
_sids_as_they_are: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
_sid = click.argument("sid")


@click.group("session")
def session() -> None:
    """List, show and end sessions; "sessions" is an alias of this group."""


@session.command("list")
@click.option("--uid", help="Only sessions of this subject, the claim sub of its tokens.")
@click.pass_obj
def list_(config: Path, uid: str | None) -> None:
    """List the live sessions, tab-separated and unordered; times are UTC."""
    issuer = _issuer(config)
    with _store(config) as store:
        now = clock_of(store)()
        sessions = store.list(issuer=issuer, subject=uid)
        found = (one for one in sessions if one.expires_at > now)
        first = next(found, None)  # so that no heading is printed if the store is down
        click.echo("sid\tuid\ttype\tscope\tcreated\tused\texpires\tends")
        for one in () if first is None else chain((first,), found):
            payload = one.payload
            times = (one.created_at, one.used_at, one.expires_at, one.ends_at)
            columns = (one.sid, one.subject, payload.ac_type, payload.scope, *map(shown, times))
            click.echo("\t".join(columns))


@session.command(context_settings=_sids_as_they_are)
@_sid
@click.pass_obj
def show(config: Path, sid: str) -> None:
    """Show the session SID, the claim sid of its tokens, tab-separated; times are UTC."""
    with _store(config) as store:
        found, now = store.find(sid), clock_of(store)()
    if found is None or found.expires_at <= now or not found.is_of(_issuer(config)):
        raise _unknown(sid)
    for name, value in (
        ("sid", found.sid),
        ("uid", found.subject),
        ("type", found.payload.ac_type),
        ("scope", found.payload.scope),
        ("auth", found.payload.auth),
        ("refreshable", "no" if found.token_hash is None else "yes"),
        ("created", shown(found.created_at)),
        ("used", shown(found.used_at)),
        ("expires", shown(found.expires_at)),
        ("ends", shown(found.ends_at)),
    ):
        click.echo(f"{name}\t{value}")


@session.command(context_settings=_sids_as_they_are)
@_sid
@click.pass_obj
def revoke(config: Path, sid: str) -> None:
    """End the session SID: its refresh token and all its access tokens."""
    with _store(config) as store:
        if not store.end(sid, issuer=_issuer(config), now=clock_of(store)()):
            raise _unknown(sid)
    click.echo(f"ended session {sid}")


@session.command()
@click.pass_obj
def prune(config: Path) -> None:
    """
    Remove expired entries, in small steps.

    Logins and refreshes also remove some; this is for a store without them.
    """
    pruned = 0
    with _store(config) as store:
        while removed := store.prune(now=clock_of(store)(), limit=_PRUNED_AT_ONCE):
            pruned += removed
    click.echo(f"removed {pruned} expired entries")


@session.command("create-schema")
@click.pass_obj
def create_schema(config: Path) -> None:
    """Create the missing tables of a store; Redis needs none."""
    with _store(config) as store:
        store.create_schema()
    click.echo("the session store is ready")


def _store(config: Path) -> closing[SessionStore]:
    return closing(load(config).require_sessions().build_shared_store())


def _issuer(config: Path) -> str:
    settings = load(config)
    return settings.require_sessions().whose(settings.issuer)


def _unknown(sid: str) -> click.ClickException:
    return click.ClickException(f"there is no session {sid!r}: it has ended or never existed")

"""``jwt-middleware check``: the whole configuration, before a server does it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import click
from werkzeug.exceptions import NotFound

from ..config import Settings, load
from ..core.keys import KeySet
from ..core.trust import TrustedIssuer
from ..errors import UnavailableError


@click.command()
@click.pass_obj
def check(config: Path) -> None:
    """
    Build everything that the configuration names, fetch keys, and ask the store of sessions.

    Prints each issuer and its keys, and which requests the rules let through unread.  The exit code
    is 1 if the app would not start, or if keys or the store are unavailable.
    """
    settings = load(config)
    protected = settings.protect(NotFound())
    missing = False
    for trusted in protected.verifier.trusted.values():
        keys = _keys_of(trusted)
        missing |= keys is None
        kids = "no keys" if keys is None else ", ".join(f"{key.kid} ({key.alg})" for key in keys)
        click.echo(f"{trusted.issuer}: {kids}")
    for rule in protected.policy.rules:
        if rule.access == "passthrough":
            click.echo(f"rule {rule.path!r}: passthrough: Authorization is left to the app")
        if rule.preflight:
            click.echo(rule.describe_preflight())
    _ask_store(settings)
    if missing:
        raise click.ClickException("keys of an issuer cannot be had: its tokens would get 503")


def _ask_store(settings: Settings) -> None:
    if settings.sessions is None:
        return
    creates_tables = settings.endpoint is not None
    with closing(settings.sessions.build_store(creates_tables=creates_tables)) as store:
        try:
            store.changes(None, limit=1)
            if settings.endpoint is not None:  # which also writes
                store.prune(now=time.time(), limit=1)
        except UnavailableError as error:
            raise click.ClickException(
                f"sessions: {error}: until that is fixed, requests with a token would get 503"
            ) from error
        click.echo(f"sessions: {store!r} answers")


def _keys_of(trusted: TrustedIssuer) -> KeySet | None:
    try:
        return trusted.keys.current()
    except UnavailableError as error:
        click.echo(f"{trusted.issuer}: {error}", err=True)
        return None

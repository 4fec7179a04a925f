"""``jwt-middleware check``: the whole configuration, before a server does it."""

from __future__ import annotations

from pathlib import Path

import click
from werkzeug.exceptions import NotFound

from ..config import load
from ..core.keys import KeySet
from ..core.trust import TrustedIssuer
from ..errors import UnavailableError


@click.command()
@click.pass_obj
def check(config: Path) -> None:
    """
    Build everything that the configuration names, and fetch the keys of those it trusts.

    Prints each issuer and its keys.  The exit code is 1 if the app would not start, or if keys
    cannot be had now.
    """
    protected = load(config).protect(NotFound())
    missing = False
    for trusted in protected.verifier.trusted.values():
        keys = _keys_of(trusted)
        missing |= keys is None
        kids = "no keys" if keys is None else ", ".join(f"{key.kid} ({key.alg})" for key in keys)
        click.echo(f"{trusted.issuer}: {kids}")
    if missing:
        raise click.ClickException("keys of an issuer cannot be had: its tokens would get 503")


def _keys_of(trusted: TrustedIssuer) -> KeySet | None:
    try:
        return trusted.keys.current()
    except UnavailableError as error:
        click.echo(f"{trusted.issuer}: {error}", err=True)
        return None

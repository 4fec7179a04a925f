"""``jwt-middleware keys``: manage the key ring, and check keys of other issuers."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from ..config import load
from ..core.issuer import DEFAULT_LIFETIME_SECONDS
from ..core.jws import ALGORITHMS, checked_algorithms
from ..core.keys import Key
from ..keysources.file.keyfile import KeyFile
from ..keysources.jwks import public_jwks, read_jwks
from ..keysources.remote.fetching import FetchError, KeyURL, choose_fetch
from ..keysources.ring import rotation
from ..keysources.ring.directory import RingDirectory
from ..keysources.ring.manifest import Manifest, RingKey
from ..keysources.ring.ring import KeyRing
from .terminal import shown

_ALGS: Final = (*ALGORITHMS, "Ed25519")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _configured(ctx: click.Context, _: click.Parameter, directory: Path | None) -> Path:
    """Return the given directory, or the configured one."""
    if directory is not None:
        return directory
    keys = load(ctx.obj).keys
    if keys is None or keys.directory is None:
        raise click.UsageError(f"{ctx.obj} has no keys.directory: add it, or give --directory")
    return keys.place.file.parent / keys.directory


_directory = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_configured,
    help="The directory of the key ring.  [default: the configured one]",
)


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Convert a whole number and its unit, as in ``90d``, to seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a duration such as 90d, 12h, 30m or 45s")
    return int(match[1]) * _SECONDS[match[2]]


@click.group()
def keys() -> None:
    """Create, rotate and export signing keys, and check keys of other issuers."""


@keys.command()
@_directory
@click.option("--alg", type=click.Choice(_ALGS), required=True, help="The algorithm of the keys.")
def create(directory: Path, alg: str) -> None:
    """Create a key ring with an active key, which signs, and an announced key."""
    _print_ring(rotation.create(directory, alg=alg, now=time.time()))


@keys.command("list")
@_directory
def list_(directory: Path) -> None:
    """List the keys of the ring, tab-separated; times are UTC."""
    _print_ring(RingDirectory(directory).read_manifest())


@keys.command()
@_directory
@click.option(
    "--if-older-than",
    "older_than_seconds",
    callback=_duration,
    metavar="AGE",
    help="Do nothing if the active key is younger, as in 90d; for cron.",
)
@click.option(
    "--token-lifetime",
    "token_lifetime_seconds",
    callback=_duration,
    metavar="TIME",
    help="The longest lifetime of the tokens it signs.  [default: the endpoint's]",
)
@click.pass_obj
def rotate(
    config: Path,
    directory: Path,
    older_than_seconds: int | None,
    token_lifetime_seconds: int | None,
) -> None:
    """
    Sign with the announced key, and announce a new one.

    The previous key verifies until the last token that it signed has expired.  Of concurrent
    rotations only one has an effect; running workers need no restart.
    """
    if token_lifetime_seconds is None:
        endpoint = load(config).endpoint
        token_lifetime_seconds = (
            DEFAULT_LIFETIME_SECONDS if endpoint is None else endpoint.lifetime_seconds
        )
    did = rotation.rotate(
        directory,
        token_lifetime_seconds=token_lifetime_seconds,
        now=time.time(),
        older_than_seconds=older_than_seconds,
    )
    active = did.ring.active
    if did.outcome == "rotated":
        click.echo(f"rotated: {active.kid} signs, {did.ring.announced.kid} is announced")
    elif did.outcome == "fresh":
        click.echo(f"not rotated: {active.kid} signs since {shown(active.active_at)} only")
    else:
        click.echo(f"not rotated: another process just did, {active.kid} signs")
    for kid in did.retired:
        click.echo(f"retired: {kid}, whose tokens have expired")


@keys.command()
@_directory
@click.argument("kid")
def retire(directory: Path, kid: str) -> None:
    """
    Retire the key KID at once, for a compromised key.

    Tokens that it signed are refused, and its file is deleted.
    """
    _print_ring(rotation.retire(directory, kid, now=time.time()))


@keys.command()
@_directory
def export(directory: Path) -> None:
    """Print the public keys as a JWK set, for other verifiers.  Secrets are left out."""
    click.echo(json.dumps(public_jwks(KeyRing(directory).current()), indent=2))


@keys.command()
@click.argument("source", metavar="URL|FILE|DIRECTORY")
@click.option(
    "--alg",
    "algorithms",
    type=click.Choice(_ALGS),
    multiple=True,
    help="An accepted alg; can be repeated.  [default: all]",
)
@click.option("--allow-http", is_flag=True, help="Fetch over plain HTTP from any host.")
def check(source: str, algorithms: tuple[str, ...], *, allow_http: bool) -> None:
    """
    Check which keys of a JWK set, a JWK, a PEM or a key ring are accepted, and why others are not.

    Prints the accepted keys, tab-separated, and the faults of others to standard error.  If none is
    accepted, the exit code is 1.
    """
    with _log_to_stderr():
        found = _read(source, algorithms or None, allow_http=allow_http)
        click.echo("kid\talg\tuse")
        for key in found:
            click.echo(f"{key.kid}\t{key.alg}\t{'signs' if key.can_sign else 'verifies'}")


def _read(source: str, algorithms: tuple[str, ...] | None, *, allow_http: bool) -> Iterable[Key]:
    accepted = checked_algorithms(algorithms)
    if "://" in source:
        url = KeyURL.parse(source, allow_http=allow_http)
        fetch = choose_fetch(None, url, allow_http=allow_http, ca_file=None)
        try:
            document = fetch(source)
        except FetchError as error:
            raise click.ClickException(str(error)) from error
        return read_jwks(document.octets, algorithms=accepted)
    if Path(source).is_dir():
        ring = KeyRing(source).current()
        fitting = [key for key in ring if accepted is None or key.alg in accepted]
        if not fitting:
            raise click.ClickException(f"{source!r}: the key ring has no key for these algs")
        return fitting
    return KeyFile(source, algorithms=accepted).current()


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    logger, handler = logging.getLogger("jwt_middleware"), _ToStderr(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _print_ring(ring: Manifest) -> None:
    click.echo("kid\talg\tstate\tsince\tverifies until")
    for key in ring.keys:
        until = shown(key.retire_after) if key.state == "retiring" else ""
        click.echo(f"{key.kid}\t{key.alg}\t{key.state}\t{shown(_since(key))}\t{until}")


def _since(key: RingKey) -> float | None:
    return {
        "announced": key.announced_at,
        "active": key.active_at,
        "retiring": key.retiring_at,
        "retired": key.retired_at,
    }[key.state]

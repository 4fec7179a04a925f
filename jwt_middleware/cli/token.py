"""``jwt-middleware token``: issue, verify, revoke and inspect tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing, nullcontext
from pathlib import Path

import click

from ..config import Settings, load
from ..core.jws import decode_object, split
from ..core.payload import JWTPayload
from ..errors import InvalidGrantError, UnavailableError
from ..sessions import SessionStore
from ..sessions.clock import clock_of
from ..sessions.refresh_token import RefreshToken
from ..sessions.revocation.live import token_revocation
from .terminal import read_token, shown


@click.group()
def token() -> None:
    """Issue, verify, revoke and inspect tokens."""


@token.command()
@click.option("--uid", required=True, help="Claim uid; digits become a number.")
@click.option("--scope", "scopes", multiple=True, help="A scope of the token; can be repeated.")
@click.option("--auth", default="blue", show_default=True, help="The claim auth.")
@click.option("--type", "client_type", default="email", show_default=True, help="Claim ac_type.")
@click.option(
    "--lifetime-seconds",
    type=int,
    help="Seconds until it expires; zero or less for an expired token.  [default: the endpoint's]",
)
@click.pass_obj
def issue(
    config: Path,
    *,
    uid: str,
    scopes: tuple[str, ...],
    auth: str,
    client_type: str,
    lifetime_seconds: int | None,
) -> None:
    """Print a token signed with the configured key.  No account is checked."""
    settings = load(config)
    issuer = settings.build_issuer(settings.build_own())
    scope = " ".join(" ".join(scopes).split())
    try:
        payload = JWTPayload(uid=_uid(uid), auth=auth, scope=scope, ac_type=client_type)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    now = _shared_time(settings)
    click.echo(issuer.issue(payload, lifetime_seconds=lifetime_seconds, now=now).token)


@token.command()
@click.pass_obj
def verify(config: Path) -> None:
    """
    Read a token from standard input and print its claims, if the app would accept it.

    If not, the exit code is 1 and one line says why.
    """
    settings = load(config)
    own = settings.build_own()
    revocations = settings.build_revocations(own)
    with nullcontext() if revocations is None else closing(revocations.store):
        verified = settings.build_verifier(own, revocations).verify(read_token())
    _print_json(verified.claims)


@token.command()
@click.option(
    "--jti", help="The claim jti of an access token, if the token itself is not available."
)
@click.option("--issuer", help="The token's issuer, for --jti.  [default: the configured issuer]")
@click.option(
    "--lifetime-seconds",
    type=click.IntRange(min=1),
    help="How long it may be valid, for --jti.  [default: max_lifetime_seconds of sessions]",
)
@click.pass_obj
def revoke(
    config: Path, *, jti: str | None, issuer: str | None, lifetime_seconds: int | None
) -> None:
    """
    Read a token from standard input and revoke it; a refresh token ends its session.

    With --jti, which is in the logs, nothing is read.
    """
    settings = load(config)
    sessions = settings.require_sessions()
    whose = sessions.whose(settings.issuer)
    with closing(sessions.build_shared_store()) as store:
        now = clock_of(store)()
        if jti is not None:
            exp = now + (lifetime_seconds or sessions.max_lifetime_seconds)
            claims: Mapping[str, object] = {"iss": issuer or whose, "jti": jti, "exp": exp}
        elif issuer is not None or lifetime_seconds is not None:
            raise click.UsageError("--issuer and --lifetime-seconds need --jti")
        else:
            text = read_token()
            if (sid := _sid_of_refresh_token(text, whose)) is not None:
                _end(store, sid, issuer=whose, now=now)
                return
            claims = settings.build_verifier(settings.build_own()).verify(text).claims
        revocation = token_revocation(claims, now=now)
        store.revoke(revocation)
    click.echo(f"revoked token {claims['jti']!a}, until {shown(revocation.expires_at)}")


def _shared_time(settings: Settings) -> float | None:
    """Return the time of the session store, or ``None``: revocations compare *iat* with it."""
    if settings.sessions is None:
        return None
    with closing(settings.sessions.build_store(creates_tables=False)) as store:
        try:
            return clock_of(store)()
        except UnavailableError:
            return None


def _sid_of_refresh_token(text: str, issuer: str) -> str | None:
    try:
        return RefreshToken.parse(text, issuer=issuer).sid
    except InvalidGrantError:
        return None


def _end(store: SessionStore, sid: str, *, issuer: str, now: float) -> None:
    if not store.end(sid, issuer=issuer, now=now):
        raise click.ClickException("the session of this refresh token has ended or never existed")
    click.echo(f"ended session {sid}")


@token.command()
def inspect() -> None:
    """
    Read a token from standard input and print its header and claims.  NOTHING IS VERIFIED.

    Needs no configuration and no key.
    """
    jws = split(read_token())
    header, claims = decode_object(jws.header, "header"), decode_object(jws.payload, "payload")
    click.echo("Not verified: anyone can forge such a token.", err=True)
    _print_json({"verified": False, "header": header, "claims": claims})


def _uid(text: str) -> int | str:
    # The same numbers as in accounts: at most 63 bits, and 007 is not 7.
    if text.isascii() and text.isdigit() and len(text) < 19 and str(int(text)) == text:
        return int(text)
    return text


def _print_json(value: object) -> None:
    # ASCII, so that a hostile token cannot send control characters to a terminal.
    click.echo(json.dumps(value, indent=2))

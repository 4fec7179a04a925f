"""``jwt-middleware check``: check the whole configuration before a server uses it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, get_type_hints, is_typeddict, runtime_checkable
from urllib.parse import urlsplit

import click
from werkzeug.exceptions import NotFound
from werkzeug.test import Client

from ...accounts.identity import check_keys
from ...config import Settings, load
from ...config.service import METRICS_DIRECTORY
from ...core.claim_path import ClaimCondition
from ...core.keys import KeySet
from ...core.trust import TrustedIssuer
from ...endpoint.app import TokenEndpoint
from ...errors import UnavailableError
from ...sessions.clock import clock_of
from ...wsgi.middleware import JWTMiddleware
from .explain import uncounted
from .findings import findings


@click.command()
@click.option("--strict", is_flag=True, help="Exit with 1 if there is a warning.")
@click.pass_obj
def check(config: Path, *, strict: bool) -> None:
    """
    Build everything in the configuration, fetch keys, and check the session store.

    Prints each issuer and its keys, requests that rules pass unchecked, and rules that tokens
    rarely satisfy; common mistakes are printed to standard error.  The exit code is 1 if the app
    would not start, or if keys or the store are unavailable.
    """
    settings = uncounted(load(config))
    protected = settings.protect(NotFound(), {**os.environ, METRICS_DIRECTORY: ""})
    _check_serving(settings)
    complete = _show_issuers(protected)
    _check_returns(protected)
    _fetch_announced(protected)
    for line in _notable(settings, protected):
        click.echo(line)
    warnings = list(findings(settings, protected))
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    _ask_accounts(settings)
    _ask_store(settings)
    if not complete:
        raise click.ClickException("keys of an issuer are unavailable: its tokens would get 503")
    if strict and warnings:
        raise click.ClickException(f"{len(warnings)} warnings, with --strict")


def _check_serving(settings: Settings) -> None:
    """Check the settings of gunicorn, if it is installed."""
    if settings.serve is not None and settings.serve.gunicorn:
        with suppress(ModuleNotFoundError):
            from ..serve.gunicorn_server import check_settings  # noqa: PLC0415  needs an extra

            check_settings(settings.serve.gunicorn)


def _show_issuers(protected: JWTMiddleware) -> bool:
    """Print each issuer and its keys; return whether all have some."""
    complete = True
    for trusted in dict.fromkeys(protected.verifier.trusted.values()):
        keys = _keys_of(trusted)
        complete &= keys is not None
        kids = "no keys" if keys is None else ", ".join(f"{key.kid} ({key.alg})" for key in keys)
        click.echo(f"{_described(trusted)}: {kids}")
    return complete


def _notable(settings: Settings, protected: JWTMiddleware) -> Iterator[str]:
    """Yield requests that rules pass unchecked, and conditions that tokens rarely satisfy."""
    for rule in settings.rules:
        for condition in rule.build().claim_conditions():
            for doubt in _doubts(condition, protected.verifier.trusted):
                yield f"{rule.place.name}: {doubt}"
    for opened in protected.policy.rules:
        if opened.access == "passthrough":
            yield f"rule {opened.path!r}: passthrough: Authorization is left to the app"
        if opened.preflight and settings.cors is None:
            yield opened.describe_preflight()


def _fetch_announced(protected: JWTMiddleware) -> None:
    """Fetch every URL that the metadata announce, from the app itself."""
    client = Client(protected)
    for path in sorted(_metadata_paths(protected)):
        found = client.get(path)
        if found.status_code != HTTPStatus.OK:
            continue  # OpenID Connect Discovery, if it is off
        for name, url in (found.get_json() or {}).items():
            if not name.endswith(("_uri", "_endpoint")):
                continue
            status = client.get(urlsplit(url).path).status_code
            if status not in {HTTPStatus.OK, HTTPStatus.METHOD_NOT_ALLOWED}:
                raise click.ClickException(
                    f"metadata: {name} announces {url}, which returns {status}"
                )
            click.echo(f"metadata: {name} {url}")


def _metadata_paths(protected: JWTMiddleware) -> Iterable[str]:
    well_known = protected.well_known
    return () if well_known is None else well_known.paths


def _check_returns(protected: JWTMiddleware) -> None:
    """Reject account verifiers whose return annotation has an unknown key."""
    endpoint = protected.endpoint
    if not isinstance(endpoint, TokenEndpoint):
        return
    for client_type, verify in endpoint.verifiers.items():
        try:
            returned = get_type_hints(verify).get("return")
        except (NameError, TypeError):  # no annotation, or one that cannot be resolved
            continue
        if is_typeddict(returned):
            try:
                check_keys(returned.__annotations__)
            except TypeError as error:
                raise click.ClickException(f"verifiers.{client_type}: {error}") from None


def _described(trusted: TrustedIssuer) -> str:
    tenants = f" (tenants: {len(trusted.tenants)})" if trusted.tenants else ""
    header = f", in {trusted.header}" if trusted.header else ""
    return f"{trusted.issuer}{tenants}{header}"


def _doubts(condition: ClaimCondition, issuers: Collection[str]) -> Iterator[str]:
    """Yield why a condition is probably never met; only a token could prove it."""
    name = condition.path[-1]
    values = getattr(condition, "values", ())
    if "." in name and not {"/", ":"}.intersection(name) and len(condition.path) == 1:
        yield (
            f'requires a claim named "{name}", with its dots; for the claim inside an '
            f"object write {name} without quotes"
        )
    if condition.path == ("iss",) and values and not set(values).intersection(issuers):
        yield "requires an iss that no configured issuer has: it matches no token"
    if name in {"scope", "scp"} and len(condition.path) == 1 and values:
        yield f"compares all of {name}, a string in most tokens; use scopes to require one"


def _ask_store(settings: Settings) -> None:
    if settings.sessions is None:
        return
    creates_tables = settings.endpoint is not None
    with closing(settings.sessions.build_store(creates_tables=creates_tables)) as store:
        try:
            store.changes(None, limit=1)
            if settings.endpoint is not None:  # also checks writing
                store.prune(now=clock_of(store)(), limit=1)
        except UnavailableError as error:
            raise click.ClickException(
                f"sessions: {error}: until that is fixed, requests with a token would get 503"
            ) from error
        _show_version("sessions", store)
        click.echo(f"sessions: {store!r} answers")


def _ask_accounts(settings: Settings) -> None:
    """Print that the accounts are available; if they are not, it is only a warning."""
    if settings.accounts is None:
        return
    with closing(settings.build_accounts()) as accounts, suppress(UnavailableError):
        accounts.find(0)
        _show_version("accounts", accounts)
        click.echo(f"accounts: {accounts!r} answers")


@runtime_checkable
class _Versioned(Protocol):
    def schema_version(self) -> int: ...


def _show_version(name: str, store: object) -> None:
    if isinstance(store, _Versioned):
        click.echo(f"{name}: schema version {store.schema_version()}")


def _keys_of(trusted: TrustedIssuer) -> KeySet | None:
    try:
        return trusted.keys.current()
    except UnavailableError as error:
        click.echo(f"{trusted.issuer}: {error}", err=True)
        return None

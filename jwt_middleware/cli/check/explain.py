"""``jwt-middleware explain``: show the decision about a request, and its reasons."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import click

from ...config import Settings, load
from ...config.service import METRICS_DIRECTORY
from ...core.verifier import TokenVerifier, VerifiedToken
from ...errors import AuthError, UnavailableError
from ...wsgi.bearer import AUTHORIZATION, TokenHeaders, environ_key
from ...wsgi.environ import ERROR
from ...wsgi.middleware import JWTMiddleware
from ...wsgi.paths import read_path
from ...wsgi.refusals import look_for_mistake
from ...wsgi.rule import Requirement
from ..terminal import read_token

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# field-name = token                                                         RFC 9110 §5.1
_HEADER: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([^\r\n\0]*)")
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_SECRET: Final = frozenset({AUTHORIZATION, "HTTP_PROXY_AUTHORIZATION", "HTTP_COOKIE"})
_JWT: Final = re.compile(r"ey[A-Za-z0-9_-]{8,}\.")
MAX_SHOWN: Final = 20


@click.command()
@click.argument("method")
@click.argument("path")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header of the request."
)
@click.option("--token", metavar="-", help="'-' reads a token from standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def explain(
    config: Path,
    method: str,
    path: str,
    *,
    headers: tuple[str, ...],
    token: str | None,
    as_json: bool,
) -> None:
    """
    Print the decision about a request for METHOD and PATH, and its reasons.

    PATH is as in the request line, with its escapes and its query.  The decision is made by the
    same code as in the service; the app is not called, and logins are not tried.
    """
    if token not in {None, "-"}:
        raise click.UsageError("--token takes only '-': a token would show in the process list")
    if not _METHOD.fullmatch(method):
        raise click.UsageError("METHOD must be a word, as in GET")
    if _JWT.search(path):
        raise click.UsageError("PATH has a token, which would show in the process list")
    settings = uncounted(load(config))
    protected = settings.protect(_app, {**os.environ, METRICS_DIRECTORY: ""})
    environ = _environ(method, path, _read_headers(headers, protected))
    if token is not None:
        _present(read_token(), environ, protected.verifier)
    explanation = _explain(protected, environ)
    if as_json:
        click.echo(json.dumps(explanation.members(), indent=2))
    else:
        for line in explanation.lines():
            click.echo(line)


def uncounted(settings: Settings) -> Settings:
    """Return *settings* without the metrics folder: a command is not part of the service."""
    if settings.metrics is None:
        return settings
    return settings.replaced(metrics=settings.metrics.replaced(directory=None))


def _read_headers(headers: Iterable[str], protected: JWTMiddleware) -> dict[str, str]:
    secret = _SECRET | {environ_key(one.header) for one in protected.verifier.trusted.values()}
    found: dict[str, str] = {}
    for header in headers:
        match = _HEADER.fullmatch(header)
        if match is None:
            raise click.UsageError("--header: write 'Name: value'")
        key = environ_key(match[1]).replace("HTTP_CONTENT_TYPE", "CONTENT_TYPE")
        if key in secret or _JWT.search(match[2]):
            raise click.UsageError(
                f"--header: {match[1]} has a token, which would show in the process list: "
                "write it to standard input, with --token -"
            )
        found[key] = f"{found[key]},{match[2]}" if key in found else match[2]
    return found


# PEP 3333: keys that every server sets
_OF_A_SERVER: Final[WSGIEnvironment] = {
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def _environ(method: str, path: str, headers: Mapping[str, str]) -> WSGIEnvironment:
    line, _, query = path.partition("?")
    octets = unquote(line, "latin-1") if line.isascii() else os.fsencode(line).decode("latin-1")
    return {
        **_OF_A_SERVER,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": octets,
        "RAW_URI": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(),
        **headers,
    }


def _present(token: str, environ: WSGIEnvironment, verifier: TokenVerifier) -> None:
    """Add the token in its issuer's header, or if it is invalid in a default header."""
    keys = [environ_key(one.header) for one in verifier.trusted.values()]
    key = AUTHORIZATION if AUTHORIZATION in keys else keys[0]
    with suppress(AuthError, UnavailableError):
        key = environ_key(verifier.verify(token).trusted.header)
    environ[key] = f"Bearer {token}" if key == AUTHORIZATION else token


def _app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["explain.called"] = True
    start_response("200 OK", [])
    return []


@dataclass(kw_only=True)
class _Explanation:
    """The steps of one decision, in order."""

    request: str
    answered_by: str = "the middleware"
    targets: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    asks: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] | None = None
    lacks: list[str] = field(default_factory=list)
    reason: str | None = None
    detail: str | None = None
    would_be: str | None = None
    status: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def members(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value not in (None, [], {})}

    def lines(self) -> Iterator[str]:
        yield f"request   {self.request}"
        for target in self.targets:
            yield f"methods   {', '.join(target['methods'])}"
            yield from (f"reading   {text}" for text in target["readings"])
        yield from (f"rule      {_inline(rule)}" for rule in self.rules)
        if self.targets and not self.rules:
            yield "rule      none names it: a token is needed"
        if self.asks:
            yield f"asks      {_inline(self.asks)}"
        if self.token is not None:
            yield f"token     {_inline(self.token)}"
        yield from (f"lacks     {one}" for one in self.lacks)
        if self.reason:
            detail = f": {self.detail}" if self.detail else ""
            yield f"reason    {self.reason}{detail}"
        if self.would_be:
            yield f"report    nothing is refused: the answer would be {self.would_be}"
        yield f"answer    {self.answered_by}" + (f": {self.status}" if self.status else "")
        yield from (f"          {name}: {value}" for name, value in self.headers.items())
        if self.body:
            yield f"          {self.body}"


def _inline(members: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in members.items())


def _shown(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) or not value.isprintable() else value


def _explain(protected: JWTMiddleware, environ: WSGIEnvironment) -> _Explanation:
    path = environ["PATH_INFO"]
    found = _Explanation(request=f"{environ['REQUEST_METHOD']} {_shown(environ['RAW_URI'])}")
    if path in protected.mounted:
        found.answered_by = "the middleware itself, without the app and its rules"
        return found
    requirement = None
    try:
        found.targets = [
            {
                "path": target.path,
                "methods": list(target.methods),
                "readings": list(
                    dict.fromkeys(
                        _shown(text)
                        for one in (target.path, *target.others, *target.also)
                        for text in read_path(one).texts[:MAX_SHOWN]
                    )
                ),
            }
            for target in protected.policy.targets(environ)
        ]
        requirement = protected.policy.requirement(environ)
        _describe_rules(protected, requirement, found)
        if requirement.basic:
            found.asks["basic"] = protected.policy.takes_basic(environ)
        headers = TokenHeaders(one.header for one in protected.verifier.trusted.values())
        if requirement.access != "passthrough" and (presented := headers.find(environ)):
            verified = protected.verifier.verify(presented[1])
            found.token = _describe_token(verified)
            found.lacks = requirement.lacks(verified)
            requirement.check(verified)
    except (AuthError, UnavailableError) as error:
        look_for_mistake(error, environ)
        found.reason, found.detail = error.code, getattr(error, "hint", None) or str(error)
    _answer(protected, environ, found)
    if environ.get("explain.called") and protected.only_reports(requirement):
        found.would_be = environ.get(ERROR)
    return found


def _describe_rules(
    protected: JWTMiddleware, requirement: Requirement, found: _Explanation
) -> None:
    for number in requirement.rules:
        rule = protected.policy.rules[number - 1]
        members: dict[str, Any] = {"number": number, "path": rule.path, "access": rule.access}
        if rule.methods is not None:
            members["methods"] = sorted(rule.methods)
        if rule.basic:
            members["basic"] = True
        if rule.mode != "enforce":
            members["mode"] = rule.mode
        found.rules.append(members)
    found.asks = {"access": requirement.access}
    if requirement.scopes:
        found.asks["scopes"] = list(requirement.scopes)
    if requirement.scopes_any:
        found.asks["scopes_any"] = [list(scopes) for scopes in requirement.scopes_any]
    if requirement.claims:
        found.asks["claims"] = [str(condition) for condition in requirement.claims]


def _describe_token(verified: VerifiedToken) -> dict[str, Any]:
    return {
        "issuer": verified.trusted.issuer,
        "kid": verified.header.kid or "none",
        "alg": verified.header.alg,
        "sub": verified.subject,
        "scopes": sorted(verified.scopes),
        "claims": sorted(verified.read_only_claims),
        **({"header": verified.trusted.header} if verified.trusted.header else {}),
    }


def _answer(protected: JWTMiddleware, environ: WSGIEnvironment, found: _Explanation) -> None:
    """Run the request through the middleware."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    # The type: start_response returns a write function, which this app does not use.
    answer = protected(environ, lambda status, headers, *_: started.append((status, headers)))  # type: ignore[arg-type]
    body = b"".join(answer)
    status, headers = started[0]
    if environ.get("explain.called"):
        found.answered_by = "the app is called"
        if "REMOTE_USER" in environ:
            found.headers = {"REMOTE_USER": environ["REMOTE_USER"]}
        return
    found.status = status
    for name, value in headers:  # show both of two challenges
        found.headers[name] = f"{found.headers[name]}, {value}" if name in found.headers else value
    found.body = body.decode("utf-8", "replace")

"""
What a framework's own routing reaches, the policy protects.

For thousands of spellings of a path: whenever the framework alone would run a restricted view, the
same request through the middleware gets 401 without a token and 403 without the scope.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier

from ..site import AUD, ISS, KEYS, NOW, token_with
from .apps import FRAMEWORKS, django_app, mounted_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

RESTRICTED = {b"ADMIN": "admin", b"CAFE": "cafe", b"REPORT": "report", b"KEYS": "keys"}

SCOPED = (
    Rule("/admin/*", scopes=["admin"]),
    Rule("/café", scopes=["cafe"]),
    Rule("/reports/2026", scopes=["report"]),
    Rule("/users/*/keys", scopes=["keys"]),
)
OPEN = (Rule("/health", access="public"), Rule("/public/*", access="public"))
POLICIES = {
    "public_rest": (*SCOPED, Rule("/*", access="public")),
    "optional_rest": (*SCOPED, Rule("/*", access="optional")),
    "required_rest": (*SCOPED, Rule("/*")),
    "default_deny": (*SCOPED, *OPEN),
    "public_first": (*OPEN, *SCOPED, Rule("/*", access="public")),
}

PREFIXES = (
    "/", "//", "///", "/./", "/.//", "/x/../", "/x//..//", "/public/../", "/public/..//",
    "/public/..;/", "/health/../", "/health/..;x/", "/%2e/", "/%2e%2e/", "/public/%2e%2e/",
    "/public/%252e%252e/", "/public/%2e%2e%2f", "/%2f", "/%252f", "http://x/", "http://x//",
    "HTTP://x/public/../", "\\", "/\\", "/public\\..\\", "/;/", "/;a=b/", "/%00/", "%2f", "",
    "/public/../x/../", "/public/%00/../../", "/\t", "/%0a/", "/public／..／", "／",
)  # fmt: skip
NAMES = (
    "admin", "ADMIN", "aDmin", "%61dmin", "%2561dmin", "%252561dmin", "%61%64%6d%69%6e",
    "admin;x=y", "admin;", "admin%3b", "admin%3bx", "ad%ffmin", "admin%ff", "%ffadmin",
    "admin%c0%af", "ad%00min", "admin%00", "admin%0a", "admin%0d%0a", "admin%20", "admin%09",
    "ａdmin", "adm\u0131n", "admi\u0307n", "admin.", "admin%2e", "./admin", "../admin",
    "%u0061dmin", "ad\u00admin", "admin%80", "admin%c2%85", "admin%e2%80%a8",
)  # fmt: skip
SEPARATORS = (
    "", "/", "//", "/./", "/x/../", "/../admin/", "%2f", "%252f", "\\", "%5c", "／", "∕", ";/",
    ";x=y/", "/%00/", "/.;/", "/..;/admin/", "/%2e/", "/%2e%2e/admin/", "/.%2e/admin/", "?", "%3f",
)  # fmt: skip
TAILS = (
    "", "users", "users/", "..", "../", "../x", "../x/y", "../../x", "../health", "../public/x",
    "../../public/x", "%2e%2e/health", "%2e%2e%2fhealth", "%252e%252e/health", "..;/health",
    "..\\health", "..%5chealth", "users%0a", "%0a", "users;v=1", ".", "users%00", "%00",
    "x/../../y",
    "\u2025/health", "users%ff", "..%ff/health", "%23", "#x",
)  # fmt: skip
OTHERS = (
    "/caf%c3%a9", "/café/", "//café", "/caf%e9", "/cafe%cc%81", "/CAF%C3%89", "/caf%c3%a9%0a",
    "/caf%c3%83%c2%a9", "/caf%c3%a9;x", "/%63af%c3%a9", "/caf%25c3%25a9", "/caf%c3%ff%a9",
    "/caf%ff%c3%a9", "/x/../caf%c3%a9", "/caf%c3%a9/.", "/caf%c3%a9/../health", "/ｃaf%c3%a9",
    "/reports/2026", "/reports/2026/", "/reports//2026", "/reports/./2026", "/reports/2026/.",
    "/reports/x/../2026", "/reports%2f2026", "/reports/2026;x", "/reports/２０２６",
    "/reports/2026%0a",
    "/reports/2026%00", "/reports\\2026", "//reports/2026", "/Reports/2026", "/reports/2026%ff",
    "/public/../reports/2026", "/reports/2026/../../health",
    "/users/7/keys", "//users/7/keys", "/users//keys", "//users//keys", "//users/./keys",
    "//users/;/keys",
    "/users/./keys", "/users/../keys", "//users/../keys", "/users/;/keys", "//users/;x/keys",
    "/users/%2e/keys",
    "//users/%2e%2e/keys", "/users/%00/keys", "//users/%00/keys", "//users/%0a/keys",
    "/users/%0a/keys",
    "/users/7/keys/", "/users/%ff/keys", "//users/%ff/keys", "/users/%252f/keys",
    "//users/%2f/keys",
    "/users/\\/keys", "//users/\\/keys", "/users/../../keys", "/users/x/../keys",
    "//users/%5c/keys",
    "/users/..;/keys", "//users/..;/keys", "users/./keys", "users/;/keys", "///users/%25/keys",
    "/Users/./KEYS",
    "/users/%252e/keys", "//users/%252e%252e/keys", "/users///keys", "/users/%20/keys",
    "//users/.;/keys",
)  # fmt: skip

PIECES = tuple(
    dict.fromkeys([*PREFIXES, *NAMES, *SEPARATORS, *TAILS, *OTHERS, "admin", "/admin/", "public"])
)


@cache
def corpus() -> tuple[str, ...]:
    """Every pair of mutations of ``/admin/users``, and the other views' spellings."""
    parts = (PREFIXES, NAMES, SEPARATORS, TAILS)
    plain = ("/", "admin", "/", "users")
    targets: dict[str, None] = dict.fromkeys(OTHERS)
    for first, second in itertools.combinations(range(4), 2):
        for one, other in itertools.product(parts[first], parts[second]):
            spelled = list(plain)
            spelled[first], spelled[second] = one, other
            targets["".join(spelled)] = None
    return tuple(targets)


def path_infos(target: str) -> Iterator[str]:
    """Yield what servers make of a target: decoded once, and (cheroot) not its slashes."""
    octets = target.encode()
    yield unquote_to_bytes(octets).decode("latin-1")
    kept = octets.replace(b"%2f", b"%252f").replace(b"%2F", b"%252F")
    if kept != octets:
        yield unquote_to_bytes(kept).decode("latin-1")


def call(app: WSGIApplication, path: str, **extra: str) -> tuple[int, bytes]:
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **extra,
    }
    body = app(environ, start_response)
    octets = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return int(statuses[-1][:3]), octets


def reached(app: WSGIApplication, path: str) -> bytes:
    """Return the restricted view that *app* alone would run, or nothing."""
    try:
        _, body = call(app, path)
    except Exception:  # noqa: BLE001  a framework that fails runs no view
        return b""
    return body if body in RESTRICTED else b""


class Comparison:
    """One framework, bare and behind one policy."""

    def __init__(self, app: WSGIApplication, rules: tuple[Rule, ...]) -> None:
        self.app = app
        verifier = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
        self.protected = JWTMiddleware(app, verifier=verifier, policy=Policy(rules))
        self.authorization = f"Bearer {token_with('other')}"

    def bypass(self, path: str) -> str:
        """Return how the policy is bypassed with *path*, or nothing."""
        view = reached(self.app, path)
        if not view:
            return ""
        anonymous, body = call(self.protected, path)
        if anonymous == 400 and body != view:  # it can be read in too many ways
            return ""
        if anonymous != 401 or body == view:
            return f"{path!r} reaches {view!r} without a token: {anonymous}"
        scopeless, body = call(self.protected, path, HTTP_AUTHORIZATION=self.authorization)
        if scopeless != 403 or body == view:
            return f"{path!r} reaches {view!r} without its scope: {scopeless}"
        return ""


@cache
def framework(name: str) -> WSGIApplication:
    return FRAMEWORKS[name]()


@cache
def interesting(name: str) -> tuple[str, ...]:
    """Return the paths of the corpus by which the framework runs a restricted view."""
    app = framework(name)
    paths = dict.fromkeys(path for target in corpus() for path in path_infos(target))
    return tuple(path for path in paths if reached(app, path))


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_no_spelling_reaches_a_restricted_view(name: str, policy: str) -> None:
    compared = Comparison(framework(name), POLICIES[policy])
    paths = interesting(name)
    assert len(paths) > 100, "the oracle says nothing: the corpus or the app is wrong"
    assert [found for path in paths if (found := compared.bypass(path))] == []


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["public_rest", "public_first"])
def test_no_case_variant_reaches_a_case_insensitive_view(policy: str) -> None:
    compared = Comparison(django_app(ignore_case=True), POLICIES[policy])
    paths = [path for target in corpus() for path in path_infos(target)]
    assert sum(1 for path in paths if reached(compared.app, path)) > 200
    assert [found for path in paths if (found := compared.bypass(path))] == []


@pytest.mark.slow
def test_no_spelling_reaches_a_restricted_view_of_a_mounted_app() -> None:
    rules = (
        Rule("/api/admin/*", scopes=["admin"]),
        Rule("/api/café", scopes=["cafe"]),
        Rule("/api/reports/2026", scopes=["report"]),
        Rule("/api/users/*/keys", scopes=["keys"]),
        Rule("/*", access="public"),
    )
    compared = Comparison(mounted_app(), rules)
    paths = ["/api" + path for target in corpus() for path in path_infos(target)]
    assert sum(1 for path in paths if reached(compared.app, path)) > 100
    assert [found for path in paths if (found := compared.bypass(path))] == []


@pytest.mark.parametrize("script_name", ["/mnt", "/admin", "/mnt/"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_server_side_mount_changes_nothing(name: str, script_name: str) -> None:
    compared = Comparison(framework(name), POLICIES["public_rest"])
    for path in ("/admin/users", "//admin/users", "/admin"):
        status, _ = call(compared.protected, path, SCRIPT_NAME=script_name)
        assert status == 401
    status, body = call(compared.protected, "/public/x", SCRIPT_NAME=script_name)
    assert (status, body) == (200, b"OPEN")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_right_token_reaches_the_view(name: str) -> None:
    compared = Comparison(framework(name), POLICIES["default_deny"])
    for path, scope, view in (
        ("/admin/users", "admin", b"ADMIN"),
        ("/caf\u00c3\u00a9", "cafe", b"CAFE"),
        ("/reports/2026", "report", b"REPORT"),
        ("/users/7/keys", "keys", b"KEYS"),
    ):
        authorization = f"Bearer {token_with(scope)}"
        assert call(compared.protected, path, HTTP_AUTHORIZATION=authorization) == (200, view)


@pytest.mark.parametrize("policy", ["public_rest", "required_rest"])
@pytest.mark.parametrize("name", FRAMEWORKS)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=6))
def test_no_composed_path_reaches_a_restricted_view(
    name: str, policy: str, pieces: list[str]
) -> None:
    compared = _comparison(name, policy)
    for path in path_infos("".join(pieces)):
        assert compared.bypass(path) == ""


@cache
def _comparison(name: str, policy: str) -> Comparison:
    return Comparison(framework(name), POLICIES[policy])


def test_the_oracle_itself() -> None:
    app = framework("flask")
    assert reached(app, "/admin/users") == b"ADMIN"
    assert reached(app, quote("/public/x")) == b""
    unprotected = Comparison(app, (Rule("/*", access="public"),))
    assert "without a token" in unprotected.bypass("/admin/users")

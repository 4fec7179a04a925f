"""Rules are decided on the whole path and on every method that may be run."""

from __future__ import annotations

import re
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware import Policy, Rule
from jwt_middleware.wsgi.paths import fold, read_path

from ..site import Refusals, Site, good_token
from ..table import table

SCOPED = Rule("/admin/*", scopes=["admin"])
PUBLIC_REST = Policy([SCOPED, Rule("/*", access="public")])

SPELLINGS = (
    "/admin", "/admin/", "//admin", "/admin//", "/./admin", "/x/../admin", "/../admin",
    "/%2e%2e/admin", "/x/%2e%2e/admin", "/x/%252e%252e/admin", "/admin%2fx", "/admin%2Fx",
    "/%61dmin",
    "/admin;x", "/admin;/x", "/x/..;/admin", "/\\admin", "\\admin", "/x\\..\\admin", "admin",
    "admin/x",
    "/admin\0", "/\0/../admin", "/ad\0min", "/admin\0/../x", "/admin\n", "/admin\r\n", "/ad\tmin",
    "/ADMIN", "/Admin/x", "/admin/x\n", "//admin/../x",
    "/ａdmin", "/admin／x", "／admin", "/adm\u0131n", "/ADM\u0130N", "/admin\u2044x"[:6] + "/",
    "http://h/admin", "http://h//admin", "HTTP://h/x/../admin", "///admin///x", "/admin/../admin/x",
)  # fmt: skip


def wire(text: str) -> str:
    """Return text as PATH_INFO has it."""
    return text.encode().decode("latin-1")


def environ_of(path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path, **headers}


def answer(site: Site, path: str) -> str:
    """Return the status line for a GET of *path*, whatever it holds."""
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    site.middleware(environ_of(path), start_response)
    return statuses[0]


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_is_less_protected(path: str, refusals: Refusals) -> None:
    site = Site(policy=PUBLIC_REST, lint=path.startswith("/"))
    environ = {"PATH_INFO": wire(path)}
    refusals.m401(site.web.get("/", extra_environ=environ, status=401))
    authorization = f"Bearer {good_token(scope='read')}"
    site.web.get("/", extra_environ={**environ, "HTTP_AUTHORIZATION": authorization}, status=403)
    assert site.calls == []


@table("path", [*SPELLINGS, "", "*", "/", "/health/", "/HEALTH", "/health/x"])
def test_default_deny(path: str) -> None:
    policy = Policy([Rule("/health", access="public"), SCOPED])
    site = Site(policy=policy, lint=path.startswith("/"))
    assert site.web.get("/", extra_environ={"PATH_INFO": wire(path)}, status=401)
    assert site.calls == []


@table(
    "path",
    ["/health/..;/x", "/health\0", "/health\n", "/health;x", "//health", "/health/", "/health/.",
     "/x/../health", "/%68ealth", "/health%00", "/Health", "health", "/health\\", "/ｈealth",
     "/health/..", "/health%2f", "/health%", "/health?x", "/health\x80", "\n/health"],
)  # fmt: skip
def test_a_relaxing_rule_is_for_its_own_spelling_only(path: str) -> None:
    policy = Policy([Rule("/health", access="public")])
    assert policy.requirement(environ_of(wire(path))).access == "required"
    assert policy.requirement(environ_of("/health")).access == "public"


@pytest.mark.parametrize("script_name", ["", "/mnt", "/admin"])
def test_missing_or_empty_path_is_not_public(script_name: str) -> None:
    policy = Policy([Rule("/", access="public"), Rule("/x", access="public")])
    for environ in (
        {"REQUEST_METHOD": "GET", "SCRIPT_NAME": script_name},
        environ_of("", SCRIPT_NAME=script_name),
    ):
        assert policy.requirement(environ).access == "required"


@table(
    "path",
    ["http://x//api", "http://x/api", "https://x:80//api/", "HTTP://x//api", "ftp://x/api",
     "http:///api", "http://user@x/api", "http://x//api/../api", "http://x/%61pi", "http://x\\api"],
)  # fmt: skip
def test_absolute_form(path: str) -> None:
    policy = Policy([Rule("/api/*", scopes=["api"]), Rule("/*", access="public")])
    requirement = policy.requirement(environ_of(path))
    assert requirement.access == "required"
    assert "api" in requirement.scopes or "\\" in path


@table(
    "path",
    [
        pytest.param("/caf\xc3\xa9", id="utf-8"),
        pytest.param("/caf\xe9", id="latin-1"),
        pytest.param("/cafe\xcc\x81", id="decomposed"),
        pytest.param("/caf\xc3\xa9\xff", id="invalid-at-the-end"),
        pytest.param("/caf\xff\xc3\xa9", id="invalid-inside"),
        pytest.param("/CAF\xc3\x89", id="upper"),
        pytest.param("/caf%C3%A9", id="encoded"),
        pytest.param("/caf%25C3%25A9", id="encoded-twice"),
        pytest.param("/caf\xc3\xa9/", id="slash"),
        pytest.param("//caf\xc3\xa9/..//caf\xc3\xa9", id="dots"),
        pytest.param("/caf\u00e9"[:4] + "\xc3\xa9", id="again"),
        pytest.param("/caf\u4e2d", id="decoded-by-the-server-other"),
        pytest.param("/\xf0\x9f", id="cut-off"),
        pytest.param("/caf\xc0\xaf", id="overlong"),
    ],
)
def test_no_bypass_and_no_error(path: str) -> None:
    policy = Policy([Rule("/café", scopes=["cafe"]), Rule("/health", access="public")])
    site = Site(policy=policy, lint=False)
    assert answer(site, path)[:3] == "401"
    assert site.calls == []
    public_rest = Policy([Rule("/café", scopes=["cafe"]), Rule("/*", access="public")])
    requirement = public_rest.requirement(environ_of(path))
    other = path in {"/caf\u4e2d", "/\xf0\x9f", "/caf\xc0\xaf"}
    assert requirement.access == "required"
    assert other or requirement.scopes == ("cafe",)


# Methods

OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
BY_METHOD = Policy(
    [
        Rule("/items/*", methods=["GET"], access="public"),
        Rule("/items/*", methods=["DELETE"], scopes=["admin"]),
        Rule("/items/*", methods=["POST", "PUT"], scopes=["write"]),
    ]
)


@table("method", ["FOO", "get", "Get", "GET ", "PURGE", "TRACE", "OPTIONS", ""])
def test_unknown_method_is_protected(method: str) -> None:
    requirement = BY_METHOD.requirement(environ_of("/items/1", method))
    assert requirement.access == "required"


@pytest.mark.parametrize("wanted", ["DELETE", "delete", " DELETE ", "Delete"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "FOO"])
@pytest.mark.parametrize("header", OVERRIDES)
def test_method_override(header: str, method: str, wanted: str, refusals: Refusals) -> None:
    site = Site(policy=BY_METHOD, lint=method != "FOO")
    headers = {header: wanted}
    refusals.m401(site.web.request("/items/1", method=method, headers=headers, status=401))
    headers["Authorization"] = f"Bearer {good_token(scope='write')}"
    site.web.request("/items/1", method=method, headers=headers, status=403)
    assert site.calls == []
    headers["Authorization"] = f"Bearer {good_token(scope='write admin')}"
    site.web.request("/items/1", method=method, headers=headers, status=200)


def test_several_overrides_must_all_be_satisfied() -> None:
    environ = environ_of("/items/1", "GET", HTTP_X_HTTP_METHOD_OVERRIDE="GET")
    assert BY_METHOD.requirement(environ).access == "public"
    environ["HTTP_X_HTTP_METHOD"] = "POST"
    environ["HTTP_X_METHOD_OVERRIDE"] = "DELETE"
    assert BY_METHOD.requirement(environ).scopes == ("admin", "write")


PREFLIGHT = {"HTTP_ORIGIN": "https://x", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "DELETE"}


def test_a_preflight_is_let_through_only_where_the_rule_allows_it() -> None:
    policy = Policy([Rule("/items/*", scopes=["admin"], preflight=True), SCOPED])
    assert policy.requirement(environ_of("/items/1", "OPTIONS", **PREFLIGHT)).access == "public"
    for path in ("/admin/x", "//items/1/../../admin", "/other"):
        assert policy.requirement(environ_of(path, "OPTIONS", **PREFLIGHT)).access == "required"
    for name in PREFLIGHT:
        lacking = {key: value for key, value in PREFLIGHT.items() if key != name}
        assert policy.requirement(environ_of("/items/1", "OPTIONS", **lacking)).access == "required"
        emptied = {**PREFLIGHT, name: ""}
        assert policy.requirement(environ_of("/items/1", "OPTIONS", **emptied)).access == "required"
    for method in ("GET", "DELETE", "options", "POST"):
        requirement = policy.requirement(environ_of("/items/1", method, **PREFLIGHT))
        assert requirement.access == "required"


@pytest.mark.parametrize("header", OVERRIDES)
def test_an_overridden_preflight_is_the_request_that_it_becomes(header: str) -> None:
    # Flask's documented override middleware does not ask what method it replaces.
    policy = Policy([Rule("/items/*", scopes=["admin"], preflight=True)])
    key = "HTTP_" + header.upper().replace("-", "_")
    requirement = policy.requirement(
        environ_of("/items/1", "OPTIONS", **PREFLIGHT, **{key: "DELETE"})
    )
    assert requirement.scopes == ("admin",)
    assert requirement.access == "required"


# What a path costs


def test_paths_are_not_kept_in_memory_without_bound() -> None:
    policy = Policy([SCOPED, Rule("/x", methods=["GET"], access="public")])
    policy.requirement(environ_of("/x"))
    tracemalloc.start()
    for number in range(1100):
        path = f"/{number}/" + "p" * 4_000
        policy.requirement(environ_of(path, HTTP_X_HTTP_METHOD=f"{number}" + "m" * 4_000))
        policy.requirement(environ_of("/x", f"{number}" + "m" * 4_000))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 5_000_000


@table(
    "unit",
    ["\u0301\u0323", "%CC%81%CC%A3", "/\u0301\u0323", "\ufdfa", "/x/..", "%25252561", ";/", "\\",
     "\xff"],
)  # fmt: skip
def test_no_path_takes_long(unit: str) -> None:
    # Unicode normalisation is quadratic in a run of combining characters: seconds for what
    # waitress takes as one request line.  The bound is wide; the work is some milliseconds.
    rules = [*(Rule(f"/r{n}/*", scopes=["a"]) for n in range(5)), Rule("/*", access="public")]
    site = Site(policy=Policy(rules), lint=False)
    path = wire("/" + unit * (200_000 // len(unit)))
    began = time.process_time()
    assert answer(site, path)[:3] == "400"
    assert time.process_time() - began < 1
    # Up to the bound, too.
    for size in (4_000, 2_000, 500):
        path = wire("/" + unit * size)[:8_192]
        began = time.process_time()
        answer(site, path)
        assert time.process_time() - began < 1


@pytest.mark.parametrize("unit", ["\u0301\u0323", "\ufdfa", "\u1e69"])
def test_a_long_path_beyond_ascii_is_neither_normalised_nor_relaxed(unit: str) -> None:
    text = "/" + unit * 100_000
    began = time.process_time()
    fold(text)
    assert time.process_time() - began < 1  # of some milliseconds; normalising takes many seconds
    policy = Policy([SCOPED, Rule("/*", access="public")])
    long, short = wire("/" + "é" * 600), wire("/" + "é" * 500)
    assert policy.requirement(environ_of(long)).access == "required"
    assert policy.requirement(environ_of(short)).access == "public"
    assert policy.requirement(environ_of("/" + "e" * 6000)).access == "public"


@given(
    st.text(st.characters(max_codepoint=255)) | st.text("/.%25eEfF;\\a\0\xc3\xa9\xff", max_size=40)
)
def test_any_path_has_readings_and_a_relaxed_one_has_exactly_one(path: str) -> None:
    readings = read_path(path)
    assert readings.texts
    if readings.canonical:
        assert len(readings.texts) == 1
        assert readings.texts[0].startswith("/")
        assert "//" not in path
        assert not set(path) & set("\\;\0\n")
    assert Policy([Rule("/a", access="public")]).requirement(environ_of(path)).access == (
        "public" if path == "/a" else "required"
    )


@pytest.mark.slow
def test_folding_makes_equal_what_case_insensitive_apps_take_for_equal() -> None:
    for char in map(chr, range(0x110000)):
        variants = {char.lower(), char.upper(), char.title(), char.casefold(), char.swapcase()}
        for variant in variants - {char}:
            assert fold(variant) == fold(char), (char, variant)
    ascii_letter = re.compile("[a-z]", re.IGNORECASE)
    others = [char for code in range(128, 0x110000) if ascii_letter.fullmatch(char := chr(code))]
    assert len(others) > 2
    assert [char for char in others if not ascii_letter.fullmatch(fold(char))] == []
    assert [char for char in others if not re.fullmatch(fold(char), char, re.IGNORECASE)] == []

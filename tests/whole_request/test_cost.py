"""What a request costs before its token is known: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from jwt_middleware import Policy, Rule
from jwt_middleware.errors import InvalidRequestError

from ..table import table

RULES = 1000
MAX_CALLS = 6000  # of Python and C functions: at a tenth of a microsecond, well below 2 ms

SHAPES: dict[str, Callable[[int], Rule]] = {
    "literal": lambda n: Rule(f"/r{n}/*", scopes=[f"s{n}"]),
    "one-literal-behind-a-wildcard": lambda n: Rule(f"/*/r{n}", scopes=[f"s{n}"]),
    "deep": lambda n: Rule(f"/a/b/c/d/e/r{n}", scopes=[f"s{n}"]),
    "prefix": lambda n: Rule(f"/r{n}*", scopes=[f"s{n}"]),
    "methods": lambda n: Rule(f"/r{n}/*", methods=["DELETE", "PUT"], scopes=[f"s{n}"]),
}
UNITS = (
    "/a",
    "//a",
    "%25",
    "%2561;",
    "/..",
    "é/",
    "\xff",
    "\u0301",
    "\\",
    "ａ／",
    "?#",
    "/@@",
    "\0",
)
OVERRIDES = {
    "HTTP_X_HTTP_METHOD_OVERRIDE": "MOVE",
    "HTTP_X_HTTP_METHOD": "DELETE",
    "HTTP_X_METHOD_OVERRIDE": "PROPFIND",
}


@pytest.fixture(scope="module", params=SHAPES)
def policy(request: pytest.FixtureRequest) -> Policy:
    rules = [SHAPES[request.param](number) for number in range(RULES)]
    return Policy([*rules, Rule("/*", access="public")])


def calls_for(policy: Policy, environ: dict[str, Any]) -> int:
    """Return how many functions are called to decide on one request that is not remembered."""
    count = 0

    def trace(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        policy.requirement(environ)
    except InvalidRequestError:
        pass
    finally:
        sys.setprofile(before)
    return count


@table("unit", UNITS, ids=ascii)
def test_no_request_costs_much_however_many_rules(policy: Policy, unit: str) -> None:
    for length in (265, 1000, 8000):
        path = ("/" + unit.encode().decode("latin-1") * length)[:length]
        plain = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        for environ in (
            plain,
            {**plain, **OVERRIDES},
            {**plain, **OVERRIDES, "HTTP_DESTINATION": path},
            {**plain, "HTTP_X_SCRIPT_NAME": path[:200], "HTTP_X_VHM_ROOT": "/x"},
            {**plain, "PATH_INFO": "/x", "HTTP_X_SCRIPT_NAME": path, "HTTP_X_ORIGINAL_URL": "/y"},
            {**plain, "QUERY_STRING": ("_method=x&" + unit) * (length // 10)},
        ):
            assert calls_for(policy, environ) <= MAX_CALLS


def test_most_rules_are_not_looked_at() -> None:
    costs = []
    for rules in (10, 1000):
        policy = Policy([Rule(f"/r{number}/*", scopes=["s"]) for number in range(rules)])
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/r7/x/../y"}
        costs.append(calls_for(policy, environ))
    assert costs[0] == costs[1]

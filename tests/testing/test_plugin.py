from __future__ import annotations

import subprocess
import sys

import pytest

import jwt_middleware.testing
from jwt_middleware import JWTMiddleware
from jwt_middleware.testing import BadToken, FrozenClock, TestApp


def test_loads_nothing_until_a_fixture_is_used() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules);"
        "import jwt_middleware.testing.plugin;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) == {"jwt_middleware"}


def test_loads_where_warnings_are_errors() -> None:
    code = "import jwt_middleware.testing as t; [getattr(t, name) for name in t.__all__]"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_time_stands_still_for_the_app(jwt_app: TestApp, jwt_clock: FrozenClock) -> None:
    ann = jwt_app.as_account(42)
    jwt_clock.shift(7199)
    ann.get("/")
    jwt_clock.shift(1)
    ann.get("/", status=401)


def test_each_bad_token_in_turn(jwt_app: TestApp, bad_token: BadToken) -> None:
    bad_token.check(jwt_app.with_token(bad_token, scope="read").get("/reports", expect_errors=True))


def test_the_client_is_that_of_the_app(app: JWTMiddleware, jwt_app: TestApp) -> None:
    assert jwt_app.middleware is app


def test_names_are_there_when_they_are_asked_for() -> None:
    assert set(jwt_middleware.testing.__all__) <= set(dir(jwt_middleware.testing))
    for name in jwt_middleware.testing.__all__:
        assert getattr(jwt_middleware.testing, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Client'"):
        _ = getattr(jwt_middleware.testing, "Client")  # noqa: B009

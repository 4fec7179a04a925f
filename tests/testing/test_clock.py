from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jwt_middleware import JWTMiddleware, wrap
from jwt_middleware.testing import FrozenClock, TestApp, frozen
from jwt_middleware.testing.clock import _parts

from .conftest import flask_app


def test_stands_still_until_it_is_moved() -> None:
    clock = FrozenClock(datetime(2027, 1, 15, 8, tzinfo=UTC))
    assert clock() == clock() == 1_800_000_000
    clock.shift(60)
    clock.shift(timedelta(minutes=-2))
    assert clock.now == 1_800_000_000 - 60
    clock.move_to(5)
    assert clock() == 5
    assert abs(FrozenClock()() - time.time()) < 3600
    with pytest.raises(ValueError, match="time zone"):
        clock.move_to(datetime(2027, 1, 15))  # noqa: DTZ001  that is the mistake


def test_a_token_expires_to_the_second(app: JWTMiddleware) -> None:
    with frozen(app) as clock:
        ann = TestApp(app).as_account(42)
        clock.shift(7199)
        ann.get("/")
        clock.shift(1)
        assert "expired" in ann.get("/", status=401).headers["WWW-Authenticate"]


def test_time_goes_on_afterwards(app: JWTMiddleware) -> None:
    before = [part._clock for part in _parts(app) if hasattr(part, "_clock")]
    assert len(before) >= 6, "verifier, issuer, sessions, revocations, pruning, throttle"
    with frozen(app, FrozenClock(0)), frozen(app, FrozenClock(1)):
        assert {part._clock() for part in _parts(app) if hasattr(part, "_clock")} == {1}
    assert [part._clock for part in _parts(app) if hasattr(part, "_clock")] == before


@pytest.mark.parametrize("store", ["memory://", "sqlite:///sessions.db", "redis_url"])
def test_an_app_of_a_file_has_one_clock(
    folder_with_endpoint: Path, store: str, request: pytest.FixtureRequest
) -> None:
    file = folder_with_endpoint / "jwt.toml"
    store = request.getfixturevalue(store) if store == "redis_url" else store
    file.write_text(file.read_text() + f'[sessions]\nurl = "{store}"\nmax_delay_seconds = 0\n')
    client = TestApp(wrap(file, flask_app()))
    with frozen(client) as clock:
        ann, bob = client.as_account(42), client.as_account(43)
        bob.post("/token/logout", status=204)
        bob.get("/", status=401)
        clock.shift(7199)
        ann.get("/")
        clock.shift(1)
        ann.get("/", status=401)
        clock.shift(timedelta(days=400))
        client.as_account(42).get("/")

from __future__ import annotations

import math
from typing import Any

import pytest

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.remote.timing import Timing, retry_after


@pytest.mark.parametrize(
    ("max_age", "earliest", "latest"),
    [
        pytest.param(None, 480, 570, id="absent: 10 minutes"),
        pytest.param(3600, 2880, 3420, id="as published"),
        pytest.param(0, 60, 60, id="not under a minute"),
        pytest.param(61, 60, 60, id="not under a minute by being early"),
        pytest.param(10**9, 69_120, 82_080, id="not over a day"),
    ],
)
def test_refreshes_somewhat_before_expiry(
    max_age: float | None, earliest: float, latest: float
) -> None:
    times = {Timing().refresh_after(max_age) for _ in range(100)}
    assert earliest <= min(times) <= max(times) <= latest
    assert earliest == latest or len(times) > 1


def test_refreshes_before_the_keys_are_too_old() -> None:
    assert Timing(max_stale_seconds=100).refresh_after(86_400) == 100


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (2000, 60)]
)
def test_retries_later_and_later(failures: int, seconds: float) -> None:
    times = [retry_after(failures) for _ in range(100)]
    assert seconds <= min(times) <= max(times) <= seconds * 1.25


@pytest.mark.parametrize(
    "parts",
    [
        {"wait_seconds": -1},
        {"wait_seconds": math.inf},
        {"wait_seconds": math.nan},
        {"wait_seconds": True},
        {"cooldown_seconds": "30"},
        {"min_refresh_seconds": 0},
        {"min_refresh_seconds": 61, "max_refresh_seconds": 60},
        {"max_stale_seconds": 59},
    ],
)
def test_refuses_times_that_make_no_sense(parts: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(parts))):
        Timing(**parts)

from __future__ import annotations

from typing import Any

import pytest

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions.session import Lifetimes

from ..table import table


@table(
    ("settings", "named"),
    [
        ({"refresh_lifetime_seconds": 7199}, "refresh_lifetime_seconds"),
        ({"refresh_lifetime_seconds": 7200.5}, "refresh_lifetime_seconds"),
        ({"refresh_lifetime_seconds": True}, "refresh_lifetime_seconds"),
        ({"max_lifetime_seconds": 14 * 86_400 - 1}, "max_lifetime_seconds"),
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"grace_seconds": 300.5}, "grace_seconds"),
        ({"grace_seconds": float("nan")}, "grace_seconds"),
        ({"grace_seconds": "10"}, "grace_seconds"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} must be"):
        Lifetimes(token_lifetime_seconds=7200, **settings)


def test_all_may_be_equal() -> None:
    Lifetimes(
        token_lifetime_seconds=60,
        refresh_lifetime_seconds=60,
        max_lifetime_seconds=60,
        grace_seconds=300,
    )


@table(("left", "seconds"), [(7201, 7200), (7200, 7200), (7199.9, 7199), (1, 1), (0.5, 1)])
def test_a_token_does_not_outlive_its_session(left: float, seconds: int) -> None:
    lifetimes = Lifetimes(token_lifetime_seconds=7200)
    term = lifetimes.term(now=1000, ends_at=1000 + left)
    # 300 s of leeway, which is the most that a verifier allows.
    assert term == (seconds, 1000 + left, 1000 + seconds + 300)

from __future__ import annotations

import math

import pytest

from jwt_middleware.bounds import check_seconds, check_whole
from jwt_middleware.errors import ConfigurationError

from .table import table


@pytest.mark.parametrize("value", [1, 5, 10])
def test_accepts_the_range_with_both_ends(value: int) -> None:
    check_whole("size", value, 1, 10)
    check_seconds("wait_seconds", value, 1, 10)


@table("value", [0, 11, True, 1.0, "1", None, 10**400])
def test_refuses_what_is_no_such_whole_number(value: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_whole("size", value, 1, 10, note="; 1 is enough")
    assert str(refused.value) == "size must be a whole number from 1 to 10; 1 is enough"


@table("value", [-0.1, 10.5, True, "1", None, math.nan, math.inf, 10**400])
def test_refuses_what_is_no_such_number(value: object) -> None:
    with pytest.raises(ConfigurationError, match="number of seconds from 0 to 10"):
        check_seconds("wait_seconds", value, 0, 10)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1])
def test_without_a_maximum_any_finite_number_is_accepted(value: float) -> None:
    check_seconds("wait_seconds", 10**9)
    check_whole("size", 10**9, 0)
    with pytest.raises(ConfigurationError, match="number of seconds, at least 0"):
        check_seconds("wait_seconds", value)

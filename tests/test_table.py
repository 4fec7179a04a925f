from __future__ import annotations

import pytest

from .table import table


@table("number", [1, 2, 3])
@table(("low", "high"), [pytest.param(0, 2, id="narrow"), (0, 9)], ids=["", "wide"])
def check(number: int, low: int, high: int) -> None:
    assert low < number < high


def test_every_row_that_fails_is_reported() -> None:
    with pytest.raises(ExceptionGroup, match="2 of 3 rows") as caught:
        check()
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert notes == [["In the row narrow", "In the row 2"], ["In the row narrow", "In the row 3"]]


def test_what_raises_nothing_is_reported() -> None:
    @table("value", ["1", "x"], ids=repr)
    def refuses(value: str) -> None:
        with pytest.raises(ValueError, match="x"):
            int(value)

    with pytest.raises(pytest.fail.Exception) as caught:
        refuses()
    assert caught.value.__notes__ == ["In the row '1'"]


@table("row", [1])
def test_fixtures_are_given(row: int, request: pytest.FixtureRequest) -> None:
    assert row == 1
    assert request.node.name == "test_fixtures_are_given"

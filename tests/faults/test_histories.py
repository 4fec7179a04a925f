"""Stores that go back in time, are emptied, or lose their log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .histories import WAYS, remove_log, travel
from .stores import SQLiteStore, running

SHORT = {("sqlite", ".restore"), ("redis", "replica")}


def ways() -> Iterator[object]:
    for store, those in WAYS.items():
        for way in those:
            mark = pytest.mark.slow if (store, way) in SHORT else pytest.mark.full
            yield pytest.param(store, way, False, marks=mark, id=f"{store}-{way}-idle")
            yield pytest.param(store, way, True, marks=pytest.mark.full, id=f"{store}-{way}-busy")


@pytest.mark.parametrize(("name", "way", "busy"), [*ways()])
def test_no_logout_is_ignored_when_the_store_goes_back_in_time(
    name: str,
    way: str,
    busy: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    with running(name) as store:
        past = travel(store, way, tmp_path, busy=busy)
    assert past.ignored == 0, past
    assert past.reported >= 1, past
    assert past.recorded == 4, past


@pytest.mark.full
def test_a_log_that_is_removed_loses_no_answered_revocation(tmp_path: Path) -> None:
    with running("sqlite") as store:
        assert isinstance(store, SQLiteStore)
        lost = remove_log(store, tmp_path)
    assert lost.answered >= 38, lost
    assert lost.gone == 0, lost
    assert lost.reported >= 1, lost

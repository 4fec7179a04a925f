"""Tables of cases in one test each, where a case takes a millisecond."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Test = Callable[..., None]
Ids = Sequence[object] | Callable[[Any], object] | None


def table(
    names: str | Sequence[str], rows: Iterable[Any], *, ids: Ids = None
) -> Callable[[Test], Test]:
    """
    Run one test for all rows, and report every row that fails.

    Takes what ``pytest.mark.parametrize`` takes.  That makes a test of each row, which costs more
    than most rows do.  The fixtures are the same for all rows: those with a state are not for it.
    """
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    cases = [_case(columns, row, given) for row, given in _with_ids([*rows], ids)]

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(*args: Any, **fixtures: Any) -> None:
            failed = []
            for label, case in cases:
                try:
                    test(*args, **fixtures, **case)
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  raised below
                    error.add_note(f"In the row {label}")
                    failed.append(error)
            if len(failed) == 1:
                raise failed[0]
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(cases)} rows", failed)

        signature = inspect.signature(test)
        fixtures = [one for name, one in signature.parameters.items() if name not in columns]
        run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return run

    return decorate


def _with_ids(rows: Sequence[Any], ids: Ids) -> Iterable[tuple[Any, object]]:
    given = map(ids, rows) if callable(ids) else ids or [None] * len(rows)
    return zip(rows, given, strict=True)


def _case(columns: Sequence[str], row: Any, given: object) -> tuple[str, dict[str, Any]]:
    values: Sequence[Any] = [row] if len(columns) == 1 else row
    if hasattr(row, "marks"):  # it is of pytest.param
        assert not row.marks, "a row of a table has no marks"
        values, given = row.values, row.id
    return str(given or row), dict(zip(columns, values, strict=True))

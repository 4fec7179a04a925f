"""What a test counts of the SQL layer: statements, and connections that are lent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest

from jwt_middleware.sql.database import Pool
from jwt_middleware.sql.postgresql import BoundedConnection
from jwt_middleware.sql.sqlite import FileConnection
from jwt_middleware.sql.statement import Statement


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """List the first words of the statements that are run in the block."""
    words: list[str] = []

    def counting(run: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(run)
        def counted(self: object, statement: Statement, *args: Any) -> Any:
            words.append(statement.sqlite.split()[0])
            return run(self, statement, *args)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for kind in (BoundedConnection, FileConnection):
            for name in ("run", "run_many"):
                patch.setattr(kind, name, counting(getattr(kind, name)))
        yield words


@contextmanager
def counted_connections() -> Iterator[Callable[[], int]]:
    """Tell how many connections are lent at a moment in the block."""
    lent = 0
    take, put_back = Pool.take, Pool.put_back

    def counted_take(self: Pool, deadline: float) -> Any:
        nonlocal lent
        lent += 1
        return take(self, deadline)

    def counted_put_back(self: Pool, connection: Any) -> None:
        nonlocal lent
        lent -= 1
        put_back(self, connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "take", counted_take)
        patch.setattr(Pool, "put_back", counted_put_back)
        yield lambda: lent

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError, ResourceClosedError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from jwt_middleware.sql.explaining import explain

MEND = "call somebody"


class SQLiteError(sqlite3.OperationalError):
    def __init__(self, code: int) -> None:
        super().__init__("hunter2")
        self.sqlite_errorcode = code


class PostgreSQLError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("hunter2")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(SQLiteError(5), "another has locked it", id="busy"),
        pytest.param(SQLiteError(5 | 2 << 8), "another has locked it", id="busy-snapshot"),
        pytest.param(SQLiteError(13), "no room on its disk", id="full"),
        pytest.param(SQLiteError(10 | 3 << 8), "it may be full", id="ioerr-write"),
        pytest.param(SQLiteError(8), "may not be written", id="readonly"),
        pytest.param(SQLiteError(1), f"lacks the tables of this version; {MEND}", id="no-table"),
        pytest.param(
            SQLiteError(14), f"cannot be opened; if it is not there, {MEND}", id="cantopen"
        ),
        pytest.param(PostgreSQLError("57014"), "another has locked it", id="statement-timeout"),
        pytest.param(PostgreSQLError("53100"), "no room on its disk", id="disk-full"),
        pytest.param(
            PostgreSQLError("42P01"), f"lacks the tables of this version; {MEND}", id="pg"
        ),
        pytest.param(PostgreSQLError(None), "does not answer", id="no-connection"),
        pytest.param(PostgreSQLError("XX000"), "cannot be asked", id="another"),
    ],
)
def test_says_what_an_operator_can_do(error: Exception, reason: str) -> None:
    text = explain(OperationalError("SELECT 1", {"a": "hunter2"}, error), mend=MEND)
    assert reason in text
    assert "hunter2" not in text


def test_says_that_the_pool_is_exhausted() -> None:
    assert "too many others" in explain(PoolTimeoutError("hunter2"), mend=MEND)


def test_says_why_a_file_was_not_created() -> None:
    error = PermissionError(13, "Permission denied")
    assert explain(error, mend=MEND) == "cannot be created: Permission denied"


def test_says_nothing_it_does_not_know() -> None:
    assert explain(ResourceClosedError("hunter2"), mend=MEND) == "cannot be asked"

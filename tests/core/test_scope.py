from __future__ import annotations

import pytest

from jwt_middleware.core.scope import narrow
from jwt_middleware.errors import InvalidScopeError

from ..table import table


@table(
    ("requested", "had", "got"),
    [
        pytest.param(None, "read write", "read write", id="nothing-asked"),
        pytest.param("", "read write", "read write", id="empty"),
        pytest.param("write", "read write", "write", id="less"),
        pytest.param("write read", "read write", "write read", id="all"),
        pytest.param("read read", "read", "read", id="twice"),
        pytest.param(None, "", "", id="nothing-had"),
    ],
)
def test_a_scope_may_shrink(requested: str | None, had: str, got: str) -> None:
    assert narrow(requested, to=had) == got


@table(
    "requested",
    [
        "admin",
        "read admin",
        "rea",
        "READ",
        "read  write",
        " read",
        "read ",
        "read\twrite",
        'read"',
        "read\\",
        "r\u00e9ad",
        "\ud800",
        " ",
    ],
)
def test_a_scope_may_not_grow_or_be_malformed(requested: str) -> None:
    with pytest.raises(InvalidScopeError):
        narrow(requested, to="read write")


def test_nothing_can_be_had_of_nothing() -> None:
    with pytest.raises(InvalidScopeError):
        narrow("read", to="")

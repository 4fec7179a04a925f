"""One text of SQL for both databases, and the connection that runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

_CHOICE: Final = re.compile(r"\{([^{|}]*)\|([^{|}]*)\}")
_PARAMETER: Final = re.compile(r":([a-z_0-9]+)")


class Statement:
    """
    One SQL statement, written once for SQLite and PostgreSQL.

    Parameters are written ``:name``.  Where the databases differ, both variants stand in braces:
    ``{SQLite's|PostgreSQL's}``.  A statement that is empty for a database does nothing there.
    """

    __slots__ = ("postgresql", "sqlite")

    def __init__(self, text: str) -> None:
        self.sqlite: Final = _CHOICE.sub(r"\1", text)
        self.postgresql: Final = _PARAMETER.sub(r"%(\1)s", _CHOICE.sub(r"\2", text))


class Table(NamedTuple):
    """
    A table of ours.

    Attributes:
        name: In every database.
        statements: What creates it, with its indexes.
        added: Columns that earlier versions have not created, and what adds each to their table.
    """

    name: str
    statements: Sequence[Statement]
    added: Mapping[str, Statement] = MappingProxyType({})


class Rows(Protocol):
    """What a statement has returned or changed."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple, ``None`` if there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left, each a tuple."""
        ...


class Connection(Protocol):
    """A connection that is lent for one operation."""

    def run(self, statement: Statement, parameters: Mapping[str, object] = ..., /) -> Rows:
        """Execute a statement."""
        ...

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, object]], /) -> None:
        """Execute a statement once for each of *rows*."""
        ...

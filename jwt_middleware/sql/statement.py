"""SQL statements for both databases, and the connection protocol."""

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

    Parameters are written ``:name``; dialect variants are written ``{SQLite|PostgreSQL}``.  A
    statement that is empty for a database does nothing there.
    """

    __slots__ = ("postgresql", "sqlite")

    def __init__(self, text: str) -> None:
        self.sqlite: Final = _CHOICE.sub(r"\1", text)
        self.postgresql: Final = _PARAMETER.sub(r"%(\1)s", _CHOICE.sub(r"\2", text))


class Table(NamedTuple):
    """
    A table and its migrations.

    Attributes:
        name: The table's name.
        statements: Create it and its indexes.
        added: Column that an earlier version lacks to the statement that adds it.
    """

    name: str
    statements: Sequence[Statement]
    added: Mapping[str, Statement] = MappingProxyType({})


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple; ``None`` if there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the remaining rows as tuples."""
        ...


class Connection(Protocol):
    """A connection lent for one operation."""

    def run(self, statement: Statement, parameters: Mapping[str, object] = ..., /) -> Rows:
        """Execute a statement."""
        ...

    def run_many(self, statement: Statement, rows: Sequence[Mapping[str, object]], /) -> None:
        """Execute a statement once for each of *rows*."""
        ...

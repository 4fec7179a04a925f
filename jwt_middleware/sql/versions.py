"""Which version its tables are of, kept in the database, and who may use them."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import UnavailableError
from .statement import Connection, Statement, Table

FIRST: Final = 1
"""What tables are of that have no version: those of 0.1, and of the time before versions."""

VERSIONS: Final = Table(
    "jwt_schema",
    [
        Statement("""
            CREATE TABLE jwt_schema (
                part VARCHAR(32) NOT NULL PRIMARY KEY,
                version INTEGER NOT NULL,
                oldest INTEGER NOT NULL,
                package VARCHAR(32) NOT NULL
            )
        """)
    ],
)

# A worker's user that was not granted to read them, as versions before had none, goes on.
_HAS_VERSIONS: Final = Statement("""
    SELECT 1 FROM {sqlite_master WHERE name = 'jwt_schema'|
        pg_class WHERE oid = to_regclass('jwt_schema') AND has_table_privilege(oid, 'SELECT')}
""")
_READ: Final = Statement("SELECT version, oldest, package FROM jwt_schema WHERE part = :part")
# Never back: what a newer version has written stands.
_WRITE: Final = Statement("""
    INSERT INTO jwt_schema AS known (part, version, oldest, package)
    VALUES (:part, :version, :oldest, :package)
    ON CONFLICT (part) DO UPDATE SET
        version = excluded.version, oldest = excluded.oldest, package = excluded.package
    WHERE known.version < excluded.version
""")

UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What Python raises where text is no JSON, or JSON not of the shape that is expected."""


def unreadable(what: str) -> UnavailableError:
    """Return the error of stored values that this version cannot read; it quotes none of them."""
    return UnavailableError(
        f"{what} cannot be read: a newer version of wsgi-jwt-middleware may have written it"
    )


class SchemaVersion(NamedTuple):
    """
    A version of the tables of one part of the package.

    Attributes:
        part: Whose: several may share a database.
        version: Counted from :data:`FIRST`; each adds to the one before.
        oldest: The oldest version whose code may use these tables.
        package: The version of the package that came with *oldest*, for those that may not.
    """

    part: str
    version: int
    oldest: int
    package: str

    def check(self, stored: SchemaVersion) -> None:
        """
        Check that code for this version may use what is *stored*.

        Raises:
            UnavailableError: It is too old for that.
        """
        if stored.oldest > self.version:
            needed = stored.package if stored.package.isprintable() else "?"
            raise UnavailableError(
                f"its {self.part} are of schema version {stored.version}, and this package knows"
                f" {self.version}: upgrade wsgi-jwt-middleware on this host to {needed} or later"
            )


def stored_version(connection: Connection, part: str) -> SchemaVersion:
    """Return the version of the tables of *part*."""
    if connection.run(_HAS_VERSIONS).fetchone() is not None:
        row = connection.run(_READ, {"part": part}).fetchone()
        if row is not None:
            return SchemaVersion(part, *row)
    return SchemaVersion(part, FIRST, FIRST, "")


def record_version(connection: Connection, version: SchemaVersion) -> None:
    """Write the version, unless a later one is there."""
    connection.run(_WRITE, version._asdict())

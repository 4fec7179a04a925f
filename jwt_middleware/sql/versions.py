"""The schema version of tables, stored in the database, and its check."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import UnavailableError
from .statement import Connection, Statement, Table

FIRST: Final = 1
"""The schema version of tables without one, such as those of 0.1."""

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

# A user without SELECT on the versions, which earlier releases did not have, is let through.
_HAS_VERSIONS: Final = Statement("""
    SELECT 1 FROM {sqlite_master WHERE name = 'jwt_schema'|
        pg_class WHERE oid = to_regclass('jwt_schema') AND has_table_privilege(oid, 'SELECT')}
""")
_READ: Final = Statement("SELECT version, oldest, package FROM jwt_schema WHERE part = :part")
# Never lowered: a newer package's version stays.
_WRITE: Final = Statement("""
    INSERT INTO jwt_schema AS known (part, version, oldest, package)
    VALUES (:part, :version, :oldest, :package)
    ON CONFLICT (part) DO UPDATE SET
        version = excluded.version, oldest = excluded.oldest, package = excluded.package
    WHERE known.version < excluded.version
""")

UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What Python raises for invalid JSON, or JSON of an unexpected shape."""


def unreadable(what: str) -> UnavailableError:
    """Return the error for stored values that cannot be read; it does not quote them."""
    return UnavailableError(
        f"{what} cannot be read: a newer version of wsgi-jwt-middleware may have written it"
    )


class SchemaVersion(NamedTuple):
    """
    The schema version of one part of the package.

    Attributes:
        part: ``"accounts"`` or ``"sessions"``: both may share a database.
        version: Counts from :data:`FIRST`; each adds to the previous one.
        oldest: The oldest schema version whose code can use these tables.
        package: The package release of *oldest*, for the upgrade message.
    """

    part: str
    version: int
    oldest: int
    package: str

    def check(self, stored: SchemaVersion) -> None:
        """
        Check that code for this schema version can use the *stored* one.

        Raises:
            UnavailableError: This package is too old for the stored schema version.
        """
        if stored.oldest > self.version:
            needed = stored.package if stored.package.isprintable() else "?"
            raise UnavailableError(
                f"its {self.part} are of schema version {stored.version}, and this package knows"
                f" {self.version}: upgrade wsgi-jwt-middleware on this host to {needed} or later"
            )


def stored_version(connection: Connection, part: str) -> SchemaVersion:
    """Return the stored schema version of *part*."""
    if connection.run(_HAS_VERSIONS).fetchone() is not None:
        row = connection.run(_READ, {"part": part}).fetchone()
        if row is not None:
            return SchemaVersion(part, *row)
    return SchemaVersion(part, FIRST, FIRST, "")


def record_version(connection: Connection, version: SchemaVersion) -> None:
    """Store the schema version, unless a later one is stored."""
    connection.run(_WRITE, version._asdict())

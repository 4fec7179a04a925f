"""Revocations in a table, numbered so that a follower misses none."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from ....errors import EmptiedError, UnavailableError
from ....sql.database import Database
from ....sql.sqlite import Version, primary_code
from ....sql.statement import Connection, Statement
from ...store import POSITIONS, UNTAGGED, Changes, Cursor, Revocation, place
from .tables import escape, fill, name_hash, unescape

_PAGE_SIZE: Final = 10_000  # read in a fraction of an operation's timeout
_ABSENT_SECONDS: Final = 10.0  # how long a moved file may take to come back

# A second faster than the constructor for a million rows.
_revocation: Final = partial(tuple.__new__, Revocation)
_NO_TABLE: Final = "42P01"  # undefined_table

# A standby may lag behind its primary: its answer may be incomplete.
_HEAD: Final = "SELECT identity, latest.number, {0|pg_is_in_recovery()}"
_LATEST: Final = Statement(f"""
    {_HEAD}, now.tag, then_.tag FROM jwt_store AS latest
    LEFT JOIN jwt_positions AS now
        ON now.slot = latest.number & {POSITIONS - 1} AND now.number = latest.number
    LEFT JOIN jwt_positions AS then_ ON then_.slot = :slot AND then_.number = :head
""")
_UNTAGGED_LATEST: Final = Statement(f"{_HEAD}, NULL, NULL FROM jwt_store AS latest")
_HAS_POSITIONS: Final = Statement("""
    SELECT {COUNT(*) FROM sqlite_master WHERE name = 'jwt_positions'
    |CASE WHEN to_regclass('jwt_positions') IS NULL THEN 0 ELSE 1 END}
""")
_LATER: Final = Statement("""
    SELECT kind, name, revoked_at, expires_at, number FROM jwt_revocations
    WHERE number > :since ORDER BY number LIMIT :limit
""")
_TAG: Final = Statement("""
    INSERT INTO jwt_positions (slot, number, tag) VALUES (:slot, :number, :tag)
    ON CONFLICT (slot) DO UPDATE SET number = excluded.number, tag = excluded.tag
""")
_COUNT: Final = Statement("UPDATE jwt_store SET number = number + :more RETURNING number")
_RECORD: Final = Statement("""
    INSERT INTO jwt_revocations AS known
        (number, name_hash, kind, name, revoked_at, expires_at)
    VALUES (:number, :name_hash, :kind, :name, :revoked_at, :expires_at)
    ON CONFLICT (name_hash) DO UPDATE SET
        number = excluded.number,
        revoked_at = {max|greatest}(excluded.revoked_at, known.revoked_at),
        expires_at = {max|greatest}(excluded.expires_at, known.expires_at)
""")


def record(connection: Connection, found: Sequence[Revocation]) -> None:
    """
    Store revocations in the transaction of *connection*.

    Call it after locking sessions: this order prevents deadlocks.
    """
    if not found:
        return
    counted = connection.run(_COUNT, {"more": len(found)}).fetchone()
    if counted is None:  # the tables were emptied
        fill(connection)
        counted = connection.run(_COUNT, {"more": len(found)}).fetchone()
    (latest,) = counted
    tag = {"slot": latest % POSITIONS, "number": latest, "tag": secrets.token_hex(8)}
    connection.run(_TAG, tag)
    rows = [
        {
            "number": number,
            "name_hash": name_hash(one.kind, one.key),
            "kind": one.kind,
            "name": escape(one.key),
            "revoked_at": one.revoked_at,
            "expires_at": one.expires_at,
        }
        for number, one in enumerate(found, latest - len(found) + 1)
    ]
    connection.run_many(_RECORD, rows)


class Follower:
    """
    Reads new revocations, and skips the query if nothing was written.

    Args:
        database: The database with the tables.
        creates_tables: Whether it may create missing tables.
    """

    def __init__(self, database: Database, *, creates_tables: bool) -> None:
        self._database = database
        self._creates_tables = creates_tables
        self._absent_since: float | None = None
        self._written_ns = 0
        # The last cursor that was up to date, and its version.  Set by one assignment.
        self._latest: tuple[Version | None, Cursor] | None = None

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return up to *limit* revocations that were recorded after *since*."""
        try:
            changes = self._changes(since, limit=limit)
        except UnavailableError as error:
            if not self._creates_tables or not self._is_emptied(error):
                raise
            # Processes keep the revocations they have read; a restart would lose them.
            self._database.create()
            changes = self._changes(since, limit=limit)
        self._absent_since = None
        return changes

    def _changes(self, since: Cursor | None, *, limit: int) -> Changes:
        limit = min(limit, _PAGE_SIZE)
        # Before reading the latest number: a commit in between shows up next time.
        version = self._database.version()
        if version is not None and since is not None and self._latest == (version, since):
            return Changes((), since, complete=True)
        if version is not None and version.written_ns != self._written_ns:
            # By SQLite, or because another file was copied over it, which connections do not
            # notice.
            self._database.close()
            version = self._database.version() or version  # a new connection has its own count
            self._written_ns = version.written_ns
        with self._database.reading() as connection:
            latest, tag_then = self._head(connection, since)
            self._latest = version, latest
            if since == latest:
                return Changes((), latest, complete=True)
            number, lost = place(since, latest, tag_then)
            rows = connection.run(_LATER, {"since": number, "limit": limit}).fetchall()
        if rows:
            number = rows[-1][-1]
        complete = len(rows) < limit
        if complete:
            number = max(number, latest.number)
        found = [
            _revocation((kind, unescape(name), revoked_at, expires_at))
            for kind, name, revoked_at, expires_at, _ in rows
        ]
        return Changes(found, latest._replace(number=number), complete, lost)

    def _head(self, connection: Connection, since: Cursor | None) -> tuple[Cursor, str]:
        """Return the latest position, and the tag of the one that *since* names."""
        head = 0 if since is None else since.head
        statement = _LATEST
        # Only issuers create it; one of an earlier version did not.
        if not self._creates_tables and not connection.run(_HAS_POSITIONS).fetchone()[0]:
            statement = _UNTAGGED_LATEST
        row = connection.run(statement, {"slot": head % POSITIONS, "head": head}).fetchone()
        if row is None:
            raise EmptiedError(f"database {self._database} has been emptied")
        identity, number, is_standby, tag, tag_then = row
        if is_standby:
            raise UnavailableError(
                f"database {self._database} is a standby: the url must lead to the primary"
            )
        untagged = f"{UNTAGGED}{self._database.incarnation()}"
        tag = (tag or untagged) if number else ""
        return Cursor(identity, number, number, tag), tag_then or untagged

    def _is_emptied(self, error: UnavailableError) -> bool:
        """Return whether to create missing tables: for a missing file only after a delay."""
        cause = error.__cause__
        if isinstance(error, EmptiedError) or getattr(cause, "sqlstate", None) == _NO_TABLE:
            return True
        code = primary_code(cause)
        if code != sqlite3.SQLITE_CANTOPEN:
            return code == sqlite3.SQLITE_ERROR
        now = time.monotonic()
        self._absent_since = self._absent_since or now
        return now - self._absent_since >= _ABSENT_SECONDS

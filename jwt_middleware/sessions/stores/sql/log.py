"""Revocations in a table, numbered so that a follower misses none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ....errors import UnavailableError
from ....sql.database import Database
from ....sql.sqlite import Version
from ....sql.statement import Connection, Statement
from ...store import Changes, Cursor, Revocation
from .tables import escape, name_hash, unescape

_PAGE_SIZE: Final = 10_000  # what can be read in a fraction of the time that an operation has

# A standby may be behind its primary by any time: it cannot say what is all.
_LATEST: Final = Statement("SELECT identity, number, {0|pg_is_in_recovery()} FROM jwt_store")
_LATER: Final = Statement("""
    SELECT kind, name, revoked_at, expires_at, number FROM jwt_revocations
    WHERE number > :since ORDER BY number LIMIT :limit
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
    Record revocations in the transaction of *connection*.

    It comes after whatever locks sessions: in that order no two transactions wait for each other.
    """
    if not found:
        return
    (latest,) = connection.run(_COUNT, {"more": len(found)}).fetchone()
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
    Reads what is new, and nothing if nothing was written.

    Args:
        database: Where the tables are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # The last cursor that was the store's latest, and when.  One assignment sets both.
        self._latest: tuple[Version | None, Cursor] | None = None

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return up to *limit* revocations that were recorded after *since*."""
        limit = min(limit, _PAGE_SIZE)
        # Before the latest number is read: what is committed in between shows next time.
        version = self._database.version()
        if version is not None and since is not None and self._latest == (version, since):
            return Changes((), since, complete=True)
        # A backup that took the file's place has the identity, and hands the same numbers out again
        # for something else.
        incarnation = self._database.incarnation()
        with self._database.reading() as connection:
            identity, latest_number, is_standby = connection.run(_LATEST).fetchone()
            if is_standby:
                raise UnavailableError(
                    f"database {self._database} is a standby: the url must lead to the primary"
                )
            latest = Cursor(f"{identity}{incarnation}", latest_number)
            self._latest = version, latest
            if since == latest:
                return Changes((), latest, complete=True)
            number = 0
            if since is not None and since.store == latest.store and since.number < latest.number:
                number = since.number
            rows = connection.run(_LATER, {"since": number, "limit": limit}).fetchall()
        if rows:
            number = rows[-1][-1]
        complete = len(rows) < limit
        if complete:
            number = max(number, latest.number)
        found = [
            Revocation._make((kind, unescape(name), revoked_at, expires_at))
            for kind, name, revoked_at, expires_at, _ in rows
        ]
        return Changes(found, Cursor(latest.store, number), complete)

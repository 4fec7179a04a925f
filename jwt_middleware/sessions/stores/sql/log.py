"""Revocations in a table, numbered so that who follows them misses none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ....errors import UnavailableError
from ....sql.database import Database
from ....sql.watch import Version
from ...store import Changes, Cursor, Revocation
from .tables import escape, name_hash, revocations, store, unescape

_PAGE_SIZE: Final = 10_000  # what can be read in a fraction of the time that an operation has

_LATEST: Final = {
    "sqlite": sa.select(store.c.identity, store.c.number, sa.false()),
    # A standby may be behind its primary by any time: it cannot say what is all.
    "postgresql": sa.select(store.c.identity, store.c.number, sa.func.pg_is_in_recovery()),
}
_LATER: Final = (
    sa.select(
        revocations.c.kind,
        revocations.c.name,
        revocations.c.revoked_at,
        revocations.c.expires_at,
        revocations.c.number,
    )
    .where(revocations.c.number > sa.bindparam("since"))
    .order_by(revocations.c.number)
    .limit(sa.bindparam("limit"))
)
_COUNT: Final = (
    sa.update(store).values(number=store.c.number + sa.bindparam("more")).returning(store.c.number)
)


def record(connection: sa.Connection, found: Sequence[Revocation]) -> None:
    """
    Record revocations in the transaction of *connection*.

    It is the last thing in a transaction that has to lock anything: everybody does it in this
    order, so that nobody waits for somebody who waits for them.
    """
    if not found:
        return
    number = connection.execute(_COUNT, {"more": len(found)}).scalar_one() - len(found)
    rows = [
        {
            "number": number + place,
            "name_hash": name_hash(one.kind, one.key),
            "kind": one.kind,
            "name": escape(one.key),
            "revoked_at": one.revoked_at,
            "expires_at": one.expires_at,
        }
        for place, one in enumerate(found, 1)
    ]
    connection.execute(_UPSERTS[connection.dialect.name], rows)


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
        # Before it is asked for the latest number: what is committed in between shows next time.
        version = self._database.version()
        if version is not None and since is not None and self._latest == (version, since):
            return Changes((), since, complete=True)
        # A backup that took the file's place has the identity, and hands the same numbers out again
        # for something else.
        incarnation = self._database.incarnation()
        with self._database.reading() as connection:
            identity, latest_number, is_standby = connection.execute(
                _LATEST[connection.dialect.name]
            ).one()
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
            rows = connection.execute(_LATER, {"since": number, "limit": limit}).all()
        if rows:
            number = rows[-1].number
        complete = len(rows) < limit
        if complete:
            number = max(number, latest.number)
        found = [
            Revocation._make((kind, unescape(name), revoked_at, expires_at))
            for kind, name, revoked_at, expires_at, _ in rows
        ]
        return Changes(found, Cursor(latest.store, number), complete)


def _upsert(insert: Any) -> Any:
    statement = insert(revocations)
    new, known = statement.excluded, revocations.c
    return statement.on_conflict_do_update(
        index_elements=[known.name_hash],
        set_={
            "number": new.number,
            "revoked_at": _later(new.revoked_at, known.revoked_at),
            "expires_at": _later(new.expires_at, known.expires_at),
        },
    )


def _later(one: Any, other: Any) -> Any:
    # SQLite calls it max(), and PostgreSQL greatest().
    return sa.case((one > other, one), else_=other)


_UPSERTS: Final = {
    "sqlite": _upsert(sqlite.insert),
    "postgresql": _upsert(postgresql.insert),
}

"""Login attempts in a table: one row a key, with the times that may still count."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ....sql.database import Database
from .tables import attempts, name_hash

_SELECT: Final = sa.select(attempts).where(
    attempts.c.name_hash.in_(sa.bindparam("keys", expanding=True))
)


class Attempts:
    """
    Counts login attempts in a sliding window.  Nothing of it has to outlast a loss of power.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, quotas: Mapping[str, int], *, window_seconds: float, now: float) -> float:
        """Record an attempt under each key if every key has room, or return the wait."""
        wait, rows = 0.0, []
        keys = {name_hash(name): quota for name, quota in quotas.items()}
        with self._database.writing(durable=False) as connection:
            known = _lock_and_read(connection, keys)
            for key, quota in keys.items():
                before, _ = known.get(key, ((), 0))
                times = [at for at in before if at > now - window_seconds]
                if len(times) >= quota:
                    wait = max(wait, times[-quota] + window_seconds - now)
                times = sorted([*times, now])[-quota:]
                rows.append(_row(key, times, idle_from=times[-1] + window_seconds))
            if rows and not wait:
                connection.execute(_UPSERTS[connection.dialect.name], rows)
        return wait

    def forgive(self, *, forgotten: str, taken_back: str | None, at: float) -> None:
        """Forget all attempts under one key, and one under another."""
        gone = name_hash(forgotten)
        keys = [gone] if taken_back is None else [gone, name_hash(taken_back)]
        rows = []
        with self._database.writing(durable=False) as connection:
            for key, (times, idle_from) in _lock_and_read(connection, keys).items():
                if key == gone:
                    rows.append(_row(key, [], idle_from=at))
                elif at in times:
                    times.remove(at)
                    rows.append(_row(key, times, idle_from=idle_from))
            if rows:
                connection.execute(_UPSERTS[connection.dialect.name], rows)


def _lock_and_read(
    connection: sa.Connection, keys: Collection[bytes]
) -> dict[bytes, tuple[list[float], float]]:
    """Return times and *idle_from* of each key that is known; nobody else changes them then."""
    # On SQLite who writes has locked all.  PostgreSQL cannot lock a row that is not there, but a
    # number: of two that lock several, both do it in the same order.
    if connection.dialect.name == "postgresql":
        numbers = sorted(int.from_bytes(key[:8], "big", signed=True) for key in keys)
        connection.execute(_LOCK, {"numbers": numbers})
    rows = connection.execute(_SELECT, {"keys": [*keys]})
    return {row.name_hash: (json.loads(row.times), row.idle_from) for row in rows}


def _row(key: bytes, times: list[float], *, idle_from: float) -> dict[str, Any]:
    return {"name_hash": key, "times": json.dumps(times), "idle_from": idle_from}


def _upsert(insert: Any) -> Any:
    statement = insert(attempts)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[attempts.c.name_hash],
        set_={"times": new.times, "idle_from": new.idle_from},
    )


_LOCK: Final = sa.select(
    sa.func.pg_advisory_xact_lock(
        sa.func.unnest(sa.bindparam("numbers", type_=postgresql.ARRAY(sa.BigInteger)))
    )
)
_UPSERTS: Final = {
    "sqlite": _upsert(sqlite.insert),
    "postgresql": _upsert(postgresql.insert),
}

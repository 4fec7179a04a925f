"""Login attempts in a table: one row a key, with the times that may still count."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from ....sql.database import Database
from ....sql.statement import Connection, Statement
from .tables import name_hash

# On SQLite a writer has locked everything.  PostgreSQL cannot lock a row that is not there, but a
# number: of two that lock several, both do it in the same order.
_LOCK: Final = Statement("{|SELECT pg_advisory_xact_lock(unnest(CAST(:numbers AS BIGINT[])))}")
_WRITE: Final = Statement("""
    INSERT INTO jwt_attempts (name_hash, times, idle_from) VALUES (:key, :times, :idle_from)
    ON CONFLICT (name_hash) DO UPDATE SET times = excluded.times, idle_from = excluded.idle_from
""")


class Attempts:
    """
    Counts login attempts in a sliding window.  Nothing of it has to outlast a loss of power.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, quotas: Mapping[str, int], *, window_seconds: float, now: float) -> float:
        """Record an attempt under each key if none has reached its quota, or return the wait."""
        if not quotas:
            return 0.0
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
            if not wait:
                connection.run_many(_WRITE, rows)
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
                connection.run_many(_WRITE, rows)


def _lock_and_read(
    connection: Connection, keys: Collection[bytes]
) -> dict[bytes, tuple[list[float], float]]:
    """Return times and *idle_from* of each key that is known; nothing else changes them then."""
    numbers = sorted(int.from_bytes(key[:8], "big", signed=True) for key in keys)
    connection.run(_LOCK, {"numbers": numbers})
    sought = {f"key{number}": key for number, key in enumerate(keys)}
    rows = connection.run(_read(len(keys)), sought).fetchall()
    return {key: (json.loads(times), idle_from) for key, times, idle_from in rows}


@lru_cache(maxsize=8)
def _read(count: int) -> Statement:
    keys = ", ".join(f":key{number}" for number in range(count))
    return Statement(
        f"SELECT name_hash, times, idle_from FROM jwt_attempts WHERE name_hash IN ({keys})"  # noqa: S608  numbered names
    )


def _row(key: bytes, times: list[float], *, idle_from: float) -> dict[str, object]:
    return {"key": key, "times": json.dumps(times), "idle_from": idle_from}

"""Login attempts in a table: a row for each bucket, and one for an account's known leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from ....sql.database import Database
from ....sql.statement import Connection, Statement
from ....sql.versions import UNREADABLE, unreadable
from ...attempts import Attempt, Level, Reservation, limiting, reserve, settle, with_leaf
from .tables import name_hash

# PostgreSQL cannot lock a missing row, so that numbers are locked instead, in one order for all
# transactions.
_LOCK: Final = Statement("{|SELECT pg_advisory_xact_lock(unnest(CAST(:numbers AS BIGINT[])))}")
_WRITE: Final = Statement("""
    INSERT INTO jwt_attempts (name_hash, times, idle_from) VALUES (:key, :times, :idle_from)
    ON CONFLICT (name_hash) DO UPDATE SET times = excluded.times, idle_from = excluded.idle_from
""")
_CLEAR: Final = Statement(
    "DELETE FROM jwt_attempts WHERE name_hash > :account AND name_hash < :after"
)
_WHAT: Final = "the state of login attempts"


class AttemptTable:
    """
    Counts login attempts.  They need not survive a power failure.

    Args:
        database: The database with the table.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        """Count a login attempt, if all its buckets have space."""
        with self._database.writing(durable=False) as connection:
            found = self._lock_and_read(connection, attempt, attempt.drips)
            drips = limiting(attempt, _leaves(found, attempt), now=now)
            levels = _levels(found, drips)
            reservation, filled = reserve(drips, levels, cost=attempt.cost, now=now)
            if filled:
                connection.run_many(_WRITE, _rows(filled))
        return reservation

    def settle(
        self, attempt: Attempt, reservation: Reservation, *, succeeded: bool, now: float
    ) -> None:
        """Record the result of a counted attempt."""
        with self._database.writing(durable=False) as connection:
            found = self._lock_and_read(connection, attempt, reservation.keys)
            levels, leaves = _levels(found, reservation.keys), _leaves(found, attempt)
            rows = _rows(settle(attempt, reservation, levels, succeeded=succeeded, now=now))
            if succeeded and attempt.leaf is not None:
                leaves = with_leaf(attempt, leaves, now=now)
                key, idle_from = _hash(_leaves_key(attempt)), now + attempt.known_seconds
                rows.append({"key": key, "times": json.dumps(leaves), "idle_from": idle_from})
            if rows:
                connection.run_many(_WRITE, rows)

    def clear_attempts(self, account: str) -> None:
        """Empty all buckets of an account."""
        prefix = name_hash(account)
        with self._database.writing(durable=False) as connection:
            connection.run(_CLEAR, {"account": prefix, "after": prefix + b"\xff" * 17})

    def _lock_and_read(
        self, connection: Connection, attempt: Attempt, keys: Iterable[str]
    ) -> Mapping[str, str]:
        """Lock and return the stored leaves and buckets."""
        hashed = {_hash(key): key for key in (_leaves_key(attempt), *keys)}
        if not self._database.is_file:
            connection.run(_LOCK, {"numbers": sorted({*map(_lock_number, hashed)})})
        sought = {f"key{number}": one for number, one in enumerate(hashed)}
        rows = connection.run(_read(len(hashed)), sought).fetchall()
        return {hashed[bytes(one)]: times for one, times in rows}


def _leaves(found: Mapping[str, str], attempt: Attempt) -> dict[str, float]:
    """Return the known leaves of an account; adding 0.0 rejects values that are not numbers."""
    try:
        times = json.loads(found.get(_leaves_key(attempt), "{}"))
        return {leaf: last + 0.0 for leaf, last in times.items()}
    except UNREADABLE:
        raise unreadable(_WHAT) from None


def _levels(found: Mapping[str, str], keys: Iterable[str]) -> dict[str, Level]:
    """Return the stored levels, without values that a newer version may have added."""
    levels = {}
    try:
        for key in keys:
            if key in found:
                empty_at, checked, checked_until, *_ = json.loads(found[key])
                levels[key] = Level(empty_at + 0.0, checked + 0, checked_until + 0.0)
    except UNREADABLE:
        raise unreadable(_WHAT) from None
    return levels


def _leaves_key(attempt: Attempt) -> str:
    return f"leaves:{attempt.account}"


@lru_cache(maxsize=1_000)  # used several times in a login
def _hash(key: str) -> bytes:
    """Return two hashes in one, so that all keys of an account share a prefix."""
    account, _, rest = key.partition(":")
    return name_hash(account) + name_hash(rest)


def _lock_number(hashed: bytes) -> int:
    one, other = (int.from_bytes(part, "big", signed=True) for part in (hashed[:8], hashed[-8:]))
    return one ^ other


def _rows(levels: Mapping[str, Level]) -> list[dict[str, object]]:
    return [
        {"key": _hash(key), "times": json.dumps(level), "idle_from": level.idle_from}
        for key, level in levels.items()
    ]


@lru_cache(maxsize=16)
def _read(count: int) -> Statement:
    keys = ", ".join(f":key{number}" for number in range(count))
    return Statement(
        f"SELECT name_hash, times FROM jwt_attempts WHERE name_hash IN ({keys})"  # noqa: S608  numbered names
    )

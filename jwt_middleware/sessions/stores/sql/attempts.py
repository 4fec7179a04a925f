"""Login attempts in a table: one row a bucket, and one for the leaves an account is known at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from ....sql.database import Database
from ....sql.statement import Connection, Statement
from ....sql.versions import reading
from ...attempts import Attempt, Level, Reservation, is_known, reserve, settle, with_leaf
from .tables import name_hash

# On SQLite a writer has locked everything.  PostgreSQL cannot lock a row that is not there, but a
# number: of two that lock several, both do it in the same order.
_LOCK: Final = Statement("{|SELECT pg_advisory_xact_lock(unnest(CAST(:numbers AS BIGINT[])))}")
_WRITE: Final = Statement("""
    INSERT INTO jwt_attempts (name_hash, times, idle_from) VALUES (:key, :times, :idle_from)
    ON CONFLICT (name_hash) DO UPDATE SET times = excluded.times, idle_from = excluded.idle_from
""")
_CLEAR: Final = Statement(
    "DELETE FROM jwt_attempts WHERE name_hash > :account AND name_hash < :after"
)
_WHAT: Final = "the state of login attempts"


class Attempts:
    """
    Counts login attempts.  Nothing of it has to outlast a loss of power.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        """Count a login attempt, if all its buckets have space."""
        leaves_key = _leaves_key(attempt)
        with self._database.writing(durable=False) as connection:
            found = _lock_and_read(connection, [leaves_key, *attempt.drips])
            leaves = _to_leaves(found.pop(leaves_key, {}))
            drips = attempt.buckets(is_known=is_known(attempt, leaves, now=now))
            levels = {key: _to_level(level) for key, level in found.items()}
            wait, filled = reserve(drips, levels, cost=attempt.cost, now=now)
            _write(connection, {key: (level, level.idle_from) for key, level in filled.items()})
        return Reservation(wait, [*filled], now)

    def settle(
        self, attempt: Attempt, reservation: Reservation, *, succeeded: bool, now: float
    ) -> None:
        """Say how a counted attempt ended."""
        leaves_key, drips = _leaves_key(attempt), attempt.drips
        changed: dict[str, tuple[object, float]] = {}
        with self._database.writing(durable=False) as connection:
            found = _lock_and_read(connection, [leaves_key, *reservation.keys])
            for key in reservation.keys:
                level = settle(
                    _to_level(found.get(key, [])),
                    drips[key],
                    cost=attempt.cost,
                    at=reservation.at,
                    now=now,
                    is_taken_back=succeeded,
                )
                changed[key] = level, level.idle_from
            if succeeded and attempt.leaf is not None:
                leaves = with_leaf(attempt, _to_leaves(found.get(leaves_key, {})), now=now)
                changed[leaves_key] = leaves, now + attempt.known_seconds
            _write(connection, changed)

    def clear(self, account: str) -> None:
        """Empty all buckets of an account."""
        prefix = name_hash(account)
        with self._database.writing(durable=False) as connection:
            connection.run(_CLEAR, {"account": prefix, "after": prefix + b"\xff" * 17})


def _leaves_key(attempt: Attempt) -> str:
    return f"leaves:{attempt.account}"


def _hash(key: str) -> bytes:
    """Return two hashes in one, so that all keys of one account have a prefix."""
    account, _, rest = key.partition(":")
    return name_hash(account) + name_hash(rest)


def _lock_number(hashed: bytes) -> int:
    one, other = (int.from_bytes(part, "big", signed=True) for part in (hashed[:8], hashed[-8:]))
    return one ^ other


def _lock_and_read(connection: Connection, keys: Iterable[str]) -> dict[str, Any]:
    """Return what is stored under each key that is there; nothing else changes it then."""
    hashed = {_hash(key): key for key in keys}
    connection.run(_LOCK, {"numbers": sorted({_lock_number(one) for one in hashed})})
    sought = {f"key{number}": one for number, one in enumerate(hashed)}
    rows = connection.run(_read(len(hashed)), sought).fetchall()
    with reading(_WHAT):
        return {hashed[bytes(one)]: json.loads(times) for one, times in rows}


def _to_level(times: Any) -> Level:
    """Return the level that was stored; a newer version may have added to it."""
    with reading(_WHAT):
        _check_numbers(times := times[:3])
        return Level(*times)


def _to_leaves(times: Any) -> dict[str, float]:
    with reading(_WHAT):
        _check_numbers(times.values())
        return dict(times)


def _check_numbers(values: Iterable[object]) -> None:
    if not all(isinstance(one, int | float) for one in values):
        raise TypeError


def _write(connection: Connection, rows: Mapping[str, tuple[object, float]]) -> None:
    if rows:
        values = [
            {"key": _hash(key), "times": json.dumps(value), "idle_from": idle_from}
            for key, (value, idle_from) in rows.items()
        ]
        connection.run_many(_WRITE, values)


@lru_cache(maxsize=16)
def _read(count: int) -> Statement:
    keys = ", ".join(f":key{number}" for number in range(count))
    return Statement(
        f"SELECT name_hash, times FROM jwt_attempts WHERE name_hash IN ({keys})"  # noqa: S608  numbered names
    )

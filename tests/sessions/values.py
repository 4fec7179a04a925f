"""Sessions and rotations to try a store with, and how to read all that it has revoked."""

from __future__ import annotations

from typing import Any

from jwt_middleware import JWTPayload
from jwt_middleware.sessions.attempts import Attempt, Drip
from jwt_middleware.sessions.session import Session
from jwt_middleware.sessions.store import (
    Cursor,
    Revocation,
    Rotation,
    SessionStore,
    qualified,
)

NOW = 1_700_000_000.25
ISS = "https://auth"
FIRST, SECOND, THIRD, FOURTH = (bytes([number]) * 32 for number in range(1, 5))
SALT = b"s" * 16


def a_session(sid: str = "sid", *, uid: int | str = 42, **others: Any) -> Session:
    values: dict[str, Any] = {
        "issuer": ISS,
        "payload": JWTPayload(uid=uid, auth="blue", scope="read write", ac_type="email"),
        "credential": "1700000000",
        "created_at": NOW,
        "used_at": NOW,
        "expires_at": NOW + 1_000,
        "ends_at": NOW + 10_000,
        "tokens_until": NOW + 100.5,
        "token_hash": FIRST,
    }
    return Session(sid=sid, **values | others)


def a_rotation(presented: bytes = FIRST, successor: bytes = SECOND, **others: Any) -> Rotation:
    values: dict[str, Any] = {
        "sid": "sid",
        "issuer": ISS,
        "salt": SALT,
        "now": NOW,
        "grace_seconds": 10,
        "expires_at": NOW + 2_000,
        "tokens_until": NOW + 200,
    }
    return Rotation(presented=presented, successor=successor, **values | others)


def a_revocation(key: str, **others: Any) -> Revocation:
    values: dict[str, Any] = {
        "kind": "token",
        "revoked_at": int(NOW),
        "expires_at": int(NOW) + 100,
    }
    return Revocation(key=key, **values | others)


def an_attempt(known: Drip | None = None, /, **strangers: Drip) -> Attempt:
    """Return an attempt at the account "acct", with one bucket for each name."""
    return Attempt(
        account="acct",
        leaf="leaf",
        known=("acct:known", known) if known else None,
        strangers=[(f"acct:{name}", drip) for name, drip in strangers.items()],
        known_seconds=1_000,
        max_known=3,
    )


def end_all(store: SessionStore, subject: str, *, now: float = NOW, expires_at: float = NOW) -> int:
    """End all sessions of a subject, remove them, and return how many there were."""
    store.end_all(ISS, subject, now=now, expires_at=expires_at)
    removed = 0
    while cleared := store.clear_ended(ISS, subject, limit=7):
        removed += cleared
    return removed


def key_of(name: str) -> str:
    return qualified(ISS, name)


def read_all(
    store: SessionStore, since: Cursor | None = None, *, limit: int = 100
) -> tuple[list[Revocation], Cursor]:
    """Read pages until there is no more."""
    read: list[Revocation] = []
    while True:
        changes = store.changes(since, limit=limit)
        assert len(changes.revocations) <= limit
        read += changes.revocations
        since = changes.cursor
        if changes.complete:
            return read, since


def revoked_sessions(store: SessionStore) -> list[Revocation]:
    return sorted(one for one in read_all(store)[0] if one.kind == "session")

"""Accounts of the reader's app."""

from __future__ import annotations


def verify(account: str, secret: str, **_fields: object) -> dict[str, object] | None:
    """Return who this is, or ``None``."""
    return {"uid": 42} if (account, secret) == ("ann", "correct horse battery staple") else None


def lookup(uid: int | str) -> dict[str, object] | None:
    """Return the account, or ``None``."""
    return {"uid": uid} if uid == 42 else None

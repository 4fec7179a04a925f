"""The accounts table, and reading its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..core.scope import valid_scopes
from ..sql.database import Schema
from ..sql.statement import Statement, Table
from ..sql.versions import FIRST, UNREADABLE, SchemaVersion, unreadable
from .identity import Identity

_TABLE: Final = Table(
    "accounts",
    [
        # Tokens name an account by its id: the id of a deleted account must not be reused.
        Statement("""
            CREATE TABLE accounts (
                id {INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT|BIGSERIAL PRIMARY KEY},
                client_type VARCHAR(32) NOT NULL,
                name VARCHAR(255) NOT NULL,
                secret_hash TEXT NOT NULL,
                scope TEXT NOT NULL,
                auth TEXT NOT NULL,
                disabled BOOLEAN NOT NULL,
                created_at BIGINT NOT NULL,
                secret_changed_at BIGINT NOT NULL,
                claims TEXT,
                UNIQUE (client_type, name)
            )
        """)
    ],
    added={"claims": Statement("ALTER TABLE accounts ADD COLUMN claims TEXT")},
)
SCHEMA: Final = Schema(
    tables=[_TABLE],
    version=SchemaVersion("accounts", 2, oldest=FIRST, package="0.1.0"),
    fix="call create_schema(), or add an account with `jwt-middleware account add`",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    A stored account, without its secret hash.

    Attributes:
        uid: Its identifier, positive, never reused.
        client_type: Label of its client type: ``"email"``.
        name: Its name in normal form.
        scope: Scopes separated by spaces.
        auth: The kind of authority, the token's ``auth`` claim.
        disabled: Whether its logins are refused.
        created_at: Seconds since the Unix epoch, UTC.
        secret_changed_at: Seconds since the Unix epoch, UTC; a rehash does not change it.
        claims: Custom claims for its tokens.
    """

    uid: int
    client_type: str
    name: str
    scope: str
    auth: str
    disabled: bool
    created_at: int
    secret_changed_at: int
    claims: Mapping[str, Any] = field(default_factory=dict)


_COLUMNS: Final = (
    *("uid", "client_type", "name", "secret_hash", "scope", "auth", "disabled"),
    *("created_at", "secret_changed_at", "claims"),
)


SECRET_HASH: Final = _COLUMNS.index("secret_hash")
"""Index of the secret hash in a row."""


def to_account(row: Sequence[Any]) -> Account:
    """Convert a row of all columns to an account; a table of 0.1 lacks the last column."""
    members = dict(zip(_COLUMNS, row, strict=False))
    del members["secret_hash"]
    members["disabled"] = bool(members["disabled"])  # SQLite has no booleans
    try:
        members["claims"] = json.loads(members.get("claims") or "{}")
        return Account(**members)
    except UNREADABLE:
        raise unreadable("an account") from None


def to_identity(account: Account) -> Identity:
    """Convert a stored account to an identity."""
    credential = str(account.secret_changed_at)
    try:
        scope = valid_scopes(account.scope)  # version 0.1 stored any text
        claims = account.claims
        return Identity(account.uid, scope, account.auth, credential=credential, claims=claims)
    except UNREADABLE:
        raise unreadable("an account") from None

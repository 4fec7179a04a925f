"""The table of accounts, and how an account is read from it."""

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
        # Tokens name an account by its id: one that is deleted by hand must not hand its id on.
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
    An account as an operator may see it: without its secret's hash.

    Attributes:
        uid: Its identifier, positive, never used again.
        client_type: The label of a client type: ``"email"``.
        name: The one spelling of its name.
        scope: Scopes separated by spaces.
        auth: The kind of authority, the token's ``auth`` claim.
        disabled: Whether its logins are refused.
        created_at: Seconds since the Unix epoch, UTC.
        secret_changed_at: Seconds since the Unix epoch, UTC; a rehash is no change.
        claims: Claims of one's own for its tokens.
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
"""Where the hash of the secret is in a row."""


def to_account(row: Sequence[Any]) -> Account:
    """Read an account from a row of all columns; the last is not there in a table of 0.1."""
    members = dict(zip(_COLUMNS, row, strict=False))
    del members["secret_hash"]
    members["disabled"] = bool(members["disabled"])  # SQLite knows no booleans
    try:
        members["claims"] = json.loads(members.get("claims") or "{}")
        return Account(**members)
    except UNREADABLE:
        raise unreadable("an account") from None


def to_identity(account: Account) -> Identity:
    """Return what a login or a lookup says of an account."""
    credential = str(account.secret_changed_at)
    try:
        scope = valid_scopes(account.scope)  # version 0.1 has stored any text
        claims = account.claims
        return Identity(account.uid, scope, account.auth, credential=credential, claims=claims)
    except UNREADABLE:
        raise unreadable("an account") from None

"""The table of accounts, and a row of it as an operator may see it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

metadata = sa.MetaData()
accounts = sa.Table(
    "accounts",
    metadata,
    # A variant, as only an INTEGER PRIMARY KEY of SQLite numbers itself.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("client_type", sa.String(32), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("secret_hash", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("auth", sa.Text, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("secret_changed_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("client_type", "name"),
    # Tokens name an account by its id: one that is deleted by hand must not hand its id on.
    sqlite_autoincrement=True,
)
SHOWN = [column for column in accounts.c if column.name != "secret_hash"]


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
    """

    uid: int
    client_type: str
    name: str
    scope: str
    auth: str
    disabled: bool
    created_at: int
    secret_changed_at: int


def to_account(row: sa.Row[tuple[object, ...]]) -> Account:
    """Make an account of a row with the columns :data:`SHOWN`."""
    return Account(
        uid=row.id,
        client_type=row.client_type,
        name=row.name,
        scope=row.scope,
        auth=row.auth,
        disabled=row.disabled,
        created_at=row.created_at,
        secret_changed_at=row.secret_changed_at,
    )

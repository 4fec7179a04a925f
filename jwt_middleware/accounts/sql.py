"""Accounts in a table: SQLite by default, PostgreSQL by URL.  Needs the extra ``sql``."""

# ruff: noqa: S608  every statement is made of constants

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ..errors import BadCredentialsError, DuplicateRowError, UnavailableError
from ..sql.database import Database, Schema
from ..sql.statement import Statement, Table
from ..sql.urls import DatabaseURL
from .client_type import check_client_type, normalise_account
from .errors import (
    AccountExistsError,
    InvalidAccountError,
    UnknownAccountError,
)
from .hashing import SecretHasher
from .identity import DEFAULT_AUTH, AccountLookup, AccountVerifier, Identity

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 5

_PAGE_SIZE = 500
_MAX_UID: Final = 2**63 - 1

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
                UNIQUE (client_type, name)
            )
        """)
    ],
)
_SCHEMA: Final = Schema(
    tables=[_TABLE],
    fix="call create_schema(), or add an account with `jwt-middleware account add`",
)

_SHOWN: Final = "id, client_type, name, scope, auth, disabled, created_at, secret_changed_at"
_NAMED: Final = "WHERE client_type = :client_type AND name = :name"
_FIND: Final = Statement(f"SELECT {_SHOWN} FROM accounts WHERE id = :uid")
_FIND_NAMED: Final = Statement(f"SELECT {_SHOWN} FROM accounts {_NAMED}")
_FIND_FOR_LOGIN: Final = Statement(f"SELECT secret_hash, {_SHOWN} FROM accounts {_NAMED}")
_LIST: Final = Statement(
    f"SELECT {_SHOWN} FROM accounts WHERE id > :after ORDER BY id LIMIT :limit"
)
_ADD: Final = Statement("""
    INSERT INTO accounts
        (client_type, name, secret_hash, scope, auth, disabled, created_at, secret_changed_at)
    VALUES (:client_type, :name, :secret_hash, :scope, :auth, :disabled, :now, :now)
    RETURNING id
""")
_SET_DISABLED: Final = Statement(f"UPDATE accounts SET disabled = :disabled {_NAMED}")
# The time is never the same again, even within a second or by a clock that was set back: sessions
# are told by it.
_SET_SECRET: Final = Statement(f"""
    UPDATE accounts SET
        secret_hash = :secret_hash,
        secret_changed_at =
            CASE WHEN secret_changed_at >= :now THEN secret_changed_at + 1 ELSE :now END
    {_NAMED}
""")
# Not if set_secret came in between: the old secret would be back.
_REHASH: Final = Statement(
    "UPDATE accounts SET secret_hash = :fresh WHERE id = :uid AND secret_hash = :old"
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
    """

    uid: int
    client_type: str
    name: str
    scope: str
    auth: str
    disabled: bool
    created_at: int
    secret_changed_at: int


class SQLAccounts:
    """
    Accounts in a SQL database.

    Nothing is connected before the first use, and nothing connected survives a fork.  No secret
    is hashed while a connection is held.

    All methods but :meth:`close` raise :class:`UnavailableError` when the database is unavailable.
    Those that take an account's name, except :meth:`verify`, raise :class:`InvalidAccountError` for
    one that no account can have; those that take a client type raise :class:`ConfigurationError`
    for one that is not a lower-case label.

    Args:
        url: ``sqlite:///accounts.db`` (a file), ``postgresql://user:password@host/database``.
        hasher: Hashes and verifies secrets; by default one with OWASP's parameters.
        clock: Seconds since the Unix epoch, UTC.

    Raises:
        ConfigurationError: The URL cannot be used, or its driver is not installed.
    """

    def __init__(
        self,
        url: str | DatabaseURL,
        *,
        hasher: SecretHasher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = Database(url, schema=_SCHEMA, timeout_seconds=TIMEOUT_SECONDS)
        self._hasher = SecretHasher() if hasher is None else hasher
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def create_schema(self) -> None:
        """
        Create the table if it is missing; safe while other processes do the same.

        A new SQLite file gets the mode 0600 and write-ahead logging.
        """
        self._database.create()

    def close(self) -> None:
        """Close this process's idle connections.  The next use connects again."""
        self._database.close()

    def add(
        self,
        client_type: str,
        account: str,
        secret: str,
        *,
        scope: str = "",
        auth: str = DEFAULT_AUTH,
    ) -> Identity:
        """
        Add an account, enabled.

        Args:
            client_type: The label of a client type; one of the application's own will do.
            account: Its name, in any spelling.
            secret: 1 to 1,024 characters.
            scope: Scopes separated by spaces.
            auth: The token's ``auth`` claim.

        Raises:
            AccountExistsError: This client type has an account of that name.
            InvalidAccountError: Name, scope or auth is none an account can have.
            InvalidSecretError: No account can have this secret.
        """
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        if not (scope.isprintable() and auth.isprintable()):
            raise InvalidAccountError("scope and auth are printable text")
        now = int(self._clock())
        row = {
            "client_type": client_type,
            "name": name,
            "secret_hash": self._hasher.hash(secret),
            "scope": scope,
            "auth": auth,
            "disabled": False,
            "now": now,
        }
        try:
            with self._database.writing() as connection:
                (uid,) = connection.run(_ADD, row).fetchone()
        except DuplicateRowError as error:
            raise AccountExistsError(
                f"an account {name!r} of the type {client_type} exists already"
            ) from error
        return Identity(uid=uid, scope=scope, auth=auth, credential=str(now))

    def find(self, uid: int) -> Account | None:
        """Return the account with this uid, ``None`` if there is none."""
        with self._database.reading() as connection:
            row = connection.run(_FIND, {"uid": uid}).fetchone()
        return None if row is None else _to_account(row)

    def find_named(self, client_type: str, account: str) -> Account:
        """
        Return the account of this name.

        Raises:
            UnknownAccountError: There is none.
        """
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        with self._database.reading() as connection:
            row = connection.run(_FIND_NAMED, {"client_type": client_type, "name": name}).fetchone()
        if row is None:
            raise _unknown(client_type, name)
        return _to_account(row)

    def list(self) -> Iterator[Account]:
        """Yield all accounts by uid; between pages of 500 no transaction is open."""
        last = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.run(_LIST, {"after": last, "limit": _PAGE_SIZE}).fetchall()
            if not rows:
                return
            for account in map(_to_account, rows):
                yield account
                last = account.uid

    def disable(self, client_type: str, account: str) -> None:
        """
        Refuse the account's logins, and that its sessions are refreshed, from now on.

        Access tokens it already has are not touched: to end them as well, end its sessions.

        Raises:
            UnknownAccountError: There is no such account.
        """
        self._update(_SET_DISABLED, client_type, account, {"disabled": True})

    def enable(self, client_type: str, account: str) -> None:
        """
        Undo :meth:`disable`.

        Raises:
            UnknownAccountError: There is no such account.
        """
        self._update(_SET_DISABLED, client_type, account, {"disabled": False})

    def set_secret(self, client_type: str, account: str, secret: str) -> None:
        """
        Give the account another secret.  Sessions that began with the old one end when refreshed.

        Access tokens it already has are not touched: to end them as well, end its sessions.

        Raises:
            UnknownAccountError: There is no such account.
            InvalidSecretError: No account can have this secret.
        """
        values = {"secret_hash": self._hasher.hash(secret), "now": int(self._clock())}
        self._update(_SET_SECRET, client_type, account, values)

    def verify(self, client_type: str, account: str, secret: str) -> Identity:
        """
        Return the identity of the account, if that is its secret.

        An unknown account, a disabled one, a name that none can have and a wrong secret cost one
        query and one Argon2 verification each, and raise the same error with the same text.  The
        verification costs what the stored hash's parameters say: after they were changed, it
        differs for accounts that have not logged in since.

        Such an account is rehashed when it logs in.  If that fails the login does not.

        Raises:
            BadCredentialsError: It is not, or there is no such account, or it is disabled.
        """
        check_client_type(client_type)
        secret_hash, found = self._find_for_login(client_type, account)
        matches = self._hasher.verify(secret_hash, secret)
        if found is None or found.disabled or not matches:
            raise BadCredentialsError
        if self._hasher.needs_rehash(secret_hash):
            self._rehash(found.uid, secret_hash, secret)
        return _to_identity(found)

    def verifier(self, client_type: str) -> AccountVerifier:
        """Return :meth:`verify` for this client type, to be called with account and secret."""
        check_client_type(client_type)
        return partial(self.verify, client_type)

    def lookup(self, client_type: str) -> AccountLookup:
        """Return what knows the accounts of this client type by their uid."""
        check_client_type(client_type)
        return partial(self._look_up, client_type)

    def _look_up(self, client_type: str, uid: int | str) -> Identity | None:
        # Not every integer fits into the column, and not every database would only say so.
        if not isinstance(uid, int) or not 0 < uid <= _MAX_UID:
            return None
        account = self.find(uid)
        if account is None or account.disabled or account.client_type != client_type:
            return None
        return _to_identity(account)

    def _find_for_login(self, client_type: str, account: str) -> tuple[str, Account | None]:
        """Return the stored hash and the account, or a hash that no secret matches."""
        try:
            name = normalise_account(account, client_type)
        except InvalidAccountError:
            name = ""  # no account has it, but the lookup takes as long
        with self._database.reading() as connection:
            row = connection.run(
                _FIND_FOR_LOGIN, {"client_type": client_type, "name": name}
            ).fetchone()
        return (self._hasher.decoy, None) if row is None else (row[0], _to_account(row[1:]))

    def _rehash(self, uid: int, old: str, secret: str) -> None:
        try:
            fresh = self._hasher.hash(secret)
            with self._database.writing() as connection:
                connection.run(_REHASH, {"uid": uid, "old": old, "fresh": fresh})
        except UnavailableError as error:
            logger.warning("account %d keeps its old secret hash: %s", uid, error)

    def _update(
        self, statement: Statement, client_type: str, account: str, values: Mapping[str, object]
    ) -> None:
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        with self._database.writing() as connection:
            found = connection.run(
                statement, {**values, "client_type": client_type, "name": name}
            ).rowcount
        if not found:
            raise _unknown(client_type, name)


def _unknown(client_type: str, name: str) -> UnknownAccountError:
    return UnknownAccountError(f"there is no {client_type} account {name!r}")


def _to_account(row: Sequence[Any]) -> Account:
    uid, client_type, name, scope, auth, disabled, created_at, secret_changed_at = row
    # SQLite knows no booleans.
    return Account(
        uid=uid,
        client_type=client_type,
        name=name,
        scope=scope,
        auth=auth,
        disabled=bool(disabled),
        created_at=created_at,
        secret_changed_at=secret_changed_at,
    )


def _to_identity(account: Account) -> Identity:
    credential = str(account.secret_changed_at)
    return Identity(account.uid, account.scope, account.auth, credential=credential)

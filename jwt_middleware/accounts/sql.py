"""Accounts in a table: SQLite by default, PostgreSQL by URL.  Needs the extra ``sql``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ..errors import BadCredentialsError, UnavailableError
from ..sql.database import Database
from .client_type import check_client_type, normalise_account
from .errors import (
    AccountExistsError,
    InvalidAccountError,
    UnknownAccountError,
)
from .hashing import SecretHasher
from .identity import DEFAULT_AUTH, AccountLookup, AccountVerifier, Identity
from .table import SHOWN, Account, accounts, metadata, to_account

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5

_PAGE_SIZE = 500
_MAX_UID = 2**63 - 1
_MEND = "call create_schema(), or add an account with `jwt-middleware account add`"


class SQLAccounts:
    """
    Accounts in a SQL database.

    Nothing is connected before the first use, and nothing connected survives a fork.  No secret
    is hashed while a connection is held.

    All methods but :meth:`close` raise :class:`UnavailableError` when the database cannot be
    asked; those that take an account's name raise :class:`InvalidAccountError` for one that no
    account can have, except :meth:`verify`; those that take a client type raise
    :class:`ConfigurationError` for one that is not a lower-case label.

    Args:
        url: ``sqlite:///accounts.db`` (a file), ``postgresql://user:password@host/database``.
        hasher: Hashes and verifies secrets; by default one with OWASP's parameters.
        clock: Seconds since the Unix epoch, UTC.

    Raises:
        ConfigurationError: The URL cannot be used, or its driver is not installed.
    """

    def __init__(
        self,
        url: str | sa.URL,
        *,
        hasher: SecretHasher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = Database(url, timeout_seconds=TIMEOUT_SECONDS, mend=_MEND)
        self._hasher = SecretHasher() if hasher is None else hasher
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def create_schema(self) -> None:
        """
        Create the table if it is missing; safe while other processes do the same.

        A new SQLite file gets the mode 0600 and write-ahead logging.
        """
        self._database.create(metadata)

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
            "created_at": now,
            "secret_changed_at": now,
        }
        try:
            with self._database.writing() as connection:
                uid: int = connection.execute(
                    sa.insert(accounts).values(row).returning(accounts.c.id)
                ).scalar_one()
        except IntegrityError as error:
            raise AccountExistsError(
                f"an account {name!r} of the type {client_type} exists already"
            ) from error
        return Identity(uid=uid, scope=scope, auth=auth, credential=str(now))

    def find(self, uid: int) -> Account | None:
        """Return the account with this uid, ``None`` if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*SHOWN).where(accounts.c.id == uid)).first()
        return None if row is None else to_account(row)

    def find_named(self, client_type: str, account: str) -> Account:
        """
        Return the account of this name.

        Raises:
            UnknownAccountError: There is none.
        """
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(*SHOWN).where(
                    accounts.c.client_type == client_type, accounts.c.name == name
                )
            ).first()
        if row is None:
            raise _unknown(client_type, name)
        return to_account(row)

    def list(self) -> Iterator[Account]:
        """Yield all accounts by uid; between pages of 500 no transaction is open."""
        last = 0
        while True:
            page = (
                sa.select(*SHOWN)
                .where(accounts.c.id > last)
                .order_by(accounts.c.id)
                .limit(_PAGE_SIZE)
            )
            with self._database.reading() as connection:
                rows = connection.execute(page).all()
            if not rows:
                return
            yield from map(to_account, rows)
            last = rows[-1].id

    def disable(self, client_type: str, account: str) -> None:
        """
        Refuse the account's logins, and that its sessions are refreshed, from now on.

        Access tokens it already has are not touched: to end them as well, end its sessions.

        Raises:
            UnknownAccountError: There is no such account.
        """
        self._update(client_type, account, {"disabled": True})

    def enable(self, client_type: str, account: str) -> None:
        """
        Undo :meth:`disable`.

        Raises:
            UnknownAccountError: There is no such account.
        """
        self._update(client_type, account, {"disabled": False})

    def set_secret(self, client_type: str, account: str, secret: str) -> None:
        """
        Give the account another secret.  Sessions that began with the old one end when refreshed.

        Access tokens it already has are not touched: to end them as well, end its sessions.

        Raises:
            UnknownAccountError: There is no such account.
            InvalidSecretError: No account can have this secret.
        """
        now, before = int(self._clock()), accounts.c.secret_changed_at
        values = {
            "secret_hash": self._hasher.hash(secret),
            # Never the same again, even within a second or by a clock that was set back: sessions
            # are told by it.
            "secret_changed_at": sa.case((before >= now, before + 1), else_=now),
        }
        self._update(client_type, account, values)

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
        row = self._find_for_login(client_type, account)
        matches = self._hasher.verify(
            self._hasher.decoy if row is None else row.secret_hash, secret
        )
        if row is None or row.disabled or not matches:
            raise BadCredentialsError
        if self._hasher.needs_rehash(row.secret_hash):
            self._rehash(row.id, row.secret_hash, secret)
        return _to_identity(row)

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

    def _find_for_login(self, client_type: str, account: str) -> sa.Row[tuple[object, ...]] | None:
        try:
            name = normalise_account(account, client_type)
        except InvalidAccountError:
            name = ""  # nobody's, and asked for all the same: the work must not tell
        with self._database.reading() as connection:
            return connection.execute(
                sa.select(*accounts.c).where(
                    accounts.c.client_type == client_type, accounts.c.name == name
                )
            ).first()

    def _rehash(self, uid: int, old: str, secret: str) -> None:
        statement = sa.update(accounts).where(
            # Not if set_secret came in between: the old secret would be back.
            accounts.c.id == uid,
            accounts.c.secret_hash == old,
        )
        try:
            fresh = self._hasher.hash(secret)
            with self._database.writing() as connection:
                connection.execute(statement.values(secret_hash=fresh))
        except UnavailableError as error:
            logger.warning("account %d keeps its old secret hash: %s", uid, error)

    def _update(self, client_type: str, account: str, values: Mapping[str, object]) -> None:
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        statement = (
            sa.update(accounts)
            .where(accounts.c.client_type == client_type, accounts.c.name == name)
            .values(values)
        )
        with self._database.writing() as connection:
            found = connection.execute(statement).rowcount
        if not found:
            raise _unknown(client_type, name)


def _unknown(client_type: str, name: str) -> UnknownAccountError:
    return UnknownAccountError(f"there is no {client_type} account {name!r}")


def _to_identity(row: sa.Row[tuple[object, ...]] | Account) -> Identity:
    uid = row.uid if isinstance(row, Account) else row.id
    return Identity(uid, row.scope, row.auth, credential=str(row.secret_changed_at))

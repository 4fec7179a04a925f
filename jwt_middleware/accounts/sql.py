"""Accounts in a table: SQLite by default, PostgreSQL by URL.  Needs the extra ``sql``."""

# ruff: noqa: S608  every statement is made of constants

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ..bounds import check_whole
from ..core.payload import ClientType, check_account, checked_claims
from ..errors import (
    AccountExistsError,
    BadCredentialsError,
    DuplicateRowError,
    InvalidAccountError,
    UnavailableError,
    UnknownAccountError,
)
from ..events import logger
from ..sql.database import Database
from ..sql.statement import Statement
from ..sql.urls import DatabaseURL
from .client_type import check_client_type, normalise_account
from .hashing import DEFAULT_MIN_SECRET_CHARS, SecretHasher, check_secret
from .identity import (
    DEFAULT_AUTH,
    MAX_SECRET_CHARS,
    AccountLookup,
    AccountVerifier,
    Identity,
    NumberedAccounts,
)
from .table import SCHEMA, SECRET_HASH, to_account, to_identity
from .table import Account as Account

TIMEOUT_SECONDS: Final = 5

_PAGE_SIZE = 500
_MAX_UID: Final = 2**63 - 1

_NAMED: Final = "WHERE client_type = :client_type AND name = :name"
# All columns: a table of 0.1 lacks the last one, claims, until create_schema() adds it.
_FIND: Final = Statement("SELECT * FROM accounts WHERE id = :uid")
_FIND_NAMED: Final = Statement(f"SELECT * FROM accounts {_NAMED}")
_LIST: Final = Statement("SELECT * FROM accounts WHERE id > :after ORDER BY id LIMIT :limit")
_ADD: Final = Statement("""
    INSERT INTO accounts
        (client_type, name, secret_hash, scope, auth, disabled, created_at, secret_changed_at)
    VALUES (:client_type, :name, :secret_hash, :scope, :auth, :disabled, :now, :now)
    RETURNING id
""")
_SET_DISABLED: Final = Statement(f"UPDATE accounts SET disabled = :disabled {_NAMED}")
_SET_SCOPE: Final = Statement(f"UPDATE accounts SET scope = :scope {_NAMED}")
_SET_CLAIMS: Final = Statement(f"UPDATE accounts SET claims = :claims {_NAMED}")
_SET_AUTH: Final = Statement(f"UPDATE accounts SET auth = :auth {_NAMED}")
_RENAME: Final = Statement(f"UPDATE accounts SET name = :new {_NAMED}")
_REMOVE: Final = Statement(f"DELETE FROM accounts {_NAMED}")
# The time always increases, even within a second or with a clock set back: sessions detect a
# changed secret by it.
_SET_SECRET: Final = Statement(f"""
    UPDATE accounts SET
        secret_hash = :secret_hash,
        secret_changed_at =
            CASE WHEN secret_changed_at >= :now THEN secret_changed_at + 1 ELSE :now END
    {_NAMED}
""")
# Only if set_secret did not run meanwhile: this would restore the old secret.
_REHASH: Final = Statement(
    "UPDATE accounts SET secret_hash = :fresh WHERE id = :uid AND secret_hash = :old"
)


class SQLAccounts(NumberedAccounts):
    """
    Accounts in a SQL database.

    It connects on first use and again after a fork.  No secret is hashed while a connection is
    held.

    All methods but :meth:`close` raise :class:`UnavailableError` when the database is unavailable.
    Those that take an account's name, except :meth:`verify`, raise :class:`InvalidAccountError` for
    an invalid one; those that take a client type raise :class:`ConfigurationError` for one that is
    not a lower-case label.

    Args:
        url: ``sqlite:///accounts.db`` (a file), ``postgresql://user:password@host/database``.
        hasher: Hashes and verifies secrets; by default one with OWASP's parameters.
        min_secret_chars: Minimum length of new secrets in characters, 1 to 1,024.
        clock: Returns seconds since the Unix epoch, UTC.

    Raises:
        ConfigurationError: The URL is invalid, its driver is not installed, or *min_secret_chars*
            is out of range.
    """

    def __init__(
        self,
        url: str | DatabaseURL,
        *,
        hasher: SecretHasher | None = None,
        min_secret_chars: int = DEFAULT_MIN_SECRET_CHARS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_whole("min_secret_chars", min_secret_chars, 1, MAX_SECRET_CHARS)
        self._database = Database(url, schema=SCHEMA, timeout_seconds=TIMEOUT_SECONDS)
        self._hasher = SecretHasher() if hasher is None else hasher
        self._min_secret_chars = min_secret_chars
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def create_schema(self) -> None:
        """
        Create the table if it is missing; safe while other processes do the same.

        A new SQLite file gets the mode 0600 and write-ahead logging.
        """
        self._database.create()

    def schema_version(self) -> int:
        """Return the table's schema version."""
        return self._database.schema_version()

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
        claims: Mapping[str, Any] = MappingProxyType({}),
    ) -> Identity:
        """
        Add an enabled account.

        Args:
            client_type: Label of a client type, built-in or custom.
            account: Its name, in any spelling.
            secret: Up to 1,024 characters, not a common password.
            scope: Scopes separated by single spaces.
            auth: The token's ``auth`` claim.
            claims: Custom claims, as in :class:`JWTPayload`.

        Raises:
            AccountExistsError: The client type already has an account of that name.
            InvalidAccountError: Name, scope, auth or claims are invalid.
            InvalidSecretError: The secret is too short, too long or too common.
        """
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        if client_type == ClientType.SERVICE and ":" in name:
            raise InvalidAccountError(
                "the name of a service must not hold a colon: HTTP Basic ends it there (RFC 7617)"
            )
        _check_values(scope=scope, auth=auth)
        text = _claims_text(claims)
        check_secret(secret, account=name, min_chars=self._min_secret_chars)
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
                if claims:
                    connection.run(_SET_CLAIMS, {**row, "claims": text})
        except DuplicateRowError as error:
            raise _exists(client_type, name) from error
        return Identity(uid=uid, scope=scope, auth=auth, credential=str(now), claims=claims)

    def find(self, uid: int) -> Account | None:
        """Return the account with this uid; ``None`` if it is unknown."""
        with self._database.reading() as connection:
            row = connection.run(_FIND, {"uid": uid}).fetchone()
        return None if row is None else to_account(row)

    def find_named(self, client_type: str, account: str) -> Account:
        """
        Return the account with this name.

        Raises:
            UnknownAccountError: There is no such account.
        """
        check_client_type(client_type)
        name = normalise_account(account, client_type)
        with self._database.reading() as connection:
            row = connection.run(_FIND_NAMED, {"client_type": client_type, "name": name}).fetchone()
        if row is None:
            raise _unknown(client_type, name)
        return to_account(row)

    def list(self) -> Iterator[Account]:
        """Yield all accounts in the order of their uids, in pages of 500, each its own query."""
        last = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.run(_LIST, {"after": last, "limit": _PAGE_SIZE}).fetchall()
            if not rows:
                return
            for account in map(to_account, rows):
                yield account
                last = account.uid

    def disable(self, client_type: str, account: str) -> None:
        """
        Refuse the account's logins and refreshes from now on.

        Its access tokens stay valid: to revoke them as well, end its sessions.

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
        Set the account's secret.  Sessions started with the old one end at their next refresh.

        Its access tokens stay valid: to revoke them as well, end its sessions.

        Raises:
            UnknownAccountError: There is no such account.
            InvalidSecretError: The secret is too short, too long or too common.
        """
        check_secret(secret, account=account, min_chars=self._min_secret_chars)
        values = {"secret_hash": self._hasher.hash(secret), "now": int(self._clock())}
        self._update(_SET_SECRET, client_type, account, values)

    def set_scope(self, client_type: str, account: str, scope: str) -> None:
        """
        Set the account's scopes, effective at the next login or refresh.

        A session never gets a scope that its login did not have.

        Raises:
            UnknownAccountError: There is no such account.
            InvalidAccountError: The scope is invalid.
        """
        _check_values(scope=scope, auth=DEFAULT_AUTH)
        self._update(_SET_SCOPE, client_type, account, {"scope": scope})

    def set_auth(self, client_type: str, account: str, auth: str) -> None:
        """
        Set the account's claim ``auth``, effective at the next login or refresh.

        Raises:
            UnknownAccountError: There is no such account.
            InvalidAccountError: The value is invalid.
        """
        _check_values(scope="", auth=auth)
        self._update(_SET_AUTH, client_type, account, {"auth": auth})

    def set_claims(self, client_type: str, account: str, claims: Mapping[str, Any]) -> None:
        """
        Set the account's custom claims, effective at the next login or refresh.

        Raises:
            UnknownAccountError: There is no such account.
            InvalidAccountError: The claims are invalid.
        """
        self._update(_SET_CLAIMS, client_type, account, {"claims": _claims_text(claims)})

    def rename(self, client_type: str, account: str, new: str) -> None:
        """
        Rename the account.  Its uid, secret and sessions stay.

        Raises:
            UnknownAccountError: There is no such account.
            AccountExistsError: Another account of this client type has that name.
        """
        check_client_type(client_type)
        name = normalise_account(new, client_type)
        try:
            self._update(_RENAME, client_type, account, {"new": name})
        except DuplicateRowError as error:
            raise _exists(client_type, name) from error

    def remove(self, client_type: str, account: str) -> None:
        """
        Remove the account.  Its sessions cannot be refreshed, and its uid is never reused.

        Its access tokens stay valid: to revoke them as well, end its sessions.

        Raises:
            UnknownAccountError: There is no such account.
        """
        self._update(_REMOVE, client_type, account, {})

    def verify(self, client_type: str, account: str, secret: str) -> Identity:
        """
        Verify an account's secret and return its identity.

        An unknown account, a disabled one, an invalid name and a wrong secret each take one query
        and one Argon2 verification, and raise the same error with the same text.  The time depends
        on the stored hash's parameters: after a change of parameters it differs for accounts that
        have not logged in since.

        Such an account is rehashed at its login.  A failed rehash does not fail the login.

        Raises:
            BadCredentialsError: The secret is wrong, or the account is unknown or disabled.
        """
        check_client_type(client_type)
        try:
            name = normalise_account(account, client_type)
        except InvalidAccountError:
            name = ""  # matches no account, but takes the same time
        with self._database.reading() as connection:
            row = connection.run(_FIND_NAMED, {"client_type": client_type, "name": name}).fetchone()
        secret_hash = self._hasher.decoy if row is None else row[SECRET_HASH]
        found = None if row is None else to_account(row)
        matches = self._hasher.verify(secret_hash, secret)
        if found is None or found.disabled or not matches:
            raise BadCredentialsError
        if self._hasher.needs_rehash(secret_hash):
            self._rehash(found.uid, secret_hash, secret)
        return to_identity(found)

    @property
    def waiting(self) -> int:
        """How many logins of this process are waiting for secret hashing."""
        return self._hasher.waiting

    def verifier(self, client_type: str) -> AccountVerifier:
        """Return an account verifier for this client type."""
        check_client_type(client_type)
        return partial(self.verify, client_type)

    def lookup(self, client_type: str) -> AccountLookup:
        """Return an account lookup (by uid) for this client type."""
        check_client_type(client_type)
        return partial(self._look_up, client_type)

    def _look_up(self, client_type: str, uid: int | str) -> Identity | None:
        # An integer may not fit the column, which some drivers report as an error.
        if not isinstance(uid, int) or not 0 < uid <= _MAX_UID:
            return None
        account = self.find(uid)
        if account is None or account.disabled or account.client_type != client_type:
            return None
        return to_identity(account)

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


def _check_values(*, scope: str, auth: str) -> None:
    try:
        check_account(1, scope=scope, auth=auth)
    except ValueError as error:
        raise InvalidAccountError(str(error)) from error


def _exists(client_type: str, name: str) -> AccountExistsError:
    return AccountExistsError(f"an account {name!r} of the type {client_type} already exists")


def _unknown(client_type: str, name: str) -> UnknownAccountError:
    return UnknownAccountError(f"there is no {client_type} account {name!r}")


def _claims_text(claims: Mapping[str, Any]) -> str:
    try:
        return json.dumps(checked_claims(claims))
    except ValueError as error:
        raise InvalidAccountError(str(error)) from None

"""``[accounts]``: who may log in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .reading import Section, number, setting, table, text, whole

if TYPE_CHECKING:
    from ..accounts.sql import SQLAccounts


class HasherSettings(Section):
    """
    ``[accounts.hasher]``: Argon2id; when it changes, secrets are hashed again at the next login.

    Attributes:
        time_cost: Passes over the memory, 1 to 1,000.
        memory_cost_kib: Memory of one hash in KiB, at least 8 for each lane, up to 4 GiB.
        parallelism: Lanes, each computed by a thread of its own, 1 to 64.
        max_concurrent: Hashes computed at the same time in each process, 1 to 1,024.
        max_waiting: Logins that wait for their turn in each process, up to 1,024; one more is
            answered 503.
        max_wait_seconds: How long each waits before it is answered 503, up to 60.
    """

    time_cost: int = setting(whole, 2)
    memory_cost_kib: int = setting(whole, 19_456)
    parallelism: int = setting(whole, 1)
    max_concurrent: int = setting(whole, 2)
    max_waiting: int = setting(whole, 4)
    max_wait_seconds: float = setting(number, 2.0)


class AccountSettings(Section):
    """
    ``[accounts]``: who may log in; needs the extra ``sql``.

    Attributes:
        url: An SQLite file, or ``postgresql://user@host/database`` with the password in
            ``~/.pgpass``.
        min_secret_chars: The fewest characters of a new secret, 1 to 1,024; the commonest secrets
            are refused at any length.
    """

    url: str = setting(text, example='url = "sqlite:///accounts.db"')
    min_secret_chars: int = setting(whole, 8)
    hasher: HasherSettings | None = setting(table(HasherSettings), None)

    def build(self) -> SQLAccounts:
        """
        Make the accounts.  Connects nothing and creates nothing.

        Raises:
            ConfigurationError: A setting is unusable, or the extra ``sql`` is not installed.
        """
        try:
            from . import sql  # noqa: PLC0415  needs argon2-cffi, an extra
        except ModuleNotFoundError as error:
            raise self.place.error(
                f"{error.name} is missing: pip install 'wsgi-jwt-middleware[sql]'"
            ) from error
        return sql.build_accounts(self)

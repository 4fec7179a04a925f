"""``[accounts]``: who may log in."""

# ruff: noqa: RUF009  setting() is dataclasses.field(), which makes no value

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reading import Section, number, setting, table, text, whole

if TYPE_CHECKING:
    from ..accounts.sql import SQLAccounts


@dataclass(frozen=True, slots=True, kw_only=True)
class HasherSettings(Section):
    """``[accounts.hasher]``, the parameters of ``SecretHasher``."""

    time_cost: int = setting(whole, 2)
    memory_cost_kib: int = setting(whole, 19_456)
    parallelism: int = setting(whole, 1)
    max_concurrent: int = setting(whole, 2)
    max_waiting: int = setting(whole, 4)
    max_wait_seconds: float = setting(number, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings(Section):
    """
    ``[accounts]``.

    Attributes:
        url: ``sqlite:///`` or ``postgresql://``; an SQLite file is relative to the configuration
            file's folder.
        min_secret_chars: How long new secrets are at least.
        hasher: ``None`` leaves everything at its default.
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

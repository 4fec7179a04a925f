"""``[accounts]`` in a SQL database.  Needs the extra ``sql``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..accounts.hashing import MAX_SECRET_CHARS, SecretHasher
from ..accounts.sql import SQLAccounts
from ..bounds import check_whole
from .database import database_url

if TYPE_CHECKING:
    from .accounts import AccountSettings, HasherSettings


def build_accounts(settings: AccountSettings) -> SQLAccounts:
    """
    Make the accounts that *settings* describes.

    Raises:
        ConfigurationError: A setting is unusable.
    """
    hasher = None if settings.hasher is None else _build_hasher(settings.hasher)
    with settings.place.named_by_member():
        check_whole("min_secret_chars", settings.min_secret_chars, 1, MAX_SECRET_CHARS)
    place = settings.place.member("url")
    with place.named():
        url = database_url(settings.url, place)
        return SQLAccounts(url, hasher=hasher, min_secret_chars=settings.min_secret_chars)


def _build_hasher(settings: HasherSettings) -> SecretHasher:
    with settings.place.named_by_member():
        return SecretHasher(
            time_cost=settings.time_cost,
            memory_cost_kib=settings.memory_cost_kib,
            parallelism=settings.parallelism,
            max_concurrent=settings.max_concurrent,
            max_waiting=settings.max_waiting,
            max_wait_seconds=settings.max_wait_seconds,
        )

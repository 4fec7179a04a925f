"""``[sessions]``: sessions, revocations and their store."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..errors import UnavailableError
from ..events import Name, emit
from ..sessions import Revocations, Sessions, SessionStore
from ..sessions.revocation.follower import DEFAULT_MAX_DELAY_SECONDS
from ..sessions.session import (
    DEFAULT_GRACE_SECONDS,
    DEFAULT_MAX_LIFETIME_SECONDS,
    DEFAULT_REFRESH_LIFETIME_SECONDS,
    Lifetimes,
)
from ..sessions.store import DEFAULT_MAX_PER_SUBJECT
from .reading import Place, Section, number, setting, text, whole

if TYPE_CHECKING:
    from ..core.issuer import TokenIssuer
    from .logins import EndpointSettings


def _key_prefix(value: object, place: Place) -> str:
    if re.search(r"[{}\s]", name := text(value, place)):
        raise place.error("must be a name without braces and spaces")
    return name


class SessionSettings(Section):
    """
    ``[sessions]``: refresh tokens, revocation and login limits; see docs/sessions.md.

    Attributes:
        url: URL of the store: ``sqlite:///sessions.db``, ``postgresql://user@host/database``,
            ``redis://host:6379/0`` (also ``rediss://``, ``unix://`` and
            ``redis+sentinel://host1:26379,host2:26379/service/0``) or ``memory://``.
        issuer: Issuer of the sessions' tokens; by default the ``issuer`` of the file.
        max_lifetime_seconds: Maximum lifetime of a session, however often it is refreshed.
        grace_seconds: How long after its use a refresh token may be used again; 0 for never.
        max_delay_seconds: Maximum delay until a process sees a revocation, up to 60; 0 reads the
            store for each request.
        max_per_subject: Maximum sessions of one subject; another login ends the oldest.
        key_prefix: Prefix of all keys in Redis.
    """

    url: str = setting(text, example='url = "sqlite:///sessions.db"')
    issuer: str | None = setting(text, None)
    max_lifetime_seconds: int = setting(whole, DEFAULT_MAX_LIFETIME_SECONDS)
    grace_seconds: float = setting(number, DEFAULT_GRACE_SECONDS)
    max_delay_seconds: float = setting(number, DEFAULT_MAX_DELAY_SECONDS)
    max_per_subject: int = setting(whole, DEFAULT_MAX_PER_SUBJECT)
    key_prefix: str | None = setting(_key_prefix, None, unset="jwt_middleware")

    def build_store(self, *, creates_tables: bool = True) -> SessionStore:
        """
        Build the store, without connecting or creating anything.

        Args:
            creates_tables: Whether its first use creates missing tables.

        Raises:
            ConfigurationError: The URL is unusable, or the store's extra is not installed.
        """
        place = self.place.member("url")
        if self.key_prefix is not None and _STORES.get(_scheme(self.url), ("",))[0] != "redis":
            raise self.place.member("key_prefix").error("is only for Redis: leave it out")
        return build_store(
            self.url, place, creates_tables=creates_tables, key_prefix=self.key_prefix
        )

    def build_shared_store(self) -> SessionStore:
        """
        Build the store for another process than the issuer's; its first use creates nothing.

        Raises:
            ConfigurationError: As for :meth:`build_store`, and if the store is in the memory of
                one process.
        """
        store = self.build_store(creates_tables=False)
        if store.single_process:
            raise self.place.member("url").error(
                "memory:// is only in the running app: write sqlite:///sessions.db"
            )
        return store

    def build(
        self, *, issuer: TokenIssuer, endpoint: EndpointSettings, environ: Mapping[str, str]
    ) -> Sessions:
        """
        Build the sessions of an endpoint.

        Args:
            issuer: Issues their tokens.
            endpoint: The endpoint's settings.
            environ: Environment variables, for the number of processes.

        Raises:
            ConfigurationError: As for :meth:`build_store`, if the store is for one process and the
                server has several, and if a setting is unusable.
        """
        if self.issuer not in {None, issuer.issuer}:
            raise self.place.member("issuer").error("is not the issuer of [endpoint]: leave it out")
        refresh_lifetime_seconds = endpoint.refresh_lifetime_seconds
        if refresh_lifetime_seconds is None:
            refresh_lifetime_seconds = DEFAULT_REFRESH_LIFETIME_SECONDS
        with endpoint.place.named_by_member():  # checked first, as it is in another table
            Lifetimes(
                token_lifetime_seconds=issuer.lifetime_seconds,
                refresh_lifetime_seconds=refresh_lifetime_seconds,
                max_lifetime_seconds=refresh_lifetime_seconds,
            )
        store = self.build_store()
        check_processes(store, environ, self.place.member("url"))
        with self.place.named_by_member():
            return Sessions(
                store=store,
                issuer=issuer,
                refresh_lifetime_seconds=refresh_lifetime_seconds,
                max_lifetime_seconds=self.max_lifetime_seconds,
                grace_seconds=self.grace_seconds,
                max_delay_seconds=self.max_delay_seconds,
                max_per_subject=self.max_per_subject,
            )

    def build_revocations(self, issuer: str | None) -> Revocations:
        """
        Build the revocations of an issuer elsewhere, read from its store.

        Args:
            issuer: The file's own issuer, if it has one.

        Raises:
            ConfigurationError: As for :meth:`build_shared_store` and :meth:`whose`, and if a
                setting is unusable.
        """
        whose, store = self.whose(issuer), self.build_shared_store()
        with self.place.named_by_member():
            return Revocations(store, issuer=whose, max_delay_seconds=self.max_delay_seconds)

    def whose(self, issuer: str | None) -> str:
        """
        Return the issuer of the sessions in the store: the *iss* of their tokens.

        Args:
            issuer: The file's own issuer, if it has one.

        Raises:
            ConfigurationError: Neither the table nor the file names one.
        """
        if self.issuer is None and issuer is None:
            raise self.place.member("issuer").error(
                'is missing: add the issuer of the sessions: issuer = "https://auth.example.com"'
            )
        return self.issuer or issuer or ""


URL_FORMS: Final = (
    "sqlite:///sessions.db, postgresql://user@host/database, redis://host:6379/0 (or rediss://, "
    "unix://, redis+sentinel://host1:26379,host2:26379/service/0) or memory://"
)


def build_store(
    url: str, place: Place, *, creates_tables: bool = True, key_prefix: str | None = None
) -> SessionStore:
    """
    Build the store of *url*, without connecting or creating anything.

    Args:
        url: URL of the store.
        place: Place of the URL, for errors.
        creates_tables: Whether its first use creates missing tables.
        key_prefix: Prefix of all keys in Redis; ``None`` for the default.

    Raises:
        ConfigurationError: The URL is unusable, or the store's extra is not installed.  The text
            does not quote the URL.
    """
    found = _STORES.get(_scheme(url))
    if found is None:
        raise place.error(f"is not the URL of a known store: write {URL_FORMS}")
    extra, build = found
    try:
        with place.named():
            return build(url, place, creates_tables=creates_tables, key_prefix=key_prefix)
    except ModuleNotFoundError as error:
        raise place.missing(error, extra=extra) from error


def check_processes(store: SessionStore, environ: Mapping[str, str], place: Place) -> None:
    """
    Refuse a store in one process's memory if the server has several processes.

    Reads ``WEB_CONCURRENCY``, which gunicorn and platforms use, and uWSGI's number of processes.

    Raises:
        ConfigurationError: There are several, and the store is for one.
    """
    workers = max(_web_concurrency(environ), getattr(sys.modules.get("uwsgi"), "numproc", 1))
    if store.single_process and workers > 1:
        raise place.error(
            f"memory:// is not shared among {workers} processes: run one process, or write "
            "sqlite:///sessions.db"
        )


def prepare(revocations: Revocations) -> None:
    """Read revocations before the first request, and report a store that may lose some."""
    store = revocations.store
    if store.single_process or getattr(store, "is_missing", False):  # the first use creates it
        return
    losses = getattr(store, "losses", None)
    if losses is not None:
        with suppress(UnavailableError):  # reported when they are read
            for loss in losses():
                emit(Name.STORE_UNSAFE, store=repr(store), detail=loss)
    revocations.prepare()


def _web_concurrency(environ: Mapping[str, str]) -> int:
    value = environ.get("WEB_CONCURRENCY", "").strip()
    return int(value) if re.fullmatch("[0-9]{1,9}", value) else 1


def _memory(*_: object, **__: object) -> SessionStore:
    from ..sessions.stores.memory import MemorySessions  # noqa: PLC0415  only where it is used

    return MemorySessions()


def _sql(url: str, place: Place, *, creates_tables: bool, **_: object) -> SessionStore:
    from ..sessions.stores.sql.store import SQLSessions  # noqa: PLC0415  only where it is used
    from ..sql.urls import parse_url  # noqa: PLC0415  the same

    return SQLSessions(parse_url(url).beside(place.file.parent), creates_tables=creates_tables)


def _redis(url: str, *_: object, key_prefix: str | None, **__: object) -> SessionStore:
    from ..sessions.stores.redis.store import RedisSessions  # noqa: PLC0415  needs redis-py, an extra

    return RedisSessions(url) if key_prefix is None else RedisSessions(url, prefix=key_prefix)


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""


_STORES: Final[Mapping[str, tuple[str, Callable[..., SessionStore]]]] = {
    "memory": ("", _memory),
    "sqlite": ("", _sql),
    "sqlite+pysqlite": ("", _sql),
    "postgresql": ("postgresql", _sql),
    "postgresql+psycopg": ("postgresql", _sql),
    "redis": ("redis", _redis),
    "rediss": ("redis", _redis),
    "redis+sentinel": ("redis", _redis),
    "rediss+sentinel": ("redis", _redis),
    "unix": ("redis", _redis),
}

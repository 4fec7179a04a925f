"""Where sessions are kept: a URL picks the store, and how many processes may share it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Final

from ..sessions import MemorySessions, SessionStore
from .reading import Place

URL_FORMS: Final = (
    "sqlite:///sessions.db, postgresql://user@host/database, redis://host:6379/0 (or rediss://, "
    "unix://) or memory://"
)

# scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )                             RFC 3986 §3.1
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def build_store(url: str, place: Place, *, creates_tables: bool = True) -> SessionStore:
    """
    Make the store that *url*, which stands at *place*, is for.  Connects nothing, creates nothing.

    Args:
        url: Of the store.
        place: Where it stands.
        creates_tables: Whether its first use creates what is missing.

    Raises:
        ConfigurationError: The URL is unusable, or what its store needs is not installed.  The
            text quotes none of it.
    """
    scheme = _SCHEME.match(url)
    found = _STORES.get(scheme[1].lower()) if scheme else None
    if found is None:
        raise place.error(f"is of no store that this version knows: write {URL_FORMS}")
    extra, build = found
    try:
        with place.named():
            return build(url, place, creates_tables=creates_tables)
    except ModuleNotFoundError as error:
        raise place.error(
            f"{error.name} is missing: pip install 'wsgi-jwt-middleware[{extra}]'"
        ) from error


def check_processes(store: SessionStore, environ: Mapping[str, str], place: Place) -> None:
    """
    Refuse a store that one process alone sees where there are to be several.

    Told are ``WEB_CONCURRENCY``, which gunicorn and platforms use, and the processes of uWSGI.

    Raises:
        ConfigurationError: There are several, and the store is of one.
    """
    workers = max(_web_concurrency(environ), getattr(sys.modules.get("uwsgi"), "numproc", 1))
    if store.single_process and workers > 1:
        raise place.error(
            f"memory:// is not shared among {workers} processes, each would have sessions of its "
            "own: run one process, or write sqlite:///sessions.db"
        )


def _web_concurrency(environ: Mapping[str, str]) -> int:
    value = environ.get("WEB_CONCURRENCY", "").strip()
    return int(value) if re.fullmatch("[0-9]{1,9}", value) else 1


def _memory(*_: object, **__: object) -> SessionStore:
    return MemorySessions()


def _sql(url: str, place: Place, *, creates_tables: bool) -> SessionStore:
    from ..sessions.stores.sql.store import SQLSessions  # noqa: PLC0415  only where it is used
    from .database import database_url  # noqa: PLC0415  the same

    return SQLSessions(database_url(url, place), creates_tables=creates_tables)


def _redis(url: str, *_: object, **__: object) -> SessionStore:
    from ..sessions.stores.redis.store import RedisSessions  # noqa: PLC0415  needs redis-py, an extra

    return RedisSessions(url)


_STORES: Final[Mapping[str, tuple[str, Callable[..., SessionStore]]]] = {
    "memory": ("", _memory),
    "sqlite": ("", _sql),
    "sqlite+pysqlite": ("", _sql),
    "postgresql": ("postgresql", _sql),
    "postgresql+psycopg": ("postgresql", _sql),
    "redis": ("redis", _redis),
    "rediss": ("redis", _redis),
    "unix": ("redis", _redis),
}

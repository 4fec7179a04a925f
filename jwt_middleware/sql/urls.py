"""Which database a URL is for, and what is wrong with it."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import ConfigurationError

SQLITE = "sqlite+pysqlite"
POSTGRESQL = "postgresql+psycopg"
URL_FORMS = "sqlite:///accounts.db or postgresql://user:password@host/database"

_DRIVERS = {
    "sqlite": SQLITE,
    SQLITE: SQLITE,
    "postgresql": POSTGRESQL,
    POSTGRESQL: POSTGRESQL,
}


def parse_url(url: str | URL) -> URL:
    """
    Return the URL with the driver this package works with.

    Raises:
        ConfigurationError: It cannot be read, is for another database or driver, names no file
            (SQLite), or has a password that would show (PostgreSQL).  The text quotes none of it.
    """
    parsed: URL | None = None
    # An error that make_url raises may quote a part of the password: it must not be chained.
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
    if parsed is None:
        raise ConfigurationError(f"the database url cannot be read; write {URL_FORMS}")
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigurationError(f"the database url is for {parsed.drivername}; write {URL_FORMS}")
    if driver == SQLITE:
        _check_file(parsed)
    else:
        _check_password(url)
    return parsed.set(drivername=driver)


def _check_file(url: URL) -> None:
    path = url.database or ":memory:"
    if url.host or path == ":memory:" or path.startswith("file:"):
        raise ConfigurationError(
            "the database url names no SQLite file; write three slashes and a path:"
            " sqlite:///accounts.db (or four: sqlite:////var/lib/accounts.db)"
        )


def _check_password(url: str | URL) -> None:
    # SQLAlchemy takes the first "@" for the password's end, and the rest of it for the host,
    # which is no longer hidden.  A "?" in the password looks as if the query began there.
    if isinstance(url, str) and url.count("@") > 1:
        raise ConfigurationError("the database url has two '@'; in the password write %40 for it")

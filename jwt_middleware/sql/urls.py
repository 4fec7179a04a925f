"""Parse and check database URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from ..errors import ConfigurationError
from ..files import no_file

URL_FORMS: Final = "sqlite:///accounts.db or postgresql://user:password@host/database"

# SQLAlchemy's dialect+driver names for the drivers used here.
_SQLITE: Final = {"sqlite", "sqlite+pysqlite"}
_POSTGRESQL: Final = {"postgresql", "postgresql+psycopg"}

# scheme "://" [ user [ ":" password ] "@" ] [ hosts ] [ "/" database ] [ "?" query ] A password may
# contain anything but "@", which is written %40.
_URL: Final = re.compile(
    r"""
    (?P<scheme>[\w+]+)://
    (?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?
    (?P<hosts>[^/?]*)
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?
    """,
    re.VERBOSE | re.DOTALL,
)
# host [ ":" port ], the host a name, an IPv4 address or an IPv6 address in brackets
_HOST: Final = r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[0-9]{0,5}))?"
_HOST_AND_PORT: Final = r"([A-Za-z0-9.-]*)(?::([0-9]*))?"
_MAX_PORT: Final = 65_535
_SESSION_ATTRS: Final = {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseURL:
    """
    A parsed database URL.

    Attributes:
        shown: The URL without password and query, which may be secret; for SQLite the file.
        path: The SQLite file; ``None`` for PostgreSQL.
        libpq: The connection parameters of PostgreSQL.
    """

    shown: str
    path: Path | None = None
    libpq: Mapping[str, str] = field(default_factory=dict, repr=False)

    def beside(self, folder: Path) -> DatabaseURL:
        """
        Return the URL with a relative SQLite path resolved against *folder*.

        Raises:
            ConfigurationError: The path is not a regular file, or cannot be followed.
        """
        if self.path is None:
            return self
        if reason := no_file(folder / self.path):
            raise ConfigurationError(f"the database file {reason}")
        return sqlite_url(folder / self.path)


def sqlite_url(path: Path) -> DatabaseURL:
    """Return the URL of an SQLite file."""
    return DatabaseURL(shown=str(path), path=path)


def parse_url(url: str) -> DatabaseURL:
    """
    Parse a database URL.

    Raises:
        ConfigurationError: It is malformed, for another database or driver, without a file
            (SQLite), or its password would show (PostgreSQL).  The text does not quote it.
    """
    found = _URL.fullmatch(url) if isinstance(url, str) else None
    if found is None or not _is_text(unquote(url)):
        raise ConfigurationError(f"the database url cannot be read; write {URL_FORMS}")
    scheme = found["scheme"]
    if scheme in _SQLITE:
        return _parse_sqlite(found)
    if scheme in _POSTGRESQL:
        return _parse_postgresql(found)
    raise ConfigurationError(f"the database url is for {scheme}; write {URL_FORMS}")


def _parse_sqlite(found: re.Match[str]) -> DatabaseURL:
    path = found["database"] or ":memory:"
    if found["hosts"] or path == ":memory:" or path.startswith("file:"):
        raise ConfigurationError(
            "the database url names no SQLite file; write three slashes and a path:"
            " sqlite:///accounts.db (or four: sqlite:////var/lib/accounts.db)"
        )
    if found["user"] is not None or found["query"]:
        raise bad_query()
    return sqlite_url(Path(path))


def _parse_postgresql(found: re.Match[str]) -> DatabaseURL:
    hosts = [one for text in found["hosts"].split(",") if (one := re.fullmatch(_HOST, text))]
    ports = [int(one["port"]) for one in hosts if one["port"]]
    if len(hosts) <= found["hosts"].count(",") or not all(0 < one <= _MAX_PORT for one in ports):
        raise ConfigurationError(f"the database url cannot be read; write {URL_FORMS}")
    # After a bare "@" in a password, its rest would be parsed as the host and shown.
    if found.string.count("@") > 1:
        raise ConfigurationError("the database url has two '@'; in the password write %40 for it")
    given = {
        "user": unquote(found["user"] or ""),
        "password": unquote(found["password"] or ""),
        "dbname": found["database"] or "",
    } | _join_hosts([(one["ipv6"] or one["host"], one["port"] or "") for one in hosts])
    libpq = {name: value for name, value in given.items() if value}
    libpq |= _parse_query(found["query"] or "")
    several = {1, libpq.get("host", "").count(",") + 1}
    if (
        libpq.get("port", "").count(",") + 1 not in several
        or libpq.get("target_session_attrs", "any") not in _SESSION_ATTRS
    ):
        raise bad_query()
    return DatabaseURL(shown=_shown(found), libpq=libpq)


def _parse_query(query: str) -> dict[str, str]:
    pairs = parse_qsl(query)
    # host=a:5432&host=b:5432 is SQLAlchemy's syntax for several hosts.
    hosts = [re.fullmatch(_HOST_AND_PORT, value) for name, value in pairs if name == "host"]
    joined = _join_hosts([(one[1], one[2] or "") for one in hosts if one])
    return dict(pairs) | (joined if hosts and None not in hosts else {})


def _join_hosts(hosts: list[tuple[str, str]]) -> dict[str, str]:
    joined = {"host": ",".join(host for host, _ in hosts)}
    if any(port for _, port in hosts):
        joined["port"] = ",".join(port for _, port in hosts)
    return joined


def _is_text(url: str) -> bool:
    """Return whether the URL has neither NUL nor surrogates."""
    return "\0" not in url and not re.search(r"[\ud800-\udfff]", url)


def bad_query() -> ConfigurationError:
    """Return the error for unknown parameters in a URL."""
    return ConfigurationError(f"the database url has a bad query; write {URL_FORMS}")


def _shown(found: re.Match[str]) -> str:
    user = found["user"] or ""
    if found["password"]:
        user += ":***"
    database = "" if found["database"] is None else f"/{found['database']}"
    return f"postgresql+psycopg://{user}{'@' if user else ''}{found['hosts']}{database}"

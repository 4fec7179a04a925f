"""Which Redis a URL is for, and what is wrong with it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from ....core.claims import has_control_characters
from ....errors import ConfigurationError

URL_FORMS: Final = (
    "redis://user:password@host:6379/0, rediss:// (TLS) or unix:///path/to/socket?db=0;"
    " in a user or password, percent-encode all that is not a letter or digit"
)

_OPTIONS: Final = {
    "redis": {"db"},
    "rediss": {"db", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"},
    "unix": {"db", "password"},
}


class Target(NamedTuple):
    """
    Where to connect.

    Attributes:
        connection_class: redis-py's, for TCP, TLS or a Unix socket.
        options: For its constructor.  The password is among them.
        shown: The URL without user, password and query.
    """

    connection_class: type[Connection | UnixDomainSocketConnection]
    options: dict[str, Any]
    shown: str


def parse_url(url: str) -> Target:
    """
    Return what a URL stands for.

    Raises:
        ConfigurationError: It cannot be read, or has parts that nothing would heed, or that are
            decided here, such as timeouts.  The text quotes none of it.
    """
    target = None
    # An error's text may quote the password: it must not be chained.
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        target = _parse(url)
    if target is None:
        raise ConfigurationError(f"the redis url cannot be read; write {URL_FORMS}")
    return target


def _parse(url: str) -> Target:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    options: dict[str, Any] = dict(query)
    if parts.fragment or not {*options} <= _OPTIONS[parts.scheme] or len(options) < len(query):
        raise ValueError
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            options[name] = unquote(value, errors="strict")
    path = unquote(parts.path, errors="strict")
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2]:  # or what stands before a "/" in the password
            raise ValueError
        _check_path(path)
        db = options["db"] = _database(options.get("db", "0"))
        options["path"] = path
        return Target(UnixDomainSocketConnection, options, f"unix://{path}?db={db}")
    db = options["db"] = _database(options.get("db") or path.removeprefix("/") or "0")
    host = options["host"] = _host(parts.hostname or "localhost")
    port = options["port"] = parts.port or 6379
    shown = f"[{host}]" if ":" in host else host
    connection_class = SSLConnection if parts.scheme == "rediss" else Connection
    return Target(connection_class, options, f"{parts.scheme}://{shown}:{port}/{db}")


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _host(host: str) -> str:
    host = unquote(host, errors="strict")
    host.encode("idna")  # as a socket does, and too late
    if has_control_characters(host):
        raise ValueError
    return host


def _check_path(path: str) -> None:
    if not path.startswith("/") or has_control_characters(path):
        raise ValueError

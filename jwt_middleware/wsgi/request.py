"""
Find the methods and resources that a request may ask the app for.

``REQUEST_METHOD`` and ``PATH_INFO`` are not all.  Frameworks, middleware and whole protocols let a
client override the method, move the path, or name a second resource, in headers and in the query.
Whether the app uses them is unknown here, so each is treated as if it did:

======================================= =======================================================
a method in a header or the query       counts like that of the request line
a prefix (``X-Script-Name``)            the path may lose it, gain it, or be replaced by it
a path (``X-Original-URL``)             the same, unless it only says the path again
``SCRIPT_NAME`` as a header             400, unless it is the declared prefix
``Destination``, a source to copy from  a resource of its own
======================================= =======================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from ..errors import InvalidRequestError
from .paths import Budget, all_readings, read_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_PATH_CHARS: Final = 8192
"""Longer paths are refused unread; most servers do not accept them."""
MAX_NAMED_CHARS: Final = 2048
"""Maximum length of a path in a header."""
MAX_ESCAPES: Final = 768
"""Maximum number of escapes in it: 256 Chinese characters."""
MAX_METHODS: Final = 8
MAX_MOVES: Final = 3
"""Maximum number of header values that move the path."""
MAX_MOVED_PATHS: Final = 32

SCRIPT_NAME_HEADER: Final = "HTTP_SCRIPT_NAME"
_METHOD_OWNERS: Final = (
    "", "X_", "HTTP_", "X_HTTP", "X_HTTP_", "X_REQUEST_", "X_HTTP_REQUEST_", "X_ORIGINAL_",
    "X_FORWARDED_", "X_REWRITE_", "X_REST_", "X_TUNNEL_", "X_TUNNELED_", "X_OVERRIDE_",
)  # fmt: skip
METHOD_KEYS: Final = frozenset(
    f"HTTP_{owner}{name}"
    for owner in _METHOD_OWNERS
    for name in ("METHOD", "VERB", "METHOD_OVERRIDE", "METHODOVERRIDE", "VERB_OVERRIDE")
) | {"HTTP_REQUEST_METHOD", "HTTP_X_ORIGINAL_HTTP_METHOD", "HTTP_X_WOPI_OVERRIDE"}
PREFIX_KEYS: Final = frozenset(
    f"HTTP_{name}"
    for name in (
        "SCRIPT_NAME", "X_SCRIPT_NAME", "X_SCRIPT_PREFIX", "X_FORWARDED_SCRIPT_NAME",
        "X_FORWARDED_PREFIX", "X_FORWARDED_ROOT", "X_FORWARDED_BASE", "X_FORWARDED_BASE_PATH",
        "X_FORWARDED_CONTEXT", "X_FORWARDED_CONTEXT_PATH", "X_ORIGINAL_PREFIX", "X_PREFIX",
        "X_PATH_PREFIX", "X_URL_PREFIX", "X_PROXY_PREFIX", "X_PROXY_PATH", "X_INGRESS_PATH",
        "X_BASE_PATH", "X_BASE_URL", "X_BASE_URI", "X_ROOT_PATH", "X_ROOT_URL", "X_URL_ROOT",
        "X_APP_ROOT", "X_APPLICATION_ROOT", "X_MOUNT_POINT", "X_MOUNT_PATH", "X_CONTEXT_PATH",
        "X_RELATIVE_URL_ROOT", "X_RSTUDIO_ROOT_PATH", "X_STRIPPED_PREFIX", "X_SUBFOLDER",
        "X_SUB_PATH", "X_PROXYCONTEXTPATH", "X_VHM_HOST", "X_VHM_ROOT",
        "X_VHOST_ROOT", "X_VIRTUAL_ROOT",
    )
)  # fmt: skip
# Headers with a path: as the proxy received it, and as the proxy rewrote it.
_PATH_OWNERS: Final = (
    "", "ARR_ORIGINAL_", "ENVOY_ORIGINAL_", "FORWARD_", "FORWARDED_", "FORWARDED_ORIGINAL_",
    "FORWARDED_REQUEST_", "FULL_", "INVOKE_", "MATCHED_", "MS_ORIGINAL_",
    "ORIGIN_", "ORIGINAL_", "ORIGINAL_FORWARDED_", "ORIGINAL_REQUEST_", "OVERRIDE_", "RAW_", "RC_",
    "REAL_", "REPLACED_", "REQUEST_", "REWRITE_", "REWRITTEN_", "ROUTE_", "SCRIPT_", "TARGET_",
    "UPSTREAM_", "VERCEL_", "VERCEL_FORWARDED_", "VERCEL_ORIGINAL_",
)  # fmt: skip
PATH_KEYS: Final = frozenset(
    f"HTTP_X_{owner}{name}"
    for owner in _PATH_OWNERS
    for name in ("PATH", "PATH_INFO", "URI", "URL")
) | frozenset(
    f"HTTP_{name}"
    for name in (
        "X_PATH_OVERRIDE", "X_HTTP_PATH_OVERRIDE", "X_URL_OVERRIDE", "X_URI_OVERRIDE",
        "X_HTTP_DESTINATIONURL", "X_REQUEST_TARGET", "X_PROXY_URL", "X_WAWS_UNENCODED_URL",
        "REQUEST_PATH", "REQUEST_URI", "RAW_URI", "REDIRECT_URL", "SCRIPT_URL",
    )
)  # fmt: skip
SOURCE_KEYS: Final = frozenset(
    f"HTTP_{name}"
    for name in (
        "COPY_SOURCE", "X_COPY_SOURCE", "X_COPY_FROM", "X_AMZ_COPY_SOURCE", "X_BCE_COPY_SOURCE",
        "X_COS_COPY_SOURCE", "X_GOOG_COPY_SOURCE", "X_MS_COPY_SOURCE", "X_MS_RENAME_SOURCE",
        "X_OBS_COPY_SOURCE", "X_OSS_COPY_SOURCE",
    )
)  # fmt: skip
WATCHED_KEYS: Final = (
    METHOD_KEYS | PREFIX_KEYS | PATH_KEYS | SOURCE_KEYS | {"HTTP_DESTINATION", "HTTP_DEPTH"}
)
"""Environ keys that can change a request's method or path."""

# What a method also does, in terms of other methods that a rule may name.  RFC 4918 §9.8 to §9.10,
# RFC 4791 §7
_IMPLIED: Final = {
    "COPY": ("GET",),
    "MOVE": ("GET", "DELETE"),
    "LOCK": ("PUT",),  # on a missing resource it creates an empty one
    "REPORT": ("GET",),  # its response has the found resources
}
# They act only on the resource; all others may also act on everything below.
_NOT_RECURSIVE: Final = frozenset(
    {
        "CONNECT", "GET", "HEAD", "MKCALENDAR", "MKCOL", "OPTIONS", "PATCH", "POST", "PROPPATCH",
        "PUT", "QUERY", "TRACE", "UNLOCK",
    }
)  # fmt: skip
INFINITE: Final = float("inf")
_DEPTHS: Final = {"0": 0.0, "1": 1.0}
# Methods that Depth limits: not DELETE and MOVE, nor REPORT and SEARCH, whose bodies define their
# scope.                                              RFC 4918 §10.2, RFC 4791 §7.9, RFC 5323 §2
_HEED_DEPTH: Final = {
    0.0: frozenset({"COPY", "LOCK", "PROPFIND"}),
    1.0: frozenset({"PROPFIND"}),
}

_URL: Final = re.compile(r"\A(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<authority>[^/?#]*)")
# URL parsers strip these; they accept a scheme without a host.
_BEFORE_PATH: Final = re.compile(r"\A[A-Za-z][A-Za-z0-9+.\-]*:(?://[^/\\?#]*)?")
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/")


def _spelled(name: str) -> str:
    """Return a regular expression for *name* in a query, escaped or not, in any case."""
    return "".join(f"(?:{re.escape(c)}|%{ord(c):02x}|%{ord(c.upper()):02x})" for c in name)


@cache  # rarely needed, and takes 1 % of a worker's start
def _method_in_query() -> re.Pattern[str]:
    """
    Return a regular expression for query parameters that name a method, and their values.

    ``_method``, ``__METHOD_OVERRIDE__``, ``method_override``, ``http_method``,
    ``X-HTTP-Method-Override`` and the like; ``method`` alone is an ordinary parameter.
    """
    method, override, http, x = map(_spelled, ("method", "override", "http", "x"))
    line = _spelled("_")
    either = f"(?:{_spelled('-')}|{line})"
    return re.compile(
        rf"(?:\A|[&;])(?:{line}+(?:{http}{line}?)?{method}(?:{line}?{override})?{line}*"
        rf"|(?:{x}{either})?(?:{http}{either}?)?{method}{either}?{override}"
        rf"|(?:{x}{either})?{http}{either}?{method})=([^&;]*)",
        re.IGNORECASE,
    )


class Target(NamedTuple):
    """
    A resource that a request names, and the methods that the app may run on it.

    Attributes:
        path: As in ``PATH_INFO``.
        methods: All methods that the app may run.
        others: Other paths that the app may see; all must be allowed.
        also: Equivalent spellings of *path*; a rule that relaxes must also name these.
        aliases: Names of it elsewhere; rules that restrict and cover them apply.
        depth: How many segments below the path a recursive method may reach.
    """

    path: str
    methods: tuple[str, ...]
    others: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    depth: float = INFINITE


def check_script_name(environ: WSGIEnvironment, prefix: str) -> None:
    """
    Check that ``SCRIPT_NAME`` was not set by a header.

    gunicorn accepts it from any client that it trusts as a proxy, strips it from the path, and
    keeps the header.

    Raises:
        InvalidRequestError: It was, and is not the declared *prefix*.
    """
    if environ.get(SCRIPT_NAME_HEADER, "") not in {"", prefix, prefix and f"{prefix}/"}:
        raise InvalidRequestError("SCRIPT_NAME was sent as a header")


def methods_in_query(query: str) -> list[str]:
    """Return the override methods in a query, up to one more than allowed."""
    if "%" not in query and "method" not in query.lower():
        return []
    found = islice(_method_in_query().finditer(query), MAX_METHODS + 1)
    return [unquote_plus(value[1]) for value in found]


def is_form(environ: WSGIEnvironment) -> bool:
    """Return whether the request has a form body, which may override the method."""
    media_type = environ.get("CONTENT_TYPE", "").strip().lower()
    if environ["REQUEST_METHOD"].upper() not in {"GET", "HEAD"}:
        return not media_type or media_type.startswith(_FORMS)
    has_body = environ.get("CONTENT_LENGTH", "") not in {"", "0"}
    return media_type.startswith(_FORMS) and (has_body or "HTTP_TRANSFER_ENCODING" in environ)


def levels_below(target: Target) -> float:
    """Return how many segments below its path a request may reach."""
    return max(_levels_below(method.upper(), target.depth) for method in target.methods)


def _levels_below(method: str, depth: float) -> float:
    if method in _NOT_RECURSIVE:
        return 0
    return depth if method in _HEED_DEPTH.get(depth, ()) else INFINITE


def with_implied(methods: Iterable[str]) -> tuple[str, ...]:
    """Return *methods*, each followed by the methods that it implies."""
    return tuple(dict.fromkeys(one for method in methods for one in (method, *_implied_by(method))))


def _implied_by(method: str) -> tuple[str, ...]:
    return _IMPLIED.get(method.upper(), ())


def read_request(
    environ: WSGIEnvironment, *, prefix: str = "", methods: Collection[str] = ()
) -> list[Target]:
    """
    Return the resources that a request names: its own first.

    Args:
        environ: The request's environ.
        prefix: Prefix that your own proxy strips from each path and sends in a header.
        methods: Additional methods that the app may run because of a form.

    Raises:
        InvalidRequestError: It is contradictory, or names more than can be checked in time.
    """
    check_script_name(environ, prefix)
    path = environ.get("PATH_INFO", "")
    if len(path) > MAX_PATH_CHARS:
        raise InvalidRequestError("the path is too long")
    said = (*_methods_in_headers(environ), *methods_in_query(environ.get("QUERY_STRING", "")))
    if len(said) > MAX_METHODS:
        raise InvalidRequestError("too many methods")
    sent = dict.fromkeys((environ["REQUEST_METHOD"], *said, *methods))
    depth = _DEPTHS.get(environ.get("HTTP_DEPTH", ""), INFINITE)
    others, aliases = _moved(path, environ, prefix)
    targets = [Target(path, with_implied(sent), others, _raw_path(environ), aliases, depth)]
    if "HTTP_DESTINATION" in environ:
        destination = _destination(environ["HTTP_DESTINATION"], environ)
        # An existing destination is deleted first, recursively (RFC 4918 §9.8.4, §9.9.3).
        replaced = () if environ.get("HTTP_OVERWRITE") == "F" else ("DELETE",)
        targets.append(_named(destination, environ, prefix, (*sent, "PUT", *replaced), depth))
    for key in SOURCE_KEYS & environ.keys():
        source = unquote(_path_of(_short(environ[key])), "latin-1")
        targets.append(_named(source, environ, prefix, ("GET",), depth))
    return targets


def _methods_in_headers(environ: WSGIEnvironment) -> Iterator[str]:
    for key in METHOD_KEYS & environ.keys():
        for value in environ[key].split(",", MAX_METHODS):  # servers join repeated headers
            yield value.strip()


def encoded_slash(environ: WSGIEnvironment) -> str | None:
    """Return the path of the request line if it has an escaped slash, lost in PATH_INFO."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw and "%" in raw:
        path: str = raw.partition("?")[0]
        if "%2f" in path.lower():
            return path
    return None


def _raw_path(environ: WSGIEnvironment) -> tuple[str, ...]:
    """
    Return ``PATH_INFO`` with escaped slashes restored.

    Apps that route on the raw request line see one segment where ``PATH_INFO`` has two.
    """
    raw = encoded_slash(environ)
    if raw is None:
        return ()
    kept = re.sub("%2f", "%252f", _path_of(_short(raw)), flags=re.IGNORECASE)
    return (unquote(kept, "latin-1").removeprefix(environ.get("SCRIPT_NAME", "")),)


def _path_of(value: str) -> str:
    """Return the path of a URL with or without scheme and host; it starts with a slash."""
    path = re.split("[?#]", _BEFORE_PATH.sub("", value.strip()), maxsplit=1)[0]
    return path if path.startswith("/") else "/" + path


def _moved(
    path: str, environ: WSGIEnvironment, prefix: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths that headers may move *path* to, and its name with *prefix*."""
    prefixes = [_path_of(value).rstrip("/") for value in _prefixes(environ)]
    moves = [
        *(
            unescaped
            for one in prefixes
            if one not in {"", prefix}
            for unescaped in _unescaped(one)
        ),
        *_other_paths(path, environ, prefix),
    ]
    if len(moves) > MAX_MOVES:
        raise InvalidRequestError("too many headers move the path")
    moved = dict.fromkeys([path])
    if moves and not read_path(path).canonical:
        moved.update(dict.fromkeys(all_readings(path, Budget())))
    values = dict.fromkeys(moves)
    for _ in moves:  # different layers may apply them, in any order
        for text in list(moved):
            for value in values:
                moved.update(dict.fromkeys(_ways_to_move(text, value)))
        if len(moved) > MAX_MOVED_PATHS:
            raise InvalidRequestError("headers move the path in too many ways")
    for key in PREFIX_KEYS & environ.keys():  # for most apps a comma is not a separator
        if "," in environ[key]:
            moved.update(dict.fromkeys(_ways_to_move(path, _path_of(environ[key]))))
    aliases = [prefix + path, *_below(prefix, path)] if prefix and prefix in prefixes else []
    aliases += _left_by_slashes(path, environ)
    return tuple(text for text in moved if text != path), tuple(aliases)


def _left_by_slashes(path: str, environ: WSGIEnvironment) -> Iterator[str]:
    """Yield *path* without prefixes that end in a slash: the rest has no leading slash."""
    for value in _prefixes(environ):
        cut = _path_of(value)
        if cut.endswith("/") and path.startswith(cut):
            yield path.removeprefix(cut)


def _ways_to_move(path: str, value: str) -> Iterator[str]:
    yield value
    yield value + path
    yield "/" + path[len(value) :].removeprefix("/")
    yield "/" + path.replace(value, "").removeprefix("/")  # at any position
    first = "/" + value[1:].partition("/")[0]
    if first != value:  # some use only the first segment as the prefix
        yield from _below(first, path)


def _prefixes(environ: WSGIEnvironment) -> Iterator[str]:
    """Yield the prefixes in headers; servers join repeated headers with a comma."""
    for key in PREFIX_KEYS & environ.keys():
        yield from _short(environ[key]).split(",", MAX_MOVES)


def _other_paths(path: str, environ: WSGIEnvironment, prefix: str) -> Iterator[str]:
    """Yield the paths in headers that differ from *path*."""
    script_name = environ.get("SCRIPT_NAME", "")
    said = {path, script_name + path, prefix + path}
    for key in PATH_KEYS & environ.keys():
        for named in _unescaped(_path_of(_short(environ[key]))):
            if named not in said:
                yield named
                if script_name and named.startswith(script_name):
                    yield named.removeprefix(script_name)


def _short(value: str) -> str:
    if len(value) > MAX_NAMED_CHARS or value.count("%") > MAX_ESCAPES:
        raise InvalidRequestError("a path in a header is too long")
    return value


def _unescaped(path: str) -> Collection[str]:
    """Return *path* unescaped, and also unchanged if that differs in meaning."""
    unescaped = unquote(path, "latin-1")
    return {path, unescaped} if "%2f" in path.lower() else {unescaped}


def _destination(value: str, environ: WSGIEnvironment) -> str:
    """
    Return the path of a ``Destination``.  Source: RFC 4918 §10.3.

    Raises:
        InvalidRequestError: It is neither a URL of this host nor an absolute path.
    """
    value = _short(value.strip())
    url = _URL.match(value)
    if url is not None:
        keys = ("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "SERVER_NAME")
        hosts = {_host(environ[key]) for key in keys if environ.get(key)}
        if url["scheme"].lower() not in {"http", "https"} or _host(url["authority"]) not in hosts:
            raise InvalidRequestError("Destination is not a URL of this host")
    elif not value.startswith("/"):
        raise InvalidRequestError("Destination is not a URL")
    return unquote(_path_of(value), "latin-1")


def _host(authority: str) -> str:
    """Return the host name without user and port."""
    return re.sub(r":[0-9]*\Z", "", authority.rpartition("@")[2]).lower()


def _below(prefix: str, path: str) -> Iterator[str]:
    """Yield the rest of *path* below *prefix*, if it is below."""
    prefix = prefix.rstrip("/")
    if prefix and (path + "/").startswith(prefix + "/"):
        yield path.removeprefix(prefix) or "/"


def _named(
    path: str,
    environ: WSGIEnvironment,
    prefix: str,
    methods: tuple[str, ...],
    depth: float,
) -> Target:
    """Return the target at *path* of this host, as if in ``PATH_INFO``."""
    mounted = path
    for part in (prefix, environ.get("SCRIPT_NAME", "")):
        mounted = next(_below(part, mounted), mounted)
    others, aliases = _moved(mounted, environ, prefix)
    return Target(mounted, methods, others, aliases=(path, *aliases), depth=depth)

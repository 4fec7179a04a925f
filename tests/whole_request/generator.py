"""Requests as gunicorn reads them from the wire, composed of what each app has and more."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create

from jwt_middleware.wsgi.request import METHOD_KEYS, PATH_KEYS, PREFIX_KEYS, SOURCE_KEYS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_CONFIG: Final = Config()
_LOOPBACK: Final = ("127.0.0.1", 1)


class Sent(NamedTuple):
    """A request as it is sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def environ(self) -> WSGIEnvironment | None:
        """Return what gunicorn makes of it for an app; ``None`` if it is refused."""
        fields = [("Host", "localhost"), *self.headers]
        if self.body:
            fields.append(("Content-Length", str(len(self.body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        octets = f"{self.method} {self.target} HTTP/1.1\r\n{head}\r\n".encode() + self.body
        try:
            request = next(RequestParser(_CONFIG, iter([octets]), _LOOPBACK))
            _, environ = create(request, None, _LOOPBACK, ("127.0.0.1", 80), _CONFIG)
        except (ParseException, ValueError, StopIteration):
            return None
        except Exception as error:
            if type(error).__name__ == "ConfigurationProblem":  # SCRIPT_NAME does not fit
                return None
            raise
        result: dict[str, Any] = dict(environ)
        return result


METHODS: Final = (
    "GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "COPY",
    "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "REPORT", "MKCOL", "FOO", "QUERY", "SEARCH", "BIND",
)  # fmt: skip
HEADER_NAMES: Final = (
    *sorted(
        key.removeprefix("HTTP_").replace("_", "-")
        for key in METHOD_KEYS | PATH_KEYS | PREFIX_KEYS | SOURCE_KEYS
    ),
    "PATH_INFO", "Overwrite", "X-Forwarded-For", "Content-Type", "Origin", "Referer", "Forwarded",
    "Access-Control-Request-Method", "X-Forwarded-Host", "Content-Location",
)  # fmt: skip
HEEDED: Final = (
    "SCRIPT_NAME", "X-Script-Name", "X-Vhm-Root", "X-Forwarded-Prefix", "X-Rewrite-URL",
    "X-HTTP-Method-Override", "Destination", "Depth",
)  # fmt: skip
"""What the apps here act on."""
SPELLINGS: Final = (
    str.upper, str.title, str.swapcase,
    lambda path: path.replace("/", "//"), lambda path: path.replace("/", "/./"),
    lambda path: "/x/.." + path, lambda path: path + "/", lambda path: path + "/..",
    lambda path: path + ".json", lambda path: path + ";x", lambda path: path + "%00",
    lambda path: path + "%3Fx", lambda path: path + "%23x", lambda path: path + "/index",
    lambda path: path.replace("/", "%2F"), lambda path: path.replace("/", "/%2e/"),
    lambda path: path.replace("/", "/@@"), lambda path: path.replace("/", "\\"),
    lambda path: path.replace("a", "%61"), lambda path: path.replace("a", "%2561"),
    lambda path: path.replace("_", "-"), lambda path: path.replace("i", "%C4%B1"),
    lambda path: path.replace("a", quote("ａ")), lambda path: "http://localhost" + path,
    lambda path: "//localhost" + path, lambda path: path.replace("/", quote("／")),
    lambda path: path[:2] + "%C2%AD" + path[2:], lambda path: path + "%20", lambda path: path + ".",
)  # fmt: skip
QUERIES: Final = ("", "", "", "?x=1", "?_method=delete", "?_%6Dethod=DELETE", "?a&_METHOD=Delete")


class Generator:
    """
    Composes requests.

    Args:
        words: Paths and methods that the app has.
        seed: The same seed makes the same requests.
    """

    def __init__(self, words: Sequence[str], seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._paths = [word for word in words if word.startswith("/")]
        self._words = words

    def requests(self, count: int) -> Iterator[Sent]:
        """Yield *count* requests."""
        for _ in range(count):
            yield self._request()

    def _request(self) -> Sent:
        pick = self._random.choice
        method = pick(METHODS)
        if self._random.random() < 0.1:
            method = pick((str.lower, str.title))(method)
        names = HEEDED if self._random.random() < 0.6 else HEADER_NAMES
        headers = tuple(
            (name, self._value(name))
            for name in self._random.sample(names, pick((0, 1, 1, 1, 2, 3)))
        )
        form = self._random.random() < 0.05
        if form:
            headers += (("Content-Type", "application/x-www-form-urlencoded"),)
        return Sent(
            method, self._path() + pick(QUERIES), headers, b"_method=delete" if form else b""
        )

    def _path(self) -> str:
        pick = self._random.choice
        path = pick((*self._paths, "/", "/health"))
        if self._random.random() < 0.3:
            path = pick((*self._paths, "/x")) + path
        for _ in range(pick((0, 0, 0, 1, 1, 2))):
            path = pick(SPELLINGS)(path)
        return path.replace(" ", "%20") or "/"

    def _value(self, name: str) -> str:
        pick = self._random.choice
        if name == "Depth":
            return pick(("0", "1", "infinity", "2"))
        if "METHOD" in name.upper() or "VERB" in name:
            return pick(("DELETE", "delete", "GET", "PUT", "MOVE", "OPTIONS"))
        if name == "Content-Type":
            return pick(("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"))
        path = self._path()
        return pick(
            (
                path,
                path,
                "/" + path.split("/")[min(1, path.count("/"))],
                path.rpartition("/")[0] or "/",
                pick(self._words),
                "http://localhost" + path,
                "/x",
                path + "," + self._path(),
            )
        )

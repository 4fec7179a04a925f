"""
CORS: which other origins may read the responses of this middleware.

It applies to the token endpoint, the metadata and every refusal.  The app's responses are not
changed: it sets its own CORS headers, and of its response to a preflight without a token only they
pass.  Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from werkzeug.http import HTTP_STATUS_CODES

from ..bounds import check_whole
from ..errors import ConfigurationError
from .unread import skip_body

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUIRED_HEADERS: Final = ("Authorization", "Content-Type")
DEFAULT_EXPOSED: Final = ("WWW-Authenticate", "Retry-After")
DEFAULT_MAX_AGE_SECONDS: Final = 600
MAX_AGE_SECONDS: Final = 86_400  # no browser caches a preflight for longer
MAX_ORIGIN_CHARS: Final = 300  # a scheme, a host name of 253 and a port

# As sent by browsers: lower case, punycode, no default port, no path.  Compiled when a CORS is
# created, since most services have none.
_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PORT: Final = "(?::(?P<port>[1-9][0-9]{0,4}))?"
_EXACT: Final = (
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\]){_PORT}"
)
# At least two labels, and not an IP address: the last label is not a number.
_PATTERN: Final = (
    rf"(?P<scheme>https?)://\*(?P<domain>(?:\.{_LABEL})+\.(?![0-9]+(?::|\Z)){_LABEL}){_PORT}"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_WORD: Final = r"[A-Za-z0-9!#$%&'+.^_`|~-]+"  # a token of RFC 9110 §5.6.2, but for "*"
_UNSENDABLE: Final = frozenset({"CONNECT", "TRACE", "TRACK"})

# Headers that pass of an app's response to a preflight without a token.
_PASSING: Final = ("access-control-", "vary")
_WITHOUT_BODY: Final = frozenset({204, 304})

_Headers = list[tuple[str, str]]


def requested_method(environ: WSGIEnvironment) -> str | None:
    """
    Return the method that a CORS preflight asks for; ``None`` if it is not a preflight.

    Source: https://fetch.spec.whatwg.org/#cors-preflight-fetch
    """
    if environ["REQUEST_METHOD"] != "OPTIONS" or not environ.get("HTTP_ORIGIN"):
        return None
    return environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD") or None


class CORS:
    """
    A CORS policy: allowed origins, and the response to their preflights.

    Args:
        origins: Exact, ``https://app.example.com``, or all subdomains of your own domain,
            ``https://*.example.com``: one label or more, scheme and port as written.  ``null``
            (sandboxed frames and any local file) only if listed; ``*`` alone is every origin.
        methods: Methods that a preflight may request.
        headers: Headers it may request in addition to ``Authorization`` and ``Content-Type``.
        exposed_headers: Response headers that scripts may read.
        max_age_seconds: How long a browser may cache the response to a preflight.
        credentials: Whether scripts may send cookies of this site; not with ``*`` and ``null``.

    Raises:
        ConfigurationError: A value is invalid.
    """

    def __init__(
        self,
        origins: Collection[str],
        *,
        methods: Collection[str] = DEFAULT_METHODS,
        headers: Collection[str] = (),
        exposed_headers: Collection[str] = DEFAULT_EXPOSED,
        max_age_seconds: int = DEFAULT_MAX_AGE_SECONDS,
        credentials: bool = False,
    ) -> None:
        if type(credentials) is not bool:
            raise ConfigurationError("credentials must be true or false")
        _check_origins(origins, credentials=credentials)
        _check_names("methods", methods)
        for method in methods:
            if method != method.upper() or method in _UNSENDABLE:
                raise ConfigurationError(f"methods: {method!r} is not a method that browsers send")
        _check_names("headers", headers)
        _check_names("exposed_headers", exposed_headers)
        check_whole("max_age_seconds", max_age_seconds, 0, MAX_AGE_SECONDS)
        self.origins: tuple[str, ...] = tuple(origins)
        self._every_origin = "*" in origins
        self._exact = frozenset(one for one in origins if "*" not in one)
        self._pattern = _compiled(one for one in origins if "*" in one and one != "*")
        self._methods = frozenset(methods)
        self._credentials: _Headers = []
        if credentials:
            self._credentials.append(("Access-Control-Allow-Credentials", "true"))
        self._exposed: _Headers = []
        if exposed_headers:
            self._exposed.append(("Access-Control-Expose-Headers", ", ".join(exposed_headers)))
        allowed = {one.lower(): one for one in (*headers, *REQUIRED_HEADERS)}
        self._preflight: _Headers = [
            ("Access-Control-Allow-Headers", ", ".join(allowed.values())),
            ("Access-Control-Max-Age", str(max_age_seconds)),
        ]

    def allows(self, origin: str | None) -> bool:
        """Return whether the value of an ``Origin`` header is one of :attr:`origins`."""
        if self._every_origin or origin in self._exact:
            return True
        return (
            origin is not None
            and self._pattern is not None
            and len(origin) <= MAX_ORIGIN_CHARS
            and self._pattern.fullmatch(origin) is not None
        )

    def wrap(self, app: WSGIApplication) -> WSGIApplication:
        """Wrap *app*, such as a separate :class:`TokenEndpoint`, with these CORS headers."""

        def readable_app(
            environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            if requested_method(environ) is not None:
                return self.answer_preflight(environ, start_response)
            return app(environ, self.readable(environ, start_response))

        return readable_app

    def readable(self, environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
        """Return a *start_response* that adds the CORS headers."""
        added = self._named(environ)
        if added:
            added += self._exposed

        def start(status: str, headers: _Headers, exc_info: OptExcInfo | None = None, /) -> Any:
            if not any(name.lower().startswith("access-control-") for name, _ in headers):
                headers = [*self._varying(headers), *added]
            return start_response(status, headers, exc_info)

        return start

    def answer_preflight(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a CORS preflight: 204, with the allowed methods and headers for the origins."""
        headers = self._varying([("Vary", "Access-Control-Request-Method")])
        named = self._named(environ)
        if named:
            headers += [*named, *self._preflight]
            method = requested_method(environ)
            if method in self._methods:
                headers.append(("Access-Control-Allow-Methods", method))
        start_response("204 No Content", headers)
        return skip_body(environ, [])

    def _named(self, environ: WSGIEnvironment) -> _Headers:
        if self._every_origin:
            return [("Access-Control-Allow-Origin", "*")]
        origin = environ.get("HTTP_ORIGIN")
        if not self.allows(origin):
            return []
        return [("Access-Control-Allow-Origin", str(origin)), *self._credentials]

    def _varying(self, headers: _Headers) -> _Headers:
        """Return *headers* with ``Origin`` in ``Vary``, even if the request has no origin."""
        if self._every_origin:
            return headers
        values = ", ".join(value for name, value in headers if name.lower() == "vary")
        others = [header for header in headers if header[0].lower() != "vary"]
        names = {name.strip().lower() for name in values.split(",")}
        if names.isdisjoint({"origin", "*"}):
            values = f"{values}, Origin" if values else "Origin"
        return [*others, ("Vary", values)]


def _compiled(patterns: Iterable[str]) -> re.Pattern[str] | None:
    label = rf"(?:{_LABEL}\.)+"
    alternatives = [re.escape(one).replace(r"\*\.", label) for one in patterns]
    return re.compile("|".join(alternatives)) if alternatives else None


def _check_origins(origins: Collection[str], *, credentials: bool) -> None:
    if not origins or not _are_texts(origins):
        raise ConfigurationError('origins must be a list, as in ["https://app.example.com"]')
    for one in origins:
        if one in {"*", "null"}:
            if credentials:
                raise ConfigurationError(
                    f"origins: {one!r} allows any page: list the origins, or leave credentials out"
                )
        elif not _is_origin(one):
            raise ConfigurationError(f"origins: {one!r} {_ADVICE}")
    if "*" in origins and len(origins) > 1:
        raise ConfigurationError("origins: '*' is every origin: leave the others out")


_ADVICE: Final = (
    "must be as browsers send it, https://app.example.com or http://localhost:5173 (lower case, no "
    "path, no default port), or https://*.example.com"
)


def _is_origin(origin: str) -> bool:
    match = re.fullmatch(_EXACT, origin) or re.fullmatch(_PATTERN, origin)
    if match is None or len(origin) > MAX_ORIGIN_CHARS:
        return False
    return match["port"] is None or (
        match["port"] != _DEFAULT_PORTS.get(match["scheme"]) and int(match["port"]) <= 65_535
    )


def _check_names(setting: str, names: Collection[str]) -> None:
    if not _are_texts(names) or not all(re.fullmatch(_WORD, name) for name in names):
        raise ConfigurationError(f"{setting} must be a list of names, without *")


def _are_texts(values: object) -> bool:
    return (
        isinstance(values, Collection)
        and not isinstance(values, str)
        and all(isinstance(one, str) for one in values)
    )


def answer_preflight(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """
    Call *app* and return only its status and CORS headers.

    Otherwise an app that ignores the method would return its body to any client that sends the two
    preflight headers.

    Raises:
        RuntimeError: The app did not call *start_response*.
    """
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Any:
        started[:] = [(int(status[:3]), headers)]
        return lambda _: None

    answer = app(environ, start)
    try:
        if not started:  # a generator starts when its body is read
            next(iter(answer), None)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    if not started:
        raise RuntimeError("the app did not call start_response")
    status, headers = started[0]
    passing = [header for header in headers if header[0].lower().startswith(_PASSING)]
    if status not in _WITHOUT_BODY:
        passing += [("Content-Type", "text/plain"), ("Content-Length", "0")]
    start_response(f"{status} {HTTP_STATUS_CODES.get(status, 'Unknown')}", passing)
    return skip_body(environ, [])

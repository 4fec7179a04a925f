"""CORS preflights, and an app's answer to one without a token: its CORS headers alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from werkzeug.http import HTTP_STATUS_CODES

from .unread import skip_body

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PASSING: Final = ("access-control-", "vary")
_WITHOUT_BODY: Final = frozenset({204, 304})


def requested_method(environ: WSGIEnvironment) -> str | None:
    """
    Return the method that a CORS preflight asks for, or ``None`` if the request is none.

    Source: https://fetch.spec.whatwg.org/#cors-preflight-fetch
    """
    if environ["REQUEST_METHOD"] != "OPTIONS" or not environ.get("HTTP_ORIGIN"):
        return None
    return environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD") or None


def answer_preflight(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """
    Call *app* and answer with its status and CORS headers.

    A function that answers every method alike would give its body to anyone who sends two headers.

    Raises:
        RuntimeError: The app ended without having called *start_response*.
    """
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Any:
        started[:] = [(int(status[:3]), headers)]
        return lambda _: None

    answer = app(environ, start)
    try:
        if not started:  # it waits until its body is read
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

"""The reader's app, for configurations and commands that name one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Greet the user."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello, {environ.get('REMOTE_USER', 'stranger')}\n".encode()]

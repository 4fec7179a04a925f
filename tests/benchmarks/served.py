"""The app that gunicorn serves, open and protected: ``tests.benchmarks.served:bare``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .warm import protected as _protected

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def bare(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with two words."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])
    return [b"the app\r\n"]


protected = _protected(bare)

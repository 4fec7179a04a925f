"""gunicorn, in this process.  The only module that needs it."""

from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.errors import AppImportError, HaltServer

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(self, load: Callable[[], WSGIApplication], settings: dict[str, Any]) -> None:
        self._load = load
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            if name in self.cfg.settings:  # control_socket_disable came with gunicorn 25
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        try:
            return self._load()
        except ConfigurationError as error:
            # Of all errors this is the one that gunicorn prints without a traceback.
            raise AppImportError(f"Error: {error}") from error


def _heed_signals(arbiter: Any, _worker: Any) -> None:
    """
    Have a worker end that is told to before it has handlers of its own.

    Until then it has its master's.  They note the signal, for a loop that runs in the master only:
    it would be lost, and the master would wait for the worker for half a minute.
    """
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    with suppress(queue.Empty, AttributeError):  # older gunicorns have a list here
        while True:
            if arbiter.SIG_QUEUE.get_nowait() in _ENDING:
                sys.exit(0)


def run(load: Callable[[], WSGIApplication], **settings: Any) -> None:
    """
    Serve until a signal ends it; returns in no process.

    Args:
        load: Makes the app, in each worker.
        settings: gunicorn's.

    Raises:
        SystemExit: 0 after SIGINT or SIGTERM, 1 if it could not start.
    """
    master = os.getpid()
    try:
        # The socket lies under the home directory, where two servers would share it.
        _Server(
            load,
            {
                "control_socket_disable": True,
                "forwarder_headers": "",  # no client's header becomes SCRIPT_NAME
                "post_fork": _heed_signals,
                **settings,
            },
        ).run()
    except HaltServer:  # gunicorn's own, when a second worker fails while it is halting
        sys.exit(1)
    except SystemExit as stop:
        # A worker's own code tells its master whether to start another.
        sys.exit(1 if stop.code and os.getpid() == master else stop.code)

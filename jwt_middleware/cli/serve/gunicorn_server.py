"""Run gunicorn in this process.  The only module that needs gunicorn."""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.errors import AppImportError, ConfigError, HaltServer
from gunicorn.glogging import Logger
from gunicorn.util import load_class

from ...core.jws import decode_segment, parse_object
from ...errors import AuthError, ConfigurationError
from ...events import clean, escaped, quoted
from ...files import read_regular
from ...wsgi.address import shown_client
from ...wsgi.bearer import AUTHORIZATION
from ...wsgi.environ import get_claims
from ...wsgi.middleware import JWTMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


_DEFAULT_FORMAT: Final = Config().access_log_format
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(
        self,
        load: Callable[[], WSGIApplication],
        settings: dict[str, Any],
        reread: Callable[[], object] = lambda: None,
    ) -> None:
        self._load = load
        self._reread = reread
        self._settings = settings
        self._started_at = time.time()
        self.callable: Any = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            if name in self.cfg.settings:  # control_socket_disable came with gunicorn 25
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        try:
            return self._load()
        except (Exception, SystemExit) as error:
            if self.cfg.reload and not isinstance(error, SyntaxError):
                # After a SyntaxError, gunicorn waits for the file to change.
                raise SyntaxError(str(error), (_own_file(error), None, None, None)) from error
            if isinstance(error, ConfigurationError):
                # gunicorn prints an AppImportError without a traceback.
                raise AppImportError(f"Error: {error}") from error
            raise

    def reload(self) -> None:
        """
        Load the app again at SIGHUP, for workers forked later.

        gunicorn itself keeps a preloaded app.  After an error the old app is kept: a wrong new
        configuration does not end a running service.  Modules are imported once per process:
        changed ones are reported, as they need a restart.
        """
        super().reload()
        before: Any = self.callable
        try:
            self._reread()
            if not self.cfg.preload_app or before is None:
                return
            self.callable = self._load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  the app's modules may raise any
            print(f"not reloaded: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return
        if isinstance(before, JWTMiddleware) and before.metrics is not None:
            before.metrics.close()
        if changed := _changed_modules(self._started_at):
            print(  # noqa: T201
                f"reloaded, but not {', '.join(changed)}, changed since the start: restart to"
                " import new modules, or set serve.preload = false",
                file=sys.stderr,
                flush=True,
            )


def _own_file(error: BaseException) -> str | None:
    """Return the file below the working directory that raised *error*, or ``None``."""
    frames = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    own = [name for name in frames if Path(name).is_relative_to(Path.cwd())]
    return own[-1] if own else None


def _changed_modules(since: float, *, most: int = 3) -> list[str]:
    """Return the names of modules whose files have changed."""
    changed = []
    for name, module in sorted(sys.modules.items()):
        with suppress(Exception):  # no file, a deleted file, or not a module
            # ctime also changes if an older file replaces it.
            if Path(str(module.__file__)).stat().st_ctime > since:
                changed.append(name)
    return changed if len(changed) <= most else [*changed[:most], f"{len(changed) - most} others"]


class _AccessLog(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """
    Gunicorn's log, with an access log line that ends with the token's subject.

    Values from clients are escaped.  The query is left out, as it may have tokens.
    """

    is_json = False
    trusted_proxies = 0

    def access(
        self, resp: Any, req: Any, environ: WSGIEnvironment, request_time: timedelta
    ) -> None:
        """Log one request."""
        if self.cfg.access_log_format != _DEFAULT_FORMAT:
            super().access(resp, req, environ, request_time)
            return
        if not (self.cfg.accesslog or self.cfg.logconfig or self.cfg.logconfig_dict):
            return
        # If the app failed, gunicorn passes an environ without a path.
        path = environ.get("PATH_INFO") or getattr(req, "path", "")
        path = environ.get("SCRIPT_NAME", "") + path
        fields = {
            "client": clean(shown_client(environ, self.trusted_proxies) or "-"),
            "method": clean(environ["REQUEST_METHOD"]),
            "path": clean(path),
            "status": str(resp.status)[:3],
            "bytes": getattr(resp, "sent", None) or 0,
            "milliseconds": round(request_time.total_seconds() * 1000, 1),
        }
        owner = {name: clean(value) for name, value in _owner(environ).items()}
        if self.is_json:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = json.dumps({"time": at, "event": "access", **fields, **owner})
        else:
            fields |= {name: escaped(str(fields[name])) for name in ("method", "path")}
            line = '{client} "{method} {path}" {status} {bytes}B {milliseconds}ms'.format(**fields)
            words = (f"{name}={quoted(value)}" for name, value in owner.items())
            line = " ".join((self.now(), line, *words))
        self.access_log.info("%s", line)

    def exception(self, msg: str, *args: object, **kwargs: Any) -> None:
        """Log an error with its traceback; a URI in *args* without its query."""
        cut = (one.partition("?")[0] if isinstance(one, str) else one for one in args)
        super().exception(msg, *cut, **kwargs)


def access_log(*, is_json: bool, trusted_proxies: int) -> type[Logger]:
    """Return a logger class, which gunicorn instantiates."""
    return type(
        "AccessLog", (_AccessLog,), {"is_json": is_json, "trusted_proxies": trusted_proxies}
    )


def _owner(environ: WSGIEnvironment) -> dict[str, object]:
    """Return the subject of a request, and *kid* and *jti* of its verified token."""
    owner: dict[str, object] = {"sub": environ.get("REMOTE_USER") or "-"}
    claims = get_claims(environ)
    if claims is not None:
        header = environ.get(AUTHORIZATION, "").strip(" \t")[6:].lstrip(" ").partition(".")[0]
        owner |= {"kid": _kid_in(header), "jti": claims.get("jti")}
    return {name: value for name, value in owner.items() if value}


@lru_cache(maxsize=256)  # all tokens of a key have the same header
def _kid_in(header: str) -> object:
    octets = header.encode("utf-8", "surrogatepass")
    with suppress(AuthError):  # the token was in another header
        return parse_object(decode_segment(octets, "header"), "header").get("kid")
    return None


def parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    """
    Return the settings for options of gunicorn's command line.

    Raises:
        UsageError: gunicorn does not know the option, or not in this form.
    """
    parser = Config().parser()

    def refuse(message: str) -> None:
        raise click.UsageError(f"gunicorn: {message}")

    parser.error = refuse
    given = vars(parser.parse_args(list(arguments)))
    if extra := given.pop("args", None):
        raise click.UsageError(f"unexpected argument {extra[0]!r}")
    return {name: value for name, value in given.items() if value is not None}


def _restore_signals(arbiter: Any, _worker: Any) -> None:
    """
    Let a signal end a worker before it has its own handlers.

    Until then it has its master's.  They queue the signal for a loop that runs only in the master:
    it would be lost, and the master would wait for the worker for 30 s.
    """
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    with suppress(queue.Empty, AttributeError):  # older gunicorns have a list here
        while True:
            if arbiter.SIG_QUEUE.get_nowait() in _ENDING:
                sys.exit(0)


def end_on_hangup(_arbiter: Any) -> None:
    """Let SIGHUP, sent by a closed terminal, end the server: for ``when_ready``."""
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def run(
    load: Callable[[], WSGIApplication],
    *,
    reread: Callable[[], object] = lambda: None,
    log_format: str = "line",
    trusted_proxies: int = 0,
    **settings: Any,
) -> None:
    """
    Serve until a signal; never returns.

    Args:
        load: Builds the app, in each worker or before they are forked.
        reread: Rereads the configuration at SIGHUP; after an error the old one is kept.
        log_format: Format of the access log: ``"line"`` or ``"json"``.
        trusted_proxies: As for :func:`.client_address`, for the access log.
        settings: gunicorn's settings.

    Raises:
        ConfigurationError: gunicorn knows no such setting, or not with this value.
        SystemExit: 0 after SIGINT or SIGTERM, 1 if it could not start.
    """
    master = os.getpid()
    logger = access_log(is_json=log_format == "json", trusted_proxies=trusted_proxies)
    check_settings(settings)
    try:
        # The socket is in the home directory, where two servers would share it.
        _Server(
            load,
            {
                "control_socket_disable": True,
                "forwarder_headers": "",  # no client header becomes SCRIPT_NAME
                "post_fork": _restore_signals,
                "logger_class": logger,
                **settings,
            },
            reread,
        ).run()
    except AppImportError as error:  # gunicorn does not catch it for a preloaded app
        print(error, file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(1)
    except HaltServer:  # gunicorn's own, when a second worker fails while it is halting
        sys.exit(1)
    except SystemExit as stop:
        # A worker's exit code tells its master whether to start another.
        sys.exit(1 if stop.code and os.getpid() == master else stop.code)


_CLASSES: Final = ("worker_class", "logger_class")
_READ: Final = ("certfile", "keyfile", "ca_certs")
_WRITTEN: Final = ("pidfile", "errorlog", "accesslog")


def check_settings(settings: Mapping[str, Any]) -> None:
    """
    Check settings that gunicorn would reject only at start, with a traceback.

    Raises:
        ConfigurationError: gunicorn knows no such setting, or not with this value.
    """
    probe = Config()
    for name, value in settings.items():
        if name not in probe.settings:
            raise ConfigurationError(f"serve.gunicorn.{name}: gunicorn has no such setting")
        try:
            probe.set(name, value)
            _check_use(name, value)
        except (ConfigError, RuntimeError, TypeError, ValueError, OSError) as error:
            said = str(error).partition("\n")[0]
            raise ConfigurationError(f"serve.gunicorn.{name}: {said}") from error


def _check_use(name: str, value: Any) -> None:
    if name in _CLASSES:
        _load_class(value, f"gunicorn.{name.removesuffix('_class')}s")
    elif name in _READ:
        read_regular(value)
    elif name == "worker_tmp_dir" and not Path(value).is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", value)
    elif name in _WRITTEN and value != "-" and not Path(value).absolute().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder is missing", value)


def _load_class(value: Any, section: str) -> None:
    try:
        load_class(value, section=section)
    except Exception as error:  # a module may raise any
        # gunicorn's message has the whole traceback.
        *_, said = (line for line in str(error).splitlines() if line.strip("] "))
        raise ValueError(f"{value!r} cannot be loaded ({said})") from error

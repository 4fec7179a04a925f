"""``jwt-middleware serve``: run a protected app under gunicorn."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from werkzeug.exceptions import NotFound

from ...bounds import check_whole
from ...config import Settings, load
from ...config.callables import NAME
from ...config.loading import start
from ...config.service import MAX_WORKERS, METRICS_DIRECTORY, ServeSettings, check_bind
from ...errors import ConfigurationError
from ...events import logger
from ...wsgi.middleware import JWTMiddleware


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("app", metavar="MODULE:APP")
@click.argument("gunicorn_options", metavar="[OPTION OF GUNICORN]...", nargs=-1)
@click.option("--bind", help="HOST:PORT or unix:PATH.  [default: 127.0.0.1:8000]")
@click.option("--workers", type=click.IntRange(min=1), help="[default: 2]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each worker.  [default: 1]")
@click.option("--reload", is_flag=True, help="Restart when a module changes: for development.")
@click.pass_obj
def serve(
    config: Path,
    app: str,
    gunicorn_options: tuple[str, ...],
    *,
    bind: str | None,
    workers: int | None,
    threads: int | None,
    reload: bool,
) -> None:
    """
    Serve MODULE:APP, imported from the working directory, behind the middleware.

    Options override [serve] of the configuration; other options are passed to gunicorn, as in
    --timeout 60.  SIGHUP rereads the configuration and replaces the workers; if it has an error,
    the old workers stay.
    """
    try:
        from .gunicorn_server import check_settings, parse_options, run  # noqa: PLC0415  needs gunicorn, an extra
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"serve needs gunicorn, and {error.name} is missing: pip install gunicorn"
        ) from error
    if not re.fullmatch(NAME, app.partition("(")[0]):
        raise click.UsageError(f'{app!r}: write MODULE:APP, as in "myapp:app"')
    settings = load(config)
    serving = settings.serve
    serving.check()
    given = {"bind": bind, "workers": workers, "threads": threads}
    options = _options(serving) | {name: value for name, value in given.items() if value}
    options |= parse_options(gunicorn_options)
    _check_given(options)
    check_settings(options)
    if proxies := settings.trusted_proxies():
        options["trusted_proxies"] = proxies
    if reload or options.get("reload"):
        watched = [*options.get("reload_extra_files", ()), str(config)]
        options |= {"reload": True, "preload_app": False, "reload_extra_files": watched}
    with _environ(settings, options["workers"]) as environ:
        _try(settings, environ)
        add_working_directory()
        current = [settings]  # also for workers that are started later

        def reread() -> None:
            read = load(config)
            if not options["preload_app"]:
                _try(read, environ)
            current[:] = [read]

        def make() -> JWTMiddleware:
            return start(load(config) if options.get("reload") else current[0], app, environ)

        run(make, reread=reread, log_format=settings.logging.format, **options)


def _check_given(options: Mapping[str, Any]) -> None:
    """Check settings from the command line like those from the file."""
    binds = options["bind"]
    try:
        for bind in binds if isinstance(binds, list) else [binds]:
            check_bind(bind)
        for name in ("workers", "threads"):
            check_whole(name, options[name], 1, MAX_WORKERS)
    except ConfigurationError as error:
        raise click.UsageError(f"--{error}") from error
    for bind in binds if isinstance(binds, list) else [binds]:
        file = Path(bind.removeprefix("unix:").removeprefix("//"))
        if bind.startswith("unix:") and file.exists() and not file.is_socket():
            raise click.UsageError(f"--bind {bind!r} is an existing file, not a socket")


def _try(settings: Settings, environ: Mapping[str, str]) -> None:
    """Build everything except the app once, before workers start, without logging."""
    silent = logging.NullHandler()
    logger.addHandler(silent)
    try:
        tried = settings.protect(NotFound(), environ)
    finally:
        logger.removeHandler(silent)
    if tried.metrics is not None:
        tried.metrics.close()


def add_working_directory() -> None:
    """Make modules of the working directory importable, as ``python`` does."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _options(serving: ServeSettings) -> dict[str, Any]:
    return {
        "bind": serving.bind,
        "workers": serving.workers,
        "threads": serving.threads,
        "preload_app": serving.preload,
        **({"accesslog": "-"} if serving.access_log else {}),
        **(serving.gunicorn or {}),
    }


@contextmanager
def _environ(settings: Settings, workers: int) -> Iterator[Mapping[str, str]]:
    """Yield the environment for the app, with a folder for the metrics of several workers."""
    environ = {**os.environ, "WEB_CONCURRENCY": str(workers)}
    if settings.metrics is None or settings.metrics.directory or METRICS_DIRECTORY in environ:
        yield environ
        return
    owner, folder = os.getpid(), tempfile.mkdtemp(prefix="jwt-middleware-metrics-")
    try:
        yield {**environ, METRICS_DIRECTORY: folder}
    finally:
        if os.getpid() == owner:  # workers also get here when they end
            shutil.rmtree(folder, ignore_errors=True)

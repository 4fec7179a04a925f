"""``jwt-middleware serve``: a protected app under gunicorn."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from werkzeug.exceptions import NotFound

from ..config import load
from ..config.callables import NAME, find


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="HOST:PORT or unix:PATH.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.pass_obj
def serve(config: Path, app: str, bind: str, workers: int) -> None:
    """Serve MODULE:APP, found from the working directory, behind the middleware."""
    try:
        from .gunicorn_server import run  # noqa: PLC0415  needs gunicorn, an extra
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"serve needs gunicorn, and {error.name} is missing: pip install gunicorn"
        ) from error
    if not NAME.fullmatch(app):
        raise click.UsageError(f'{app!r}: write MODULE:APP, as in "myapp:app"')
    environ = {**os.environ, "WEB_CONCURRENCY": str(workers)}
    # Before any worker starts, and without the app, which is for each worker to import.
    load(config).protect(NotFound(), environ)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        run(lambda: load(config).protect(find("app", app), environ), bind=bind, workers=workers)
    except OverflowError as error:
        raise click.UsageError(f"--bind {bind}: the port must be 0 to 65535") from error

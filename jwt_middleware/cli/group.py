"""The command ``jwt-middleware``: its global options, and errors of one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..errors import AuthError, JWTMiddlewareError
from ..events import logger
from ..files import diagnose
from .account import account
from .check.command import check
from .check.explain import explain
from .init.command import init
from .keys import keys
from .serve.command import add_working_directory, serve
from .session import session
from .token import token


class OneLineErrors(click.Group):
    """A group whose commands print each expected error as one line and exit with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except AuthError as error:
            raise click.ClickException(f"{error.code}: {error}") from error
        except JWTMiddlewareError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:  # the reader of our output is gone: click exits quietly
            raise
        except OSError as error:
            said, fix = diagnose(error, fix="", to="use")
            where = "" if error.filename is None else f"{error.filename}: "
            said = f"{where}{said}" + (f": {fix}" if fix else "")
            raise click.ClickException(said) from error


@contextmanager
def _without_events() -> Iterator[None]:
    """Keep events out of the output of a command, which prints its own findings."""

    def is_no_event(record: logging.LogRecord) -> bool:
        return not hasattr(record, "event")

    logger.addFilter(is_no_event)
    try:
        yield
    finally:
        logger.removeFilter(is_no_event)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=Path("jwt.toml"),
    show_default=True,
    envvar="JWT_MIDDLEWARE_CONFIG",
    show_envvar=True,
    help="The configuration file.",
)
@click.version_option(package_name="wsgi-jwt-middleware", prog_name="jwt-middleware")
@click.pass_context
def main(ctx: click.Context, config: Path) -> None:
    """
    Verify and issue JWTs for any WSGI app.

    Exit codes: 0 success, 1 refused or failed, 2 wrong usage.
    """
    ctx.obj = config
    if ctx.invoked_subcommand != serve.name:
        ctx.with_resource(_without_events())
    add_working_directory()


command: click.Command
for command in (init, check, explain, account, session, keys, token, serve):
    main.add_command(command)
main.add_command(session, "sessions")

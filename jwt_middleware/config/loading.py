"""``wrap()``: protect an app with the settings of a configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..wsgi.middleware import JWTMiddleware
from .callables import find_app
from .reading import Place, parse, read_table
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def wrap(config: str | os.PathLike[str], app: WSGIApplication | str) -> JWTMiddleware:
    """
    Protect *app* with the settings of a configuration file.

    ::

        gunicorn "jwt_middleware:wrap('jwt.toml', 'myapp:app')"

    The revocations in the store of ``[sessions]`` are read here, so that no request has to wait for
    them; a worker forked later inherits them.  Accounts are not read; ``jwt-middleware init`` and
    ``jwt-middleware account add`` create their table.

    Args:
        config: Path of the TOML file.
        app: A WSGI callable, or its name as ``"module:attr"``; ``"module:create_app()"`` calls a
            factory.

    Raises:
        ConfigurationError: One line that names the file, the setting and the fix, or the app.
    """
    return start(load(config), app)


def from_environment(environ: Mapping[str, str] = os.environ) -> JWTMiddleware:
    """
    Call :func:`wrap` with ``JWT_MIDDLEWARE_CONFIG`` and ``JWT_MIDDLEWARE_APP``.

    Raises:
        ConfigurationError: One of them is not set, or as for :func:`wrap`.
    """
    config = _variable(environ, "JWT_MIDDLEWARE_CONFIG", "the path of the TOML file", "jwt.toml")
    app = _variable(environ, "JWT_MIDDLEWARE_APP", 'the app as "module:attr"', "myapp:app")
    return start(load(config), app, environ)


def start(
    settings: Settings,
    app: WSGIApplication | str,
    environ: Mapping[str, str] = os.environ,
) -> JWTMiddleware:
    """
    Do the same as :func:`wrap`, with loaded settings and the given environment variables.

    Raises:
        ConfigurationError: As for :func:`wrap`.
    """
    found = find_app(app) if isinstance(app, str) else app
    settings.logging.start()  # after the app, which may configure logging at import
    return settings.protect(found, environ, prepares=True)


def load(config: str | os.PathLike[str]) -> Settings:
    """
    Read a configuration file, but not the files and environment variables that it names.

    Raises:
        ConfigurationError: It cannot be read, or has an unknown setting.
    """
    file = Path(config)
    return read_table(Settings, parse(file), Place(file))


def _variable(environ: Mapping[str, str], name: str, meaning: str, example: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigurationError(f"{name} is not set: set it to {meaning}, as in {name}={example}")
    return value

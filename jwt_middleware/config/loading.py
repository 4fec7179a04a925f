"""From the name of a file and the name of an app to the protected app."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..wsgi.middleware import JWTMiddleware
from .callables import find
from .reading import Place, read_table
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def wrap(config: str | os.PathLike[str], app: WSGIApplication | str) -> JWTMiddleware:
    """
    Protect *app* as a configuration file says.

    ::

        gunicorn "jwt_middleware:wrap('jwt.toml', 'myapp:app')"

    Accounts are not touched here; ``jwt-middleware init`` and ``jwt-middleware account add`` create
    their table.

    Args:
        config: Path of the TOML file.
        app: A WSGI callable, or its name as ``"module:attr"``.

    Raises:
        ConfigurationError: One line that names the file, the setting and the fix, or the app.
    """
    settings = load(config)
    return settings.protect(find("app", app) if isinstance(app, str) else app)


def from_environment(environ: Mapping[str, str] = os.environ) -> JWTMiddleware:
    """
    Do what :func:`wrap` does with ``JWT_MIDDLEWARE_CONFIG`` and ``JWT_MIDDLEWARE_APP``.

    Raises:
        ConfigurationError: One of them is not set, or as for :func:`wrap`.
    """
    config = _variable(environ, "JWT_MIDDLEWARE_CONFIG", "the path of the TOML file", "jwt.toml")
    app = _variable(environ, "JWT_MIDDLEWARE_APP", 'the app as "module:attr"', "myapp:app")
    return load(config).protect(find("app", app), environ)


def load(config: str | os.PathLike[str]) -> Settings:
    """
    Read a configuration file.  The files and environment variables it names are not read yet.

    Raises:
        ConfigurationError: It cannot be read, or holds something that is no setting.
    """
    file = Path(config)
    try:
        members = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{file}: the configuration file cannot be read ({error.strerror}): name another, or "
            "make one with `jwt-middleware init`"
        ) from error
    except UnicodeDecodeError:  # its repr holds the whole file
        raise ConfigurationError(f"{file}: is not UTF-8: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: is not TOML: {error}") from error
    return read_table(Settings, members, Place(file))


def _variable(environ: Mapping[str, str], name: str, meaning: str, example: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigurationError(f"{name} is not set: set it to {meaning}, as in {name}={example}")
    return value

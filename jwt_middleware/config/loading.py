"""From the name of a file and the name of an app to the protected app."""

from __future__ import annotations

import importlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError
from ..wsgi.middleware import JWTMiddleware
from .reading import Place, read_table
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_APP_NAME: Final = re.compile(r"(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)")


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
        ConfigurationError: One line that names the file, the setting and the mend, or the app.
    """
    settings = load(config)
    return settings.protect(find_app(app) if isinstance(app, str) else app)


def from_environment(environ: Mapping[str, str] = os.environ) -> JWTMiddleware:
    """
    Do what :func:`wrap` does with ``JWT_MIDDLEWARE_CONFIG`` and ``JWT_MIDDLEWARE_APP``.

    Raises:
        ConfigurationError: One of them is not set, or as for :func:`wrap`.
    """
    config = _variable(environ, "JWT_MIDDLEWARE_CONFIG", "the path of the TOML file", "jwt.toml")
    app = _variable(environ, "JWT_MIDDLEWARE_APP", 'the app as "module:attr"', "myapp:app")
    return load(config).protect(find_app(app), environ)


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


def find_app(name: str) -> WSGIApplication:
    """
    Import the app that *name*, ``"module:attr"``, stands for.

    Whatever the module raises when it is imported is not caught: it is the app's own.

    Raises:
        ConfigurationError: The name is not of that form, or there is no such module or attribute,
            or it is not callable.
    """
    match = _APP_NAME.fullmatch(name)
    if match is None:
        raise ConfigurationError(f'app {name!r}: write "module:attr", as in "myapp:app"')
    found: Any = _import(match[1], name)
    for attribute in match[2].split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ConfigurationError(
                f"app {name!r}: there is no {attribute!r} in {match[1]!r}: correct the name behind "
                "the colon"
            ) from error
    if not callable(found):
        raise ConfigurationError(f"app {name!r}: is not callable: name a WSGI app")
    app: WSGIApplication = found
    return app


def _import(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Another missing module is one that the app imports.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"app {name!r}: there is no module {error.name!r}: correct the name, or start the "
            "server where it can be imported (PYTHONPATH)"
        ) from error


def _variable(environ: Mapping[str, str], name: str, meaning: str, example: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigurationError(f"{name} is not set: set it to {meaning}, as in {name}={example}")
    return value

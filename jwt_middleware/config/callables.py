"""Import callables by name: ``"module:attr"``."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from typing import Any, Final

from ..errors import ConfigurationError

NAME: Final = r"(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)"
"""``module:attr``; dots are allowed on both sides."""


def find(what: str, name: str) -> Any:
    """
    Import the callable named *name* (``"module:attr"``).

    Exceptions raised by the module at import are not caught.

    Args:
        what: Description of the callable, for errors.
        name: Dots are allowed on both sides of the colon.

    Raises:
        ConfigurationError: The name has another form, the module or attribute does not exist, or
            it is not callable.
    """
    match = re.fullmatch(NAME, name)
    if match is None:
        raise ConfigurationError(f'{what} {name!r}: write "module:attr", as in "myapp:app"')
    found: Any = _import(match[1], f"{what} {name!r}")
    for attribute in match[2].split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ConfigurationError(
                f"{what} {name!r}: there is no {attribute!r} in {match[1]!r}: correct the name "
                "after the colon"
            ) from error
    if not callable(found):
        raise ConfigurationError(f"{what} {name!r}: is not callable: name a callable")
    return found


def find_app(name: str) -> Any:
    """
    Import the app named *name*, as gunicorn does.

    Args:
        name: ``"module:attr"``, or a call with literal arguments, ``"module:create_app('x')"``.

    Raises:
        ConfigurationError: As for :func:`find`, or the call is missing, has another form, or its
            arguments do not fit.
    """
    attribute, parenthesis, _ = name.partition("(")
    found = find("app", attribute)
    if not parenthesis:
        if takes(found) and not takes(found, {}, print):
            raise ConfigurationError(f'app {name!r}: is a factory: write the call, "{name}()"')
        return found
    try:
        call = ast.parse(name.partition(":")[2], mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError  # noqa: TRY301  the same error
        positional = [ast.literal_eval(one) for one in call.args]
        named = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(
            f"app {name!r}: write the call with literal arguments, as in \"myapp:create_app('x')\""
        ) from error
    try:
        inspect.signature(found).bind(*positional, **named)
    except TypeError as error:
        raise ConfigurationError(f"app {name!r}: {error}") from error
    return found(*positional, **named)


def takes(function: Any, *arguments: object) -> bool:
    """Return whether *function* accepts *arguments*, judged by its signature."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # some C functions have no signature
        return True
    return True


def _import(module: str, named: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # If another module is missing, this one imports it.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"{named}: there is no module {error.name!r}: correct the name, or start the server "
            "where it can be imported (PYTHONPATH)"
        ) from error

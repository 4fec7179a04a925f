"""
Read TOML tables into objects: one reader per setting, and a place for each error.

A reader takes a TOML value and its place, and returns the attribute's value or raises
:class:`ConfigurationError`.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeVar, overload

from ..bounds import did_you_mean
from ..errors import ConfigurationError
from ..files import diagnose, read_regular
from ..wsgi.environ import ClaimKeys, ClaimName

T = TypeVar("T")
S = TypeVar("S", bound="Section")

MISSING: Final = object()
"""Marks a setting without a default."""

MAX_LEVELS: Final = 32
"""Levels of nested tables and arrays."""
MAX_NUMBER: Final = 2**32
"""Largest number of any setting: 136 years, or 4 GiB.  Most settings have narrower bounds."""
MAX_TEXT_CHARS: Final = 4096

# Drivers may read a file name or URL with one of these differently.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]|%(?:[01][0-9A-Fa-f]|7[Ff])")
# Settings of other software, and their equivalents here.
_ELSEWHERE: Final = {
    "secret": "a secret does not belong in this file: write it to another, as in "
    'secret_file = "secret"',
    "password": "a password does not belong in this file: password_env names a variable",
}

# unquoted-key = 1*( ALPHA / DIGIT / "-" / "_" )                              TOML 1.0.0
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_-]+")


class Place(NamedTuple):
    """
    The position of a setting, at the start of every error about it.

    Attributes:
        file: The configuration file, as given.
        name: Dotted; ``rules[2].path`` is in the second rule; empty for the file's top level.
    """

    file: Path
    name: str = ""

    def member(self, key: str) -> Place:
        """Return the place of *key* in this table."""
        shown = key if _UNQUOTED.fullmatch(key) else json.dumps(key)
        return Place(self.file, f"{self.name}.{shown}" if self.name else shown)

    def item(self, number: int) -> Place:
        """Return the place of table *number*, counted from 1, in this array."""
        return Place(self.file, f"{self.name}[{number}]")

    def error(self, text: str) -> ConfigurationError:
        """Return an error at this place."""
        return ConfigurationError(f"{self.file}: {self.name}: {text}")

    def missing(self, error: ModuleNotFoundError, *, extra: str) -> ConfigurationError:
        """Return an error for a missing module that *extra* installs."""
        return self.error(f"{error.name} is missing: pip install 'wsgi-jwt-middleware[{extra}]'")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Prefix a :class:`ConfigurationError` of the block with this place."""
        try:
            yield
        except ConfigurationError as error:
            raise self.error(str(error)) from error

    @contextmanager
    def named_by_member(self) -> Iterator[None]:
        """Do the same for errors that begin with the name of a setting in this table."""
        try:
            yield
        except ConfigurationError as error:
            prefix = f"{self.name}." if self.name else ""
            raise ConfigurationError(f"{self.file}: {prefix}{error}") from error


Reader = Callable[[object, Place], T]


def parse(file: Path) -> dict[str, object]:
    """
    Return the tables of a TOML file.

    Raises:
        ConfigurationError: It cannot be read, is not TOML, or nests too many levels: one line with
            the file and the position.
    """
    try:
        octets = read_regular(file)[1]
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said, fix = diagnose(error, fix="name another, or make one with `jwt-middleware init`")
        raise ConfigurationError(
            f"{_shown(file)}: the configuration file cannot be read ({said}): {fix}"
        ) from error
    if octets.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ConfigurationError(
            f"{file}: begins with a byte order mark: save it as UTF-8 without BOM"
        )
    try:
        text = octets.decode()
    except UnicodeDecodeError:  # its repr has the whole file
        raise ConfigurationError(f"{file}: is not UTF-8: save it as UTF-8") from None
    return _parse_text(text, file)


def _shown(file: Path) -> str:
    return str(file) if str(file).isprintable() else ascii(str(file))


def _parse_text(text: str, file: Path) -> dict[str, object]:
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: is not TOML: {error}") from error
    except RecursionError:
        where = _where(text, max(text.splitlines(), key=_brackets))
        raise ConfigurationError(f"{file}: {where}: nests too many levels") from None
    except ValueError:  # not wrapped by tomllib: int() of too many digits
        found = re.search(r"[0-9_]{1000,}", text)
        line = "" if found is None else _line_of(text, found.start())
        where = _where(text, line)
        raise ConfigurationError(f"{file}: {where}: the number has too many digits") from None
    _check_levels(members, Place(file))
    return members


def _brackets(line: str) -> int:
    return line.count("[") + line.count("{") + line.count(".")


def _line_of(text: str, offset: int) -> str:
    return text[text.rfind("\n", 0, offset) + 1 :].partition("\n")[0]


def _where(text: str, line: str) -> str:
    """Name a line by its number, and the setting on it."""
    number = text.count("\n", 0, text.find(line)) + 1
    match = re.match(r"""[\s\[{,]*([\w."'-]+)\s*=""", line)
    return f"line {number}" + (f", {match[1]:.60}" if match else "")


def _check_levels(members: dict[str, object], place: Place) -> None:
    """Check without recursion that tables and arrays nest up to :data:`MAX_LEVELS` deep."""
    waiting: list[tuple[object, Place, int]] = [(members, place, 0)]
    while waiting:
        value, where, level = waiting.pop()
        if level > MAX_LEVELS:
            name = ".".join(where.name.split(".", 3)[:3])
            raise Place(place.file, name).error("nests too many levels")
        if isinstance(value, dict):
            waiting += [(one, where.member(key), level + 1) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(one, where, level + 1) for one in value]


class Setting(NamedTuple):
    """
    A setting declared by :func:`setting`.

    Attributes:
        read: The reader.
        default: Value if the file leaves it out; ``MISSING`` for a table then read as empty, and
            for a required setting.
        example: Line to add, for a required setting.
        unset: Effective value of the default ``None``; only for the documentation.
    """

    read: Reader[Any]
    default: Any
    example: str
    unset: object


@overload
def setting(read: Reader[T], default: T, *, unset: object = None) -> T: ...
@overload
def setting(read: Reader[T], *, example: str = "") -> T: ...
def setting(
    read: Reader[Any], default: Any = MISSING, *, example: str = "", unset: object = None
) -> Any:
    """Declare an attribute of a :class:`Section`; see :class:`Setting`."""
    return Setting(read, default, example, unset)


class Section:
    """
    Base class of tables; each ``setting()`` in a subclass is an attribute.

    Dataclasses would compile methods for 18 classes at each start.

    Attributes:
        settings: The settings of the table, by name.
    """

    place: Place
    settings: ClassVar[Mapping[str, Setting]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: one for name, one in vars(cls).items() if isinstance(one, Setting)}
        cls.settings = {**cls.settings, **own}

    def __init__(self, *, place: Place, **values: Any) -> None:
        defaults = {name: one.default for name, one in self.settings.items()}
        self.__dict__.update(defaults, **values, place=place)

    def replaced(self, **values: Any) -> Self:
        """Return a copy with other *values*."""
        return type(self)(**{**self.__dict__, **values})


def read_table(section: type[S], members: object, place: Place) -> S:
    """
    Read the table at *place*.

    Raises:
        ConfigurationError: It is not a table, has an unknown setting or one of a wrong type, or
            lacks a required one.
    """
    if not isinstance(members, dict):
        raise place.error("must be a table")
    known = section.settings
    for key in members:
        if key not in known:
            raise place.member(key).error(_not_known(key, known))
    values: dict[str, Any] = {}
    for name, one in known.items():
        if name in members:
            values[name] = one.read(members[name], place.member(name))
        elif one.example:
            raise place.member(name).error(f"is missing: add {one.example}")
        elif one.default is MISSING:
            values[name] = one.read({}, place.member(name))
    return section(place=place, **values)


def _not_known(key: str, known: Collection[str]) -> str:
    if key in _ELSEWHERE:
        return _ELSEWHERE[key]
    hint = did_you_mean(key, known, f"known are {', '.join(known)}")
    return f"this version knows no such setting: {hint}"


def text(value: object, place: Place) -> str:
    """Read a non-empty string."""
    if not isinstance(value, str) or not value:
        raise place.error("must be a non-empty string")
    if len(value) > MAX_TEXT_CHARS:
        raise place.error(f"must have at most {MAX_TEXT_CHARS} characters")
    if _CONTROL.search(value):
        raise place.error("must not have a control character, escaped or not")
    return value


def whole(value: object, place: Place) -> int:
    """Read an integer up to :data:`MAX_NUMBER`."""
    if type(value) is not int:  # a bool is an int
        raise place.error("must be a whole number")
    return _bounded(value, place)


def number(value: object, place: Place) -> float:
    """Read a finite integer or float up to :data:`MAX_NUMBER`."""
    if type(value) is not int and type(value) is not float:
        raise place.error("must be a number")
    if type(value) is float and not math.isfinite(value):
        raise place.error("must be a finite number")
    return _bounded(value, place)


N = TypeVar("N", int, float)


def _bounded(value: N, place: Place) -> N:
    if abs(value) > MAX_NUMBER:
        raise place.error(f"must be at most {MAX_NUMBER}")
    return value


def flag(value: object, place: Place) -> bool:
    """Read a boolean."""
    if not isinstance(value, bool):
        raise place.error("must be true or false")
    return value


def texts(value: object, place: Place) -> tuple[str, ...]:
    """Read an array of strings."""
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise place.error('must be a list of strings, as in ["a", "b"]')
    return tuple(text(one, place) for one in value)


def drip(value: object, place: Place) -> tuple[int, float]:
    """Read a burst, and the seconds until one more."""
    if not isinstance(value, list) or len(value) != 2:
        raise place.error("must be a burst and the seconds until one more, as in [5, 180]")
    return whole(value[0], place), number(value[1], place)


def text_or_texts(value: object, place: Place) -> tuple[str, ...]:
    """Read a string or an array of strings, at least one."""
    if isinstance(value, str):
        return (text(value, place),)
    return texts(value or None, place)


def text_members(value: object, place: Place) -> dict[str, str]:
    """Read a table of strings."""
    if not isinstance(value, dict):
        raise place.error('must be a table of strings, as in { name = "value" }')
    return {key: text(member, place.member(key)) for key, member in value.items()}


def whole_members(value: object, place: Place) -> dict[str, int]:
    """Read a table of integers."""
    if not isinstance(value, dict):
        raise place.error("must be a table of whole numbers")
    return {key: whole(member, place.member(key)) for key, member in value.items()}


def items(value: object, place: Place) -> list[Any]:
    """Read an array; its items are checked where they are used."""
    if not isinstance(value, list):
        raise place.error("must be a list")
    return value


def text_or_items(value: object, place: Place) -> str | list[Any]:
    """Read a string or an array; its items are checked where they are used."""
    return text(value, place) if isinstance(value, str) else items(value, place)


def choice(*options: T) -> Reader[T]:
    """Return a reader of one of *options*."""

    def read(value: object, place: Place) -> T:
        for option in options:
            if value == option:
                return option
        raise place.error(f"must be {' or '.join(json.dumps(option) for option in options)}")

    return read


def json_members(value: object, place: Place) -> dict[str, object]:
    """Read a table of JSON values: no dates and times."""
    if not isinstance(value, dict):
        raise place.error("must be a table of claim names and values")
    for key, member in value.items():
        if not _is_json(member):
            raise place.member(key).error("must not be a date or time: write it as in the claim")
    return value


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return isinstance(value, str | int | float)


def table(section: type[S]) -> Reader[S]:
    """Return a reader of a ``[table]``."""
    return lambda value, place: read_table(section, value, place)


def tables(section: type[S]) -> Reader[tuple[S, ...]]:
    """Return a reader of an ``[[array of tables]]``."""

    def read(value: object, place: Place) -> tuple[S, ...]:
        if not isinstance(value, list):
            raise place.error(f"must be an array of tables: write [[{place.name}]]")
        return tuple(
            read_table(section, members, place.item(index))
            for index, members in enumerate(value, start=1)
        )

    return read


def environ_keys(value: object, place: Place) -> dict[str, ClaimName]:
    """Read a table of environ keys and claims."""
    if not isinstance(value, dict):
        raise place.error('must be a table, as in HTTP_X_FORWARDED_EMAIL = "email"')
    for key, claim in value.items():
        if isinstance(claim, list):
            texts(claim, place.member(key))
        else:
            text(claim, place.member(key))
    with place.named():
        ClaimKeys(value)
    return value

"""
docs/settings.md, drawn from the definitions of the settings.

``python -m tests.docs.settings`` writes the page.  A setting is described in the ``Attributes:`` of
its Section's docstring, where ``docs/x.md`` becomes a link; its values and its default are those of
its ``setting()``, and the text over a table is the docstring's.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from jwt_middleware.config import Settings
from jwt_middleware.config.reading import MISSING, Section, Setting

PAGE: Final = Path(__file__).parents[2] / "docs" / "settings.md"

HEAD: Final = """\
# Settings of jwt.toml

`jwt-middleware init` writes a commented `jwt.toml`; these are all its settings. Paths are relative
to the file. A misspelled, missing or contradictory setting is reported at start, in one line with
the setting and the fix (gunicorn shows it at the end of a traceback, `jwt-middleware check` without
one). A dash means no default, or one given under *meaning*.
"""

_HEADER: Final = "| setting | value | default | meaning |\n|---|---|---|---|\n"
_NAMES: Final = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list",
}
# "name: text", and lines that are indented more belong to it.
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


class Table(NamedTuple):
    """One table of the file: ``""``, ``[keys]`` or ``[[keys.previous]]``, and what reads it."""

    heading: str
    section: type[Section]

    @property
    def name(self) -> str:
        return self.heading.strip("[]")


def tables(heading: str = "", section: type[Section] = Settings) -> Iterator[Table]:
    """Yield all tables of the file, each before those in it."""
    yield Table(heading, section)
    for key, one in section.settings.items():
        if (inner := section_in(one)) is not None:
            name = f"{heading.strip('[]')}.{key}".removeprefix(".")
            yield from tables(f"[[{name}]]" if one.default == () else f"[{name}]", inner)


def section_in(setting: Setting) -> type[Section] | None:
    """Return what a setting that is itself a table is read into."""
    found: type[Section] | None = _given_to_reader(setting).get("section")
    return found


def default_of(setting: Setting) -> object:
    """Return what a setting is when it is left out, or ``MISSING`` if it must not be."""
    return setting.unset if setting.default in (None, "", ()) else setting.default


def _given_to_reader(setting: Setting) -> Mapping[str, Any]:
    read = setting.read
    return inspect.getclosurevars(read).nonlocals if inspect.isfunction(read) else {}


def meanings(section: type[Section]) -> dict[str, str]:
    """Return what the docstrings of a table and of what it inherits from say of each setting."""
    found: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if one.__module__.startswith("jwt_middleware."):
            found |= dict(_ATTRIBUTE.findall(inspect.getdoc(one) or ""))
    return {name: markdown(text) for name, text in found.items()}


def owner_of(name: str, section: type[Section]) -> type:
    """Return the class that defines a setting of a table."""
    return next(one for one in section.__mro__ if name in inspect.get_annotations(one))


def markdown(text: str) -> str:
    """Return a text of a docstring as Markdown, in one line."""
    text = " ".join(text.split())
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return re.sub(r"\bdocs/((\w+)\.md(?:#[\w-]+)?)", r"[\2](\1)", text).replace("|", "\\|")


def shown(value: object) -> str:
    """Return a default as TOML has it."""
    if value is MISSING:
        return "required"
    if value is None:
        return "–"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{json.dumps(value)}`"


def values(name: str, section: type[Section]) -> str:
    """Return what a setting may be: its choices, or its type in words."""
    setting = section.settings[name]
    options = _given_to_reader(setting).get("options")
    if options:
        return ", ".join(f"`{json.dumps(one)}`" for one in options)
    hint = get_type_hints(section)[name]
    optional = isinstance(hint, types.UnionType) or get_origin(hint) is Union
    kinds = [one for one in get_args(hint) if one is not type(None)] if optional else [hint]
    words = [_words(one) for one in kinds]
    if setting.read.__name__ == "text_or_texts":
        words.insert(0, "string")
    return " or ".join(words)


def _words(kind: Any) -> str:
    if kind == tuple[int, float]:
        return "`[burst, seconds]`"
    if kind == tuple[str, ...]:
        return "list of strings"
    kind = get_origin(kind) or kind
    return _NAMES.get(kind, "table")


def row(name: str, section: type[Section]) -> str:
    """Return the line of a setting."""
    setting = section.settings[name]
    meaning = meanings(section).get(name, "")
    if setting.example:
        meaning += f" As in `{setting.example}`."
    default = shown(default_of(setting))
    return f"| `{name}` | {values(name, section)} | {default} | {meaning} |\n"


def introduction(table: Table) -> str:
    """Return the text over a table: that of its docstring, without its heading."""
    text = (inspect.getdoc(table.section) or "").partition("\n\nAttributes:")[0]
    text = text.removeprefix(f"``{table.heading}``: ")
    return "\n\n".join(markdown(one[:1].upper() + one[1:]) for one in text.split("\n\n"))


def page() -> str:
    """Return the page."""
    links = (f"[`{one.heading}`](#{one.name.replace('.', '')})" for one in tables() if one.name)
    text = f"{HEAD}\n{' · '.join(links)}\n"
    drawn: dict[tuple[type, str], str] = {}
    for table in tables():
        rows, again = [], []
        for name, one in table.section.settings.items():
            if section_in(one) is not None:
                continue
            where = owner_of(name, table.section), name
            if where in drawn:
                again.append(name)
            else:
                drawn[where] = table.name
                rows.append(row(name, table.section))
        heading = f"`{table.heading}`" if table.heading else "Top level"
        text += f"\n## {heading}\n\n{introduction(table)}\n"
        if rows:
            text += f"\n{_HEADER}{''.join(rows)}"
        if again:
            first = drawn[owner_of(again[0], table.section), again[0]]
            above = f"`[{first}]`" if first else "at the top level"
            names = ", ".join(f"`{name}`" for name in again)
            text += f"\n{'Also' if rows else 'As'} {above}: {names}.\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

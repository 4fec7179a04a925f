"""docs/settings.md and the template of ``init`` say what the settings' definitions say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from jwt_middleware.cli.init.template import render

from .settings import (
    PAGE,
    Table,
    default_of,
    meanings,
    owner_of,
    page,
    section_in,
    tables,
)

TABLES = {table.name: table for table in tables()}


class Line(NamedTuple):
    """A setting of the template, in force or commented out."""

    table: str
    name: str
    value: object
    comment: str


def template_text(table: str) -> str:
    """Return the part of the template that is about a table, with the headings below it."""
    heading = r"^(?:# )?\[+(?:([a-z]+)\.)?([a-z]+)\]+"
    first, *rest = re.split(heading, render(with_accounts=True), flags=re.MULTILINE)
    texts = {"": first}
    for above, name, text in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        whole = f"{above}.{name}" if above else name
        texts[above or ""] += f" {name}"
        texts[whole] = texts.get(whole, "") + text
    return texts[table]


def template() -> Iterator[Line]:
    """Yield the settings of the template, and its tables as settings without a value."""
    table = ""
    for line in render(with_accounts=True).splitlines():
        text = re.sub("^(# )+", "", line)
        if heading := re.match(r"\[+([a-z.]+)\]+", text):
            table = heading[1]
        elif re.match(r"\w+ = ", text):
            ((name, value),) = tomllib.loads(text).items()
            yield Line(table, name, value, text.partition("#")[2])


def test_the_page_is_what_the_definitions_say() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.docs.settings"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_setting_is_documented_where_it_is_defined(table: Table) -> None:
    documented = meanings(table.section)
    names = {name for name, one in table.section.settings.items() if section_in(one) is None}
    assert names <= documented.keys()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_template_shows_every_setting(table: Table) -> None:
    for name in table.section.settings:
        owner = owner_of(name, table.section)
        sharing = [other.name for other in TABLES.values() if issubclass(other.section, owner)]
        text = "".join(map(template_text, sharing))
        assert re.search(rf"\b{name}\b", text), name


def test_the_template_shows_settings_that_there_are_with_their_defaults() -> None:
    for line in template():
        if line.table == "environ":  # its keys are the file's own
            continue
        known = TABLES[line.table].section.settings
        assert line.name in known, line
        is_default = not re.search("example|default", line.comment)
        default = default_of(known[line.name])
        if is_default and isinstance(default, int | float | str | tuple):
            shown = tuple(line.value) if isinstance(line.value, list) else line.value
            assert shown == default, line

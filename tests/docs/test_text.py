"""The text of README.md and docs/: links, commands, words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from jwt_middleware.cli import main

from .pages import ROOT, pages

_QUAINT = re.compile(
    r"\b(?:rooms?|mend\w*|whoever|nobody|somebody|anybody|believed|he|his|him)\b"
    r"|cannot be asked|leaves the building|IPv6 clothes|speaks? OAuth",
    re.IGNORECASE,
)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """Return the text of a page without its blocks."""
    return _FENCED.sub("", (ROOT / page).read_text("utf-8"))


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def links(page: str) -> Iterator[tuple[str, str]]:
    """Yield the page and the anchor of each link that leads to another file, or into this one."""
    for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", prose(page)):
        name, _, anchor = target.partition("#")
        there = (ROOT / page).parent / name if name else ROOT / page
        yield str(there.resolve()), anchor


def test_links_lead_to_what_there_is() -> None:
    for page in pages():
        for name, anchor in links(page):
            assert (ROOT / name).exists(), f"{page}: {name}"
            assert not anchor or anchor in anchors(name), f"{page}: {name}#{anchor}"


def test_commands_in_the_text_exist() -> None:
    for page in pages():
        for text in re.findall(r"`jwt-middleware ([^`]+)`", prose(page)):
            check(text)


def check(text: str) -> None:
    """Check that the arguments of ``jwt-middleware`` name a command, and options that it has."""
    words = shlex.split(re.split(" [|<>] ", text)[0], comments=True)
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, text
        command = found
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known, text


def test_the_words_are_those_of_the_field() -> None:
    for page in pages():
        assert not _QUAINT.findall((ROOT / page).read_text("utf-8")), page


def test_every_page_is_in_the_index() -> None:
    indexed = {name for page in ("docs/README.md", *_indexes()) for name, _ in links(page)}
    docs = {str(ROOT / page) for page in pages()} - {str(ROOT / "README.md")}
    assert docs - indexed <= {str(ROOT / "docs" / "README.md")}


def _indexes() -> list[str]:
    return [page for page in pages() if page.endswith("/README.md") and page != "docs/README.md"]

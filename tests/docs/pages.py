"""
The blocks of README.md and docs/, each of which is executed.

A page is executed from its top: all of its blocks in one folder, its Python in one namespace, so it
defines what it uses.  A new page is found by itself.  What a block is says its language:

========  ==========================================================================================
python    Executed.  ``expression  # 42`` is compared, if the comment is a literal.  One whose first
          line is ``# name.py`` is also written there.  One that calls 127.0.0.1:8000 is executed
          with the commands, as ``slow``.
toml      Loaded and built as a configuration, with what a fragment lacks: issuer, audience, key,
          accounts, sessions.  One whose first line is ``# jwt.toml`` is also written there.
sh        Each command is run by bash; it must succeed.  Marked ``slow``.
console   The same for lines that begin with ``$``; the lines below each are what it prints.
json      What the last command printed.
others    Are in :data:`tests.docs.exceptions.EXCEPTIONS`, as all that cannot be executed here.
========  ==========================================================================================

``…`` stands for anything; ``eyJ0…`` for something that later commands have by the same placeholder.
A command that ends with ``&``, and gunicorn, is a server: what follows waits until it listens, and
its port 8000 is one of our own.  Every folder has a package ``myapp``: see ``tests/docs/myapp``.
Standard input has :data:`SECRET` in it, for commands that ask for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
SECRET: Final = "correct horse battery staple"

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"# ([\w/]+\.\w+)\b.*\n")


class Block(NamedTuple):
    """
    One block of a page.

    Attributes:
        page: Relative to the checkout.
        line: Of its first line of text.
        language: As the page says; may be empty.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that its first line names."""
        found = _FILE.match(self.text)
        return None if found is None else found[1]

    @property
    def calls_the_server(self) -> bool:
        """Whether it needs what the page's commands have started."""
        return "127.0.0.1:8000" in self.text


class Command(NamedTuple):
    """A command of a block, and what is shown of its output; ``None`` if nothing is."""

    text: str
    output: str | None

    @property
    def serves(self) -> bool:
        """Whether it runs until it is stopped."""
        return self.text.endswith("&") or self.text.startswith(
            ("gunicorn ", "jwt-middleware serve ")
        )


def pages() -> list[str]:
    """Return the names of all pages."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(page.relative_to(ROOT)) for page in found]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, one.start()) + 2, one[1], one[2])
        for one in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Return the commands of a block; those of ``sh`` and ``console`` have some."""
    if block.language == "sh":
        return [Command(one, None) for one in _statements(block.text.splitlines())]
    if block.language != "console":
        return []
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    return [_with_output(part) for part in parts[1:]]


def _with_output(part: str) -> Command:
    command, *rest = part.splitlines()
    while command.endswith("\\"):
        command += "\n" + rest.pop(0)
    return Command(command.strip(), "\n".join(rest) if rest else None)


def _statements(lines: list[str]) -> Iterator[str]:
    """Yield commands, of several lines where they are continued or have a here-document."""
    waiting = iter(lines)
    for first in waiting:
        text = first
        while text.endswith("\\"):
            text += "\n" + next(waiting)
        if end := re.search(r"<<-?\s*['\"]?(\w+)", text):
            for line in waiting:
                text += "\n" + line
                if line.strip() == end[1]:
                    break
        command = re.sub(r"\s+# .*$", "", text) if "\n" not in text else text
        if command.strip() and not command.startswith("#"):
            yield command.strip()

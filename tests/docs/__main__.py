"""Print the blocks of README.md and docs/, each with the test that executes it."""

from __future__ import annotations

import sys

from .exceptions import exception
from .pages import Block, blocks, commands, pages


def test_of(block: Block, *, with_django: bool) -> str:
    """Return the test that executes a block, or why none does."""
    if (why := exception(block)) is not None:
        return why
    if block.language == "toml":
        return "test_configurations_are_built"
    if block.language == "python" and not block.calls_the_server:
        return f"test_python_{'with_django_' if with_django else ''}is_executed"
    return "test_commands_do_what_the_page_shows (slow)"


def main() -> None:
    """Print a line for each command, and for each other block."""
    for page in pages():
        found = blocks(page)
        with_django = any("django" in one.text for one in found if one.language == "python")
        for block in found:
            shown = [one.text for one in commands(block)] or [block.text]
            for text in shown:
                first, _, more = text.strip().partition("\n")
                test = test_of(block, with_django=with_django)
                line = f"{first[:90]}{' …' if more or len(first) > 90 else ''}"
                sys.stdout.write(f"{page}:{block.line} | {block.language} | {line} | {test}\n")


if __name__ == "__main__":
    main()

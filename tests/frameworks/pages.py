"""Apps in documentation pages."""

from __future__ import annotations

import re
from types import ModuleType

from ..docs.pages import ROOT, Block, blocks

FRAMEWORKS = "docs/frameworks.md"
FLASK = "docs/frameworks/flask.md"
DJANGO = "docs/frameworks/django.md"


def by_heading(page: str) -> dict[tuple[str, str], Block]:
    """Return the blocks of a page by the heading before them and their language."""
    lines = (ROOT / page).read_text("utf-8").splitlines()
    found = {}
    for block in blocks(page):
        above = (
            line for line in reversed(lines[: block.line - 1]) if re.match("#+ [A-Za-z]", line)
        )
        found[next(above).lstrip("# "), block.language] = block
    return found


def run(page: str, heading: str) -> ModuleType:
    """Run the Python below a heading, and return the module that it makes."""
    module = ModuleType(re.sub(r"\W", "_", heading.lower()))
    code = compile(by_heading(page)[heading, "python"].text, f"{page} ({heading})", "exec")
    exec(code, vars(module))  # noqa: S102  our own text
    return module

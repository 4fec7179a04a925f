"""The code of documentation pages."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(
    r"^#+ (?P<heading>[^\n]*)\n|^```(?P<language>\w+)\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return heading, language and text of each block of code in a page."""
    found, heading = [], ""
    for match in _BLOCK.finditer((DOCS / page).read_text("utf-8")):
        if match["language"] is None:
            heading = match["heading"]
        else:
            found.append((heading, match["language"], match["code"]))
    return found


def python_below(page: str, heading: str) -> str:
    """Return the one block of Python below a heading."""
    (code,) = [
        code for found, language, code in blocks(page) if (found, language) == (heading, "python")
    ]
    return code


def run(page: str, heading: str, **given: Any) -> ModuleType:
    """Run the block of Python below a heading, and return the module that it makes."""
    module = ModuleType(re.sub(r"\W", "_", heading.lower()))
    vars(module).update(given)
    code = compile(python_below(page, heading), f"docs/{page} ({heading})", "exec")
    exec(code, vars(module))  # noqa: S102  our own text
    return module

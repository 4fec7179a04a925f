"""Executes the Python of a page, in one namespace."""

from __future__ import annotations

import ast
import tokenize
from io import StringIO
from pathlib import Path
from typing import Any

from .exceptions import exception
from .pages import Block, blocks


def run_page(page: str) -> None:
    """Execute the Python of a page in the working directory, but for what needs its commands."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if exception(block) is not None:
            continue
        if block.language == "toml" and block.file is not None:
            write(block)
        elif block.language == "python" and not block.calls_the_server:
            run_python(block, namespace)


def write(block: Block) -> None:
    """Write a block to the file that it names."""
    Path(str(block.file)).write_text(block.text, encoding="utf-8")


def run_python(block: Block, namespace: dict[str, Any], *, text: str = "") -> None:
    """
    Execute a block, and compare what it says of its expressions.

    Args:
        block: Is written to the file that it names, if it names one.
        namespace: Of the page.
        text: What to execute in its place.
    """
    text = text or block.text
    if block.file is not None:
        write(block)
    name = f"{block.page}:{block.line}"
    statements = ast.parse(text, name).body
    told = _literal_comments(text)
    for statement in statements:
        ast.increment_lineno(statement, block.line - 1)
        if isinstance(statement, ast.Expr) and statement.end_lineno is not None:
            found = eval(  # noqa: S307  our own text
                compile(ast.Expression(statement.value), name, "eval"), namespace
            )
            line = statement.end_lineno - block.line + 1
            if line in told:
                assert found == told[line], f"{name}: {ast.unparse(statement)} is {found!r}"
        else:
            code = compile(ast.Module([statement], []), name, "exec")
            exec(code, namespace)  # noqa: S102  the same


def _literal_comments(text: str) -> dict[int, object]:
    """Return the comments that are literals, by line."""
    found: dict[int, object] = {}
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            try:
                found[token.start[0]] = ast.literal_eval(token.string.lstrip("# "))
            except (SyntaxError, ValueError):
                continue
    return found

"""The command in this process: quick, with what it printed apart from what it complained of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jwt_middleware.cli import main

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return a function that runs the command in a folder with a jwt.toml."""
    monkeypatch.chdir(folder_with_endpoint)
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)

    def invoke(*arguments: str, stdin: str | bytes = b"") -> Result:
        return CliRunner(catch_exceptions=False).invoke(main, arguments, input=stdin)

    return invoke

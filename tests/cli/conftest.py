"""The command in this process: quick, with what it printed apart from what it complained of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jwt_middleware import Sessions
from jwt_middleware.cli import main
from jwt_middleware.config import load

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return a function that runs the command in a folder with a jwt.toml."""
    monkeypatch.chdir(folder_with_endpoint)
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)

    def invoke(*arguments: str, stdin: str | bytes = b"") -> Result:
        return CliRunner(catch_exceptions=False).invoke(main, arguments, input=stdin)

    return invoke


@pytest.fixture
def sessions(folder_with_endpoint: Path) -> Iterator[Sessions]:
    """Return the sessions of a running app, whose configuration the command reads."""
    config = folder_with_endpoint / "jwt.toml"
    config.write_text(
        config.read_text() + '[sessions]\nurl = "sqlite:///sessions.db"\nmax_delay_seconds = 0\n'
    )
    settings = load(config)
    sessions = settings.build_sessions(settings.build_own())
    assert sessions is not None
    sessions.store.create_schema()
    yield sessions
    sessions.store.close()

from __future__ import annotations

import importlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware import JWTMiddleware
from jwt_middleware.errors import ConfigurationError

SOURCE = "def app(environ, start_response): ...\n"

Serving = Callable[..., Any]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jwt_middleware.serve", raising=False)
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)
    monkeypatch.delenv("JWT_MIDDLEWARE_APP", raising=False)


def test_application_is_the_protected_app(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "app_to_serve.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("JWT_MIDDLEWARE_CONFIG", str(folder / "jwt.toml"))
    monkeypatch.setenv("JWT_MIDDLEWARE_APP", "app_to_serve:app")
    application = importlib.import_module("jwt_middleware.serve").application
    assert isinstance(application, JWTMiddleware)
    assert application.app is sys.modules["app_to_serve"].app


def test_says_which_variable_is_not_set() -> None:
    with pytest.raises(ConfigurationError, match="JWT_MIDDLEWARE_CONFIG is not set: set it to"):
        importlib.import_module("jwt_middleware.serve")


@pytest.mark.slow
def test_serves_under_gunicorn(folder: Path, serving: Serving) -> None:
    (folder / "myapp.py").write_text(SOURCE)
    gunicorn = Path(sys.executable).with_name("gunicorn")
    env = {
        **os.environ,
        "JWT_MIDDLEWARE_CONFIG": "jwt.toml",
        "JWT_MIDDLEWARE_APP": "myapp:app",
    }
    command = [gunicorn, "--no-control-socket", "--bind=127.0.0.1:0", "jwt_middleware.serve"]
    with serving(command, cwd=folder, env=env) as running:
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(running.url, timeout=60)  # noqa: S310  a URL of our own
        refused.value.close()
    assert running.process.returncode == 0

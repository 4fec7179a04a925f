"""docs/testing.md, as the suite of a stranger's app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jwt_middleware.testing import BadToken

from ..docs.pages import ROOT, blocks

PAGE = "docs/testing.md"

SHOP = """
from flask import Flask
from jwt_middleware import BadCredentialsError
from jwt_middleware.flask import current_claims, require_scopes

def create_app():
    app = Flask(__name__)

    @app.get("/me")
    def me():
        return dict(current_claims)

    @app.get("/reports")
    @require_scopes("reports:read")
    def reports():
        return []

    return app


def verify(account, secret):
    if (account, secret) != ("ann@example.com", "correct horse"):
        raise BadCredentialsError
    return find(42)


def find(uid):
    return {"uid": uid}


app = create_app()
"""
CONFIG = """
issuer = "https://auth.example.com"
audience = "api"
keys.secret_file = "secret"
endpoint.verifiers.email = "shop:verify"
endpoint.lookups.email = "shop:find"
sessions.url = "memory://"
"""
# What a suite that only names the plugin has loaded when its tests are collected.
LAZY = """
import sys

LOADED = {"webtest", "cryptography", "jwt", "werkzeug"} & set(sys.modules)


def test_nothing_is_loaded_before_a_fixture_is_used():
    assert not LOADED
"""


def suite(folder: Path, *options: str) -> str:
    """Run the tests in a folder with the plugin that its conftest.py names, and no others."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_the_suite_of_the_page_passes(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "jwt.toml").write_text(CONFIG)
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("a secret of thirty-two bytes or more\n")
    for block in blocks(PAGE):
        assert block.file is not None
        (tmp_path / block.file).write_text(block.text)
    assert f"{10 + len(BadToken)} passed" in suite(tmp_path)


@pytest.mark.slow
def test_a_suite_that_names_the_plugin_has_loaded_nothing(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["jwt_middleware.testing.plugin"]\n')
    (tmp_path / "test_lazy.py").write_text(LAZY)
    assert "1 passed" in suite(tmp_path)


def test_the_page_lists_every_bad_token() -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \|.*\| (\d+) `(\w+)` \|$", page, re.MULTILINE)
    assert rows == [(bad.name, str(bad.status), bad.bearer_error) for bad in BadToken]

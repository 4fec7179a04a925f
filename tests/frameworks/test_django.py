"""docs/frameworks/django.md, as a project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..docs.pages import blocks
from .pages import DJANGO

SUITE = Path(__file__).with_name("django_suite.py")
FOR_TESTS = """
ALLOWED_HOSTS = ["localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project, and put the files of the page into it."""
    command = [sys.executable, "-m", "django", "startproject", "shop", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    for block in blocks(DJANGO):
        assert block.file is not None
        is_more = "at the end" in block.text.partition("\n")[0]
        with (tmp_path / block.file).open("a" if is_more else "w") as file:
            file.write(block.text)
    with (tmp_path / "shop" / "settings.py").open("a") as settings:
        settings.write(FOR_TESTS)
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("a secret of thirty-two bytes or more\n")
    return tmp_path


def run(project: Path, *command: str | Path) -> str:
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(project)}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.slow
def test_the_project_of_the_page_works(project: Path) -> None:
    first = ("-p", "shop.wsgi")  # Django's models can be imported once that is
    said = run(project, "-m", "pytest", "-q", *first, "-p", "no:cacheprovider", SUITE)
    assert "passed" in said
    said = run(project, "manage.py", "test", "shop")  # the page's own test
    assert "no issues" in said
    assert "Ran 1 test" in said

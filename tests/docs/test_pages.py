"""README.md and docs/, executed: see tests/docs/pages.py for what a page has to keep to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from .configuration import build, completed
from .exceptions import EXCEPTIONS, exception
from .pages import ROOT, Block, blocks, commands, pages
from .python import run_page, run_python, write
from .shell import shell

BLOCKS = [block for page in pages() for block in blocks(page) if exception(block) is None]
APP = Path(__file__).parent / "myapp"
LANGUAGES = {"python", "toml", "sh", "console", "json"}


def has_commands(page: str) -> bool:
    found = [block for block in BLOCKS if block.page == page]
    return any(one.language in {"sh", "console"} or one.calls_the_server for one in found)


def python_pages(*, with_django: bool) -> list[str]:
    """Return the pages with Python; Django can be configured once in a process."""
    texts: dict[str, str] = {}
    for block in BLOCKS:
        if block.language == "python":
            texts[block.page] = texts.get(block.page, "") + block.text
    return [page for page, text in texts.items() if ("django" in text) == with_django]


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the reader's app, which is the working directory."""
    shutil.copytree(APP, tmp_path / "myapp", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    return tmp_path


@pytest.fixture(autouse=True)
def _modules_of_the_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules that a page writes."""
    before = {*sys.modules}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in {*sys.modules} - before:
        if name.partition(".")[0] == "myapp" or "." not in name:
            del sys.modules[name]


@pytest.mark.parametrize("page", python_pages(with_django=False))
def test_python_is_executed(page: str, folder: Path) -> None:
    run_page(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", python_pages(with_django=True))
def test_python_with_django_is_executed(page: str, folder: Path) -> None:
    code = "import sys; from tests.docs.python import run_page; run_page(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, page],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize("page", sorted({one.page for one in BLOCKS if one.language == "toml"}))
def test_configurations_are_built(page: str, folder: Path) -> None:
    for block in blocks(page):
        if block.file is not None:
            write(block)
        if block.language == "toml" and exception(block) is None:
            build(completed(block.text), folder)


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash"
)
@pytest.mark.parametrize("page", [page for page in pages() if has_commands(page)])
def test_commands_do_what_the_page_shows(page: str, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    with shell(folder) as run:
        for block in blocks(page):
            if exception(block) is not None:
                continue
            if block.language == "python":
                run_python(block, namespace, text=run.here(block.text))
            elif block.language == "json":
                run.compare(block.text)
            elif block.file is not None:
                write(block)
            for command in commands(block):
                run.run(command)


def test_every_block_is_executed_or_says_why_not() -> None:
    for block in BLOCKS:
        assert block.language in LANGUAGES, named(block)
        assert block.language != "json" or has_commands(block.page), named(block)


def test_configuration_of_others_can_be_read() -> None:
    found = [block for page in pages() for block in blocks(page)]
    probes = [yaml.safe_load(one.text) for one in found if one.language == "yaml"]
    assert [set(one) for one in probes] == [{"startupProbe", "readinessProbe", "livenessProbe"}]
    proxies = [tomllib.loads(one.text) for one in found if one.language == "cfg"]
    assert [one["provider"] for one in proxies] == ["oidc"]


def test_every_exception_has_a_block_and_the_test_that_it_names() -> None:
    found = {exception(block) for page in pages() for block in blocks(page)}
    for page, _, _, why in EXCEPTIONS:
        assert why in found, (page, why)
        test = why.partition(":")[0].partition(",")[0]
        if test.startswith(("tests/", ".ci/")):
            assert (ROOT / test).exists(), why

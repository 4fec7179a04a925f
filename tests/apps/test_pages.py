from __future__ import annotations

from . import test_apps
from .pages import FOLDER, PAGES


def test_every_page_is_run_and_listed() -> None:
    tested = {name.removeprefix("test_") for name in vars(test_apps) if name.startswith("test_")}
    assert tested == set(PAGES)
    contents = (FOLDER / "README.md").read_text("utf-8")
    assert [page for page in PAGES if f"({page}.md)" not in contents] == []

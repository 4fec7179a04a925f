from __future__ import annotations

from .__main__ import BEGIN, END, PAGE
from .servers import SERVERS


def test_the_page_has_a_row_for_every_server() -> None:
    rows = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(SERVERS)
    assert not any("fails" in row or "not run" in row for row in rows)

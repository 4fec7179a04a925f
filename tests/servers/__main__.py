"""
Run the suite over every server that is installed, and draw the table of docs/servers.md from it.

    python -m tests.servers [NAME …]

With names, or where a server is missing or fails, it prints the table and writes nothing.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from ..docs.pages import ROOT
from .servers import SERVERS

CHECKS: Final = str(Path(__file__).with_name("test_servers.py"))
PAGE: Final = ROOT / "docs" / "servers.md"
# The header of a column, and the checks that it sums up.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "first byte before the last is made": ("stream",),
    "chunked body": ("chunked_upload",),
    "`wsgi.file_wrapper`": ("file_wrapper",),
    "`close()` when the client leaves": ("close_when_the_client_leaves",),
    "of two `Authorization`": ("two_authorizations",),
    "`X_A` beside `X-A`": ("underscores",),
    "two requests in one": ("smuggling",),
    "refused before its body is sent": ("refusal_does_not_wait_for_a_body",),
    "connection after a refused body": ("next_request_after_a_refused_body",),
    "`Expect: 100-continue`, refused": ("expect_continue",),
    "while SQLite is locked": ("locked_database",),
    "reload under load": ("reload_under_load",),
    "every other check": (
        *("login", "200", "401", "403", "upload", "head", "preflight", "websocket"),
        *("chunked_login", "client_cannot_name_itself", "folded_headers"),
    ),
}
BEGIN: Final = "<!-- drawn by python -m tests.servers -->\n"
END: Final = "<!-- end -->\n"


class Results:
    """A plugin that keeps what became of each check, by server and check."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.missing: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and report.when != "call":
            return
        check, _, parameters = report.nodeid.rpartition("::test_")[2].partition("[")
        server = next(
            (
                name
                for name in sorted(SERVERS, key=len, reverse=True)
                if parameters.startswith((f"{name}]", f"{name}-"))
            ),
            "",
        )
        if report.skipped and report.when == "setup":
            self.missing[server] = str(report.longrepr)
        elif report.skipped:
            self.of[server, check].append(str(report.longrepr).rpartition("Skipped: ")[2][:-2])
        elif report.failed:
            self.of[server, check].append("fails")
        else:
            notes = [str(value) for name, value in report.user_properties if name == "note"]
            self.of[server, check] += notes or ["yes"]


def row(server: str, results: Results) -> str:
    """Return a row of the table."""
    cells = [_cell([one for check in checks for one in results.of[server, check]])
             for checks in COLUMNS.values()]  # fmt: skip
    return "| " + " | ".join([server, *cells]) + " |"


def _cell(found: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(found)) or "not run"


def table(names: Iterable[str], results: Results) -> str:
    """Return the table of these servers."""
    head = ["server", *COLUMNS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(row(name, results) for name in names)])


def main(names: list[str]) -> int:
    results = Results()
    only = ["-k", " or ".join(f'"[{name}"' for name in names)] if names else []
    code = pytest.main(["-q", "-m", "", "-p", "no:cacheprovider", *only, CHECKS], [results])
    sys.stdout.writelines(f"not run: {reason}\n" for reason in results.missing.values())
    if names or results.missing or code:
        found = [one for one in names or SERVERS if one not in results.missing]
        sys.stdout.write(table(found, results) + "\n")
        return int(code)
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(SERVERS, results) + "\n" + END + rest.partition(END)[2])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

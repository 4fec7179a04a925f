"""The blocks that another test executes, or that cannot be executed, and why."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Final

from .pages import Block

_SERVICE: Final = "tests/integration/test_service_docs.py"

EXCEPTIONS: Final[tuple[tuple[str, str, str, str], ...]] = (
    # page, language ("*" is any), how its first line begins, why
    (
        "README.md",
        "sh",
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]'",
        ".ci/run, which reads it from there: it is what runs this test",
    ),
    (
        "README.md",
        "sh",
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[demo]'",
        "tests/docs/test_install.py: needs the network",
    ),
    (
        "docs/deploy.md",
        "ini",
        "",
        f"{_SERVICE}: with systemd-analyze; there is no systemd to start",
    ),
    ("docs/apps/*.md", "python", "", "tests/apps/test_apps.py: the app and its client"),
    ("docs/apps/*.md", "sh", "", "tests/apps/test_apps.py: the client"),
    ("docs/servers.md", "apache", "", "tests/servers/servers.py: what Apache is started with"),
    ("docs/servers.md", "python", "", "tests/servers/servers.py: what Apache loads"),
    ("docs/servers.md", "sh", "", "tests/servers/__main__.py: by hand, it takes minutes"),
    ("docs/browsers.md", "js", "", "tests/integration/test_browser.py: in a real page"),
    (
        "docs/browsers.md",
        "sh",
        "",
        "tests/integration/test_git.py: git; of pip and twine no server for packages is here",
    ),
    ("docs/deploy.md", "nginx", "", f"{_SERVICE}: nginx -t"),
    ("docs/deploy.md", "", '{"status"', f"{_SERVICE}: what a probe is answered"),
    ("docs/deploy.md", "yaml", "", "there is no Kubernetes to start"),
    ("docs/deploy.md", "cron", "", f"{_SERVICE}: each command; there is no cron to wait for"),
    ("docs/deploy.md", "sh", "sqlite3 accounts.db", f"{_SERVICE}: in a folder that has them"),
    ("docs/events.md", "", "", f"{_SERVICE}: fields and events; the lines are of no one request"),
    ("docs/frameworks.md", "*", "", "tests/frameworks/test_recipes.py: each in an app of its own"),
    ("docs/frameworks/flask.md", "*", "", "tests/frameworks/test_recipes.py, and test_setups.py"),
    ("docs/frameworks/django.md", "*", "", "tests/frameworks/test_django.py"),
    ("docs/testing.md", "*", "", "tests/testing/test_page.py: as a suite of its own"),
    (
        "docs/speed.md",
        "sh",
        "",
        ".ci/run: --quick, in a clone with the extra bench; others take minutes",
    ),
    ("docs/moving/oauth2-proxy.md", "cfg", "", "oauth2-proxy is no Python package"),
    ("docs/providers/*.md", "json", "", "tests/providers/test_providers.py: tokens that it issues"),
)


def exception(block: Block) -> str | None:
    """Return why *block* is not executed with its page, if it is not."""
    for page, language, start, why in EXCEPTIONS:
        if (
            fnmatch(block.page, page)
            and language in {block.language, "*"}
            and block.text.startswith(start)
        ):
            return why
    return None

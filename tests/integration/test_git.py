"""git, which speaks only Basic, before a server that knows nothing of tokens."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier

from ..site import AUD, ISS, KEYS, NOW, good_token

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("git"), reason="needs git"),
]


class Quiet(WSGIRequestHandler):
    def log(self, *arguments: object) -> None: ...


def git(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    who = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    alone = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(
        ["git", *map(str, arguments)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **alone, **dict.fromkeys(who, "x")},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A repository that is served as files."""
    git("init", "-q", "work", folder=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "the first", folder=tmp_path / "work")
    git("clone", "-q", "--bare", "work", "work.git", folder=tmp_path)
    git("update-server-info", folder=tmp_path / "work.git")
    app = JWTMiddleware(
        SharedDataMiddleware(NotFound(), {"/": str(tmp_path)}),
        verifier=TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW),
        policy=Policy([Rule("/work.git/*", basic=True, scopes=["read"])]),
    )
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = Thread(target=server.serve_forever, args=(0.02,))  # looks for its end so often
    thread.start()
    yield f"127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_git_clones_with_a_token_as_its_password(host: str, tmp_path: Path) -> None:
    url = f"http://__token__:{good_token()}@{host}/work.git"
    cloned = git("clone", "-q", url, "copy", folder=tmp_path)
    assert (cloned.returncode, cloned.stderr) == (0, "")
    log = git("log", "--format=%s", folder=tmp_path / "copy")
    assert log.stdout == "the first\n"


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ("", "could not read Username"),
        ("ann:her-password@", "Authentication failed"),
        (f"x:{good_token(exp=NOW - 1)}@", "Authentication failed"),
        (f"x:{good_token(scope='other')}@", "403"),
    ],
)
def test_git_is_refused_without_a_good_one(
    host: str, tmp_path: Path, user: str, complaint: str
) -> None:
    cloned = git("clone", "-q", f"http://{user}{host}/work.git", "copy", folder=tmp_path)
    assert cloned.returncode != 0
    assert complaint in cloned.stderr

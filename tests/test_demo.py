from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from demo.app import _PAGE, make_app
from demo.steps import ADMIN, READER, Step, steps

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "demo"]
STATUS = re.compile(r"HTTP/1\.1 ([0-9]{3})")

Serving = Callable[..., Any]

needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash"
)


@pytest.fixture(scope="module")
def demo(serving: Serving) -> Iterator[Any]:
    with serving([*DEMO, "--port", "0"], cwd=ROOT) as running:
        yield running


def printed_commands(running: Any) -> list[str]:
    """Return the line behind each title."""
    return re.findall(r"^# .+\n(.+)$", running.log.read_text(), re.MULTILINE)


def children(pid: int) -> list[str]:
    file = Path(f"/proc/{pid}/task/{pid}/children")
    if not file.exists():
        pytest.skip("needs Linux's /proc")
    return file.read_text().split()


@pytest.mark.slow
class TestServed:
    @needs_curl
    def test_answers_the_commands_it_prints_as_it_says(self, demo: Any, tmp_path: Path) -> None:
        commands = printed_commands(demo)
        script = tmp_path / "script"
        script.write_text("\n".join(commands) + "\n")
        ran = subprocess.run(
            ["bash", "-e", script], capture_output=True, check=True, text=True, timeout=60
        )
        assert len(commands) == 14
        before = ["200", "401", "200", "200", "403", "200", "401"]
        assert STATUS.findall(ran.stdout) == [*before, "200", "204", "401", "400"]
        assert '"sub": "1"' in ran.stdout
        assert "Welcome, admin 2." in ran.stdout
        assert 'scope="admin"' in ran.stdout
        assert '"code": "expired_token"' in ran.stdout
        assert '"code": "revoked_token"' in ran.stdout
        assert '"error": "invalid_grant"' in ran.stdout

    @needs_curl
    def test_shows_the_same_commands_on_its_page(self, demo: Any) -> None:
        page = subprocess.run(
            ["curl", "-s", demo.url], capture_output=True, check=True, text=True, timeout=60
        ).stdout
        for command in printed_commands(demo):
            assert command in page.replace("&#34;", '"').replace("&#39;", "'")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_ends_with_its_workers_and_its_folder(
        self, serving: Serving, tmp_path: Path, number: signal.Signals
    ) -> None:
        env = {**os.environ, "TMPDIR": str(tmp_path)}
        with serving([*DEMO, "--port", "0"], cwd=ROOT, env=env) as demo:
            (folder,) = tmp_path.glob("jwt-middleware-demo-*")
            assert (folder / "secret").stat().st_mode & 0o777 == 0o600
            workers = wait_for_workers(demo)
            demo.process.send_signal(number)
            assert demo.process.wait(10) == 0
        assert list(tmp_path.iterdir()) == []
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert "Traceback" not in demo.log.read_text()


def wait_for_workers(running: Any) -> list[str]:
    """Return the workers' ids once both are there and one of them answers."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        # To its end: a signal that meets gunicorn while it logs a request makes a traceback.
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer[:12].endswith(b"200")
    deadline = time.monotonic() + 10
    while len(workers := children(running.process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(workers) == 2
    return workers


@pytest.mark.slow
class TestCommandLine:
    def test_says_that_the_port_is_in_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = run("--port", port)
        assert ended.returncode == 1
        assert ended.stderr == (
            f"demo: port {port} cannot be used (Address already in use): name another with --port\n"
        )
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["--workers", "0"], 2),
            (["--lifetime-seconds", "0"], 2),
            (["--port", "70000"], 1),
        ],
    )
    def test_exits_with_1_or_2(self, arguments: list[str], code: int) -> None:
        ended = run(*arguments)
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr

    def test_says_what_is_missing(self) -> None:
        code = "import runpy, sys; sys.modules['gunicorn'] = None; runpy.run_module('demo')"
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 1
        assert ended.stderr == "demo: gunicorn is missing: pip install -e '.[demo]'\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *arguments], cwd=ROOT, capture_output=True, check=False, text=True, timeout=60
    )


class TestApplication:
    def test_has_a_public_page(self) -> None:
        page = TestApp(make_app([Step("A <b>title", '"标题', "curl '\"&")])).get("/")
        assert page.content_type == "text/html"
        assert "A &lt;b&gt;title" in page.text
        assert 'data-zh="&#34;标题"' in page.text
        assert "curl &#39;&#34;&amp;" in page.text

    def test_its_page_loads_and_runs_nothing_else(self) -> None:
        page = TestApp(make_app()).get("/")
        policy = page.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        for element in ("script", "style"):
            (text,) = re.findall(f"<{element}>(.*?)</{element}>", page.text, re.DOTALL)
            digest = b64encode(sha256(text.encode()).digest()).decode()
            assert f"{element}-src 'sha256-{digest}'" in policy
        assert not re.search(r"https?://|\son[a-z]+=|\sstyle=|innerHTML|Storage|cookie", page.text)

    def test_its_page_fills_in_the_demo_accounts(self) -> None:
        for account in (READER, ADMIN):
            assert json.dumps(account) in _PAGE

    def test_its_page_is_in_two_languages(self) -> None:
        for attribute in ("data-zh", "data-zh-label"):
            texts = re.findall(f'{attribute}="([^"]*)"', _PAGE)
            assert texts
            assert not [text for text in texts if text.isascii()]

    def test_shows_the_claims_it_received(self) -> None:
        claims = {"uid": 7, "scope": "read"}
        environ = {"jwt_middleware.claims": claims, "REMOTE_USER": "7"}
        answer = TestApp(make_app(), extra_environ=environ).get("/me")
        assert json.loads(answer.text) == {"user": "7", "claims": claims}

    def test_welcomes_admins(self) -> None:
        environ = {"jwt_middleware.claims": {"uid": 7}}
        answer = TestApp(make_app(), extra_environ=environ).get("/admin")
        assert answer.json == {"message": "Welcome, admin 7."}

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/no", 404), ("POST", "/", 405)]
    )
    def test_knows_nothing_else(self, method: str, path: str, status: int) -> None:
        TestApp(make_app()).request(path, method=method, status=status)


def test_steps_quote_a_folder_with_a_space_in_its_name() -> None:
    found = steps("http://127.0.0.1:1", Path("/tmp/a folder/jwt.toml"))  # noqa: S108
    (expired,) = (step for step in found if "expired" in step.title)
    assert "-c '/tmp/a folder/jwt.toml' token issue" in expired.command

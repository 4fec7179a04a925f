from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result
from gunicorn.errors import AppImportError, HaltServer

from jwt_middleware import JWTMiddleware
from jwt_middleware.cli import gunicorn_server as server
from jwt_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

COMMAND = [str(Path(sys.executable).with_name("jwt-middleware")), "serve", "--bind", "127.0.0.1:0"]
APP = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode()]
"""

ENDPOINT = '[endpoint]\n[accounts]\nurl = "sqlite:///accounts.db"\n'
MEMORY = '[sessions]\nurl = "memory://"\n'

Invoke = Callable[..., Result]
Serving = Callable[..., Any]


def fetch(url: str, token: str | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url)  # noqa: S310  a URL of our own
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class TestServer:
    @pytest.fixture(autouse=True)
    def app(self, folder: Path) -> None:
        (folder / "myapp.py").write_text(APP)

    def test_protects_the_app(self, folder: Path, serving: Serving, invoke: Invoke) -> None:
        token = invoke("token", "issue", "--uid", "42").stdout.strip()
        with serving([*COMMAND, "myapp:app"], cwd=folder) as running:
            assert fetch(running.url)[0] == 401
            assert fetch(running.url, token) == (200, b"42")
        assert running.process.returncode == 0
        assert running.log.read_text().count("Booting worker") == 2

    def test_no_header_of_a_client_becomes_script_name(
        self, folder: Path, serving: Serving, invoke: Invoke
    ) -> None:
        (folder / "myapp.py").write_text(APP.replace("REMOTE_USER", "SCRIPT_NAME"))
        token = invoke("token", "issue", "--uid", "42").stdout.strip()
        with serving([*COMMAND, "myapp:app"], cwd=folder) as running:
            request = urllib.request.Request(f"{running.url}/a/b")  # noqa: S310
            request.add_header("Authorization", f"Bearer {token}")
            request.add_header("SCRIPT_NAME", "/a")
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                assert response.read() == b""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("bind", "code", "message"),
        [
            pytest.param("127.0.0.1:99999", 2, "must be 0 to 65535", id="number"),
            pytest.param("127.0.0.1:x", 1, "", id="name"),
        ],
    )
    def test_refuses_a_port(self, folder: Path, bind: str, code: int, message: str) -> None:
        ended = run([*COMMAND[:2], "--bind", bind, "myapp:app"], cwd=folder)
        assert ended.returncode == code
        assert message in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            pytest.param("myapp:nope", "Error: app 'myapp:nope': there is no 'nope'", id="attr"),
            pytest.param("nope:app", "Error: app 'nope:app': there is no module", id="module"),
        ],
    )
    def test_ends_when_there_is_no_such_app(self, folder: Path, name: str, message: str) -> None:
        ended = run([*COMMAND, name], cwd=folder)
        assert ended.returncode == 1
        assert message in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.slow
    def test_starts_one_worker_with_sessions_in_memory(
        self, folder: Path, serving: Serving
    ) -> None:
        config = folder / "jwt.toml"
        config.write_text(config.read_text() + ENDPOINT + MEMORY)
        env = {**os.environ, "WEB_CONCURRENCY": "4"}  # what the option says counts
        command = [*COMMAND, "--workers", "1", "myapp:app"]
        with serving(command, cwd=folder, env=env) as running:
            assert fetch(running.url)[0] == 401


def run(command: list[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


class TestCommand:
    def test_hands_the_protected_app_to_gunicorn(
        self, invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "served_app.py").write_text(APP)
        monkeypatch.setattr(sys, "path", sys.path.copy())
        given: dict[str, Any] = {}

        def run(load: Callable[[], JWTMiddleware], **settings: Any) -> None:
            given.update(settings, app=load())

        monkeypatch.setattr(server, "run", run)
        options = ["--bind", "unix:socket", "--workers", "3"]
        assert invoke("serve", "served_app:app", *options).exit_code == 0
        assert given.pop("app").app is sys.modules["served_app"].app
        assert given == {"bind": "unix:socket", "workers": 3}
        assert sys.path[0] == str(folder)
        # and once is enough
        assert invoke("serve", "served_app:app").exit_code == 0
        assert sys.path.count(str(folder)) == 1

    def test_says_that_gunicorn_is_missing(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "jwt_middleware.cli.gunicorn_server")
        monkeypatch.setitem(sys.modules, "gunicorn.app.base", None)
        result = invoke("serve", "myapp:app")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: serve needs gunicorn, and gunicorn")
        assert "pip install gunicorn" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_needs_the_name_of_an_app(self, invoke: Invoke) -> None:
        result = invoke("serve", "myapp")
        assert result.exit_code == 2
        assert "'myapp': write MODULE:APP" in result.stderr

    def test_does_not_start_with_a_mistake_in_the_configuration(
        self, invoke: Invoke, folder: Path
    ) -> None:
        (folder / "secret").unlink()
        result = invoke("serve", "myapp:app")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: jwt.toml: keys.secret_file: ")
        assert result.stderr.count("\n") == 1

    def test_does_not_start_several_workers_with_sessions_in_memory(
        self, invoke: Invoke, folder: Path
    ) -> None:
        config = folder / "jwt.toml"
        config.write_text(config.read_text() + MEMORY)
        result = invoke("serve", "myapp:app")
        assert result.exit_code == 1
        assert "memory:// is not shared among 2 processes" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_needs_a_worker(self, invoke: Invoke) -> None:
        assert invoke("serve", "myapp:app", "--workers", "0").exit_code == 2


class TestRun:
    @pytest.mark.parametrize(
        ("stopped", "by", "code"),
        [
            pytest.param(0, "master", 0, id="stopped"),
            pytest.param(4, "master", 1, id="failed"),
            pytest.param(4, "worker", 4, id="in a worker"),
            pytest.param(0, "worker", 0, id="in a worker that stopped"),
        ],
    )
    def test_keeps_to_0_and_1_in_the_master(
        self, monkeypatch: pytest.MonkeyPatch, stopped: int, by: str, code: int
    ) -> None:
        def stop(running: server._Server) -> None:
            if by == "worker":
                monkeypatch.setattr(os, "getpid", lambda: -1)
            sys.exit(stopped)

        monkeypatch.setattr(server._Server, "run", stop)
        with pytest.raises(SystemExit) as ended:
            server.run(_app)
        assert (ended.value.code or 0) == code

    def test_exits_with_1_when_workers_fail_while_gunicorn_halts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def halt(running: server._Server) -> None:
            raise HaltServer("App failed to load.", 4)

        monkeypatch.setattr(server._Server, "run", halt)
        with pytest.raises(SystemExit) as ended:
            server.run(_app)
        assert ended.value.code == 1

    def test_leaves_out_what_an_older_gunicorn_does_not_know(self) -> None:
        running = server._Server(_app, {"workers": 3, "not_a_setting": 1})
        assert running.cfg.workers == 3

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
    def test_ends_a_worker_that_was_told_to_while_it_booted(
        self, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        defaults = []
        monkeypatch.setattr(signal, "signal", lambda *given: defaults.append(given))
        noted: SimpleQueue[int] = SimpleQueue()
        arbiter = SimpleNamespace(SIG_QUEUE=noted)
        noted.put(signal.SIGCHLD)
        server._heed_signals(arbiter, None)
        assert (number, signal.SIG_DFL) in defaults
        noted.put(number)
        with pytest.raises(SystemExit) as ended:
            server._heed_signals(arbiter, None)
        assert ended.value.code == 0

    def test_loads_the_app(self) -> None:
        running = server._Server(lambda: _wsgi, {})
        assert running.wsgi() is _wsgi

    def test_reports_a_mistake_in_the_configuration_as_gunicorn_wants_it(self) -> None:
        with pytest.raises(AppImportError, match="Error: issuer: is missing"):
            server._Server(_app, {}).load()


def _app() -> Any:
    raise ConfigurationError("issuer: is missing")


def _wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise NotImplementedError

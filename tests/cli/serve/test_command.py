from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from click.testing import Result
from gunicorn.config import Config
from gunicorn.errors import AppImportError, HaltServer

from jwt_middleware import JWTMiddleware
from jwt_middleware.cli.serve import gunicorn_server as server
from jwt_middleware.errors import ConfigurationError

from ...site import forge, unb64

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

    @pytest.mark.slow
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
            pytest.param("127.0.0.1:x", 2, "must be HOST:PORT", id="name"),
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


class TestService:
    @pytest.fixture(autouse=True)
    def app(self, folder: Path) -> None:
        (folder / "myapp.py").write_text(APP)

    @pytest.mark.slow
    def test_logs_who_was_served_and_why_one_was_not(
        self, folder: Path, serving: Serving, invoke: Invoke
    ) -> None:
        configure(
            folder,
            "[request]\ntrusted_proxies = 1\n[logging]\nformat = 'json'\n"
            "[[rules]]\npath = '/r'\nmode = 'report'\n",
        )
        token = invoke("token", "issue", "--uid", "42").stdout.strip()
        with serving([*COMMAND, "myapp:app", "--timeout", "20"], cwd=folder) as running:
            fetch(f"{running.url}/a%0ab?access_token=x", token)
            fetch(f"{running.url}/refused")
            fetch(f"{running.url}/r?access_token=x")  # of no user, as the app does not expect
        lines = running.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        access = {one["path"]: one for one in found if one.get("event") == "access"}
        header, payload, _ = token.split(".")
        kid, jti = json.loads(unb64(header))["kid"], json.loads(unb64(payload))["jti"]
        assert {"sub": "42", "kid": kid, "jti": jti}.items() <= access["/a\\nb"].items()
        assert access["/refused"]["sub"] == "-"
        assert access["/r"]["status"] == "500"
        assert not {"kid", "jti"} & access["/refused"].keys()
        assert running.log.read_text().count("mode is report") == 1
        [refused] = [one for one in found if one.get("event") == "request.refused"]
        assert refused["reason"] == "missing_token"
        assert "access_token" not in running.log.read_text()

    @pytest.mark.slow
    def test_reads_the_configuration_again_and_keeps_the_last_good_one(
        self, folder: Path, serving: Serving, invoke: Invoke
    ) -> None:
        text = (folder / "jwt.toml").read_text()
        command = [*COMMAND, "--workers", "1", "myapp:app"]
        with serving(command, cwd=folder) as running:
            assert fetch(running.url)[0] == 401
            configure(folder, "[[rules]]\npath = '/'\naccess = 'public'\n")
            hang_up(running)
            assert fetch(running.url)[0] == 500  # the app wants a REMOTE_USER
            assert "reloaded, but" not in running.log.read_text()
            (folder / "myapp.py").write_text(APP)
            hang_up(running)
            (folder / "jwt.toml").write_text("isuer = 1\n" + text)
            hang_up(running)
            assert fetch(running.url)[0] == 500
        assert running.process.returncode == 0
        assert "reloaded, but not myapp, changed since the start: restart" in (
            running.log.read_text()
        )
        assert "not reloaded: jwt.toml: isuer: " in running.log.read_text()

    @pytest.mark.slow
    def test_a_mistake_ends_no_server_whose_workers_load_the_app(
        self, folder: Path, serving: Serving
    ) -> None:
        configure(folder, "[serve]\npreload = false\n")
        with serving([*COMMAND, "--workers", "1", "myapp:app"], cwd=folder) as running:
            assert fetch(running.url)[0] == 401
            (folder / "jwt.toml").write_text("isuer = 1\n")
            hang_up(running)  # the worker after it has what was read before
            assert fetch(running.url)[0] == 401
        assert "not reloaded: jwt.toml: isuer: " in running.log.read_text()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "mistake"), [("jwt.toml", "isuer = 1\n"), ("myapp.py", "1 / 0\n")]
    )
    def test_a_mistake_is_waited_out_while_developing(
        self, folder: Path, serving: Serving, name: str, mistake: str
    ) -> None:
        good = (folder / name).read_text()
        with serving([*COMMAND, "--workers", "1", "--reload", "myapp:app"], cwd=folder) as running:
            for text, status in ((mistake, 500), (good, 401)):
                while fetch(running.url)[0] != status:
                    # Again and again: a change before the first look of the worker is none to it.
                    (folder / name).write_text(text)
                    assert running.process.poll() is None, running.log.read_text()


def configure(folder: Path, text: str) -> None:
    with (folder / "jwt.toml").open("a") as config:
        config.write(text)


def hang_up(running: Any) -> None:
    """Send SIGHUP, and wait until another worker has started and the one before has ended."""
    booted = running.log.read_text().count("Booting worker")
    exiting = running.log.read_text().count("Worker exiting")
    running.process.send_signal(signal.SIGHUP)
    for _ in range(2000):
        text = running.log.read_text()
        if text.count("Booting worker") > booted and text.count("Worker exiting") > exiting:
            return
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(0.01)
    pytest.fail(running.log.read_text())


class TestOptions:
    @pytest.fixture
    def given(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
        given: dict[str, Any] = {}
        monkeypatch.setattr(sys, "path", sys.path.copy())
        monkeypatch.setattr(server, "run", lambda load, reread, **settings: given.update(settings))
        return given

    def test_come_from_the_file(self, invoke: Invoke, folder: Path, given: dict[str, Any]) -> None:
        configure(
            folder,
            "[serve]\nbind = 'unix:s'\nworkers = 3\nthreads = 4\naccess_log = false\n"
            "preload = false\ngunicorn = { timeout = 50 }\n",
        )
        assert invoke("serve", "myapp:app").exit_code == 0
        assert given == {
            "bind": "unix:s",
            "workers": 3,
            "threads": 4,
            "preload_app": False,
            "timeout": 50,
            "log_format": "line",
        }

    def test_of_the_command_line_come_first(
        self, invoke: Invoke, folder: Path, given: dict[str, Any]
    ) -> None:
        configure(folder, "[serve]\nworkers = 3\ngunicorn = { timeout = 50 }\n")
        options = ["--workers", "1", "--reload", "--timeout", "9", "--max-requests", "100"]
        assert invoke("serve", "myapp:app", *options).exit_code == 0
        assert (given["workers"], given["timeout"], given["max_requests"]) == (1, 9, 100)
        assert (given["reload"], given["preload_app"]) == (True, False)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param(["--no-such-option", "1"], "--no-such-option", id="unknown"),
            pytest.param(["--timeout", "x"], "timeout", id="no number"),
            pytest.param(["other:app"], "other:app", id="second app"),
            pytest.param(["--workers", "9999"], "--workers must be a whole number", id="workers"),
            pytest.param(["-w", "9999"], "--workers must be a whole number", id="of gunicorn"),
            pytest.param(["--bind", "a:99999"], "--bind 'a:99999' must be", id="port"),
            pytest.param(["--bind", "unix:secret"], "is an existing file, not a", id="no socket"),
        ],
    )
    def test_that_are_unknown_or_out_of_bounds_are_refused(
        self, invoke: Invoke, given: dict[str, Any], options: list[str], message: str
    ) -> None:
        result = invoke("serve", "myapp:app", *options)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not given

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("workers = 0", "serve.workers must be a whole number", id="workers"),
            pytest.param("threads = 9999", "serve.threads must be a whole", id="threads"),
            pytest.param("gunicorn = { Timeout = 1 }", "serve.gunicorn.Timeout: is no", id="name"),
            pytest.param("bind = 'a:99999'", "serve.bind 'a:99999' must", id="port"),
            pytest.param("bind = 'a b'", "serve.bind 'a b' must be HOST:PORT", id="no host"),
            pytest.param("bind = 'unix:'", "serve.bind 'unix:' must be", id="no socket"),
            pytest.param("bind = '[::1'", "serve.bind '[::1' must be", id="open bracket"),
            pytest.param("gunicorn = { workers = 9999 }", "write serve.workers", id="twice"),
            pytest.param("gunicorn = { nosuch = 1 }", "serve.gunicorn.nosuch: ", id="unknown"),
            pytest.param(
                "gunicorn = { worker_class = 'nosuch' }",
                "serve.gunicorn.worker_class: ",
                id="class",
            ),
            pytest.param(
                "gunicorn = { certfile = 'nosuch' }", "serve.gunicorn.certfile: ", id="certificate"
            ),
            pytest.param(
                "gunicorn = { pidfile = 'nosuch/x' }", "serve.gunicorn.pidfile: ", id="pidfile"
            ),
            pytest.param("gunicorn = { timeout = 1.5 }", "serve.gunicorn.timeout: ", id="kind"),
        ],
    )
    def test_in_the_file_are_checked(
        self, invoke: Invoke, folder: Path, given: dict[str, Any], text: str, message: str
    ) -> None:
        configure(folder, f"[serve]\n{text}\n")
        for command in (["serve", "myapp:app"], ["check"]):
            result = invoke(*command)
            assert result.exit_code == 1
            assert message in result.stderr
            assert result.stderr.count("\n") == 1
        assert not given

    @pytest.mark.parametrize("settings", [{"tmeout": 1}, {"timeout": "x"}, {"worker_class": 1}])
    def test_of_gunicorn_are_checked_before_it_starts(self, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=f"serve.gunicorn.{next(iter(settings))}: "):
            server.run(_app, **settings)


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
        given.pop("reread")()
        assert given == {
            "bind": "unix:socket",
            "workers": 3,
            "threads": 1,
            "preload_app": True,
            "accesslog": "-",
            "log_format": "line",
        }
        assert sys.path[0] == str(folder)
        # and once is enough
        assert invoke("serve", "served_app:app").exit_code == 0
        assert sys.path.count(str(folder)) == 1

    def test_says_that_gunicorn_is_missing(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "jwt_middleware.cli.serve.gunicorn_server")
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
        server._restore_signals(arbiter, None)
        assert (number, signal.SIG_DFL) in defaults
        noted.put(number)
        with pytest.raises(SystemExit) as ended:
            server._restore_signals(arbiter, None)
        assert ended.value.code == 0

    def test_loads_the_app(self) -> None:
        running = server._Server(lambda: _wsgi, {})
        assert running.wsgi() is _wsgi

    def test_reports_a_mistake_in_the_configuration_as_gunicorn_wants_it(self) -> None:
        with pytest.raises(AppImportError, match="Error: issuer: is missing"):
            server._Server(_app, {}).load()


class TestAccessLog:
    FORGED = 'a" jti="b\r\n\x1b'
    OWNER: ClassVar[dict[str, Any]] = {
        "REMOTE_USER": "42",
        "jwt_middleware.claims": {"jti": FORGED},
        "HTTP_AUTHORIZATION": "Bearer  " + forge({"alg": "HS256", "kid": FORGED}),
    }

    @pytest.mark.parametrize("is_json", [False, True])
    def test_names_subject_and_token_escaped(self, *, is_json: bool) -> None:
        line = logged(self.OWNER, is_json=is_json)
        assert line.isascii()
        assert line.isprintable()
        if is_json:
            members = json.loads(line)
            escaped = json.dumps(self.FORGED)[1:-1]
            assert [members[name] for name in ("sub", "kid", "jti")] == ["42", escaped, escaped]
        else:
            words = shlex.split(line.partition("] ")[2])
            assert words[:4] == ["10.0.0.1", "GET /a", "200", "5B"]
            assert [one.partition("=")[0] for one in words[5:]] == ["sub", "kid", "jti"]

    def test_names_no_token_that_was_not_verified(self) -> None:
        header = self.OWNER["HTTP_AUTHORIZATION"]
        assert logged({"HTTP_AUTHORIZATION": header}).endswith("ms sub=-")
        for odd in ("", "Bearer x", f"Basic {header}"):
            environ = {**self.OWNER, "HTTP_AUTHORIZATION": odd, "jwt_middleware.claims": {}}
            assert logged(environ).endswith("ms sub=42")

    def test_a_path_with_quotes_adds_no_field(self) -> None:
        line = logged({"PATH_INFO": '/x" 200 7B 0.1ms sub=admin "'})
        assert '"GET /x\\" 200 7B 0.1ms sub=admin \\"" 200 5B 10.0ms sub=-' in line

    def test_makes_no_configuration_for_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "Config", lambda: pytest.fail("takes milliseconds"))
        assert logged({}).endswith("sub=-")

    def test_names_the_client_behind_proxies(self) -> None:
        forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.7, 192.0.2.1"}
        assert " 10.0.0.1 " in logged(forwarded)
        assert " 192.0.2.1 " in logged(forwarded, trusted_proxies=1)


def logged(environ: dict[str, Any], *, is_json: bool = False, trusted_proxies: int = 0) -> str:
    """Return the line of one request."""
    kind = server.access_log(is_json=is_json, trusted_proxies=trusted_proxies)
    config = Config()
    config.set("accesslog", "-")
    log = kind(config)
    lines: list[str] = []
    log.access_log = SimpleNamespace(info=lambda text, *values: lines.append(text % values))
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "REMOTE_ADDR": "10.0.0.1", **environ}
    log.access(SimpleNamespace(status="200 OK", sent=5), None, request, timedelta(seconds=0.01))
    [line] = lines
    return line


def _app() -> Any:
    raise ConfigurationError("issuer: is missing")


def _wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise NotImplementedError

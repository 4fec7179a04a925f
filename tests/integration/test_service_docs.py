"""What docs/deploy.md, docs/events.md and docs/metrics.md say is done here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry
from webtest import TestApp
from werkzeug.exceptions import NotFound

from jwt_middleware import wrap
from jwt_middleware.cli import main
from jwt_middleware.cli.serve import gunicorn_server
from jwt_middleware.config import load
from jwt_middleware.events import LEVELS, Fields, Name, emit
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.wsgi.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
APP = "def app(environ, start_response): ...\n"


def blocks(name: str, language: str) -> list[str]:
    """Return the blocks of a document in one language."""
    text = (DOCS / name).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(name: str) -> list[list[str]]:
    """Return the cells of all tables of a document, with what is code in each."""
    lines = (DOCS / name).read_text().splitlines()
    return [line.strip("|").split("|") for line in lines if line.startswith("| `")]


@pytest.fixture
def invoke(folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    folder = folder_with_endpoint
    with (folder / "jwt.toml").open("a") as config:
        config.write('[sessions]\nurl = "sqlite:///sessions.db"\n')
    (folder / "myapp.py").write_text(APP)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)
    sessions = load("jwt.toml").require_sessions().build_store()
    sessions.create_schema()
    sessions.close()
    return lambda *arguments: CliRunner(catch_exceptions=False).invoke(main, arguments)


Invoke = Callable[..., Result]


class TestEvents:
    def test_the_table_names_all_events_and_their_levels(self) -> None:
        found: dict[str, str] = {}
        for first, levels, *_ in rows("events.md"):
            names = re.findall("`([a-z.]+)`", first)
            given = [level.strip() for level in levels.split(",")]
            found |= dict(zip(names, given * len(names), strict=False))
        assert set(found) == set(Name)
        for name, level in LEVELS.items():
            assert {"debug": 10, "info": 20, "warning": 30, "error": 40}[found[name]] == level

    def test_the_fields_are_all(self) -> None:
        (paragraph,) = re.findall(
            r"^Fields: (.*?)\. ", (DOCS / "events.md").read_text(), re.MULTILINE | re.DOTALL
        )
        assert set(re.findall("`([a-z_]+)`", paragraph)) == set(Fields.__annotations__) - {
            "mode", "seconds",
        }  # fmt: skip

    def test_the_listener_is_called(self, capsys: pytest.CaptureFixture[str]) -> None:
        names: dict[str, Any] = {}
        for block in blocks("events.md", "python"):
            exec(block, names)  # noqa: S102  it is ours
        emit(Name.TOKEN_ISSUED, sub="42")
        names["stop"]()
        assert "token.issued {'sub': '42'}" in capsys.readouterr().out

    def test_the_line_of_json_is_one(self) -> None:
        (line,) = [one for one in (DOCS / "events.md").read_text().splitlines() if one[:1] == "{"]
        assert json.loads(line)["event"] in set(Name)


class TestMetrics:
    def test_the_table_names_what_is_exported(self) -> None:
        documented = {
            name
            for row in rows("metrics.md")
            for name in re.findall("`(jwt_middleware_[a-z_]+)`", row[0])
        }
        metrics, registry = Metrics(issuers=["i"]), CollectorRegistry()
        try:
            metrics.register(registry)
            exported = {one.name for one in registry.collect()}
        finally:
            metrics.close()
        documented = {name.removesuffix("_total") for name in documented}
        # Those that are shown once there is something to show.
        later = {"jwt_middleware_keys_age_seconds", "jwt_middleware_revocation_lag_seconds"}
        assert exported <= documented
        assert documented - later <= exported

    def test_the_settings_are_accepted(self, folder: Path) -> None:
        text = (folder / "jwt.toml").read_text()
        for block in blocks("metrics.md", "toml"):
            assert tomllib.loads(block)
            (folder / "jwt.toml").write_text(text + block)
            load(folder / "jwt.toml")


class TestDeploy:
    @pytest.fixture
    def given(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        given: dict[str, Any] = {}
        monkeypatch.setattr(gunicorn_server, "run", lambda load, **settings: given.update(settings))
        return given

    def test_the_unit_starts_what_there_is(self, invoke: Invoke, given: dict[str, Any]) -> None:
        (unit,) = blocks("deploy.md", "ini")
        command = re.search("^ExecStart=.*/jwt-middleware (.*)$", unit, re.MULTILINE)
        assert "ExecStartPre" not in unit  # an outage must not keep the service down
        assert command
        assert invoke(*shlex.split(command[1])).exit_code == 0
        assert given["bind"] == "unix:/run/myapp/socket"

    def test_the_answer_of_a_probe_is_that_of_an_app(self, invoke: Invoke) -> None:
        [table] = [one for one in blocks("deploy.md", "toml") if "[health]" in one]
        config = Path("jwt.toml")
        config.write_text(config.read_text() + table)
        answer = TestApp(wrap(config, NotFound())).get("/health", status=503)
        assert f"\n{answer.text}\n" in (DOCS / "deploy.md").read_text()

    def test_systemd_knows_the_unit(self, tmp_path: Path) -> None:
        if shutil.which("systemd-analyze") is None:
            pytest.skip("needs systemd")
        (unit,) = blocks("deploy.md", "ini")
        (tmp_path / "myapp.service").write_text(unit)
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / "myapp.service"],
            capture_output=True, check=False, text=True, timeout=30,
        )  # fmt: skip
        assert "Unknown" not in said.stderr

    def test_nginx_knows_its_settings(self, tmp_path: Path) -> None:
        if shutil.which("nginx") is None:
            pytest.skip("needs nginx")
        server, locations = blocks("deploy.md", "nginx")
        text = server.replace("443 ssl", "127.0.0.1:8443").rstrip()[:-1] + locations + "}"
        (tmp_path / "nginx.conf").write_text(
            f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n"
        )
        subprocess.run(["nginx", "-t", "-c", tmp_path / "nginx.conf"], check=True, timeout=30)

    def test_cron_runs_what_there_is(self, invoke: Invoke) -> None:
        (cron,) = blocks("deploy.md", "cron")
        rotate, prune = re.findall("jwt-middleware (.*)$", cron, re.MULTILINE)
        assert invoke(*shlex.split(prune)).exit_code == 0
        rotation.create("ring", alg="ES256", now=1_700_000_000.0)
        config = Path("jwt.toml")
        config.write_text(
            config.read_text().replace('secret_file = "secret"', 'directory = "ring"')
        )
        assert invoke(*shlex.split(rotate)).exit_code == 0

    def test_the_backup_holds_the_sessions(self, invoke: Invoke) -> None:
        (script,) = blocks("deploy.md", "sh")
        assert ".backup 'backup/sessions.db'" in script
        with sqlite3.connect("sessions.db") as source, sqlite3.connect("copy.db") as copy:
            source.backup(copy)  # what the shell's .backup does
        config = Path("jwt.toml")
        config.write_text(config.read_text().replace("sessions.db", "copy.db"))
        result = invoke("check")
        assert result.exit_code == 0
        assert "copy.db') answers" in result.stdout
        for connection in (source, copy):
            connection.close()

    def test_the_image_starts_what_there_is(self, invoke: Invoke, given: dict[str, Any]) -> None:
        dockerfile = (ROOT / "demo" / "Dockerfile").read_text()
        command = re.search(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
        extras = re.search(r"/src\[([a-z,]+)\]", dockerfile)
        assert command
        assert extras
        assert re.search("^USER 10001$", dockerfile, re.MULTILINE)
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert set(extras[1].split(",")) <= set(declared["optional-dependencies"])
        assert invoke(*json.loads(command[1])).exit_code == 0
        assert given["bind"] == "0.0.0.0:8000"
        assert given["worker_tmp_dir"] == "/tmp"  # noqa: S108  the same

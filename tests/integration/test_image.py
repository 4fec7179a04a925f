"""
demo/Dockerfile, as far as it can be checked without an engine for containers.

Its text is read as Docker reads it; its build is run in folders instead of layers, and its command
as a user without rights in a folder that cannot be written to.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
UID = 10001
APP = "def app(environ, start_response):\n    raise NotImplementedError\n"
CONFIG = """\
issuer = "https://auth.example.com"
audience = "api"
[keys]
secret_file = "secret"
[metrics]
[health]
path = "/health"
"""


class Stage(NamedTuple):
    """One stage of a build: its image, its name, and its instructions."""

    image: str
    name: str
    steps: list[tuple[str, str]]

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages() -> list[Stage]:
    text = re.sub(r"\\\n", " ", (ROOT / "demo" / "Dockerfile").read_text())
    found: list[Stage] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = line.partition(" ")
        if name == "FROM":
            image, _, alias = value.partition(" AS ")
            found.append(Stage(image, alias, []))
        else:
            found[-1].steps.append((name, value))
    return found


BUILD, FINAL = stages()
COMMAND = json.loads(FINAL.values("ENTRYPOINT")[0]) + json.loads(FINAL.values("CMD")[0])


class TestText:
    def test_has_known_instructions_and_pinned_images(self) -> None:
        known = {
            "COPY",
            "RUN",
            "USER",
            "WORKDIR",
            "ENV",
            "EXPOSE",
            "STOPSIGNAL",
            "ENTRYPOINT",
            "CMD",
        }
        for stage in (BUILD, FINAL):
            assert {name for name, _ in stage.steps} <= known
            assert re.fullmatch(r"python:3\.\d+-slim", stage.image)

    def test_copies_what_is_there_and_nothing_else(self) -> None:
        for value in BUILD.values("COPY"):
            *sources, target = value.split()
            assert target.startswith("/src/")
            for source in sources:
                assert (ROOT / source).exists()
        # Whatever else lies beside the project may be secret.
        assert "." not in {word for value in BUILD.values("COPY") for word in value.split()}
        [copy] = FINAL.values("COPY")
        assert copy == f"--from={BUILD.name} /install /usr/local"

    def test_ends_as_a_user_of_its_own(self) -> None:
        names = [name for name, _ in FINAL.steps]
        [user] = FINAL.values("USER")
        assert user == str(UID)
        [add] = FINAL.values("RUN")
        assert f"--uid {UID} " in add
        assert names.index("RUN") < names.index("USER") < names.index("CMD")

    def test_signals_reach_the_server(self) -> None:
        assert COMMAND[0] == "jwt-middleware"  # no shell between
        assert FINAL.values("STOPSIGNAL") == ["SIGTERM"]

    def test_has_no_secret(self) -> None:
        assert not re.search("SECRET|PASSWORD|TOKEN", " ".join(FINAL.values("ENV")))


@pytest.fixture
def image() -> Iterator[Path]:
    """Return a folder that every user can enter; pytest's own are of one alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.full
def test_builds(image: Path) -> None:
    """Run the steps of the first stage: they install the command and the whole package."""
    for value in BUILD.values("COPY"):
        *sources, target = value.split()
        place = image / target.removeprefix("/")
        for copied in (ROOT / source for source in sources):
            if copied.is_dir():
                shutil.copytree(copied, place)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(copied, place)
    [run] = BUILD.values("RUN")
    run = run.replace("/install", f"{image}/install").replace('"/src', f'"{image}/src')
    pip, *words = shlex.split(run)
    subprocess.run([sys.executable, "-m", "venv", str(image / "python")], check=True)
    command = [str(image / "python" / "bin" / pip), *words, "--no-deps", "--quiet"]
    subprocess.run(command, check=True, timeout=600)
    assert (image / "install" / "bin" / COMMAND[0]).exists()
    [package] = (image / "install").glob("lib/python*/site-packages/jwt_middleware")
    modules = {str(one.relative_to(package)) for one in package.rglob("*.py")}
    whole = ROOT / "jwt_middleware"
    assert modules == {str(one.relative_to(whole)) for one in whole.rglob("*.py")}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root")
def test_runs_without_rights_and_writes_nothing(image: Path, serving: Callable[..., Any]) -> None:
    secret = image / "secret"
    secret.write_text("s" * 20 + "0123456789abcdef")
    secret.chmod(0o444)
    (image / "jwt.toml").write_text(CONFIG)
    (image / "myapp.py").write_text(APP)
    (image / "jwt.toml").chmod(0o444)
    image.chmod(0o555)
    words = ["127.0.0.1:0" if word == "0.0.0.0:8000" else word for word in COMMAND[1:]]
    # It may read this machine's Python, which is perhaps one user's own, and write nothing.
    as_user: list[str | Path] = [
        *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
        Path(sys.executable).with_name(COMMAND[0]),
    ]
    environ = dict(one.split("=", 1) for value in FINAL.values("ENV") for one in value.split())
    environ = {**os.environ, **environ, "HOME": "/nonexistent"}
    environ["JWT_MIDDLEWARE_CONFIG"] = str(image / "jwt.toml")
    before = sorted(image.rglob("*"))
    with serving([*as_user, *words], cwd=image, env=environ) as running:
        with urllib.request.urlopen(f"{running.url}/health", timeout=30) as answer:  # noqa: S310
            assert json.load(answer)["status"] == "ready"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(running.url, timeout=30)  # noqa: S310
    assert running.process.returncode == 0
    assert sorted(image.rglob("*")) == before
    assert not [one for one in os.listdir("/tmp") if one.startswith("jwt-middleware-metrics-")]  # noqa: S108, PTH208

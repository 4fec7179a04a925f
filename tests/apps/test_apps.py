"""Real apps, unmodified, each behind the jwt.toml of its page and asked by its own client."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from ..conftest import Serving
from .pages import App, served

pytestmark = pytest.mark.full

Serve = Callable[[str], AbstractContextManager[App]]


@pytest.fixture
def serve(serving: Serving, tmp_path: Path) -> Serve:
    """Return what serves the app of a page."""
    folder = tmp_path / "app"
    folder.mkdir()
    return partial(served, serving=serving, folder=folder)


@pytest.fixture
def client_env(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which no client finds settings or passwords of the user's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "NO_PROXY": "*", "GIT_TERMINAL_PROMPT": "0"}


def status(app: App, path: str, token: str | None = None, method: str = "GET") -> int:
    """Return the status of a plain request."""
    connection = HTTPConnection(app.host, timeout=60)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request(method, path, headers=headers)
    answered = connection.getresponse().status
    connection.close()
    return answered


def test_pypiserver(serve: Serve, tmp_path: Path, client_env: dict[str, str]) -> None:
    pytest.importorskip("twine", reason="needs the extra 'everywhere'")
    (tmp_path / "app" / "packages").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "hello-pypi"\nversion = "1.0"\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[tool.hatch.build.targets.wheel]\nonly-include = ["hello.py"]\n'
    )
    (project / "hello.py").write_text("")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(project)]
    subprocess.run(build, check=True, capture_output=True)
    run = partial(App.run_shell, cwd=project, env=client_env)
    with serve("pypiserver") as app:
        refused = run(app, "read")
        assert refused.returncode != 0
        assert "403" in refused.stdout + refused.stderr
        assert not list((tmp_path / "app" / "packages").iterdir())
        done = run(app, "read upload")
        assert done.returncode == 0, done.stderr + done.stdout
        (downloaded,) = (project / "downloaded").iterdir()
        assert downloaded.read_bytes() == next((project / "dist").iterdir()).read_bytes()
        assert status(app, "/simple/") == 401
        assert status(app, "/simple/", app.token("upload")) == 403


def test_radicale(serve: Serve) -> None:
    caldav = pytest.importorskip("caldav", reason="needs the extra 'everywhere'")
    with serve("radicale") as app:
        found = app.run_python("calendar")["found"]
        assert [event.icalendar_component["SUMMARY"] for event in found] == ["Planning"]
        # The account's name does not matter, and its password is the token.
        client = caldav.DAVClient(url=app.url, username="x", password=app.token("calendar"))
        (calendar,) = client.principal().calendars()
        other = caldav.DAVClient(url=app.url, username="x", password=app.token("calendar", "bob"))
        assert other.principal().calendars() == []
        assert status(app, calendar.url.path, app.token("calendar", "bob")) == 403
        assert status(app, calendar.url.path) == 401
        assert status(app, calendar.url.path, app.token("")) == 403


def test_wsgidav(serve: Serve, tmp_path: Path) -> None:
    from webdav3.client import Client  # noqa: PLC0415  it warns where it is imported
    from webdav3.exceptions import WebDavException  # noqa: PLC0415

    (tmp_path / "app" / "files" / "private").mkdir(parents=True)
    with serve("wsgidav") as app:
        assert set(app.run_python("files private")["found"]) >= {"reports/", "private/"}
        for name in ("reports/a", "private/a"):
            (tmp_path / "app" / "files" / name).write_text("text")
        for password, allowed in (("files private", True), ("files", False)):
            client = Client(
                {
                    "webdav_hostname": app.url,
                    "webdav_login": "ann",
                    "webdav_password": app.token(password),
                }
            )
            if allowed:
                client.copy("reports/a", "private/b")
            else:
                with pytest.raises(WebDavException):
                    client.copy("private/a", "reports/b")
        assert (tmp_path / "app" / "files" / "private" / "b").read_text() == "text"
        assert not (tmp_path / "app" / "files" / "reports" / "b").exists()
        assert status(app, "/") == 401


def test_git(serve: Serve, tmp_path: Path, client_env: dict[str, str]) -> None:
    porcelain = pytest.importorskip("dulwich.porcelain", reason="needs the extra 'everywhere'")
    repository = tmp_path / "app" / "repositories" / "project.git"
    repository.mkdir(parents=True)
    porcelain.init(repository, bare=True).close()
    run = partial(App.run_shell, cwd=tmp_path, env=client_env)
    with serve("git") as app:
        refused = run(app, "read")
        assert refused.returncode != 0
        assert "403" in refused.stderr
        shutil.rmtree(tmp_path / "project")
        done = run(app, "read write")
        assert done.returncode == 0, done.stderr
        cloned = tmp_path / "cloned"
        url = f"http://__token__:{app.token('read')}@{app.host}/project.git"
        clone = ["git", "clone", "--quiet", "--branch", "main", url, str(cloned)]
        subprocess.run(clone, check=True, env=client_env, capture_output=True)
        assert (cloned / "README").read_text() == "hello\n"
        assert status(app, "/project.git/info/refs?service=git-upload-pack") == 401


@pytest.fixture(scope="session")
def httpbin_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return httpbin's own tests, which only its source distribution has."""
    folder = tmp_path_factory.mktemp("httpbin")
    from importlib.metadata import version  # noqa: PLC0415

    wanted = f"httpbin=={version('httpbin')}"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:"]
    if subprocess.run([*download, wanted], cwd=folder, check=False).returncode:
        pytest.skip("httpbin's source distribution cannot be downloaded")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (suite,) = folder.glob("*/tests/test_httpbin.py")
    return suite


PLUGIN = """\
import httpbin
from jwt_middleware import wrap

protected = wrap("jwt.toml", httpbin.app.wsgi_app)
OTHERS = ("/basic-auth/", "/hidden-basic-auth/", "/digest-auth/", "/bearer")


def with_token(environ, start_response):
    if not environ["PATH_INFO"].startswith(OTHERS):
        environ.setdefault("HTTP_AUTHORIZATION", "Bearer {token}")
    return protected(environ, start_response)


httpbin.app.wsgi_app = with_token
"""


def test_httpbin(
    serve: Serve, httpbin_suite: Path, tmp_path: Path, client_env: dict[str, str]
) -> None:
    def run(*options: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", "-W", "ignore",
             f"--rootdir={httpbin_suite.parent}", *options, httpbin_suite],
            cwd=tmp_path / "app",
            env={**client_env, "PYTHONPATH": str(tmp_path)},
            check=False,
            capture_output=True,
            text=True,
        )  # fmt: skip
        found = re.findall(r"^(PASSED|FAILED) \S*::(\w+)", done.stdout, re.MULTILINE)
        return {name: outcome for outcome, name in found}

    with serve("httpbin") as app:
        shown = app.run_shell("", cwd=tmp_path, env=client_env)
        assert "Authorization" in shown.stdout
        assert status(app, "/get") == 401
        assert status(app, "/basic-auth/user/passwd") == 401
        (tmp_path / "protect.py").write_text(PLUGIN.replace("{token}", app.token("")))
    alone, protected = run(), run("-p", "protect")
    assert len(alone) > 60
    assert protected == alone


def test_mlflow(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip(
        "mlflow", reason="needs mlflow, which is 850 MB with all it depends on"
    )
    with serve("mlflow") as app:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", app.token("mlflow"))
        found = app.run_python("mlflow")["found"]
        assert (found.params, found.metrics) == ({"rate": "0.1"}, {"loss": 0.5})
        assert status(app, "/api/2.0/mlflow/experiments/search?max_results=1") == 401
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", app.token(""))
        with pytest.raises(mlflow.exceptions.RestException, match="403"):
            app.run_python("")

"""What a user gets who installs the wheel, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import jwt_middleware

ROOT = Path(__file__).parents[1]
OPTIONAL = ["argon2", "psycopg", "redis", "gunicorn", "webtest", "flask", "django"]


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, check=False, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT),
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a new environment with the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    # pip of this environment installs into the new one: a pip less to unpack.
    run(*(sys.executable, "-m", "pip", "--python", python, "install", "-q", wheel), cwd=folder)
    return python


@pytest.mark.slow
class TestWheel:
    def test_holds_the_package_its_licence_and_its_types(self, wheel: Path) -> None:
        names = ZipFile(wheel).namelist()
        assert "jwt_middleware/py.typed" in names
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
        folders = {name.split("/")[0] for name in names}
        assert {name for name in folders if not name.endswith(".dist-info")} == {"jwt_middleware"}

    def test_installed_alone_has_every_public_name(self, python: Path, tmp_path: Path) -> None:
        code = f"""\
import importlib, json
for name in {OPTIONAL}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " is installed: the test says nothing")
names = {{}}
exec("from jwt_middleware import *", names)
print(json.dumps(sorted(names)))
"""
        names = json.loads(run(python, "-c", code, cwd=tmp_path))
        assert set(names) - {"__builtins__"} == set(jwt_middleware.__all__)

    def test_installed_alone_has_a_command_that_works(self, python: Path, tmp_path: Path) -> None:
        command = python.with_name("jwt-middleware")
        assert "pip install" in run(command, "init", cwd=tmp_path)
        token = run(command, "token", "issue", "--uid", "1", cwd=tmp_path)
        assert token.count(".") == 2

    @pytest.mark.parametrize(
        ("arguments", "missing"),
        [
            (["account", "list"], "argon2 is missing: pip install 'wsgi-jwt-middleware[sql]'"),
            (["serve", "myapp:app"], "serve needs gunicorn, and gunicorn is missing"),
        ],
    )
    def test_installed_alone_says_what_else_a_command_needs(
        self, python: Path, folder_with_endpoint: Path, arguments: list[str], missing: str
    ) -> None:
        ended = subprocess.run(
            [python.with_name("jwt-middleware"), *arguments],
            cwd=folder_with_endpoint,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 1
        assert missing in ended.stderr
        assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_sdist_holds_what_the_readme_links_to(tmp_path: Path) -> None:
    run(
        *(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT),
        cwd=tmp_path,
    )
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert "CHANGELOG.md" in links
    assert set(links) <= names


def test_importing_the_package_imports_nothing_optional(tmp_path: Path) -> None:
    code = f"import jwt_middleware, sys; print(sorted(set({OPTIONAL}) & set(sys.modules)))"
    assert run(sys.executable, "-c", code, cwd=tmp_path) == "[]\n"


def test_everything_public_is_there_and_named_once() -> None:
    assert len(set(jwt_middleware.__all__)) == len(jwt_middleware.__all__)
    for name in jwt_middleware.__all__:
        assert getattr(jwt_middleware, name).__doc__


def test_dir_shows_every_name_the_optional_ones_included() -> None:
    names = {*jwt_middleware.__all__, "SQLAccounts", "SQLSessions", "RedisSessions", "SecretHasher"}
    assert names <= set(dir(jwt_middleware))
    for name in names:
        assert callable(getattr(jwt_middleware, name)), name


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'JWTManager'"):
        _ = getattr(jwt_middleware, "JWTManager")  # noqa: B009

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, wrap
from jwt_middleware.config import from_environment, load
from jwt_middleware.errors import ConfigurationError

from .writing import (
    LOGIN,
    app,
    assert_one_line,
    token,
)

Serving = Callable[..., Any]


def get(url: str, bearer: str | None = None) -> int:
    request = urllib.request.Request(url)  # noqa: S310  a URL of our own
    if bearer is not None:
        request.add_header("Authorization", f"Bearer {bearer}")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.slow
def test_a_new_process_imports_only_what_the_file_asks_for(folder_with_endpoint: Path) -> None:
    rare = (
        "keysources.file",
        "keysources.remote",
        "keysources.ring",
        "wsgi.health",
        "wsgi.metrics",
    )
    code = f"""if True:
        import sys
        from jwt_middleware import wrap
        wrap("jwt.toml", print)
        print([name for name in {rare} if f"jwt_middleware.{{name}}" in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder_with_endpoint,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "[]\n"


class TestWrap:
    def test_protects_an_app(self, folder: Path) -> None:
        protected = TestApp(wrap(folder / "jwt.toml", app))
        protected.get("/", status=401)
        protected.get("/", headers={"Authorization": f"Bearer {token()}"}, status=200)

    def test_takes_a_path_as_text(self, folder: Path) -> None:
        assert isinstance(wrap(str(folder / "jwt.toml"), app), JWTMiddleware)

    def test_takes_the_name_of_an_app(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "named_app.py").write_text(
            "class site:\n    @staticmethod\n    def app(environ, start_response): ...\n"
        )
        monkeypatch.syspath_prepend(folder)
        protected = wrap(folder / "jwt.toml", "named_app:site.app")
        assert protected.app is sys.modules["named_app"].site.app

    @pytest.mark.parametrize("call", ["create_app()", "create_app('x', name='y')"])
    def test_calls_a_factory(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        (folder / "factory_app.py").write_text(
            "made = []\ndef app(environ, start_response): ...\n"
            "def create_app(*a, **k):\n    made.append((a, k))\n    return app\n"
        )
        monkeypatch.syspath_prepend(folder)
        protected = wrap(folder / "jwt.toml", f"factory_app:{call}")
        module = sys.modules.pop("factory_app")
        assert protected.app is module.app
        assert module.made in ([((), {})], [(("x",), {"name": "y"})])

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            pytest.param("json", ['"module:attr"'], id="no attribute"),
            pytest.param("json:", ['"module:attr"'], id="empty attribute"),
            pytest.param("json:loads()", ["missing a required argument: 's'"], id="a call"),
            pytest.param("json:loads(s=x)", ["literal arguments"], id="a name"),
            pytest.param("json:loads('1'", ["literal arguments"], id="open"),
            pytest.param("json:loads('1') + 1", ["literal arguments"], id="no call"),
            pytest.param("no_such_app:app", ["no module 'no_such_app'", "PYTHONPATH"], id="module"),
            pytest.param("json.nothing:app", ["no module 'json.nothing'"], id="submodule"),
            pytest.param("no_such.app:app", ["no module 'no_such'"], id="package"),
            pytest.param("json:loader", ["no 'loader' in 'json'", "after the colon"], id="attr"),
            pytest.param("json:decoder.nope", ["no 'nope' in 'json'"], id="dotted attribute"),
            pytest.param("gc:collect", ["is a factory", '"gc:collect()"'], id="a factory"),
            pytest.param("json:__doc__", ["is not callable"], id="not callable"),
        ],
    )
    def test_names_an_app_that_is_not_there(
        self, folder: Path, name: str, parts: list[str]
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(folder / "jwt.toml", name)
        assert_one_line(caught.value, [repr(name), *parts])

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            pytest.param("import no_such_dependency", ModuleNotFoundError, id="module"),
            pytest.param("from json import no_such_name", ImportError, id="name"),
            pytest.param("1 / 0", ZeroDivisionError, id="anything else"),
            pytest.param("raise ModuleNotFoundError", ModuleNotFoundError, id="nameless"),
        ],
    )
    def test_leaves_the_errors_of_the_app_alone(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        source: str,
        error: type[Exception],
    ) -> None:
        (folder / "broken_app.py").write_text(source + "\n")
        monkeypatch.syspath_prepend(folder)
        with pytest.raises(error) as caught:
            wrap(folder / "jwt.toml", "broken_app:app")
        assert not isinstance(caught.value, ConfigurationError)

    def test_creates_and_connects_nothing(self, folder_with_endpoint: Path) -> None:
        before = sorted(folder_with_endpoint.iterdir())
        wrap(folder_with_endpoint / "jwt.toml", app)
        assert sorted(folder_with_endpoint.iterdir()) == before

    def test_checks_tokens_while_the_database_is_away(self, folder_with_endpoint: Path) -> None:
        protected = TestApp(wrap(folder_with_endpoint / "jwt.toml", app))
        protected.get("/", headers={"Authorization": f"Bearer {token()}"}, status=200)
        answer = protected.post_json("/token", LOGIN, status=503)
        assert "Retry-After" in answer.headers


class TestFromEnvironment:
    def test_wraps_the_app(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "app_by_name.py").write_text("def app(environ, start_response): ...\n")
        monkeypatch.syspath_prepend(folder)
        protected = from_environment(
            {
                "JWT_MIDDLEWARE_CONFIG": str(folder / "jwt.toml"),
                "JWT_MIDDLEWARE_APP": "app_by_name:app",
            }
        )
        assert protected.app is sys.modules["app_by_name"].app

    @pytest.mark.parametrize(
        ("environ", "parts"),
        [
            pytest.param({}, ["JWT_MIDDLEWARE_CONFIG is not set: set it to the path"], id="none"),
            pytest.param(
                {"JWT_MIDDLEWARE_CONFIG": "", "JWT_MIDDLEWARE_APP": "a:b"},
                ["JWT_MIDDLEWARE_CONFIG is not set"],
                id="empty",
            ),
            pytest.param(
                {"JWT_MIDDLEWARE_CONFIG": "jwt.toml"},
                ["JWT_MIDDLEWARE_APP is not set: set it to the app", "myapp:app"],
                id="no app",
            ),
        ],
    )
    def test_names_the_variable(self, environ: dict[str, str], parts: list[str]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            from_environment(environ)
        assert_one_line(caught.value, parts)


@pytest.mark.slow
class TestGunicorn:
    @pytest.fixture
    def site(self, folder_with_endpoint: Path) -> Path:
        (folder_with_endpoint / "myapp.py").write_text(
            "def app(environ, start_response):\n"
            "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
            "    return [environ['REMOTE_USER'].encode()]\n"
        )
        accounts = load(folder_with_endpoint / "jwt.toml").build_accounts()
        accounts.create_schema()
        accounts.add("email", LOGIN["account"], LOGIN["secret"])
        accounts.close()
        return folder_with_endpoint

    @pytest.mark.parametrize("option", ["--preload", "--no-control-socket"])
    def test_serves_what_wrap_returns(self, site: Path, serving: Serving, option: str) -> None:
        options = {"--no-control-socket", option, "--bind=127.0.0.1:0", "--workers=2"}
        options.add("--graceful-timeout=2")  # a worker told to end while it boots does not hear it
        name = "jwt_middleware:wrap('jwt.toml', 'myapp:app')"
        # The script and not -m, which would put the working directory on sys.path itself.
        gunicorn = Path(sys.executable).with_name("gunicorn")
        with serving([gunicorn, *options, name], cwd=site) as server:
            assert get(server.url) == 401
            assert get(server.url, token()) == 200
            for _ in range(4):  # so that both workers have one
                login = urllib.parse.urlencode(LOGIN).encode()
                with urllib.request.urlopen(f"{server.url}/token", login, timeout=60) as response:  # noqa: S310
                    assert response.status == 200
        assert server.process.returncode == 0

"""What executes the blocks of a page: a folder with an app in it, a namespace, a shell."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from jwt_middleware.config import load
from jwt_middleware.keysources.ring import rotation

from ..tls import Authority
from .exceptions import exception
from .pages import ROOT, SECRET, Block, Command, blocks

START_SECONDS: Final = 60
STOP_SECONDS: Final = 30
STEP_SECONDS: Final = 0.05

_APP: Final = Path(__file__).parent / "myapp"
# What a fragment is completed by, unless it is there: a setting or table, and its text.
_TOP_LEVEL: Final = {
    "issuer": 'issuer = "https://auth.example.com"\n',
    "audience": 'audience = "api"\n',
}
_TABLES: Final = {
    "keys": '[keys]\nsecret_file = "secret"\n',
    "accounts": '[accounts]\nurl = "sqlite:///accounts.db"\n',
    "endpoint": "[endpoint]\n",
    "sessions": '[sessions]\nurl = "sqlite:///sessions.db"\n',
}
_NEEDS: Final = {
    "endpoint": ("accounts",),
    "accounts": ("endpoint",),
    "sessions": ("endpoint", "accounts"),
    "login": ("sessions", "endpoint", "accounts"),
}
_PLACEHOLDER: Final = re.compile(r"([\w.-]*)…")


def make_folder(folder: Path) -> None:
    """Put the app and what configurations name into *folder*."""
    shutil.copytree(_APP, folder / "myapp", ignore=shutil.ignore_patterns("__pycache__"))


# --- Python ---------------------------------------------------------------------------------------


def run_page(page: str) -> None:
    """Execute the Python of a page in the working directory, but for what needs its commands."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if exception(block) is not None:
            continue
        if block.language == "toml" and block.file is not None:
            write(block)
        elif block.language == "python" and not block.calls_the_server:
            run_python(block, namespace)


def write(block: Block) -> None:
    """Write a block to the file that it names."""
    Path(str(block.file)).write_text(block.text, encoding="utf-8")


def run_python(block: Block, namespace: dict[str, Any], *, text: str = "") -> None:
    """
    Execute a block, and compare what it says of its expressions.

    Args:
        block: Is written to the file that it names, if it names one.
        namespace: Of the page.
        text: What to execute in its place.
    """
    text = text or block.text
    if block.file is not None:
        write(block)
    name = f"{block.page}:{block.line}"
    told = _literal_comments(text)
    for statement in ast.parse(text, name).body:
        ast.increment_lineno(statement, block.line - 1)
        if isinstance(statement, ast.Expr) and statement.end_lineno is not None:
            found = eval(  # noqa: S307  our own text
                compile(ast.Expression(statement.value), name, "eval"), namespace
            )
            line = statement.end_lineno - block.line + 1
            if line in told:
                assert found == told[line], f"{name}: {ast.unparse(statement)} is {found!r}"
        else:
            code = compile(ast.Module([statement], []), name, "exec")
            exec(code, namespace)  # noqa: S102  the same


def _literal_comments(text: str) -> dict[int, object]:
    """Return the comments that are literals, by line."""
    found: dict[int, object] = {}
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            try:
                found[token.start[0]] = ast.literal_eval(token.string.lstrip("# "))
            except (SyntaxError, ValueError):
                continue
    return found


# --- Configuration --------------------------------------------------------------------------------


def completed(text: str) -> str:
    """Return a configuration that has what the fragment *text* lacks."""
    given = tomllib.loads(text)
    wanted = [*given]
    for table in given:
        wanted += _NEEDS.get(table, ())
    if "verifiers" in given.get("endpoint", {}) and "accounts" not in given:
        wanted = [one for one in wanted if one != "accounts"]
    if "lookups" in given.get("endpoint", {}) or "verifiers" in given.get("endpoint", {}):
        wanted.append("sessions")
    own = "trusted" not in given or {"endpoint", "issuer", "keys"} & {*wanted}
    head = "".join(line for name, line in _TOP_LEVEL.items() if own and name not in given)
    tail = "".join(
        lines
        for name, lines in _TABLES.items()
        if name not in given and (name in wanted or (own and name == "keys"))
    )
    return f"{head}{text}\n{tail}"


def build(text: str, folder: Path) -> None:
    """
    Build all of the configuration *text*, with what it names in *folder*.

    Raises:
        ConfigurationError: It is not one.
    """
    text = re.sub(r'"/(?=(?:run|var)/)', f'"{folder}/', text)
    environ = _provide(tomllib.loads(text), folder)
    (folder / "jwt.toml").write_text(text, encoding="utf-8")
    settings = load(folder / "jwt.toml")
    settings.protect(lambda *_: [b""], environ)


def _provide(table: Mapping[str, Any], folder: Path, parent: str = "") -> dict[str, str]:
    """Make the files and folders that settings name, and return the environment variables."""
    environ: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, str):
            if name.endswith("_env"):
                environ[value] = _secret(value)
            elif name.endswith("_file"):
                _make_file(folder / value, name)
            elif name == "directory":
                _make_directory(folder / value, is_ring=parent == "keys")
        for one in value if isinstance(value, list) else [value]:
            environ |= _provide(one, folder, name) if isinstance(one, dict) else {}
    return environ


def _make_file(file: Path, setting: str) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        if setting == "ca_file":
            Authority(file.parent).ca_file.rename(file)
        else:
            file.write_text(_jwk_set() if setting == "jwks_file" else _secret(file.name))


def _jwk_set() -> str:
    public = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
    return f'{{"keys": [{public}]}}'


def _secret(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _make_directory(directory: Path, *, is_ring: bool) -> None:
    if is_ring:
        rotation.create(directory, alg="ES256", now=time.time())
    else:
        directory.mkdir(parents=True)


# --- Commands -------------------------------------------------------------------------------------


class Shell:
    """
    Runs the commands of a page in its folder, one after another.

    Attributes:
        port: Where its server listens, instead of 8000.
        output: What the last command printed.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.port: int = _free_port()
        self.output: str = ""
        self._server: subprocess.Popen[bytes] | None = None
        self._placeholders: dict[str, str] = {}
        scripts = str(Path(sys.executable).parent)
        self._environ = {
            **environ,
            "PATH": f"{scripts}{os.pathsep}{environ['PATH']}",
            # pip resolves from what is installed, and installs nothing.
            "PIP_DRY_RUN": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # which pip reads as "no isolation"
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, command: Command) -> None:
        """Run a command, and compare what it prints."""
        text = self.here(command.text)
        if command.serves:
            self._serve(text)
            return
        ran = subprocess.run(
            ["bash", "-ec", text],
            cwd=ROOT if text.startswith("pip ") else self.folder,
            env=self._environ,
            input=f"{SECRET}\n",
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"
        self.output = ran.stdout
        if command.output is not None:
            self.compare(command.output)

    def compare(self, shown: str) -> None:
        """Compare the last output, and remember what placeholders stand for."""
        found = re.fullmatch(pattern(shown), self.output.strip(), re.DOTALL)
        assert found, f"expected:\n{shown}\nfound:\n{self.output}"
        names = [one[0] for one in _PLACEHOLDER.finditer(shown) if one[1]]
        self._placeholders |= dict(zip(names, found.groups(), strict=True))

    def here(self, text: str) -> str:
        """Return a text of the page with what its placeholders stand for, and the port."""
        for name, value in sorted(self._placeholders.items(), key=lambda one: -len(one[0])):
            text = text.replace(name, value)
        return re.sub(r"(?<=[:= ])8000\b", str(self.port), text)

    def _serve(self, text: str) -> None:
        self.close()  # of the server before it
        text = text.removesuffix("&").strip()
        if str(self.port) not in text:
            text += f" --bind 127.0.0.1:{self.port}"
        with (self.folder / "server.log").open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait(self._server)

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(STEP_SECONDS)
        raise AssertionError(f"no server:\n{(self.folder / 'server.log').read_text()}")

    def close(self) -> None:
        """Stop the server."""
        if (server := self._server) is None:
            return
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(STOP_SECONDS)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
        self._server = None


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """Return a shell in *folder*, whose servers end with the block."""
    made = Shell(folder, os.environ)
    try:
        yield made
    finally:
        made.close()


def pattern(shown: str) -> str:
    """Return the regular expression of what a page shows: white space and ``…`` stand for more."""
    words = []
    for word in shown.split():
        parts = _PLACEHOLDER.split(word)
        text = re.escape(parts[0])
        for name, rest in zip(parts[1::2], parts[2::2], strict=True):
            text += (r"([^\s\"']+)" if name else ".*") + re.escape(rest)
        words.append(text)
    return re.sub(r"(?:\\s\+)?(\.\*)(?:\\s\+)?", r"\1", r"\s+".join(words))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

"""Runs the commands of a page, and the servers that they start."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from click.testing import CliRunner

from jwt_middleware.cli import main

from .pages import ROOT, SECRET, Command

START_SECONDS: Final = 60
STOP_SECONDS: Final = 30
STEP_SECONDS: Final = 0.05

_SCRIPTS: Final = Path(sys.executable).parent
# Our own command without a shell's syntax is run in this process: an import each takes longer.
_OURS: Final = re.compile(r"jwt-middleware [^|<>$&;`\n]*")
_PLACEHOLDER: Final = re.compile(r"([\w.-]*)…")


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
        self._environ = {**environ, "PATH": f"{_SCRIPTS}{os.pathsep}{environ['PATH']}"}

    def run(self, command: Command) -> None:
        """Run a command, and compare what it prints."""
        text = self.here(command.text)
        assert "…" not in text, f"{text}: nothing before it shows what that stands for"
        if command.serves:
            self._serve(text)
            return
        self.output = self._invoke(text) if _OURS.fullmatch(text) else self._bash(text)
        if command.output is not None:
            self.compare(command.output)

    def _invoke(self, text: str) -> str:
        arguments = shlex.split(text, comments=True)[1:]
        result = CliRunner(catch_exceptions=False).invoke(main, arguments, input=f"{SECRET}\n")
        assert result.exit_code == 0, f"{text}\n{result.output}"
        return result.stdout

    def _bash(self, text: str) -> str:
        if text.startswith("pip "):
            return _pip(text)
        return _run(text, cwd=self.folder, env=self._environ)

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


def _run(text: str, *, cwd: Path, env: Mapping[str, str]) -> str:
    ran = subprocess.run(
        ["bash", "-ec", text],
        cwd=cwd,
        env=env,
        input=f"{SECRET}\n",
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@cache
def _pip(text: str) -> str:
    """Have pip resolve what it would install, from what is installed; the same once."""
    options = {
        "PIP_DRY_RUN": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # which pip reads as "no isolation"
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return _run(f"{_SCRIPTS}/{text}", cwd=ROOT, env={**os.environ, **options})

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import Result

Invoke = Callable[..., Result]

SCRIPT = [str(Path(sys.executable).with_name("jwt-middleware"))]
MODULE = [sys.executable, "-m", "jwt_middleware"]


def run(
    command: list[str], *, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, cwd=cwd, input=stdin, env=env, capture_output=True, check=False, timeout=60
    )


class TestConfig:
    def test_is_in_the_working_directory(self, invoke: Invoke) -> None:
        assert invoke("token", "issue", "--uid", "1").exit_code == 0

    @pytest.mark.parametrize("option", ["-c", "--config"])
    def test_is_what_the_option_names(self, invoke: Invoke, folder: Path, option: str) -> None:
        (folder / "jwt.toml").rename(folder / "other.toml")
        assert invoke(option, "other.toml", "token", "issue", "--uid", "1").exit_code == 0

    def test_is_what_the_environment_names(
        self, invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "jwt.toml").rename(folder / "other.toml")
        monkeypatch.setenv("JWT_MIDDLEWARE_CONFIG", "other.toml")
        assert invoke("token", "issue", "--uid", "1").exit_code == 0

    def test_that_is_missing_is_one_line(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").unlink()
        result = invoke("token", "issue", "--uid", "1")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: jwt.toml: the configuration file cannot be read")
        assert result.stderr.count("\n") == 1

    def test_with_a_mistake_is_one_line(self, invoke: Invoke, folder: Path) -> None:
        (folder / "secret").unlink()
        for command in (["token", "issue", "--uid", "1"], ["token", "verify"]):
            result = invoke(*command, stdin="a.b.c")
            assert result.exit_code == 1
            assert result.stderr.startswith("Error: jwt.toml: keys.secret_file: 'secret' cannot")
            assert result.stderr.count("\n") == 1


class TestUsage:
    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_is_explained(self, invoke: Invoke, option: str) -> None:
        result = invoke(option)
        assert result.exit_code == 0
        for command in ("init", "account", "token", "serve"):
            assert command in result.stdout

    def test_tells_the_version(self, invoke: Invoke) -> None:
        result = invoke("--version")
        assert result.stdout == f"jwt-middleware, version {version('wsgi-jwt-middleware')}\n"

    @pytest.mark.parametrize("arguments", [["nonsense"], ["token", "nonsense"], ["--nonsense"]])
    def test_that_is_wrong_exits_with_2(self, invoke: Invoke, arguments: list[str]) -> None:
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "Error: " in result.stderr

    def test_that_stops_at_a_group_exits_with_2(self, invoke: Invoke) -> None:
        assert invoke("token").exit_code == 2


class TestProcess:
    def test_is_started_by_its_name_or_as_a_module(self, folder: Path) -> None:
        issued = run([*SCRIPT, "token", "issue", "--uid", "1"], cwd=folder)
        assert issued.returncode == 0
        verified = run([*MODULE, "token", "verify"], cwd=folder, stdin=issued.stdout + b"x")
        assert verified.returncode == 1
        assert verified.stderr.count(b"\n") == 1

    def test_ends_quietly_when_its_reader_is_gone(self, folder: Path) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            ended = subprocess.run(
                [*MODULE, "token", "issue", "--uid", "1"],
                cwd=folder,
                stdout=writer,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=60,
            )
        finally:
            os.close(writer)
        assert (ended.returncode, ended.stderr) == (1, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_says_that_the_disk_is_full(self, folder: Path) -> None:
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(
                [*MODULE, "token", "issue", "--uid", "1"],
                cwd=folder,
                stdout=full,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=60,
            )
        assert ended.returncode == 1
        assert ended.stderr == b"Error: No space left on device: free some space\n"

    def test_reads_a_secret_at_a_terminal_without_showing_it(
        self, folder_with_endpoint: Path
    ) -> None:
        pty = pytest.importorskip("pty", reason="needs a terminal")
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [*MODULE, "account", "add", "ann@example.com"],
            cwd=folder_with_endpoint,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        try:
            shown = read_until(master, b"Secret: ")
            os.write(master, b"open sesame\n")
            shown += read_until(master, b"confirmation: ")
            os.write(master, b"open sesame\n")
            shown += read_until(master, b"uid 1")
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            os.close(master)
        assert b"sesame" not in shown


def read_until(terminal: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 4096)
    return shown

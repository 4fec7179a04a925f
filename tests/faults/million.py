"""
Very many live revocations: how soon a process is ready, and what a reload under load is answered.

``python -m tests.faults.million`` prints both, for all stores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import redis

from jwt_middleware.sessions.revocation.follower import Revocations
from jwt_middleware.sessions.stores.sql.tables import name_hash

from .site import Client, site
from .stores import STORES, Store, opened, running

ROOT: Final = Path(__file__).parents[2]
CLIENTS: Final = 4
_AT_ONCE: Final = 20_000
_PREFIX: Final = "{jwt_middleware}:"


def fill(url: str, count: int) -> None:
    """Have the store tell of so many revocations of sessions, which live for a day."""
    with opened(url) as store:
        store.changes(None, limit=1)
    now = int(time.time())
    names = ((n, f"https://auth.example.com\n{n:022}", now + 86_400) for n in range(1, count + 1))
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.executemany(
                "INSERT INTO jwt_revocations VALUES (?, ?, 'session', ?, ?, ?)",
                (
                    (n, name_hash("session", key), key.replace("\n", "\\n"), now, until)
                    for n, key, until in names
                ),
            )
            file.execute("UPDATE jwt_store SET number = ?", [count])
            file.commit()
    elif url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            with connection.cursor().copy("COPY jwt_revocations FROM STDIN") as rows:
                for n, key, until in names:
                    row = (n, name_hash("session", key), "session", key.replace("\n", "\\n"))
                    rows.write_row((*row, now, until))
            connection.execute("UPDATE jwt_store SET number = %s", [count])
    else:
        _fill_redis(url, names, now)


def _fill_redis(url: str, names: Iterator[tuple[int, str, int]], now: int) -> None:
    with redis.Redis.from_url(url) as client:
        while batch := [*islice(names, _AT_ONCE)]:
            log: dict[Any, float] = {f"{now}:{until}:session:{key}": n for n, key, until in batch}
            ends: dict[Any, float] = {n: until for n, _, until in batch}
            numbers = {f"session:{key}": n for n, key, _ in batch}
            client.zadd(f"{_PREFIX}log", log)
            client.zadd(f"{_PREFIX}expiries", ends)
            client.hset(f"{_PREFIX}numbers", mapping=numbers)
            client.hset(f"{_PREFIX}head", "number", batch[-1][0])


class Start(NamedTuple):
    """
    How long a process took to be ready.

    Attributes:
        held: Revocations that it holds.
        seconds: Until it had read them, before the first request.
        cpu_seconds: Of its own in that time.
        forked_seconds: Until a worker forked from it had answered its first request.
        megabytes: What it weighs more.
    """

    held: int
    seconds: float
    cpu_seconds: float
    forked_seconds: float
    megabytes: float


def start(url: str) -> Start:
    """Start a process that follows the store at *url*."""
    command = [sys.executable, "-m", "tests.faults.million", "--start", url]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Start(*json.loads(answer.stdout))


def _start(url: str) -> None:
    with opened(url) as store:
        before = _resident_bytes()
        revocations = Revocations(store)
        began, cpu = time.perf_counter(), time.process_time()
        while revocations.seconds_behind() == math.inf:  # a slow machine reads on at requests
            revocations.prepare()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            revocations({"iss": "https://auth.example.com", "sid": "x", "jti": "x"})
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        forked = time.perf_counter() - began
        weight = (_resident_bytes() - before) / 1e6
        sys.stdout.write(json.dumps([len(revocations), seconds, cpu, forked, weight]))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Reload:
    """
    What was answered while gunicorn read its app again, with all that is revoked.

    Attributes:
        statuses: Of all answers; 0 is a broken connection.
        slowest_seconds: Of these.
        seconds: Until all workers were new ones.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    seconds: float = 0.0


def reload(store: Store, folder: Path, *, preload: bool) -> Reload:
    """Send SIGHUP to a site under load."""
    result, stopped = Reload(), False
    settings = f"preload_app = {preload}\n"
    with site(folder, store.url, settings=settings) as server:
        client = Client(server.address)
        while (answer := client.log_in()).status != 200:  # it has to read all before
            time.sleep(0.1)
        token = answer.token()
        while client.ask(token).status != 200:  # and so has each worker
            time.sleep(0.1)
        old = {*server.workers()}

        def ask() -> None:
            mine = Client(server.address)
            while not stopped:
                answer = mine.ask(token)
                result.statuses[answer.status] += 1
                result.slowest_seconds = max(result.slowest_seconds, answer.seconds)

        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(ask) for _ in range(CLIENTS)]
            began = time.monotonic()
            os.kill(server.process.pid, signal.SIGHUP)
            while old & {*server.workers()} or len(server.workers()) < len(old):
                time.sleep(0.1)
            result.seconds = time.monotonic() - began
            time.sleep(3)
            stopped = True
            for one in clients:
                one.result()
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.million", description=__doc__)
    parser.add_argument("--store", action="append", choices=[*STORES], help="[default: all]")
    parser.add_argument("--count", action="append", type=int, help="[default: 0, 10^5, 10^6]")
    parser.add_argument("--start", help="the URL of a store; for itself")
    given = parser.parse_args()
    if given.start:
        _start(given.start)
        return
    for name in given.store or STORES:
        for count in given.count or (0, 100_000, 1_000_000):
            with running(name) as store, tempfile.TemporaryDirectory() as folder:
                fill(store.url, count)
                sys.stdout.write(f"{name:11} {count:9,} {start(store.url)}\n")
                sys.stdout.flush()
                if count < 1_000_000:
                    continue
                for preload in (False, True):
                    reloaded = reload(store, Path(folder), preload=preload)
                    sys.stdout.write(f"{name:11} reload, {preload=}: {reloaded}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()

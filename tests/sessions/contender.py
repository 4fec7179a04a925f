"""
One of several processes, or threads, that use one store at the same time.

As a program it does what it reads: each line is ``[name, arguments]`` in JSON.  An answer is what
was returned, or the traceback of what failed.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.store import SessionStore
from jwt_middleware.sessions.stores.redis.store import RedisSessions
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from .values import NOW, a_revocation, a_rotation, a_session, an_attempt

T = TypeVar("T")
PATIENCE_SECONDS = 60.0


def patiently(do: Callable[[], T]) -> T:
    """Do it again while the store is unavailable, as it may be where the machine has other work."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return do()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise


def open_store(url: str) -> SessionStore:
    return RedisSessions(url) if url.startswith("unix:") else SQLSessions(url)


def create_schema(store: SessionStore) -> int:
    """Return how many sessions there are then."""
    patiently(store.create_schema)
    return count(store)


def count(store: SessionStore) -> int:
    """Return how many sessions there are, in a store that nobody may have prepared."""
    return patiently(lambda: len([*store.list()]))


def rotate(store: SessionStore, *, salts: list[str], grace_seconds: float) -> list[list[str]]:
    """Use the first token of the session "sid" once a salt; return outcomes and salts."""

    def use(salt: str) -> list[str]:
        rotation = a_rotation(
            successor=salt.encode() * 2, salt=salt.encode(), grace_seconds=grace_seconds
        )
        outcome, agreed, _ = store.rotate(rotation)
        return [outcome.value, agreed.decode()]

    return _at_once(use, salts, threads=8)


def attempt(store: SessionStore, *, bursts: dict[str, int], times: int) -> int:
    """Return how many attempts were counted."""
    attempt = an_attempt(**{key: Drip(burst, 1_000.0) for key, burst in bursts.items()})

    def try_once(number: int) -> float:
        return store.reserve(attempt, now=NOW + number / 1_000).wait_seconds

    return _at_once(try_once, range(times), threads=4).count(0)


def add(store: SessionStore, *, sid: str) -> str | None:
    """Return why the session was not added, if it was not."""
    try:
        store.add(a_session(sid))
    except UnavailableError as error:
        return str(error)
    return None


def revoke(store: SessionStore, *, keys: list[str]) -> None:
    _at_once(lambda key: store.revoke(a_revocation(key)), keys, threads=2)


def _at_once(do: Callable[[Any], Any], things: Iterable[Any], *, threads: int) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return [*pool.map(lambda thing: patiently(partial(do, thing)), things)]


JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job for job in (add, count, create_schema, rotate, attempt, revoke)
}


def main() -> None:
    store: SessionStore | None = None
    for line in sys.stdin:
        name, arguments = json.loads(line)
        returned = None
        answer: dict[str, object]
        try:
            if name == "open":
                store = open_store(arguments["url"])
            elif name == "close":
                if store is not None:
                    store.close()
            else:
                returned = JOBS[name](store, **arguments)
        except Exception:  # noqa: BLE001  whatever it is, the test has to show it
            answer = {"failed": traceback.format_exc()}
        else:
            answer = {"returned": returned}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

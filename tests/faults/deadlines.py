"""Answers that drip, and servers that fall silent: how long one operation takes at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.store import Revocation

from .proxy import Proxy
from .stores import Store, opened

Trouble = Literal["dripping", "silent"]
TROUBLES: Final[tuple[Trouble, ...]] = ("dripping", "silent")


@dataclass
class Slowest:
    """
    What was measured.

    Attributes:
        operations: How many.
        refused: Of these, how many were given up.
        seconds: The slowest.
    """

    operations: int = 0
    refused: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return the line of a report."""
        return (
            f"{self.operations} operations, {self.refused} given up, slowest {self.seconds:.2f} s"
        )


def endure(store: Store, trouble: Trouble) -> Slowest:
    """
    Use a store whose answers drip, or do not come: over open connections, and over new ones.

    An SQLite file is locked by another process instead.
    """
    measured = Slowest()
    for is_open in (True, False):
        with _troubled(store, trouble) as (url, begin), opened(url) as sessions:
            uses = _uses(sessions)
            for use in uses:
                use()
            if not is_open:
                sessions.close()
            begin()
            for use in uses:
                _measure(use, measured)
    return measured


def _uses(store: SessionStore) -> list[Callable[[], object]]:
    now = time.time()
    revocation = Revocation("token", "a" * 200, int(now), int(now) + 600)
    return [
        lambda: store.revoke(revocation),
        lambda: store.changes(None, limit=100),
        lambda: store.prune(now=now, limit=10),
    ]


def _measure(use: Callable[[], object], measured: Slowest) -> None:
    began = time.monotonic()
    try:
        use()
    except UnavailableError:
        measured.refused += 1
    measured.operations += 1
    measured.seconds = max(measured.seconds, time.monotonic() - began)


@contextmanager
def _troubled(store: Store, trouble: Trouble) -> Iterator[tuple[str, Callable[[], None]]]:
    """Return a URL of the store, and what begins the trouble."""
    if store.name == "sqlite":
        yield store.url, store.pause
        store.resume()
        return
    target = store.url.partition("?host=")[2] + "/.s.PGSQL.5432"
    form = "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable"
    if store.name == "redis":
        target, form = store.url.removeprefix("unix://"), "redis://127.0.0.1:{}"
    with Proxy(Path(target)) as proxy:
        begin = {"dripping": proxy.drip, "silent": proxy.swallow}[trouble]
        yield form.format(proxy.port), begin

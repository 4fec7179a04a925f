"""Gunicorn's workers are killed, again and again, while their clients refresh."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .site import Client, site

CLIENTS = 4
ANSWERS_BETWEEN = 6


@dataclass
class WorkerKills:
    """
    What was counted.

    Attributes:
        kills: Workers that were killed.
        broken: Requests whose connection broke, which may have been served or not.
        refreshes: Refresh tokens that were used.
        lost: Sessions whose client could not go on.
        used_twice: Tokens that were good after their successor had been used.
        statuses: Of all answers.
    """

    kills: int = 0
    broken: int = 0
    refreshes: int = 0
    lost: int = 0
    used_twice: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def bad(self) -> int:
        """What must not be."""
        return self.lost + self.used_twice


class _Refreshing:
    """Clients that refresh, and repeat what broke, until they are stopped."""

    def __init__(self, address: tuple[str, int], counts: WorkerKills) -> None:
        self._address = address
        self._counts = counts
        self._changed = threading.Condition()
        self._stopped = False

    def run(self) -> None:
        client = Client(self._address)
        used, text = "", self._log_in(client)
        while not self._stopped:
            answer = client.refresh(text)
            with self._changed:
                self._counts.statuses[answer.status] += 1
                self._counts.broken += answer.status == 0
                self._changed.notify_all()
            if answer.status == 200:
                used, text = text, answer.refresh_token()
                self._counts.refreshes += 1
            elif answer.status == 400:
                self._counts.lost += 1
                used, text = "", self._log_in(client)
        self._try_again(client, used, text)

    def _try_again(self, client: Client, used: str, text: str) -> None:
        if client.refresh(text).status != 200:
            self._counts.lost += 1
        if used and client.refresh(used).status != 400:
            self._counts.used_twice += 1

    def _log_in(self, client: Client) -> str:
        while True:
            answer = client.log_in()
            if answer.status == 200:
                return answer.refresh_token()

    def wait_for_answers(self, number: int) -> None:
        with self._changed:
            until = self._counts.statuses.total() + number
            if not self._changed.wait_for(lambda: self._counts.statuses.total() >= until, 60):
                raise TimeoutError(f"stuck: {self._counts}")

    def stop(self) -> None:
        self._stopped = True


def kill_workers(url: str, folder: Path, *, kills: int) -> WorkerKills:
    """Kill so many workers of a site whose sessions are at *url*."""
    counts = WorkerKills()
    chance = random.Random(42)  # noqa: S311  nothing secret
    with site(folder, url) as server, ThreadPoolExecutor(CLIENTS) as pool:
        refreshing = _Refreshing(server.address, counts)
        clients = [pool.submit(refreshing.run) for _ in range(CLIENTS)]
        try:
            while counts.kills < kills:
                refreshing.wait_for_answers(chance.randint(1, 2 * ANSWERS_BETWEEN))
                if workers := server.workers():
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(workers), signal.SIGKILL)
                        counts.kills += 1
        finally:
            refreshing.stop()
        for client in clients:
            client.result()
    return counts

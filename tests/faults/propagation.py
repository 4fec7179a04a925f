"""How soon a token that one server revoked is refused by another one."""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

from .site import ACCOUNTS, Client, site


class Delays(NamedTuple):
    """Seconds from the answer of the one until the first refusal of the other."""

    store: str
    median: float
    longest: float
    times: int


def measure(store: str, url: str, *, times: int, max_delay_seconds: float = 1) -> Delays:
    """Log in and out at one of two gunicorns that share a store, and ask the other one."""
    with (
        tempfile.TemporaryDirectory() as here,
        tempfile.TemporaryDirectory() as there,
        site(Path(here), url, workers=1, max_delay_seconds=max_delay_seconds) as one,
        site(Path(there), url, workers=1, max_delay_seconds=max_delay_seconds) as other,
    ):
        delays = [_delay(Client(one.address), Client(other.address)) for _ in range(times)]
    return Delays(store, statistics.median(delays), max(delays), times)


def _delay(one: Client, other: Client) -> float:
    token = one.log_in().token()
    assert other.ask(token).status == 200
    assert one.log_out(token).status == 204
    revoked_at = time.monotonic()
    while True:
        asked_at = time.monotonic()
        status = other.ask(token).status
        if status == 401:
            return asked_at - revoked_at
        assert status == 200


class Crowd(NamedTuple):
    """What so many uses of one refresh token at the same time came to."""

    granted: int
    refused: int
    successors: int


def crowd(url: str, *, uses: int, grace_seconds: float) -> Crowd:
    """Use one refresh token so many times at once, at two gunicorns."""
    with (
        tempfile.TemporaryDirectory() as here,
        tempfile.TemporaryDirectory() as there,
        site(Path(here), url, workers=1, grace_seconds=grace_seconds) as one,
        site(
            Path(there),
            url,
            workers=1,
            grace_seconds=grace_seconds,
            accounts=Path(here) / ACCOUNTS,
        ) as other,
        ThreadPoolExecutor(uses) as pool,
    ):
        clients = [Client(one.address), Client(other.address)]
        text = clients[0].log_in().refresh_token()
        assert clients[1].log_in().status == 200
        start = Barrier(uses)

        def use(number: int) -> tuple[int, str]:
            client = clients[number % 2]
            start.wait()
            answer = client.refresh(text)
            return answer.status, answer.refresh_token() if answer.status == 200 else ""

        answers = [*pool.map(use, range(uses))]
    statuses = [status for status, _ in answers]
    return Crowd(
        granted=statuses.count(200),
        refused=statuses.count(400),
        successors=len({text for status, text in answers if status == 200}),
    )

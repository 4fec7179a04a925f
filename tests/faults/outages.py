"""A store goes away under load, and comes back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from ..integration.gunicorns import Gunicorn
from .failovers import Pair
from .site import Answer, Client, sid_of, site
from .stores import Store, opened

Fault = Literal["stopped", "paused", "full"]
FAULTS: Final[tuple[Fault, ...]] = ("stopped", "paused", "full")
Phase = Literal["before", "during", "after"]

CLIENTS = 4
SETTLED_REQUESTS = 40


@dataclass
class Outage:
    """
    What was counted.

    Attributes:
        statuses: Answers by phase, kind of request and status; 0 is a broken connection.
        slowest_seconds: Of all answers that were asked for during the outage.
        recovered_seconds: From its end until every kind of request was answered with 200.
        sids: Of all tokens that a client got.
        lost: Sessions whose client could not go on.
        unrecorded: Sessions of which a client got a token, and which the store does not know.
    """

    store: str
    fault: str
    statuses: Counter[tuple[Phase, str, int]] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    recovered_seconds: float = 0.0
    sids: set[str] = field(default_factory=set)
    lost: int = 0
    unrecorded: int = 0

    def __str__(self) -> str:
        """Return the line of a report."""
        total = Counter[Phase]()
        for (phase, _, _), count in self.statuses.items():
            total[phase] += count
        return (
            f"{total['during']} requests during it, {self.refused} answered 503, slowest "
            f"{self.slowest_seconds:.2f} s; {self.unexpected} unexpected; recovered after "
            f"{self.recovered_seconds:.2f} s; {len(self.sids)} sessions, {self.lost} lost, "
            f"{self.unrecorded} unrecorded"
        )

    @property
    def _odd(self) -> Counter[tuple[Phase, str, int]]:
        return Counter(
            {
                key: count
                for key, count in self.statuses.items()
                if key[2] not in ({200} if key[0] == "before" else {200, 503})
            }
        )

    @property
    def unexpected(self) -> int:
        """Answers that are neither 200 nor 503; 503 when there was no outage counts as well."""
        return self._odd.total()

    @property
    def refused(self) -> int:
        """Answers 503 during the outage."""
        return sum(
            count
            for (phase, _, status), count in self.statuses.items()
            if phase == "during" and status == 503
        )


class _Load:
    """Clients that log in, ask and refresh, each one thing after the other."""

    def __init__(self, address: tuple[str, int], outage: Outage) -> None:
        self._address = address
        self._outage = outage
        self._changed = threading.Condition()
        self._stopped = False
        self._phase: Phase = "before"
        self._good: Counter[str] = Counter()

    def run(self) -> None:
        client = Client(self._address)
        text, token = "", ""
        while not self._stopped:
            answer = self._send("refresh", partial(client.refresh, text)) if text else None
            if answer is not None and answer.status == 400:
                self._outage.lost += 1
                text = ""
            if answer is None or answer.status == 400:
                answer = self._send("log in", client.log_in)
            if answer.status == 200:
                text, token = answer.refresh_token(), answer.token()
                self._outage.sids.add(sid_of(token))
            if token:
                self._send("ask", partial(client.ask, token))
            self._send("log in", self._log_in_elsewhere)

    def _log_in_elsewhere(self) -> Answer:
        answer = Client(self._address).log_in()
        if answer.status == 200:
            self._outage.sids.add(sid_of(answer.token()))
        return answer

    def _send(self, kind: str, act: Callable[[], Answer]) -> Answer:
        phase = self._phase
        answer = act()
        with self._changed:
            if phase == "before":  # it may have been under way when the fault came
                phase = self._phase
            self._outage.statuses[phase, kind, answer.status] += 1
            if phase == "during":
                self._outage.slowest_seconds = max(self._outage.slowest_seconds, answer.seconds)
            if answer.status == 200 and phase == self._phase:
                self._good[kind] += 1
            self._changed.notify_all()
        return answer

    def enter(self, phase: Phase) -> None:
        with self._changed:
            self._phase = phase
            self._good.clear()

    def wait_until_all_is_well(self, *, requests: int = 1) -> None:
        kinds = ("log in", "refresh", "ask")
        with self._changed:
            if not self._changed.wait_for(
                lambda: all(self._good[kind] >= requests for kind in kinds), timeout=30
            ):
                raise TimeoutError(f"no recovery: {self._outage}")

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def stop(self) -> None:
        self._stopped = True


def suffer(store: Store, fault: Fault, folder: Path, *, seconds: float = 3.0) -> Outage:
    """Have *fault* happen to *store* for so long, while clients use it."""

    def strikes(server: Gunicorn) -> Strikes:
        return {
            "stopped": (store.stop, store.start),
            "paused": (store.pause, store.resume),
            "full": (lambda: store.fill(server.workers()), lambda: store.free(server.workers())),
        }[fault]

    return _suffer(Outage(store.name, fault), store.url, strikes, folder, seconds=seconds)


def fail_over(pair: Pair, folder: Path, *, seconds: float = 1.0) -> Outage:
    """Let a primary take no writes for so long, until its replica is promoted."""
    outage = Outage(pair.name, "failover")
    return _suffer(outage, pair.url, lambda _: (pair.fail, pair.promote), folder, seconds=seconds)


Strikes = tuple[Callable[[], None], Callable[[], None]]
"""What begins a fault, and what ends it."""


def _suffer(
    outage: Outage,
    url: str,
    strikes: Callable[[Gunicorn], Strikes],
    folder: Path,
    *,
    seconds: float,
) -> Outage:
    with site(folder, url) as server:
        load = _Load(server.address, outage)
        strike, end = strikes(server)
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(load.run) for _ in range(CLIENTS)]
            try:
                load.wait_until_all_is_well(requests=SETTLED_REQUESTS)
                load.enter("during")
                strike()
                load.wait(seconds)
                end()
                load.enter("after")
                ended_at = time.monotonic()
                load.wait_until_all_is_well()
                outage.recovered_seconds = time.monotonic() - ended_at
                load.wait_until_all_is_well(requests=SETTLED_REQUESTS)
            finally:
                load.stop()
        for client in clients:
            client.result()
    with opened(url) as sessions:
        outage.unrecorded = len(outage.sids - {session.sid for session in sessions.list()})
    return outage

"""
Good and bad tokens against two gunicorn workers, while all keys rotate and their URL goes away.

    python -m tests.integration.load --requests 100000 --outage-seconds 60

Own tokens come of a key ring, which rotates three times; others of a trusted issuer, which signs
with a new key from the moment that its JWKS endpoint goes away.  That hangs for the first half of
the outage and refuses connections for the second.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jwt_middleware.core.keys import Key
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.ring import KeyRing

from .gunicorns import gunicorn
from .load_keys import KeysEndpoint
from .load_report import Report
from .load_tokens import AUDIENCE, LIFETIME_SECONDS, OWN, TRUSTED, Sample, Tokens

PATIENCE_SECONDS = 300
REQUESTS_PER_CONNECTION = 20
ROTATIONS = 3
WORKERS = 2

CONFIG = """\
issuer = "{own}"
audience = "{audience}"

[keys]
directory = "ring"

[[trusted]]
issuer = "{trusted}"
audience = "{audience}"
algorithms = ["ES256"]
jwks_url = "{url}"
leeway_seconds = 0
"""
SETTINGS = """
workers = 2
worker_class = "gthread"
threads = 8
keepalive = 60
preload_app = True
control_socket_disable = True
errorlog = "-"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    How long, and how much.

    Attributes:
        requests: At least so many.
        outage_seconds: For which the JWKS endpoint is away.
        poll_seconds: How often its keys are fetched; ``None`` is what the configuration says.
        settle_seconds: Between a rotation and the next; more than a worker takes to notice.
        good_clients: Connections that send good tokens.
        bad_clients: Connections that send bad ones.
    """

    requests: int = 100_000
    outage_seconds: float = 60
    poll_seconds: float | None = None
    settle_seconds: float = rotation.SETTLE_SECONDS
    good_clients: int = 6
    bad_clients: int = 4

    @property
    def lead_seconds(self) -> float:
        """For which a new key is published before anything is signed with it."""
        return 70 if self.poll_seconds is None else 4 * self.poll_seconds


class Load:
    """Sends until it is stopped, and waits for what is to come of that; nothing sleeps."""

    def __init__(self, address: tuple[str, int], report: Report) -> None:
        self.report = report
        self._address = address
        self._changed = threading.Condition()
        self._stopped = False
        self._started_at = time.monotonic()

    def pace(self, *, requests: float = 0, seconds: float = 0) -> None:
        """Wait until there were so many requests in all, and for so many seconds from now."""
        until = time.monotonic() + seconds
        self.wait(lambda: self.report.requests >= requests and time.monotonic() >= until)

    def meet_workers(self) -> None:
        """Wait until each worker has accepted a token of the trusted issuer from now on."""
        with self._changed:
            self.report.workers.clear()
        self.wait(lambda: len(self.report.workers) == WORKERS)

    def wait(self, reached: Callable[[], bool]) -> None:
        """Wait for something that is looked at again as answers come in."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._stopped or reached(), PATIENCE_SECONDS):
                raise TimeoutError(f"stuck after {self.report.requests} requests")

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self.report.seconds = time.monotonic() - self._started_at
            self._changed.notify_all()

    def send_all(self, make: Callable[[], Sample]) -> None:
        """
        Send one after the other, with a new connection now and then, for both workers.

        The first connection that breaks ends it all: there is nothing left to find out.
        """
        try:
            while not self._stopped:
                connection = http.client.HTTPConnection(*self._address, timeout=60)
                try:
                    for _ in range(REQUESTS_PER_CONNECTION):
                        self._send(connection, make())
                except (OSError, http.client.HTTPException):
                    self.report.broken += 1
                    return
                finally:
                    connection.close()
        finally:
            self.stop()

    def _send(self, connection: http.client.HTTPConnection, sample: Sample) -> None:
        started = time.perf_counter()
        connection.request("GET", "/", headers={"Authorization": f"Bearer {sample.token}"})
        answer = connection.getresponse()
        body = answer.read()
        milliseconds = (time.perf_counter() - started) * 1000
        with self._changed:
            self.report.statuses[sample.kind, sample.good, answer.status] += 1
            self.report.milliseconds[sample.kind].append(milliseconds)
            if answer.status == 200 and "trusted" in sample.kind:
                self.report.workers.add(body)
            if self.report.requests % 20 == 0:
                self._changed.notify_all()


def run(plan: Plan, folder: Path) -> Report:
    """Do it all in *folder*, which is empty."""
    report = Report()
    ring, retired = make_ring(folder / "ring")
    old, new = Key.generate("ES256"), Key.generate("ES256")
    tokens = Tokens(KeyRing(ring, check_seconds=0), retired=retired, signing=old)
    max_age = 60 if plan.poll_seconds is None else 0
    with KeysEndpoint(old, max_age_seconds=max_age) as endpoint:
        (folder / "jwt.toml").write_text(
            CONFIG.format(own=OWN, trusted=TRUSTED, audience=AUDIENCE, url=endpoint.url)
        )
        environ = {
            "LOAD_CONFIG": str(folder / "jwt.toml"),
            "LOAD_POLL_SECONDS": str(plan.poll_seconds or 0),
        }
        app = "tests.integration.load_app:application"
        with gunicorn(app, folder=folder, settings=SETTINGS, environ=environ) as server:
            load = Load(server.address, report)
            with ThreadPoolExecutor(plan.good_clients + plan.bad_clients) as pool:
                makers = [tokens.good] * plan.good_clients + [tokens.bad] * plan.bad_clients
                clients = [pool.submit(load.send_all, make) for make in makers]
                try:
                    conduct(plan, load, tokens, endpoint, ring, new)
                finally:
                    load.stop()
                    endpoint.released.set()
            for client in clients:
                client.result()
        report.fetches = {str(state): n for state, n in endpoint.fetches.items()}
    report.server_log = (folder / "log").read_text()
    return report


def conduct(
    plan: Plan, load: Load, tokens: Tokens, endpoint: KeysEndpoint, ring: Path, new: Key
) -> None:
    """Rotate what is to be rotated, and take the endpoint away, as the requests go on."""

    def rotate() -> None:
        did = rotation.rotate(
            ring,
            token_lifetime_seconds=LIFETIME_SECONDS,
            now=time.time(),
            older_than_seconds=plan.settle_seconds,
        )
        load.report.rotations += did.outcome == "rotated"

    load.pace(requests=plan.requests / 20)
    load.meet_workers()  # keys are fetched on first use: a worker has them from then on
    endpoint.keys = (*endpoint.keys, new)
    rotate()
    load.pace(seconds=plan.lead_seconds)
    load.meet_workers()  # its request starts the fetch that was due
    load.pace(seconds=plan.settle_seconds)
    endpoint.hang()
    tokens.signing = new
    load.pace(seconds=plan.outage_seconds / 2)
    rotate()
    endpoint.refuse()
    load.pace(seconds=max(plan.outage_seconds / 2, plan.settle_seconds))
    endpoint.come_back()
    rotate()
    load.wait(lambda: endpoint.fetches["up again"] >= WORKERS)
    load.pace(seconds=plan.settle_seconds, requests=plan.requests)


def make_ring(directory: Path) -> tuple[Path, Key]:
    """Make a ring that has been in use for a while, and return a key that it has retired."""
    now = time.time() - 3600
    retired = Key.generate("EdDSA", kid="retired")
    rotation.create(directory, alg="EdDSA", now=now, key=retired)
    rotation.retire(directory, retired.kid, now=now)
    assert RingDirectory(directory).read_manifest().retired
    return directory, retired


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.load")
    parser.add_argument("--requests", type=int, default=Plan().requests)
    parser.add_argument("--outage-seconds", type=float, default=Plan().outage_seconds)
    parser.add_argument("--poll-seconds", type=float, help="[default: as configured]")
    given = parser.parse_args()
    plan = Plan(
        requests=given.requests,
        outage_seconds=given.outage_seconds,
        poll_seconds=given.poll_seconds,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = run(plan, Path(folder))
    sys.stdout.write(f"{report}\n")
    sys.exit(bool(report.unexpected or report.broken))


if __name__ == "__main__":
    main()

"""A key ring is damaged while workers sign with it, and a worker is recycled; a disk is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jwt_middleware import JWTPayload, TokenIssuer
from jwt_middleware.keysources.ring.ring import KeyRing
from jwt_middleware.keysources.ring.rotation import create

from ..integration.gunicorns import ROOT, Gunicorn, gunicorn
from .site import Client

CONFIG = """\
issuer = "https://auth.example.com"
audience = "api"
[keys]
directory = "keys"
"""
SETTINGS = """
workers = 2
control_socket_disable = True
errorlog = "-"
"""
PATIENCE_SECONDS = 60

DAMAGES: Final[dict[str, Callable[[Path], object]]] = {
    "truncated": lambda manifest: os.truncate(manifest, 40),
    "empty": lambda manifest: os.truncate(manifest, 0),
    "without an active key": lambda manifest: manifest.write_text('{"version": 1, "keys": []}'),
    "vanished": lambda manifest: manifest.unlink(),
}


@dataclass
class Recycled:
    """
    What was counted.

    Attributes:
        statuses: Answers by what was there before and after each worker was replaced.
        workers: Processes that have answered.
        errors: Lines of the log that name the manifest.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    workers: set[bytes] = field(default_factory=set)
    errors: int = 0

    def __str__(self) -> str:
        """Return the line of a report."""
        return f"{dict(self.statuses)} from {len(self.workers)} workers, {self.errors} lines"


def recycle(folder: Path, damage: str) -> Recycled:
    """Damage the manifest under two workers, and have both replaced."""
    create(folder / "keys", alg="ES256", now=time.time() - 100)
    (folder / "jwt.toml").write_text(CONFIG)
    counts = Recycled()
    app = f"jwt_middleware:wrap({str(folder / 'jwt.toml')!r}, 'tests.faults.site:app')"
    token = _token(folder)
    with gunicorn(app, folder=folder, settings=SETTINGS) as server:
        client = Client(server.address)
        _ask(client, token, counts)
        DAMAGES[damage](folder / "keys" / "ring.json")
        for _ in range(3):
            _ask(client, token, counts)
        before = set(server.workers())
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        _wait_for_others(server, before)
        for _ in range(10):
            _ask(client, token, counts)
    log = (folder / "log").read_text()
    counts.errors = log.count("keys.failed")
    return counts


def _token(folder: Path) -> str:
    keys = KeyRing(folder / "keys")
    issuer = TokenIssuer(keys=keys, issuer="https://auth.example.com", audience="api")
    return issuer.issue(JWTPayload(uid=1)).token


def _ask(client: Client, token: str, counts: Recycled) -> None:
    answer = client.ask(token)
    counts.statuses[answer.status] += 1
    if answer.status == 200:
        counts.workers.add(answer.body)


def _wait_for_others(server: Gunicorn, before: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            now = set(server.workers())
            if len(now) == len(before) and not now & before:
                return
        if server.process.poll() is not None:
            return
        time.sleep(0.02)
    raise TimeoutError("no new workers")


def fill_disk(folder: Path) -> tuple[str, bool]:
    """
    Rotate a ring on a file system that is full.

    Returns:
        What the command says, and whether the ring is as before and nothing is left behind.
    """
    place = folder / "small"
    place.mkdir()
    script = (
        'mount -t tmpfs -o size=64k tmpfs "$0" && cd "$0" &&'
        ' "$1" -m jwt_middleware keys create --directory keys --alg ES256 >&2 &&'
        " ls -A keys >before && cat keys/ring.json >>before &&"
        " { cat /dev/zero >filler 2>/dev/null; true; } &&"
        ' { "$1" -m jwt_middleware keys rotate --directory keys --token-lifetime 1h; true; } &&'
        ' { ls -A keys; cat keys/ring.json; } | cmp -s - before && echo "as before"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, place, sys.executable],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "Error" in line]
    return "".join(said), done.stdout.strip() == "as before"

"""What a request takes of a gunicorn worker's CPU, with the middleware and without."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from ..integration.gunicorns import gunicorn
from .subject import token_for_all
from .table import Row

REQUESTS: Final = 200
_SETTINGS: Final = "workers = 1\ncontrol_socket_disable = True\n"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def measure(*, rounds: int) -> Iterator[Row]:
    """
    Run both servers side by side, ask them in turn, and read what their workers used.

    Requests a second would tell more about the client, the kernel and whatever else runs.
    """
    head = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token_for_all()}\r\n\r\n".encode()
    with ExitStack() as stack:
        served = {name: _Served(stack, name, head) for name in ("bare", "protected")}
        taken: dict[str, list[float]] = {name: [] for name in served}
        # The kernel counts in ticks of 10 ms, so each figure is that of some rounds together.
        for _ in range(-(-rounds // 5)):
            before = {name: one.cpu_seconds() for name, one in served.items()}
            for _ in range(5):
                for one in served.values():
                    one.ask()
            for name, one in served.items():
                seconds = one.cpu_seconds() - before[name]
                taken[name].append(seconds / (5 * REQUESTS) * 1e6)
    bare, protected = (median(taken[name]) for name in ("bare", "protected"))
    yield Row(
        "CPU of a gunicorn sync worker, requests with known tokens",
        "the same app unwrapped",
        sum(taken["protected"]) / sum(taken["bare"]),
        target=1.1,
        detail=f"{protected:.0f} / {bare:.0f} µs a request",
    )


class _Served:
    """A gunicorn with one worker."""

    def __init__(self, stack: ExitStack, app: str, head: bytes) -> None:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(
            gunicorn(f"tests.benchmarks.served:{app}", folder=folder, settings=_SETTINGS)
        )
        self._address, self._head = server.address, head
        self.ask()  # from then on there is a worker
        (self._worker,) = server.workers()

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._worker)

    def ask(self) -> None:
        for _ in range(REQUESTS):
            with socket.create_connection(self._address) as connection:
                connection.sendall(self._head)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(answer[:100])


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS

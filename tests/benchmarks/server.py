"""Requests a second through gunicorn, one sync worker, with the middleware and without."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ..integration.gunicorns import gunicorn
from .subject import token_for_all
from .table import Row
from .timing import Batch, Case, interleaved

REQUESTS: Final = 200
_SETTINGS: Final = "workers = 1\ncontrol_socket_disable = True\n"


def measure(*, rounds: int) -> Iterator[Row]:
    """Run both servers side by side and ask them in turn."""
    head = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token_for_all()}\r\n\r\n"
    with ExitStack() as stack:
        addresses = {
            name: _address(stack, f"tests.benchmarks.served:{name}")
            for name in ("bare", "protected")
        }
        cases = {name: _requests(address, head) for name, address in addresses.items()}
        timings = interleaved(cases, rounds=rounds)
    served = {name: 1e6 / timings.median(name) for name in cases}
    yield Row(
        "requests/s through gunicorn, one sync worker, known tokens",
        "the same app unwrapped",
        timings.ratio("bare", "protected"),
        bound="at least",
        target=0.95,
        detail=f"{served['protected']:,.0f} / {served['bare']:,.0f} requests/s",
    )


def _requests(address: tuple[str, int], head: str) -> Case:
    request = head.encode()

    def batch() -> int:
        for _ in range(REQUESTS):
            with socket.create_connection(address) as connection:
                connection.sendall(request)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(answer[:100])
        return REQUESTS

    ready: Batch = batch
    return lambda: ready


def _address(stack: ExitStack, app: str) -> tuple[str, int]:
    folder = Path(stack.enter_context(TemporaryDirectory()))
    return stack.enter_context(gunicorn(app, folder=folder, settings=_SETTINGS)).address

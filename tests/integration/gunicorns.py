"""Gunicorns with settings of their own, on ports of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30


class Gunicorn(NamedTuple):
    """One that is starting or running; its output goes to ``log`` in its folder."""

    address: tuple[str, int]
    process: subprocess.Popen[bytes]

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        pid = self.process.pid
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


@contextmanager
def gunicorn(
    app: str, *, folder: Path, settings: str, environ: Mapping[str, str] | None = None
) -> Iterator[Gunicorn]:
    """
    Run gunicorn.

    Args:
        app: ``"module:attr"``, from the checkout's folder.
        folder: Its settings and its log go there.
        settings: Python, as in a configuration file of gunicorn.
        environ: Environment variables besides our own.
    """
    (folder / "settings.py").write_text(settings)
    # The socket listens before gunicorn is there: the first request waits for it.
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
        (folder / "log").open("wb") as output,
    ):
        # gunicorn sends head and body apart: without this, each answer waits for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--config", folder / "settings.py",
             "--bind", f"fd://{listener.fileno()}", app],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )  # fmt: skip
        try:
            yield Gunicorn(listener.getsockname(), process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

"""What a worker holds: after a million different tokens, and of its own from the start."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from jwt_middleware.core.jws import encode_object, serialize

from ..integration.gunicorns import gunicorn
from .subject import AUDIENCE, ISSUER, KEYS, bare_app, ignore, request_with
from .table import Row
from .warm import protected

_LOOKS: Final = 10
_MB: Final = 1024 * 1024


def measure(*, tokens: int) -> Iterator[Row]:
    """Send a request with each of *tokens*, made on the way so that only ours is held."""
    app = protected(bare_app)
    resident = [resident_bytes()]
    made = _tokens()
    for _ in range(_LOOKS):
        for _ in range(tokens // _LOOKS):
            app(request_with(next(made)), ignore)
        gc.collect()
        resident.append(resident_bytes())
    grown = [(one - resident[0]) / _MB for one in resident[1:]]
    yield Row(
        f"resident memory after {tokens:,} different tokens, 10,000 remembered",
        "after half of them",
        resident[-1] / resident[_LOOKS // 2],
        target=1.05,
        detail="MB gained after each tenth: " + " ".join(f"{one:.0f}" for one in grown),
    )


def measure_workers() -> Iterator[Row]:
    """Start four workers of what ``init`` writes, with and without ``--preload``."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jwt_middleware", "init"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        app = f"jwt_middleware:wrap('{folder}/jwt.toml','tests.benchmarks.served:bare')"
        private = {
            loaded: _private_mb(app, Path(folder), preload=loaded) for loaded in (True, False)
        }
    yield Row(
        "private memory of a gunicorn worker, --preload",
        "without",
        private[True] / private[False],
        target=0.5,
        detail=f"{private[True]:.1f} / {private[False]:.1f} MB",
    )


def _private_mb(app: str, folder: Path, *, preload: bool) -> float:
    settings = f"workers = 4\ncontrol_socket_disable = True\npreload_app = {preload}\n"
    with gunicorn(app, folder=folder, settings=settings) as server:
        for _ in range(20):
            with socket.create_connection(server.address) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                if b"401" not in connection.recv(100):
                    raise AssertionError
        kilobytes = [_private_kb(worker) for worker in server.workers()]
    return median(kilobytes) / 1024


def _private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _tokens() -> Iterator[str]:
    key = KEYS.signing_key
    assert key is not None
    header = encode_object({"typ": "at+jwt", "alg": key.alg, "kid": key.kid})
    claims: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 86_400}
    number = 0
    while True:
        number += 1
        named = {**claims, "sub": f"{number}", "jti": f"token-{number:08}", "scope": "read write"}
        yield serialize(header, encode_object(named), key.sign)


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

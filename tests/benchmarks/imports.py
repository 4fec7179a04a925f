"""What ``import jwt_middleware`` takes, against the libraries that it stands on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import Final

from .table import Row

_TIMED: Final = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"
_STATEMENTS: Final = {
    "ours": "import jwt_middleware",
    "libraries": "import jwt, cryptography, werkzeug, wtforms",
}


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure both in new processes, the start of Python left out."""
    taken: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    # Both compiled, as pip leaves a package that it installs, and not only the libraries.
    with TemporaryDirectory() as compiled:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for statement in _STATEMENTS.values():
            _milliseconds(statement, environ)
        for _ in range(rounds):
            for name, statement in _STATEMENTS.items():
                taken[name].append(_milliseconds(statement, environ))
    ours, libraries = (sorted(taken[name])[rounds // 2] for name in ("ours", "libraries"))
    yield Row(
        "import jwt_middleware",
        "importing PyJWT, cryptography, Werkzeug, WTForms",
        ours / libraries,
        target=1.1,
        detail=f"{ours:.0f} / {libraries:.0f} ms",
    )


def _milliseconds(statement: str, environ: Mapping[str, str]) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environ)
    return float(done.stdout) * 1000

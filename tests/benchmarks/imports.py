"""What a worker's start takes: ``import jwt_middleware``, and ``wrap`` of what ``init`` writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from .table import Row

_TIMED: Final = "import time; begun = time.process_time(); {}; print(time.process_time() - begun)"
_IMPORTS: Final = {
    "ours": "from jwt_middleware import JWTMiddleware, KeySet, TokenVerifier",
    "libraries": "import jwt, cryptography, werkzeug, wtforms",
}
_STARTS: Final = {
    "ours": "from jwt_middleware import wrap; wrap('jwt.toml', lambda environ, start_response: [])",
    # What the parts of that configuration stand on.
    "libraries": "import jwt, cryptography, werkzeug, wtforms, jiter, argon2, sqlite3, tomllib",
}


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure each in new processes, the start of Python left out."""
    with TemporaryDirectory() as folder:
        # Compiled, as pip leaves a package that it installs, and not only the libraries.
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "jwt_middleware", "init"]
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
        for measured, against, statements, target in (
            (
                "import of JWTMiddleware, KeySet and TokenVerifier",
                "importing PyJWT, cryptography, Werkzeug, WTForms",
                _IMPORTS,
                1.1,
            ),
            (
                "wrap of what init writes, in a new process",
                "importing what it stands on",
                _STARTS,
                1.5,
            ),
        ):
            ours, libraries = _medians(statements, folder, environ, rounds)
            yield Row(
                measured,
                against,
                ours / libraries,
                target=target,
                detail=f"{ours:.0f} / {libraries:.0f} ms of CPU",
            )


def _medians(
    statements: Mapping[str, str], folder: str, environ: Mapping[str, str], rounds: int
) -> tuple[float, float]:
    taken: dict[str, list[float]] = {name: [] for name in statements}
    for round_ in range(rounds + 1):
        for name, statement in statements.items():
            milliseconds = _milliseconds(statement, folder, environ)
            if round_:  # the first one compiles
                taken[name].append(milliseconds)
    return median(taken["ours"]), median(taken["libraries"])


def _milliseconds(statement: str, folder: str, environ: Mapping[str, str]) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, env=environ, cwd=folder
    )
    return float(done.stdout) * 1000

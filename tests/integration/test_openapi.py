"""The OpenAPI description of the endpoint, against the running demo."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware import SQLAccounts

ROOT = Path(__file__).parents[2]
DESCRIPTION = files("jwt_middleware.endpoint") / "openapi.json"
CLIENT = ("billing", "correct horse battery")


def test_describes_every_path_and_is_part_of_the_package() -> None:
    found = json.loads(DESCRIPTION.read_text())
    assert found["openapi"] == "3.1.0"
    below = ("revoke", "introspect", "logout", "logout-all")
    assert [*found["paths"]] == ["/token", *(f"/token/{name}" for name in below)]


@pytest.mark.parametrize(
    ("examples", "least"),
    [
        pytest.param(2, 30, marks=pytest.mark.slow),
        pytest.param(500, 2500, marks=pytest.mark.full),
    ],
)
def test_the_demo_answers_as_described(
    examples: int, least: int, serving: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("schemathesis", reason="needs schemathesis")
    schemathesis = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    with serving([sys.executable, "-m", "demo", "--port", "0"], cwd=ROOT) as demo:
        (folder,) = re.findall(r"Everything lies in (\S+) until", demo.log.read_text())
        with closing(SQLAccounts(f"sqlite:///{folder}/accounts.db")) as accounts:
            accounts.add("service", *CLIENT, scope="read")
        run = subprocess.run(
            [
                *(str(schemathesis), "run", str(DESCRIPTION), "--url", demo.url, "--no-color"),
                *("--auth", ":".join(CLIENT), "--max-examples", str(examples)),
                *("--exclude-checks", "positive_data_acceptance", "--phases", "coverage,fuzzing"),
                *("--generation-deterministic", "--continue-on-failure", "--no-shrink"),
            ],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=900,
        )
    print(run.stdout[-1500:])  # noqa: T201  the closing lines, with -s
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    (cases,) = re.findall(r"([0-9]+) generated", run.stdout)
    assert int(cases) >= least

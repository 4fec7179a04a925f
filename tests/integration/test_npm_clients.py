"""Strict OAuth clients of npm, where node is there; their packages come from its registry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .oauth_site import CLIENT_ID, CLIENT_SECRET, serving

NPM = Path(__file__).parent / "npm"
CLIENTS = ["oauth4webapi", "openid-client", "simple-oauth2", "express-oauth2-jwt-bearer", "jose"]


@pytest.mark.full
def test_strict_clients_of_npm_work(tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm")
    clients = tmp_path / "npm"
    shutil.copytree(NPM, clients, ignore=shutil.ignore_patterns("node_modules"))
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        check=False, cwd=clients, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"npm's registry is out of reach: {installed.stderr[-300:]}")
    with serving(tmp_path) as url:
        run = subprocess.run(
            [node, "run.mjs", url, CLIENT_ID, CLIENT_SECRET],
            check=False, cwd=clients, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert [line.split(":")[0] for line in run.stdout.splitlines()] == [
        f"ok {one}" for one in CLIENTS
    ]

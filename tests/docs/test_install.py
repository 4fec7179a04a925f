"""The README's line that installs and starts the demo, in a clone of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .pages import ROOT, blocks


@pytest.mark.full
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_demo_is_installed_and_started(tmp_path: Path) -> None:
    (line,) = [one.text for one in blocks("README.md") if "-m demo" in one.text]
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    process = subprocess.Popen(
        ["bash", "-ec", line.strip() + " --port 0"],
        cwd=tmp_path / "clone",
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert any(re.search(r"http://127\.0\.0\.1:[0-9]+", line) for line in process.stdout)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.stdout.close()
        process.wait(60)

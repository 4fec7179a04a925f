from __future__ import annotations

import os
from pathlib import Path

import pytest

from jwt_middleware.wsgi.counts import Counts, Series


def test_a_full_disk_costs_the_counts_and_not_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, octets, at: write(file, octets[:100], at))
    counts = Counts([Series("requests", (), "counter")] * 50, tmp_path)
    counts.add(counts.series[0])
    assert "cannot be written (No space left on device): free some space" in caplog.text
    monkeypatch.undo()
    again = Counts(counts.series, tmp_path)
    assert again.read_all()[again.series[0]] == 0


def test_no_link_in_a_folder_that_others_may_write_to_is_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.write_text("of another program")
    (tmp_path / f"jwt_middleware_{os.getpid()}.counts").symlink_to(other)
    (tmp_path / f"jwt_middleware_{10**20}.counts").touch()  # no process has that number
    (tmp_path / "jwt_middleware_ended.json.new").symlink_to(other)
    Counts([Series("requests", (), "counter")], tmp_path)
    assert other.read_text() == "of another program"
    assert "this process is not counted" in caplog.text

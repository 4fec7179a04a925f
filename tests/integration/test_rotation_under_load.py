"""A few seconds of what load.py does for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .load import ROTATIONS, Plan, run


@pytest.mark.slow
def test_no_token_is_judged_wrongly_while_keys_rotate_and_their_url_is_away(
    tmp_path: Path,
) -> None:
    report = run(
        Plan(requests=3_000, outage_seconds=2, poll_seconds=0.2, settle_seconds=1.2), tmp_path
    )
    judged = (report.wrongly_rejected, report.wrongly_accepted, report.unexpected, report.broken)
    assert judged == (0, 0, 0, 0), report
    assert report.requests >= 3_000
    assert report.rotations == ROTATIONS
    assert len(report.workers) == 2
    assert report.failed_fetches >= 2, report
    assert report.fetches["up again"] >= 2, report
    assert "Traceback" not in report.server_log

"""The benchmarks keep working; how long anything takes is not for a unit test to say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from . import __main__ as command
from . import first_sight, frameworks, issuing, memory, refusals, revoked, threads, warm
from .plot import write_growth, write_plot
from .subject import ignore, request_with, token_for_all
from .table import Row, as_text, heading
from .timing import Timings, over_all


@pytest.mark.slow
def test_every_measurement_within_a_process_yields_rows() -> None:
    rows = [
        *warm.measure(rounds=2, peers=False),
        *first_sight.measure(rounds=2),
        *refusals.measure(rounds=2),
        *issuing.measure(rounds=2),
        *threads.measure(repetitions=1),
        *memory.measure(tokens=1000),
        *revoked.measure(rounds=2, counts=[1000]),
    ]
    assert all(math.isfinite(row.figure) for row in rows)
    assert len({(row.measured, row.against) for row in rows}) == len(rows)
    for row in rows:
        assert row.measured in as_text(rows)


@pytest.mark.parametrize("figure", [2.1, 1.9])
def test_quick_fails_beyond_twice_a_target(
    figure: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [Row("one thing", "another", figure, target=1)]
    monkeypatch.setattr(command, "measure_quickly", lambda: iter(rows))
    assert command.main(["--quick", "--json", str(tmp_path / "table.json")]) == (figure > 2)
    assert json.loads((tmp_path / "table.json").read_text())["rows"][0]["figure"] == figure


@pytest.mark.parametrize(
    ("row", "distance"),
    [
        (Row("a", "b", 3, target=2), 1.5),
        (Row("a", "b", 3, bound="at least", target=6), 2),
        (Row("a", "b", 0, target=0), 0),
        (Row("a", "b", 1, target=0), math.inf),
        (Row("a", "b", 1), 0),
    ],
)
def test_distance_from_a_target(row: Row, distance: float) -> None:
    assert row.distance == distance
    assert row.verdict == ("" if row.target is None else "met" if distance <= 1 else "missed")


def test_ratios_are_taken_round_by_round() -> None:
    timings = Timings({"bare": [1, 1, 1], "one": [3, 30, 5], "other": [2, 20, 5]})
    assert timings.ratio("one", "other") == 1.5
    assert timings.ratio("one", "other", over="bare") == 29 / 19
    assert timings.median("one", over="bare") == 4
    assert timings.least("other") == 2


def test_a_batch_counts_what_it_did() -> None:
    seen: list[str] = []
    assert over_all(seen.append, ["a", "b"])()() == 2
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    ("needs", "make"),
    [
        ("flask_jwt_extended", frameworks.flask_jwt_extended),
        ("authlib", frameworks.authlib),
    ],
    ids=["flask-jwt-extended", "authlib"],
)
def test_peers_accept_the_good_token_and_refuse_a_bad_one(needs: str, make: Any) -> None:
    pytest.importorskip(needs, reason="needs the extra 'bench'")
    pair, token = make(), token_for_all()

    def answer(app: Any, token: str) -> bytes:
        return b"".join(app(request_with(token, "/"), ignore))

    assert b"hello" in answer(pair.protected, token)
    assert b"hello" in answer(pair.bare, token)
    assert b"hello" not in answer(pair.protected, token[:-3] + "abc")


@pytest.mark.slow
def test_draws_what_has_a_target(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    write_plot([Row("a", "b", 3, target=2), Row("c", "d", 1)], tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_draws_how_cost_grows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    rows = [Row("x", "1,000", 1.1, curve="refresh", size=10_000), Row("c", "d", 1)]
    write_growth(rows, tmp_path / "growth.svg")
    assert "refresh" in (tmp_path / "growth.svg").read_text()


def test_the_heading_names_the_machine_and_the_versions() -> None:
    assert "CPython" in heading()
    assert "PyJWT 2." in heading()

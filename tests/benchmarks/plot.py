"""The pictures of the tables for README and docs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .table import Row, heading

_MET: Final = "#2a7f62"
_MISSED: Final = "#c2571a"


def write_plot(rows: Sequence[Row], file: Path) -> None:
    """Draw each figure that has a target as a share of it: a bar that ends before 1 met it."""
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.target][::-1]
    figure = Figure(figsize=(11, 0.36 * len(shown) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(
        range(len(shown)),
        [row.distance for row in shown],
        color=[_MET if row.distance <= 1 else _MISSED for row in shown],
    )
    axes.axvline(1, color="black", linewidth=1)
    labels = [f"{row.measured}\n{row.against}" for row in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    for place, row in enumerate(shown):
        text = f" {row.figure:.3g} {row.unit} ({row.bound} {row.target:g})"
        axes.text(row.distance, place, text, va="center", fontsize=7)
    axes.margins(y=0.01)
    axes.set_xlim(0, max(1.6, *(row.distance + 0.5 for row in shown)))
    axes.set_xlabel("share of the target used; left of the line it is met")
    axes.set_title(heading().splitlines()[0], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def write_growth(rows: Sequence[Row], file: Path) -> None:
    """Draw what the same operation costs with more and more of something, as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log")
    for curve in dict.fromkeys(row.curve for row in rows if row.curve):
        points = [(row.size, row.figure) for row in rows if row.curve == curve]
        # A curve begins at 1, with what its first row is held against.
        against = next(row.against for row in rows if row.curve == curve)
        first = max(1, int(against.replace(",", "")))
        axes.plot(*zip((first, 1), *points, strict=True), marker=".", label=curve)
    axes.set_xlabel("how many")
    axes.set_ylabel("times the cost of the first")
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": ""}):
        figure.savefig(file, format="svg", metadata={"Date": None})

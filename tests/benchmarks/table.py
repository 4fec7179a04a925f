"""The rows of the table, what they are held against, and how they are shown."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

Bound = Literal["at most", "at least"]

_PACKAGES: Final = (
    *("PyJWT", "cryptography", "Werkzeug", "joserfc", "clasp-jwt", "Flask-JWT-Extended"),
    *("Authlib", "djangorestframework-simplejwt", "gunicorn"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One figure.

    Attributes:
        measured: What was measured.
        against: What it is compared with, in the same run.
        figure: The ratio of the two, or what *unit* says.
        bound: Which side of *target* is good.
        target: ``None`` where the figure is only reported.
        unit: A ratio's sign, or that of *figure*.
        detail: The figures behind it.
        curve: What grows, for a row that is one point of it.
        size: How much of it there is at this point.
    """

    measured: str
    against: str
    figure: float
    bound: Bound = "at most"
    target: float | None = None
    unit: str = "×"
    detail: str = ""
    curve: str = ""
    size: int = 0

    @property
    def distance(self) -> float:
        """How far the figure is from its target: up to 1 it is met."""
        if self.target is None or self.figure == self.target:
            return 0
        if self.target == 0:
            return math.inf
        if self.bound == "at most":
            return self.figure / self.target
        return self.target / self.figure

    @property
    def verdict(self) -> str:
        """Return ``met``, ``missed``, or nothing for a figure without a target."""
        if self.target is None:
            return ""
        return "met" if self.distance <= 1 else "missed"


def heading() -> str:
    """Return the machine and the versions that a table is true for."""
    implementation = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{os.cpu_count()} × {_processor()}, load {os.getloadavg()[0]:.1f}"
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return f"{implementation}, {platform.system()} {platform.machine()}, {machine}\n{packages}"


def as_text(rows: Iterable[Row]) -> str:
    """Return the table, aligned."""
    lines = [("measured", "against", "figure", "target", "", "")]
    for row in rows:
        target = "" if row.target is None else f"{row.bound} {row.target:g}"
        figure = f"{row.figure:.3g} {row.unit}"
        lines.append((row.measured, row.against, figure, target, row.verdict, row.detail))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def write_json(rows: Sequence[Row], file: Path) -> None:
    """Write the table and its heading."""
    content = {"heading": heading(), "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "–"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "CPU"
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "CPU")

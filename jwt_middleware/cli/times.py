"""Times as commands print them."""

from __future__ import annotations

from datetime import UTC, datetime


def shown(seconds: float | None) -> str:
    """Return seconds since the Unix epoch as ``2026-11-25T03:00:00Z``, ``None`` as nothing."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

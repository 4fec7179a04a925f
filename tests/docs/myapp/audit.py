"""What listens to events in the reader's app."""

from __future__ import annotations

from jwt_middleware.events import Event


def record(event: Event) -> None:
    """Forget *event*."""

"""Until when an operation on a database may last, whatever it has to wait for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """
    Let what is done in the block last so long; what waits has to ask :func:`remaining`.

    A block inside another one does not last longer than that.
    """
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float:
    """Return for how many seconds the operation may go on; negative if it should have ended."""
    return _deadline.get() - time.monotonic()

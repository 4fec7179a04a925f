"""The deadline of an operation on a database, kept by everything that waits in it."""

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
    Give the block a deadline; what waits in it checks :func:`remaining`.

    A nested block never extends the deadline of the outer one.
    """
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float:
    """Return the seconds until the deadline; negative after it."""
    return _deadline.get() - time.monotonic()

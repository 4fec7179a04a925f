"""Prune expired entries of a store, in small steps, as part of its use."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from ..errors import UnavailableError
from ..events import logger
from .clock import SettledTime
from .store import SessionStore

# More of each kind than that many uses create: an attempt fills at most six buckets.
_PRUNE_EVERY: Final = 50
PRUNED_AT_ONCE: Final = 400


class Pruning:
    """
    Prunes a store at every 50th use, of entries that expired at least a minute ago.

    Args:
        store: The store.
        clock: Returns seconds since the Unix epoch.
    """

    def __init__(self, store: SessionStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._settled = SettledTime()
        self._uses = itertools.count(1)

    def count_use(self) -> None:
        """Count one use, and prune at every 50th; a failure is only logged."""
        if next(self._uses) % _PRUNE_EVERY:
            return
        try:
            self._store.prune(now=self._settled(self._clock()), limit=PRUNED_AT_ONCE)
        except UnavailableError as error:
            logger.warning("expired sessions and attempts were not pruned: %s", error)

"""When a store is pruned: by its users, in small steps, as they come."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Final

from ..errors import UnavailableError
from .clock import SettledTime
from .store import SessionStore

logger: logging.Logger = logging.getLogger("jwt_middleware")

# Of each kind of entry, more than as many uses leave behind: an attempt fills six buckets at most.
_PRUNE_EVERY: Final = 50
PRUNED_AT_ONCE: Final = 400


class Pruning:
    """
    Prunes a store once in every 50 uses, of what has expired a minute ago or longer.

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
        """Count one use, and prune if it is time to; a failure is only logged."""
        if next(self._uses) % _PRUNE_EVERY:
            return
        try:
            self._store.prune(now=self._settled(self._clock()), limit=PRUNED_AT_ONCE)
        except UnavailableError as error:
            logger.warning("expired sessions and attempts were not pruned: %s", error)

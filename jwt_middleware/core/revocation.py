"""The interface between verifiers and revocation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol


class RevocationCheck(Protocol):
    """A callable that returns whether an otherwise valid token is revoked."""

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """
        Return whether the token with these read-only *claims* is revoked.

        Called for every request: it must be fast and thread-safe.  Any exception means that
        revocation is unavailable, and the request is refused.
        """


class RevocationSource(ABC):
    """
    A revocation check that can cheaply report that nothing was revoked since its last call.

    A base class, so that an unrelated attribute does not make a check look like one.
    """

    @abstractmethod
    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """Return whether the token with these read-only *claims* is revoked."""

    @abstractmethod
    def current(self) -> object:
        """
        Return an object that stays the same until a revocation is added.

        Called for every request.

        Raises:
            UnavailableError: The revocations are unavailable.
        """

    def token_clock(self, host_clock: Callable[[], float]) -> Callable[[], float]:
        """
        Return the clock for checking tokens; it never blocks for long.

        Args:
            host_clock: The default; a source that hosts share may have a better clock.
        """
        return host_clock

    def covers(self, claims: Mapping[str, object], /) -> bool:
        """Like a call, but with the state that :meth:`current` just returned; never blocks."""
        return self(claims)

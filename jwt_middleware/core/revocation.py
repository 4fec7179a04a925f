"""How a verifier learns that a good token was revoked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol


class RevocationCheck(Protocol):
    """Tells whether a token that is good in every other way has been revoked."""

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """
        Return whether the token with these read-only *claims* is revoked.

        Called for every request: it must be quick, and safe in several threads.  Any exception
        means that revocation is unavailable, and the token is refused.
        """


class RevocationSource(ABC):
    """
    A check that can say cheaply that nothing was revoked since it was last called.

    A base class, so that a check is never taken for one because of an attribute of its own.
    """

    @abstractmethod
    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """Return whether the token with these read-only *claims* is revoked."""

    @abstractmethod
    def current(self) -> object:
        """
        Return what stands for all revocations: the same object while none is added.

        Called for every request.

        Raises:
            UnavailableError: The revocations are unavailable.
        """

    def token_clock(self, host_clock: Callable[[], float]) -> Callable[[], float]:
        """
        Return what tells the time for the tokens that it is asked about; never waits for long.

        Args:
            host_clock: By default that; a source that hosts share may know better.
        """
        return host_clock

    def covers(self, claims: Mapping[str, object], /) -> bool:
        """Return what a call does, by what :meth:`current` has just found; never waits."""
        return self(claims)

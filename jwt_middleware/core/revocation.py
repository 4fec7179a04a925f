"""How a verifier learns that a good token was revoked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

from ..errors import ConfigurationError, RevokedTokenError, UnavailableError


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


class Revocation:
    """
    A check and a source behind one interface.

    Args:
        is_revoked: A :class:`RevocationCheck`, or a :class:`RevocationSource`.

    Raises:
        ConfigurationError: It is not callable.
    """

    def __init__(self, is_revoked: RevocationCheck) -> None:
        if not callable(is_revoked):
            raise ConfigurationError("is_revoked must be a function of the claims")
        self._is_revoked = is_revoked
        # Each object() is another one than the last: a plain check is called every time.
        self._current: Callable[[], object] = object
        self._covers: RevocationCheck = is_revoked
        if isinstance(is_revoked, RevocationSource):
            self._current, self._covers = is_revoked.current, is_revoked.covers

    def state(self) -> object:
        """
        Return what stands for all revocations; see :meth:`RevocationSource.current`.

        Raises:
            UnavailableError: The revocations are unavailable.
        """
        try:
            return self._current()
        except UnavailableError:
            raise
        except Exception as error:
            raise _unavailable() from error

    def check(self, claims: Mapping[str, object]) -> None:
        """
        Reject a token that is revoked.

        Raises:
            RevokedTokenError: It is.
            UnavailableError: The check failed or gave no answer.
        """
        try:
            answer = self._covers(claims)
            revoked = bool(answer)
        except UnavailableError:
            raise
        except Exception as error:
            raise _unavailable() from error
        if answer is None:  # a check that forgot to answer has not said that the token is good
            raise UnavailableError("the revocation check returned None")
        if revoked:
            raise RevokedTokenError


def _unavailable() -> UnavailableError:
    return UnavailableError("the revocation check failed")

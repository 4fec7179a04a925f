"""The seam by which a verifier learns that a good token was revoked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..errors import RevokedTokenError, UnavailableError


class RevocationCheck(Protocol):
    """Tells whether a token that is good in every other way has been revoked."""

    def __call__(self, claims: Mapping[str, object], /) -> bool:
        """
        Return whether the token with these read-only *claims* is revoked.

        Called for every request: it must be quick, and safe in several threads.  Whatever it
        raises means that revocation cannot be consulted, and the token is not let through.
        """


class RevocationSource(RevocationCheck, Protocol):
    """A check that can say cheaply that nothing was revoked since it was asked last."""

    def current(self) -> object:
        """
        Return what stands for all that is revoked: the same object while nothing is added.

        Called for every request.

        Raises:
            UnavailableError: What is revoked cannot be told.
        """

    def covers(self, claims: Mapping[str, object], /) -> bool:
        """Return what a call does, by what :meth:`current` has just found; never waits."""


class Revocation:
    """
    One way to ask, whether the check can tell that nothing has changed or must be asked each time.

    Args:
        is_revoked: A :class:`RevocationCheck`, or a :class:`RevocationSource`.
    """

    def __init__(self, is_revoked: RevocationCheck) -> None:
        self._is_revoked = is_revoked
        # Each object() is another one than the last: such a check is asked every time.
        self._current: Callable[[], object] = getattr(is_revoked, "current", object)
        self._covers: RevocationCheck = getattr(is_revoked, "covers", is_revoked)

    def state(self) -> object:
        """
        Return what stands for all that is revoked; see :meth:`RevocationSource.current`.

        Raises:
            UnavailableError: Nobody knows.
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
            UnavailableError: Nobody knows.
        """
        try:
            answer = self._covers(claims)
            revoked = bool(answer)
        except UnavailableError:
            raise
        except Exception as error:
            raise _unavailable() from error
        if answer is None:  # a check that forgot to answer has not said that the token is good
            raise UnavailableError("revocation was asked and gave no answer")
        if revoked:
            raise RevokedTokenError


def _unavailable() -> UnavailableError:
    return UnavailableError("revocation cannot be consulted")

"""What an account may still do, asked when its session asks for more."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from ..core.payload import JWTPayload
from ..core.scope import common
from .session import Session


class Recheck(Protocol):
    """Says what a session's account may still do, when it asks for another access token."""

    def __call__(self, session: Session, /) -> JWTPayload:
        """
        Return the payload of the next access token.

        Raises:
            InvalidGrantError: The account may not log in any more, or its secret has changed.
            UnavailableError: Whoever knows cannot be asked.
        """
        ...


def current_payload(session: Session, recheck: Recheck | None) -> JWTPayload:
    """
    Return what *recheck* says, with no scope that the session was not started with.

    Raises:
        InvalidGrantError: As for :class:`Recheck`.
        UnavailableError: As for :class:`Recheck`.
    """
    if recheck is None:
        return session.payload
    payload = recheck(session)
    still = common(payload.scope, session.payload.scope)
    return replace(payload, scope=still)

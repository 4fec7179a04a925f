"""
Sessions, refresh tokens and revocation.

Stores that need a driver, and the rarely used memory store, are imported from ``sessions.stores``.
"""

from typing import TYPE_CHECKING

from .revocation.follower import Revocations
from .session import Grant, Recheck, Session, check_client
from .sessions import Sessions
from .store import SessionStore

if TYPE_CHECKING:
    from .stores.memory import MemorySessions
else:

    def __getattr__(name):
        if name == "MemorySessions":  # on first use (PEP 562)
            from .stores.memory import MemorySessions  # noqa: PLC0415

            return MemorySessions
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Grant",
    "MemorySessions",
    "Recheck",
    "Revocations",
    "Session",
    "SessionStore",
    "Sessions",
    "check_client",
]

"""
What outlives a token: sessions with their refresh tokens, and what was revoked.

What needs the driver of a database or redis-py stays below ``sessions.stores``.
"""

from .revocation.follower import Revocations
from .session import Grant, Recheck, Session, check_client
from .sessions import Sessions
from .store import SessionStore
from .stores.memory import MemorySessions

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

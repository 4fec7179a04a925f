"""
What outlives a token: sessions with their refresh tokens, and what was revoked.

What needs SQLAlchemy or redis-py stays in its module: ``sessions.sql`` and ``sessions.redis``.
"""

from .memory import MemorySessions
from .recheck import Recheck
from .revocations import Revocations
from .session import Grant, Session
from .sessions import Sessions
from .store import SessionStore

__all__ = [
    "Grant",
    "MemorySessions",
    "Recheck",
    "Revocations",
    "Session",
    "SessionStore",
    "Sessions",
]

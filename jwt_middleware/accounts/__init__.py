"""
Who may log in: the seam for an application's own check, and accounts of our own.

What needs argon2-cffi stays in its module: ``accounts.sql`` and ``accounts.hashing``.
"""

from ..errors import (
    AccountExistsError,
    InvalidAccountError,
    InvalidSecretError,
    UnknownAccountError,
)
from .client_type import ClientType, normalise_account
from .identity import AccountLookup, AccountVerifier, Identity

__all__ = [
    "AccountExistsError",
    "AccountLookup",
    "AccountVerifier",
    "ClientType",
    "Identity",
    "InvalidAccountError",
    "InvalidSecretError",
    "UnknownAccountError",
    "normalise_account",
]

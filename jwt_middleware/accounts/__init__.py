"""
Accounts: the interface to an application's own accounts, and accounts in a database.

Only ``accounts.sql`` and ``accounts.hashing`` import argon2-cffi.
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

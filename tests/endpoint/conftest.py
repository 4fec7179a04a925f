"""A service before an app that shows what reached it; see ``tests/service.py``."""

from ..service import accounts, bearer, issuer, keys, make_service, service, verifier, wrapped

__all__ = [
    "accounts",
    "bearer",
    "issuer",
    "keys",
    "make_service",
    "service",
    "verifier",
    "wrapped",
]

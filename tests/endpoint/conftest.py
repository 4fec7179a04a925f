"""Sites with an endpoint to send requests to: see ``tests/service.py`` and ``tests/site.py``."""

from ..service import accounts, bearer, issuer, keys, make_service, service, verifier, wrapped
from ..site import refusals

__all__ = [
    "accounts",
    "bearer",
    "issuer",
    "keys",
    "make_service",
    "refusals",
    "service",
    "verifier",
    "wrapped",
]

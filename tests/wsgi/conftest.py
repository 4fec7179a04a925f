"""Two sites to send requests to: see ``tests/service.py`` and ``tests/site.py``."""

from ..service import accounts, bearer, issuer, keys, make_service, service, verifier, wrapped
from ..site import refusals, site

__all__ = [
    "accounts",
    "bearer",
    "issuer",
    "keys",
    "make_service",
    "refusals",
    "service",
    "site",
    "verifier",
    "wrapped",
]

"""The ``jwt-middleware`` command."""

from .group import main

__all__ = ["main"]

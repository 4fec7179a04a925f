"""Keys: what signs and verifies, and the immutable sets that they stand in."""

from .key import Key, KeySet

__all__ = ["Key", "KeySet"]

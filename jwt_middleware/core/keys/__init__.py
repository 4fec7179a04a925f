"""Keys and immutable key sets."""

from .key import Key, KeySet

__all__ = ["Key", "KeySet"]

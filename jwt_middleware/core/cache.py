"""The verified-token cache: bounded, lock-free, two generations of a dict."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class TokenCache(Generic[T]):
    """
    Remembers what whole token strings were verified to.

    New entries go into the young half; when that is full it becomes the old half, and the old one
    is dropped.  A hit in the old half moves the entry up, so what is in use stays.  No operation
    needs a lock: each touches a dict once, and a race costs at most a repeated verification.

    Args:
        size: Entries kept at most, rounded up to an even number; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self._half = (size + 1) // 2
        self._young: dict[str, T] = {}
        self._old: dict[str, T] = {}

    def get(self, token: str) -> T | None:
        """Return what was put under *token*, or ``None``."""
        found = self._young.get(token)
        if found is None and (found := self._old.get(token)) is not None:
            self.put(token, found)
        return found

    def put(self, token: str, verified: T) -> None:
        """Remember *verified* under *token*."""
        if len(self._young) < self._half:
            self._young[token] = verified
        elif self._half:
            self._old, self._young = self._young, {token: verified}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

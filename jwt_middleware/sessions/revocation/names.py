"""Millions of names with an end each, in a dozen bytes apiece."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

_PARTS: Final = 16_384
_LATEST: Final = 2**32 - 1


class ExpiringNames:
    """
    A set of strings, each until some minute.

    It holds their 64-bit hashes, under the key that Python draws for each process: of ten million
    names, one that is not among them is taken for one that is with a probability of 10^-12.  A dict
    of the strings would take twelve times the memory.

    The hashes lie in sorted arrays, by their last bits.  Such an array never changes once it can
    be seen: readers need no lock.  There must be one writer at a time.
    """

    def __init__(self) -> None:
        self._hashes = [array("q")] * _PARTS
        self._minutes = [array("I")] * _PARTS  # parallel to the hashes, for the writer alone
        self._next_part = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, name: str) -> bool:
        key = hash(name)
        hashes = self._hashes[key % _PARTS]
        index = bisect_left(hashes, key)
        return index < len(hashes) and hashes[index] == key

    def add(self, name: str, *, minute: int) -> None:
        """Add *name* until the end of *minute*, counted from the epoch, or later if it is there."""
        key, minute = hash(name), min(minute, _LATEST)
        part = key % _PARTS
        hashes, minutes = self._hashes[part], self._minutes[part] or array("I")
        index = bisect_left(hashes, key)
        if index < len(hashes) and hashes[index] == key:
            minutes[index] = max(minutes[index], minute)
            return
        minutes.insert(index, minute)
        hashes = hashes[:]
        hashes.insert(index, key)
        self._minutes[part], self._hashes[part] = minutes, hashes
        self._size += 1

    def forget_before(self, minute: int, *, parts: int) -> None:
        """Forget what ended before *minute*, in the next *parts* of all :data:`_PARTS`."""
        for _ in range(parts):
            part = self._next_part
            self._next_part = (part + 1) % _PARTS
            hashes, minutes = self._hashes[part], self._minutes[part]
            if minutes and min(minutes) < minute:
                kept = [index for index, until in enumerate(minutes) if until >= minute]
                self._minutes[part] = array("I", [minutes[index] for index in kept])
                self._hashes[part] = array("q", [hashes[index] for index in kept])
                self._size -= len(minutes) - len(kept)

"""Live revocations in memory, which requests are checked against."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from ...core.trust import MAX_LEEWAY_SECONDS
from ...errors import ConfigurationError, UnavailableError
from ..store import Kind, Revocation, qualified

_MINUTE_SECONDS: Final = 60
_NAMED: Final = frozenset({"token", "session"})
_PARTS_AT_ONCE: Final = 256
_SUBJECTS_AT_ONCE: Final = 1000

# 9999-12-31T23:59:59Z: every store can hold it, and every clock can show it.
_LATEST: Final = 253_402_300_799


class LiveRevocations:
    """
    A set of revocations that drops each some minutes after it has expired.

    Readers need no lock; there must be one writer at a time.  A revocation applies to the issuer in
    its key, or to every issuer without one.
    """

    def __init__(self) -> None:
        self._names = ExpiringNames()
        self._subjects: dict[str, tuple[int, int]] = {}
        self._to_look_at: Iterator[str] = iter(())
        self._forget_at = 0.0

    def __len__(self) -> int:
        return len(self._names) + len(self._subjects)

    def update(self, revocations: Iterable[Revocation]) -> None:
        """
        Add some, or make those that are there last longer.

        Raises:
            UnavailableError: One is of a kind that only a newer version knows.
        """
        hashes, minutes, unknown = [], [], ""
        for kind, key, revoked_at, expires_at in revocations:
            if kind == "subject":
                known_at, known_until = self._subjects.get(key, (0, 0))
                self._subjects[key] = max(revoked_at, known_at), max(expires_at, known_until)
            elif kind in _NAMED:
                hashes.append(hash(f"{kind}:{key}"))
                minutes.append(expires_at // _MINUTE_SECONDS)
            else:
                unknown = kind
        self._names.update(zip(hashes, minutes, strict=True))
        if unknown:
            raise UnavailableError(
                f"there are revocations of the kind {unknown[:20]!a}, which this version does not"
                " know: upgrade wsgi-jwt-middleware on this host"
            )

    def covers(self, claims: Mapping[str, object]) -> bool:
        """Return whether the verified token with these claims is revoked."""
        issuer, sid = str(claims["iss"]), claims.get("sid")
        if self._is_named("token", issuer, claims.get("jti")):
            return True
        if self._is_named("session", issuer, sid):
            return True
        subject = str(claims.get("sub", ""))
        return any(
            self._ended_subject(key, claims.get("iat", 0), in_session=isinstance(sid, str))
            for key in (qualified(issuer, subject), subject)
        )

    def _is_named(self, kind: Kind, issuer: str, name: object) -> bool:
        if not isinstance(name, str):
            return False
        names = self._names
        return f"{kind}:{qualified(issuer, name)}" in names or f"{kind}:{name}" in names

    def _ended_subject(self, key: str, issued_at: object, *, in_session: bool) -> bool:
        revoked_at, _ = self._subjects.get(key, (None, 0))
        if revoked_at is None:
            return False
        if not isinstance(issued_at, int | float):
            return True
        # iat is in whole seconds: a token of that very second may have come before or after.  Its
        # session, if it has one, tells; this is for those whose session the store has lost.
        return issued_at < revoked_at or (issued_at == revoked_at and not in_session)

    def forget_expired(self, now: float, *, before: float | None = None) -> None:
        """
        Forget some of what has expired; in small steps, and not more than once a second.

        Args:
            now: Seconds since the Unix epoch.
            before: What had expired then; by default *now*.
        """
        before = now if before is None else before
        if self._forget_at - 1 <= now < self._forget_at:
            return
        self._forget_at = now + 1
        self._names.forget_before(int(before) // _MINUTE_SECONDS, parts=_PARTS_AT_ONCE)
        looked_at = [*islice(self._to_look_at, _SUBJECTS_AT_ONCE)]
        for subject in looked_at:
            if before >= self._subjects[subject][1]:
                del self._subjects[subject]
        if not looked_at:
            self._to_look_at = iter([*self._subjects])


def token_revocation(claims: Mapping[str, object], *, now: float) -> Revocation:
    """
    Return the revocation of one token, without its session.

    Args:
        claims: Its verified claims, at least *iss*, *jti* and *exp*.
        now: Seconds since the Unix epoch.

    Raises:
        ConfigurationError: It has no *jti* to identify it by.
    """
    if not isinstance(claims.get("jti"), str):
        raise ConfigurationError("the token has no jti, so it cannot be revoked alone")
    expires = claims.get("exp")
    if not isinstance(expires, int | float):
        raise ConfigurationError("exp must be a number: until then the token is revoked")
    until = min(math.ceil(expires) + MAX_LEEWAY_SECONDS, _LATEST)
    key = qualified(str(claims["iss"]), str(claims["jti"]))
    return Revocation("token", key, int(now), until)


# A part is of hashes with the same 14 bits at their begin, a group of 256 parts of those with 6.
_PARTS: Final = 16_384
_PART_SHIFT: Final = 64 - 14
_GROUPS: Final = 64
_GROUP_SHIFT: Final = 64 - 6
_PARTS_IN_GROUP: Final = _PARTS // _GROUPS
_MANY: Final = 4_000
_LATEST_MINUTE: Final = 2**32 - 1


class ExpiringNames:
    """
    A set of strings that expire, by the minute.

    It holds their 64-bit hashes, under the key that Python draws for each process: of ten million
    names, one that is not among them is taken for one that is with a probability of 10^-12.  A dict
    of the strings would take twelve times the memory.

    The hashes lie in sorted arrays, by their first bits.  Such an array never changes once it can
    be seen: readers need no lock.  There must be one writer at a time.  What was added last is in
    dicts, and sorted into the arrays when there is much of it: a million in a second.
    """

    def __init__(self) -> None:
        self._hashes = [array("q")] * _PARTS
        self._minutes = [array("I")] * _PARTS  # parallel to the hashes, for the writer alone
        self._added: list[dict[int, int]] = [{} for _ in range(_GROUPS)]  # hash to minute
        self._next_part = 0

    def __len__(self) -> int:
        # One that was added again, to last longer, counts twice until it is sorted in.
        return sum(map(len, self._hashes)) + sum(map(len, self._added))

    def __contains__(self, name: str) -> bool:
        key = hash(name)
        # First here: what is sorted in is there before it is taken from here.
        if key in self._added[(key >> _GROUP_SHIFT) + _GROUPS // 2]:
            return True
        hashes = self._hashes[(key >> _PART_SHIFT) + _PARTS // 2]
        index = bisect_left(hashes, key)
        return index < len(hashes) and hashes[index] == key

    def add(self, name: str, *, minute: int) -> None:
        """Add *name* until the end of *minute*, counted from the epoch, or later if it is there."""
        self.update([(hash(name), minute)])

    def update(self, ends: Iterable[tuple[int, int]]) -> None:
        """Add names by their hashes, each until the end of a minute."""
        groups = self._added
        for key, end in ends:
            added = groups[(key >> _GROUP_SHIFT) + _GROUPS // 2]
            if added.get(key, -1) < end:
                added[key] = min(end, _LATEST_MINUTE)
        for group, added in enumerate(groups):
            # Not all of them at once: that would take a second for a million.
            many = _MANY + _MANY * group // _GROUPS
            if len(added) > many and len(added) > 2 * self._sorted_of(group):
                self._sort_in(group)

    def forget_before(self, minute: int, *, parts: int) -> None:
        """Forget what ended before *minute*, in the next *parts* of all :data:`_PARTS`."""
        for _ in range(parts):
            part = self._next_part
            self._next_part = (part + 1) % _PARTS
            if part % _PARTS_IN_GROUP == 0:
                self._forget_added(part // _PARTS_IN_GROUP, minute)
            hashes, minutes = self._hashes[part], self._minutes[part]
            if minutes and min(minutes) < minute:
                kept = [index for index, until in enumerate(minutes) if until >= minute]
                self._minutes[part] = array("I", [minutes[index] for index in kept])
                self._hashes[part] = array("q", [hashes[index] for index in kept])

    def _forget_added(self, group: int, minute: int) -> None:
        added = self._added[group]
        for key in [key for key, until in added.items() if until < minute]:
            del added[key]
        if len(added) > self._sorted_of(group) // 16:
            self._sort_in(group)

    def _sorted_of(self, group: int) -> int:
        first = group * _PARTS_IN_GROUP
        return sum(map(len, self._hashes[first : first + _PARTS_IN_GROUP]))

    def _sort_in(self, group: int) -> None:
        """Sort what was added into the arrays."""
        first = group * _PARTS_IN_GROUP
        parts = range(first, first + _PARTS_IN_GROUP)
        ends: dict[int, int] = {}
        for part in parts:
            ends.update(zip(self._hashes[part], self._minutes[part], strict=True))
        for key, minute in self._added[group].items():
            if ends.get(key, -1) < minute:
                ends[key] = minute
        keys = sorted(ends)
        hashes, minutes = array("q", keys), array("I", map(ends.__getitem__, keys))
        begin = 0
        for part in parts:
            end = bisect_left(keys, (part + 1 - _PARTS // 2) << _PART_SHIFT, begin)
            self._minutes[part], self._hashes[part] = minutes[begin:end], hashes[begin:end]
            begin = end
        self._added[group] = {}

"""
Login attempts: drip buckets, and the known addresses of an account.

The memory and SQL stores use these functions; the Redis store does the same in Lua.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .clock import MAX_AHEAD_SECONDS

CHECKED_WITHIN_SECONDS: Final = 10.0
"""How long checking an attempt may take; after that its process counts as crashed."""

# A binary fraction of a second, so that sums are exact: a bucket holds exactly its burst.
_ROUNDING_SECONDS: Final = 0.001

_CHECKED_AHEAD_SECONDS: Final = CHECKED_WITHIN_SECONDS + MAX_AHEAD_SECONDS


class Drip(NamedTuple):
    """
    A rate limit: *burst* at once, then one each *interval_seconds*.

    Attributes:
        burst: Capacity of the bucket.
        interval_seconds: Time for one attempt to drip out.
    """

    burst: int
    interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    A login attempt, with the buckets that limit it.

    Keys are hashes; keys of an account start with the account's key.

    Attributes:
        account: Key of the account.
        leaf: Key of the client's address; ``None`` if unknown.
        known: Bucket for a known leaf of the account; ``None`` sets no limit.
        strangers: Buckets for any other leaf; all of them must have space.
        is_trusted: Whether the leaf always counts as known.
        cost: How many secrets will be compared.
        known_seconds: How long a leaf stays known after a login.
        max_known: How many known leaves an account keeps.
    """

    account: str = field(repr=False)
    leaf: str | None = field(repr=False)
    known: tuple[str, Drip] | None = field(repr=False)
    strangers: Sequence[tuple[str, Drip]] = field(repr=False)
    is_trusted: bool = False
    cost: int = 1
    known_seconds: float
    max_known: int

    @property
    def is_limited(self) -> bool:
        """Whether any bucket limits the attempt."""
        return self.known is not None or bool(self.strangers)

    def buckets(self, *, is_known: bool) -> dict[str, Drip]:
        """Return the buckets that limit the attempt."""
        if is_known:
            return {} if self.known is None else dict([self.known])
        return dict(self.strangers)

    @property
    def drips(self) -> dict[str, Drip]:
        """All buckets that the attempt may be counted in."""
        return self.buckets(is_known=True) | self.buckets(is_known=False)


class Reservation(NamedTuple):
    """
    The result of counting an attempt.

    Attributes:
        wait_seconds: 0 if it was counted; otherwise how long to wait.
        keys: The buckets that it was counted in.
        at: When it was counted.
    """

    wait_seconds: float
    keys: Sequence[str] = ()
    at: float = 0.0


class Level(NamedTuple):
    """
    The fill level of a bucket.

    Attributes:
        empty_at: When the bucket will be empty; a past time means empty.
        checked: How many of its attempts are being checked.
        checked_until: Until when *checked* is valid.
    """

    empty_at: float = 0.0
    checked: int = 0
    checked_until: float = 0.0

    @property
    def idle_from(self) -> float:
        """When the level equals that of a new bucket, so that it can be pruned."""
        return max(self.empty_at, self.checked_until)


def limiting(attempt: Attempt, leaves: Mapping[str, float], *, now: float) -> Mapping[str, Drip]:
    """Return the buckets that limit an attempt, given its account's known leaves."""
    last = leaves.get(attempt.leaf or "")
    # A host's clock may be fast: a time in the future counts as recent.
    is_recent = last is not None and now < last + attempt.known_seconds
    return attempt.buckets(is_known=attempt.is_trusted or is_recent)


def reserve(
    drips: Mapping[str, Drip], levels: Mapping[str, Level], *, cost: int, now: float
) -> tuple[Reservation, Mapping[str, Level]]:
    """
    Count *cost* in each bucket, if all have space.

    Returns:
        The reservation, and the changed levels: none if the attempt has to wait.
    """
    wait, filled = 0.0, {}
    for key, (burst, interval) in drips.items():
        level, whole = levels.get(key, Level()), burst * interval
        # Capped: a host whose clock is ahead cannot close a bucket for longer.
        empty_at = min(max(level.empty_at, now), now + whole) + min(cost, burst) * interval
        excess = empty_at - whole - now
        is_checking = level.checked > 0 and 0 < level.checked_until - now <= _CHECKED_AHEAD_SECONDS
        if excess > _ROUNDING_SECONDS:
            wait = max(wait, min(excess, 1.0) if is_checking else excess)
        checked = level.checked if is_checking else 0
        filled[key] = Level(empty_at, checked + 1, now + CHECKED_WITHIN_SECONDS)
    return (Reservation(wait), {}) if wait else (Reservation(0.0, [*filled], now), filled)


def settle(
    attempt: Attempt,
    reservation: Reservation,
    levels: Mapping[str, Level],
    *,
    succeeded: bool,
    now: float,
) -> Mapping[str, Level]:
    """Return the levels of an attempt's buckets after its check."""
    drips, settled = attempt.drips, {}
    for key in reservation.keys:
        burst, interval = drips[key]
        empty_at, checked, checked_until = levels.get(key, Level())
        checked = max(checked - 1, 0)
        if succeeded and now - reservation.at < interval:  # later it has already dripped out
            empty_at -= min(attempt.cost, burst) * interval
        settled[key] = Level(empty_at, checked, checked_until if checked else 0.0)
    return settled


def with_leaf(attempt: Attempt, leaves: Mapping[str, float], *, now: float) -> dict[str, float]:
    """Return the known leaves with the attempt's added, without the least recent ones."""
    if attempt.leaf is None:
        return dict(leaves)
    kept = {leaf: last for leaf, last in leaves.items() if now < last + attempt.known_seconds}
    kept[attempt.leaf] = now
    latest = sorted(kept, key=kept.__getitem__, reverse=True)[: attempt.max_known]
    return {leaf: kept[leaf] for leaf in latest}

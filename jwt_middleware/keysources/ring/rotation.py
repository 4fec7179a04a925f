"""
Create a key ring, rotate it, retire a key.

Each change waits for the ring's lock, looks again, and takes effect with one rename.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final, Literal

from ...core.jws import canonical_alg
from ...core.keys import Key
from ...core.trust import MAX_LEEWAY_SECONDS
from ...errors import ConfigurationError
from ...events import Name, emit
from .directory import RingDirectory
from .manifest import Manifest, RingKey, new_ring

SETTLE_SECONDS: Final = 5
"""In which every worker has noticed a change; sooner, one rotation does not follow another."""

GRACE_SECONDS: Final = MAX_LEEWAY_SECONDS + 60
"""
How long a key verifies beyond the lifetime of its tokens.

The most leeway that a verifier may give, and a minute for workers that notice a rotation late and
for clocks that differ.
"""

MAX_SECONDS: Final = 100 * 366 * 86_400

RotationResult = Literal["rotated", "fresh", "overtaken"]


@dataclass(frozen=True, slots=True)
class RingChange:
    """
    What :func:`rotate` did.

    Attributes:
        outcome: ``rotated``; or nothing, since the active key is ``fresh``, or since another
            process was faster and this one was ``overtaken``.
        ring: The ring as it is now.
        retired: The kids of the keys that were retired since their tokens have expired.
    """

    outcome: RotationResult
    ring: Manifest
    retired: tuple[str, ...]


def create(
    directory: str | os.PathLike[str], *, alg: str, now: float, key: Key | None = None
) -> Manifest:
    """
    Create a ring with an active and an announced key.

    Args:
        directory: Made with mode 0700 if it is missing.
        alg: What its keys are for.
        now: Seconds since the Unix epoch.
        key: The first active key, such as the one that was in use without a ring; ``None`` makes a
            new one.

    Raises:
        ConfigurationError: There is a ring already, the directory is open to others, *alg* is not
            known, or *key* is for another or cannot sign.
    """
    alg = canonical_alg(alg)
    first = _generate(alg) if key is None else key
    if first.alg != alg:
        raise ConfigurationError(f"key is for {first.alg}: name this alg, or leave key out")
    ring = RingDirectory(directory)
    ring.make()
    with ring.locked():
        ring.make()
        manifest = new_ring(ring.add_key(first), ring.add_key(_generate(alg)), now=now)
        ring.write_manifest(manifest)
    return manifest


def rotate(
    directory: str | os.PathLike[str],
    *,
    token_lifetime_seconds: float,
    now: float,
    older_than_seconds: float | None = None,
    expected_kid: str | None = None,
) -> RingChange:
    """
    Make the announced key active, retire the active one in time, and announce a new one.

    Keys whose tokens have all expired are retired in any case, and their files deleted.

    Two rotations at once come to one: this one is for the active key that it finds before it waits
    for the lock, and does nothing where that has been replaced meanwhile.  And one that follows
    another within :data:`SETTLE_SECONDS` does nothing, unless *older_than_seconds* says otherwise:
    a worker that has not noticed the first would meet tokens of a key it has never seen.

    Args:
        directory: Of the ring.
        token_lifetime_seconds: The longest lifetime of a token that the ring signs.
        now: Seconds since the Unix epoch.
        older_than_seconds: Do nothing if the active key is younger.
        expected_kid: The active key to replace; ``None`` is the one there is.

    Raises:
        ConfigurationError: The ring is missing, damaged or open to others, or a number is out of
            range.
    """
    for name, seconds in (
        ("token_lifetime_seconds", token_lifetime_seconds),
        ("older_than_seconds", older_than_seconds or 0),
    ):
        if not 0 <= seconds <= MAX_SECONDS:
            raise ConfigurationError(f"{name} must be 0 to {MAX_SECONDS}")
    ring = RingDirectory(directory)
    expected = ring.read_manifest().active.kid if expected_kid is None else expected_kid
    with ring.locked():
        before = ring.read_manifest()
        after = before.tidied(now)
        outcome: RotationResult = "overtaken"
        if before.active.kid == expected:
            outcome = "fresh" if _is_fresh(before.active, now, older_than_seconds) else "rotated"
        if outcome == "rotated":
            ring.read_key(before.announced)  # a ring that could not sign is not made
            retire_after = math.ceil(now + token_lifetime_seconds + GRACE_SECONDS)
            new = ring.add_key(_generate(before.announced.alg))
            after = after.rotated(new, now=now, retire_after=retire_after)
        if after is not before:
            ring.write_manifest(after)
    if outcome == "rotated":
        emit(Name.RING_ROTATED, file=str(directory), kid=after.active.kid)
    retired = {key.kid for key in after.retired} - {key.kid for key in before.retired}
    return RingChange(outcome, after, tuple(sorted(retired)))


def retire(directory: str | os.PathLike[str], kid: str, *, now: float) -> Manifest:
    """
    Retire a key at once: no token that it signed is accepted any more.

    For a key that others may know.  In place of the active one the announced one signs; its file is
    deleted.  A key that is retired already stays so.

    Args:
        directory: Of the ring.
        kid: Which key.
        now: Seconds since the Unix epoch.

    Raises:
        ConfigurationError: No key has this kid; or the ring is missing, damaged or open to others.
    """
    ring = RingDirectory(directory)
    with ring.locked():
        before = ring.read_manifest()
        new = None
        if before.find(kid).state in {"active", "announced"}:
            new = ring.add_key(_generate(before.announced.alg))
        after = before.without(kid, new, now=now)
        # Written even if it says nothing new: that deletes a file which a crash has left.
        ring.write_manifest(after)
    return after


def _is_fresh(active: RingKey, now: float, older_than_seconds: float | None) -> bool:
    if older_than_seconds is None:
        if active.announced_at is None:  # it began the ring: no worker knows less than that
            return False
        older_than_seconds = SETTLE_SECONDS
    return now - (active.active_at or 0) < older_than_seconds


def _generate(alg: str) -> Key:
    key = Key.generate(alg)
    while key.kid.startswith("-"):  # it would be taken for an option of the command line
        key = Key.generate(alg)
    return key

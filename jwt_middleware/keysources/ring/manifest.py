"""
The manifest of a key ring: its keys and their states.  No I/O.

    announced ──▶ active ──▶ retiring ──▶ retired
        └───────────┴── at once, by hand ────┘

There is always one announced and one active key.  An announced key is published and verifies
already, so that others know it before its first token; the active one signs; a retiring one
verifies what it signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Literal, get_args

from ...core.encoding import parse_json
from ...core.jws import ALGORITHMS
from ...errors import ConfigurationError

MAX_RETIRED_RECORDS: Final = 100
"""Maximum number of retired keys that are kept in the manifest."""

_VERSION: Final = 1
_LAST_TIME: Final = 253_402_300_799  # of the year 9999, the last that can be shown

State = Literal["announced", "active", "retiring", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey:
    """
    One key's line in the manifest; its material is in a file of its own.

    Times are seconds since the Unix epoch, ``None`` for what has not happened.

    Attributes:
        kid: Its name.
        alg: What it is for.
        state: What it does now.
        announced_at: When it was published; ``None`` for the first key of a ring.
        active_at: When it started to sign.
        retiring_at: When it stopped signing.
        retire_after: When the last token it signed has expired.
        retired_at: When it stopped verifying.
    """

    kid: str
    alg: str
    state: State
    announced_at: float | None = None
    active_at: float | None = None
    retiring_at: float | None = None
    retire_after: float | None = None
    retired_at: float | None = None


_MEMBERS: Final = frozenset(field.name for field in fields(RingKey))
_TIMES: Final = tuple(field.name for field in fields(RingKey) if field.default is None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All keys of a ring: active, announced, retiring and retired, the latest first in each."""

    keys: tuple[RingKey, ...]

    @property
    def active(self) -> RingKey:
        """The key that signs."""
        return self._in("active")[0]

    @property
    def announced(self) -> RingKey:
        """The key that will be active next."""
        return self._in("announced")[0]

    @property
    def retiring(self) -> tuple[RingKey, ...]:
        """The keys that verify what they signed."""
        return self._in("retiring")

    @property
    def retired(self) -> tuple[RingKey, ...]:
        """The retired keys, for the record."""
        return self._in("retired")

    def verifying(self, now: float) -> tuple[RingKey, ...]:
        """Return the keys whose signatures are accepted at *now*, the active one first."""
        return (self.active, self.announced, *(key for key in self.retiring if not _due(key, now)))

    def rotated(self, new: RingKey, *, now: float, retire_after: float) -> Manifest:
        """
        Return the ring after a rotation: *new* is announced, the announced key active.

        Args:
            new: The key to announce.
            now: Time of the rotation.
            retire_after: When the last token of the key that was active will have expired.
        """
        return self._with(
            replace(self.announced, state="active", active_at=now),
            replace(new, state="announced", announced_at=now),
            replace(self.active, state="retiring", retiring_at=now, retire_after=retire_after),
        )

    def tidied(self, now: float) -> Manifest:
        """Return the ring with those keys retired whose tokens have all expired."""
        due = [key for key in self.retiring if _due(key, now)]
        return self._with(*(_retired(key, now) for key in due)) if due else self

    def without(self, kid: str, new: RingKey | None, *, now: float) -> Manifest:
        """
        Return the ring with a key retired at once, whatever it signed.

        Args:
            kid: Which.
            new: The key to announce; there must be one if *kid* is active or announced.
            now: Time of the change.

        Raises:
            ConfigurationError: No key has this kid.
        """
        key = self.find(kid)
        if key.state == "retired":
            return self
        changed = [_retired(key, now)]
        if key.state == "active":
            changed.append(replace(self.announced, state="active", active_at=now))
        if new is not None:
            changed.append(replace(new, state="announced", announced_at=now))
        return self._with(*changed)

    def find(self, kid: str) -> RingKey:
        """
        Return a key by its kid.

        Raises:
            ConfigurationError: No key has it.
        """
        for key in self.keys:
            if key.kid == kid:
                return key
        raise ConfigurationError(f"no key of the ring has the kid {kid!r}: list them")

    def to_json(self) -> bytes:
        """Return the content of the manifest file."""
        keys = [{name: v for name, v in asdict(key).items() if v is not None} for key in self.keys]
        return (json.dumps({"version": _VERSION, "keys": keys}, indent=2) + "\n").encode("ascii")

    def _in(self, state: State) -> tuple[RingKey, ...]:
        return tuple(key for key in self.keys if key.state == state)

    def _with(self, *changed: RingKey) -> Manifest:
        kids = {key.kid for key in changed}
        return ordered((*changed, *(key for key in self.keys if key.kid not in kids)))


def new_ring(active: RingKey, announced: RingKey, *, now: float) -> Manifest:
    """Return a new ring of two keys."""
    return ordered(
        (
            replace(active, state="active", active_at=now),
            replace(announced, state="announced", announced_at=now),
        )
    )


def ordered(keys: Iterable[RingKey]) -> Manifest:
    """Return a manifest of *keys*: by state, within a state as given, not too many retired."""
    states: tuple[State, ...] = ("active", "announced", "retiring", "retired")
    manifest = Manifest(tuple(sorted(keys, key=lambda key: states.index(key.state))))
    surplus = len(manifest.retired) - MAX_RETIRED_RECORDS
    return Manifest(manifest.keys[:-surplus]) if surplus > 0 else manifest


def parse_manifest(document: bytes) -> Manifest:
    """
    Read the content of the manifest file.

    Raises:
        ConfigurationError: It is not what :meth:`Manifest.to_json` writes.
    """
    try:
        value = parse_json(document)
    except ValueError as error:
        raise _damaged("is not strict JSON") from error
    if not isinstance(value, dict) or value.get("version") != _VERSION:
        raise _damaged(f"is not a key ring of version {_VERSION}")
    members = value.get("keys")
    if not isinstance(members, list):
        raise _damaged("has no keys")
    manifest = ordered(_ring_key(one) for one in members)
    if len({key.kid for key in manifest.keys}) != len(manifest.keys):
        raise _damaged("has two keys with the same kid")
    for state in ("active", "announced"):
        if sum(key.state == state for key in manifest.keys) != 1:
            raise _damaged(f"must have one {state} key")
    return manifest


def _ring_key(members: object) -> RingKey:
    if not isinstance(members, dict) or not members.keys() <= _MEMBERS:
        raise _damaged("has a key with other members than this version writes")
    kid, alg, state = (members.get(name) for name in ("kid", "alg", "state"))
    if (
        not isinstance(kid, str)
        or not kid.isprintable()
        or alg not in [*ALGORITHMS]
        or state not in get_args(State)
    ):
        raise _damaged("has a key without kid, alg or state")
    if not all(_is_time(members[name]) for name in _TIMES if name in members):
        raise _damaged("has a key whose times are not seconds")
    key = RingKey(**members)
    if key.state == "retiring" and key.retire_after is None:
        raise _damaged("has a retiring key without retire_after")
    return key


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _LAST_TIME


def _due(key: RingKey, now: float) -> bool:
    return key.retire_after is not None and key.retire_after <= now


def _retired(key: RingKey, now: float) -> RingKey:
    return replace(key, state="retired", retired_at=now)


def _damaged(what: str) -> ConfigurationError:
    return ConfigurationError(f"the manifest {what}")

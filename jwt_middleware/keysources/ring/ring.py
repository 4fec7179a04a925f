"""The key ring as a key source for verifier and issuer."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple

from ...core.keys import Key, KeySet
from ...errors import ConfigurationError
from ...events import logger
from ..file.watched import Loaded, WatchedKeys
from .directory import RingDirectory
from .manifest import Manifest, RingKey
from .rotation import SETTLE_SECONDS

DEFAULT_CHECK_SECONDS: Final = 1.0


class _Material(NamedTuple):
    whole: Key
    verifying: Key


class KeyRing(WatchedKeys):
    """
    A key source over a directory that :mod:`~jwt_middleware.keysources.ring.rotation` changes.

    The active key signs; it, the announced one and those that are retiring verify, each until
    every token that it signed has expired.  A change is noticed within *check_seconds*.  A key
    whose file cannot be used then is left out, with one line in the log.

    If the manifest is damaged, unreadable or missing, running and starting processes use the last
    good one, of which a copy is kept.

    Args:
        directory: Of the ring, with mode 0700 and its files with 0600.
        check_seconds: Interval between checks, 0 to 5.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: There is no ring, or one of its files is unusable or open to others, and
            there is no copy of a good manifest.
    """

    # A rotation counts on every worker having noticed the one before.
    MAX_CHECK_SECONDS: ClassVar = SETTLE_SECONDS

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        check_seconds: float = DEFAULT_CHECK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = RingDirectory(directory)
        self._directory.check_there()
        self._kept: bytes | None = None
        self._materials: dict[str, _Material] = {}
        self._problems: list[str] | None = None
        super().__init__(
            self._directory.manifest_path,
            self._read_ring,
            check_seconds=check_seconds,
            clock=clock,
        )

    def _read_ring(self, document: bytes, now: float) -> Loaded:
        self._directory.check_private()
        loaded = self._load(self._directory.parse(document), now)
        if document != self._kept:
            self._kept = document
            self._directory.keep_copy(document)
        return loaded

    def _read_last_good(self, now: float) -> Loaded | None:
        self._problems = []  # a key file that is damaged as well is left out
        try:
            return self._load(self._directory.parse(self._directory.read_copy()), now)
        except ConfigurationError:
            return None

    def _explain(self, error: ConfigurationError) -> str:
        return self._directory.missing() or str(error)

    def _load(self, manifest: Manifest, now: float) -> Loaded:
        materials: dict[str, _Material] = {}
        problems: list[str] = []
        for entry in manifest.verifying(now):
            try:
                material = self._material(entry)
            except ConfigurationError as error:
                problems.append(str(error))
            else:
                materials[entry.kid] = material
        self._report(problems)
        if not materials:
            raise ConfigurationError("none of its keys can be used")
        self._materials = materials
        active = manifest.active.kid
        keys = [
            material.whole if kid == active else material.verifying
            for kid, material in materials.items()
        ]
        if problems:  # which may be fixed without a change of the manifest
            return Loaded(KeySet(keys), until=-math.inf)
        ends = [key.retire_after for key in manifest.retiring if key.kid in materials]
        return Loaded(KeySet(keys), until=min(filter(None, ends), default=math.inf))

    def _material(self, entry: RingKey) -> _Material:
        # Files of keys never change: one that was read is not read again, unless an older manifest
        # was restored, so that a key of which only the public half was read is to sign.
        known = self._materials.get(entry.kid)
        if known is not None and (known.whole.can_sign or entry.state == "retiring"):
            return known
        key = self._directory.read_key(entry)
        return _Material(key, key.limited_to({"verify"}))

    def _report(self, problems: list[str]) -> None:
        if problems and self._problems is None:
            raise ConfigurationError(problems[0])
        for problem in problems:
            if problem not in (self._problems or ()):
                logger.error("%s; the key is left out", problem)
        self._problems = problems

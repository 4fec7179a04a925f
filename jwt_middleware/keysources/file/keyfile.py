"""A file of somebody's keys: a JWK, a JWK set or PEM, read again when it changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ...core.encoding import parse_json
from ...core.jws import checked_algorithms
from ...core.keys import Key, KeySet
from ...errors import ConfigurationError
from ..jwks import read_jwks
from .watched import Loaded, WatchedKeys

DEFAULT_CHECK_SECONDS: Final = 1.0

# preeb = "-----BEGIN " label "-----"                                            RFC 7468 §3
_PEM_BEGINS: Final = b"-----BEGIN "
_PEM_PARAMETERS: Final = b"EC PARAMETERS-----"
"""``openssl ecparam -genkey`` writes the curve before its key."""

_USUAL: Final = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


class KeyFile(WatchedKeys):
    """
    A key source over one file: a JWK, a JWK set (RFC 7517), or PEM with one key or several.

    A JWK set is somebody else's and only verifies; a JWK or a PEM with a private half or a secret
    signs as well.

    It may be replaced at any time, best by a rename.  What cannot be read then, half a file for
    one, is refused with one line in the log, and the last good keys stay in force.

    Args:
        path: The file.
        algorithms: The algs that its keys may be for; ``None`` is all.  A key that names no
            alg is for the first of these that fits it, an RSA key for RS256 where this is ``None``.
        check_seconds: Time between two looks at the file, 0 to 3600.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: The file holds no usable keys, or a part is unusable.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        algorithms: Iterable[str] | None = None,
        check_seconds: float = DEFAULT_CHECK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        accepted = checked_algorithms(algorithms)

        def read(document: bytes, now: float) -> Loaded:
            return Loaded(read_keys(document, algorithms=accepted))

        super().__init__(path, read, check_seconds=check_seconds, clock=clock)


def read_keys(document: bytes, *, algorithms: Iterable[str] | None = None) -> KeySet:
    """
    Read a JWK, a JWK set or PEM.

    Args:
        document: Content of the file.
        algorithms: As for :class:`KeyFile`.

    Raises:
        ConfigurationError: It holds no usable key, or, outside a JWK set, one that is not usable.
    """
    accepted = None if algorithms is None else tuple(dict.fromkeys(algorithms))
    if _PEM_BEGINS in document:
        blocks = document.split(_PEM_BEGINS)[1:]
        keys = [block for block in blocks if not block.startswith(_PEM_PARAMETERS)]
        return KeySet([_key_from_pem(_PEM_BEGINS + block, accepted) for block in keys])
    try:
        members = parse_json(document)
    except ValueError as error:
        raise ConfigurationError("is neither PEM nor strict JSON") from error
    if isinstance(members, dict) and "keys" in members:
        return read_jwks(document, algorithms=accepted)
    if isinstance(members, dict) and "kty" in members:
        return KeySet([_key_from_jwk(members, accepted)])
    raise ConfigurationError("is neither a JWK, with kty, nor a JWK set, with keys")


def _key_from_pem(pem: bytes, accepted: tuple[str, ...] | None) -> Key:
    return _fitting_key(lambda alg: Key.from_pem(pem, alg=alg), accepted)


def _key_from_jwk(members: Mapping[str, Any], accepted: tuple[str, ...] | None) -> Key:
    if "alg" not in members:
        return _fitting_key(lambda alg: Key.from_jwk(members, alg=alg), accepted)
    key = Key.from_jwk(members)
    if accepted is not None and key.alg not in accepted:
        raise ConfigurationError(f"the JWK is for {key.alg}, which algorithms does not name")
    return key


def _fitting_key(make: Callable[[str], Key], accepted: tuple[str, ...] | None) -> Key:
    """Make a key that names no alg, for the first one that fits it."""
    candidates = _USUAL if accepted is None else accepted
    refusals: list[ConfigurationError] = []
    for alg in candidates:
        try:
            return make(alg)
        except ConfigurationError as error:
            refusals.append(error)
    raise ConfigurationError(
        f"holds no key for {' or '.join(candidates)} ({refusals[-1]}): name its alg in algorithms"
    ) from refusals[-1]

"""A file with keys: a JWK, a JWK set, PEM or certificates, read again when it changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ...core.encoding import parse_json
from ...core.jws import checked_algorithms
from ...core.keys import Key, KeySet
from ...errors import ConfigurationError
from ...events import logger
from ..jwks import is_pem, ordered_algorithms, read_jwks, split_pem
from .watched import Loaded, WatchedKeys

DEFAULT_CHECK_SECONDS: Final = 1.0

_PEM_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"


class KeyFile(WatchedKeys):
    """
    A key source over one file.

    The file holds a JWK, a JWK set (RFC 7517), a map of kids to PEM, or PEM: keys or certificates,
    one or several.  A JWK set or map belongs to another party and only verifies; a JWK or a PEM
    with a private half or a secret signs as well.

    It may be replaced at any time, best by a rename.  An unreadable or incomplete file is refused
    with one log line, and the last good keys stay in use.

    Args:
        path: The file.
        algorithms: Accepted algs; ``None`` accepts all.  A key without alg is used for those that
            fit it, an RSA key for RS256 if this is ``None``.
        kid: Name of the key in token headers, for a file with one PEM.
        check_seconds: Interval between checks of the file, 0 to 3600.
        clock: Returns seconds since the Unix epoch.

    Raises:
        ConfigurationError: The file has no usable keys, or an argument is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        algorithms: Iterable[str] | None = None,
        kid: str | None = None,
        check_seconds: float = DEFAULT_CHECK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        accepted = checked_algorithms(algorithms)

        def read(document: bytes, now: float) -> Loaded:
            return Loaded(read_keys(document, algorithms=accepted, kid=kid))

        super().__init__(path, read, check_seconds=check_seconds, clock=clock)


def read_keys(
    document: bytes, *, algorithms: Iterable[str] | None = None, kid: str | None = None
) -> KeySet:
    """
    Parse a JWK, a JWK set, a map of kids to PEM, or PEM.

    Args:
        document: Content of the file.
        algorithms: As for :class:`KeyFile`.
        kid: As for :class:`KeyFile`.

    Raises:
        ConfigurationError: It has no usable key, or, outside a set, an unusable one.
    """
    accepted = None if algorithms is None else tuple(dict.fromkeys(algorithms))
    if is_pem(document):
        return _read_pems(document, accepted, kid)
    if kid is not None:
        raise ConfigurationError("kid is for a file with one PEM: a JWK brings its own")
    try:
        members = parse_json(document)
    except ValueError as error:
        raise ConfigurationError("is neither PEM nor strict JSON") from error
    if isinstance(members, dict) and "kty" in members and "keys" not in members:
        return KeySet(_keys_from_jwk(members, accepted), allow_shared_kids=True)
    if isinstance(members, dict) and ("keys" in members or b"-----BEGIN " in document):
        return read_jwks(document, algorithms=accepted)
    raise ConfigurationError("is neither a JWK, with kty, nor a JWK set, with keys")


def _read_pems(document: bytes, accepted: tuple[str, ...] | None, kid: str | None) -> KeySet:
    pems = split_pem(document)
    if kid is not None and len(pems) != 1:
        raise ConfigurationError("kid is for a file with one PEM, this one has several")
    algorithms = ordered_algorithms(accepted)
    keys: list[Key] = []
    refusal: ConfigurationError | None = None
    for pem in pems:
        try:
            keys += Key.all_from_pem(pem, algorithms=algorithms, kid=kid)
        except ConfigurationError as error:
            if not pem.startswith(_PEM_CERTIFICATE):
                raise _no_key_for(algorithms, error) from error
            logger.warning("a certificate is left out: %s", error)
            refusal = error
    if refusal is not None and not keys:
        raise refusal
    return KeySet(keys, allow_shared_kids=True)


def _keys_from_jwk(members: Mapping[str, Any], accepted: tuple[str, ...] | None) -> list[Key]:
    if members.get("alg") is None:
        return _fitting_keys(members, ordered_algorithms(accepted))
    key = Key.from_jwk(members)
    if accepted is not None and key.alg not in accepted:
        raise ConfigurationError(f"the JWK is for {key.alg}, which algorithms does not name")
    return [key]


def _fitting_keys(members: Mapping[str, Any], algorithms: Iterable[str]) -> list[Key]:
    keys: list[Key] = []
    refusal: ConfigurationError | None = None
    for alg in algorithms:
        try:
            keys.append(Key.from_jwk(members, alg=alg))
        except ConfigurationError as error:
            refusal = error
    if refusal is not None and not keys:
        raise _no_key_for(algorithms, refusal) from refusal
    return keys


def _no_key_for(algorithms: Iterable[str], refusal: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"holds no key for {' or '.join(algorithms)} ({refusal}): name its alg in algorithms"
    )

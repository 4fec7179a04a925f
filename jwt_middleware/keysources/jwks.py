"""Reading a published JWK set (RFC 7517 §5): what of it can verify, and why the rest cannot."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ..core.encoding import parse_json
from ..core.jws import ALGORITHMS
from ..core.keys import Key, KeySet
from ..errors import ConfigurationError

logger = logging.getLogger("jwt_middleware")

MAX_KEYS: Final = 100
"""A longer set is refused: providers publish two to ten."""

_RSA: Final = ("RS", "PS")
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})  # RFC 7518 §6


def read_jwks(document: bytes, *, algorithms: Collection[str] | None) -> KeySet:
    """
    Read the keys of an issuer: a JWK set, or a single JWK.

    A key that cannot be used is left out, with one log line that names its *kid* and the reason;
    so are a secret, which is none once it is published, and a key for encryption.  Of a private
    key only the public half is read, with a warning.  All keys returned only verify.

    A key that names no *alg* is for the one that its curve implies; an RSA key for the first RSA
    alg of *algorithms*, ``RS256`` where that is ``None``.  A key without *kid* gets its RFC 7638
    thumbprint.

    Args:
        document: Strict JSON in UTF-8.
        algorithms: The algs accepted, JWA names; those that have no order are taken in that of
            RFC 7518.  ``None`` accepts any for asymmetric keys.

    Raises:
        ConfigurationError: It is not JSON, no key set, has more than :data:`MAX_KEYS` keys, or
            has none that is usable, or two usable ones with the same *kid*.
            The text quotes nothing of it.
    """
    keys = []
    for position, jwk in enumerate(_entries(document), 1):
        kid = jwk.get("kid") if isinstance(jwk, Mapping) else None
        try:
            key = _public_key(jwk, algorithms)
        except ConfigurationError as error:
            logger.warning("key %d of a JWK set (kid %.80a) is left out: %s", position, kid, error)
            continue
        keys.append(key)
        if not _PRIVATE_MEMBERS.isdisjoint(jwk):
            logger.warning(
                "key %d of a JWK set (kid %.80a) is published with its private half, which is not "
                "used: whoever reads the set can sign with it",
                position,
                kid,
            )
    if not keys:
        raise ConfigurationError("the JWK set has no usable key")
    try:
        return KeySet(keys)
    except ConfigurationError:
        raise ConfigurationError("two keys of the JWK set have the same kid") from None


def _entries(document: bytes) -> Sequence[Any]:
    try:
        value = parse_json(document)
    except ValueError:
        raise ConfigurationError("the JWK set is not strict JSON") from None
    if isinstance(value, dict) and "kty" in value and "keys" not in value:
        return [value]
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ConfigurationError('the JWK set is not an object with an array "keys"')
    if len(entries) > MAX_KEYS:
        raise ConfigurationError(f"the JWK set has more than {MAX_KEYS} keys")
    return entries


def _public_key(jwk: object, algorithms: Collection[str] | None) -> Key:
    if not isinstance(jwk, Mapping) or jwk.get("kty") not in ("RSA", "EC", "OKP"):
        raise ConfigurationError("it is not an asymmetric key: kty must be RSA, EC or OKP")
    members = {name: value for name, value in jwk.items() if name not in _PRIVATE_MEMBERS}
    if members.get("use", "sig") != "sig":
        raise ConfigurationError("it is not for signatures: its use is another")
    if members.get("alg") not in (None, *ALGORITHMS):
        raise ConfigurationError("its alg is not supported")
    default = None
    if members.get("alg") is None and members["kty"] == "RSA":
        default = _rsa_alg(algorithms)
    key = Key.from_jwk(members, alg=default)
    if algorithms is not None and key.alg not in algorithms:
        raise ConfigurationError(f"{key.alg} is not accepted of this issuer")
    return key


def _rsa_alg(algorithms: Collection[str] | None) -> str:
    if algorithms is None:
        return "RS256"
    # The order of a set of strings differs from one process to the next.
    ordered = algorithms if isinstance(algorithms, Sequence) else ALGORITHMS
    for alg in ordered:
        if alg in algorithms and alg.startswith(_RSA):
            return alg
    raise ConfigurationError("no RSA alg is accepted of this issuer")

"""JWK sets (RFC 7517 §5): read another issuer's, and publish your own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..core.encoding import parse_json
from ..core.jws import ALGORITHMS, canonical_alg
from ..core.keys import Key, KeySet
from ..core.keys.key import MAX_CANDIDATES
from ..errors import ConfigurationError
from ..events import logger

MAX_KEYS: Final = 100
"""A longer set is refused: providers publish two to ten."""

DEFAULT_ALGORITHMS: Final = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
"""Algs of a key without alg if the issuer has no list of algorithms."""

# preeb = "-----BEGIN " label "-----"                                            RFC 7468 §3
_PEM_BEGINS: Final = b"-----BEGIN "
# ``openssl ecparam -genkey`` writes the curve before its key.
_PEM_PARAMETERS: Final = _PEM_BEGINS + b"EC PARAMETERS-----"
_RSA: Final = ("RS", "PS")
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})  # RFC 7518 §6


def read_jwks(document: bytes, *, algorithms: Collection[str] | None) -> KeySet:
    """
    Read the keys of an issuer: a JWK set, a JWK, a map of kids to PEM (Firebase, Google), or PEM.

    An unusable entry does not affect the others.  It is left out, with one log line with its *kid*
    and the reason: a key for encryption, a (no longer secret) secret, an expired certificate, a
    degenerate key.  Of a private key only the public half is read, with a warning.  All keys
    returned only verify.

    Several keys may have the same *kid*, :data:`~jwt_middleware.core.keys.key.MAX_CANDIDATES` for
    each alg; the same key twice is one.  A key that names no *alg* is for the one that its curve
    implies; an RSA key for every RSA alg of *algorithms*, ``RS256`` where that is ``None``.  A key
    without *kid* gets its RFC 7638 thumbprint.

    Args:
        document: Strict JSON in UTF-8, or PEM.
        algorithms: The algs accepted, JWA names; those that have no order are taken in that of
            RFC 7518.  ``None`` accepts any for asymmetric keys.

    Raises:
        ConfigurationError: It is neither JSON nor PEM, no key set, has more than
            :data:`MAX_KEYS` keys, or has none that is usable.  The text quotes nothing of it.
    """
    keys: list[Key] = []
    seen: set[tuple[object, ...]] = set()
    number_of: Counter[tuple[str, str]] = Counter()
    for position, (kid, entry) in enumerate(_entries(document), 1):
        for key in _usable_keys(entry, kid, position, algorithms):
            names = (key.kid, key.alg)
            published = (key.issuer, *sorted(key.public_jwk().items()))
            if published in seen:
                continue
            seen.add(published)
            number_of[names] += 1
            if number_of[names] <= MAX_CANDIDATES:
                keys.append(key)
            else:
                logger.warning(
                    "key %d of a JWK set (kid %.80a) is left out: %d others have its kid and alg",
                    position,
                    kid,
                    MAX_CANDIDATES,
                )
    if not keys:
        raise ConfigurationError("the JWK set has no usable key")
    return KeySet(keys, allow_shared_kids=True)


def public_jwks(keys: Iterable[Key]) -> dict[str, list[dict[str, str]]]:
    """
    Return the public JWK set (RFC 7517 §5) of *keys*.

    It includes announced keys, so that verifiers know them before their first token, and neither
    secrets nor private halves.

    Args:
        keys: A :class:`~jwt_middleware.core.keys.KeySet`, or any keys, in the order to show.
    """
    shown = (key for key in keys if key.can_verify and not key.is_symmetric)
    return {"keys": [key.public_jwk() for key in shown]}


def is_pem(document: bytes) -> bool:
    """Return whether *document* is PEM, possibly after other text, and not JSON."""
    return _PEM_BEGINS in document and document.lstrip()[:1] != b"{"


def split_pem(document: bytes) -> list[bytes]:
    """Return each key and certificate in a document of PEM."""
    blocks = [_PEM_BEGINS + block for block in document.split(_PEM_BEGINS)[1:]]
    return [block for block in blocks if not block.startswith(_PEM_PARAMETERS)]


def _entries(document: bytes) -> Sequence[tuple[object, object]]:
    """Return the kid and the JWK of each entry, or PEM as bytes."""
    if is_pem(document):
        return [(None, pem) for pem in split_pem(document)[:MAX_KEYS]]
    try:
        value = parse_json(document)
    except ValueError:
        raise ConfigurationError("the JWK set is not strict JSON") from None
    members = _present(value) if isinstance(value, dict) else {}
    entries: Sequence[tuple[object, object]]
    if "keys" in members:
        if not isinstance(members["keys"], list):
            raise ConfigurationError('"keys" of the JWK set is not an array')
        entries = [
            (jwk.get("kid") if isinstance(jwk, dict) else None, jwk) for jwk in members["keys"]
        ]
    elif "kty" in members:
        entries = [(members.get("kid"), members)]
    elif members and all(isinstance(pem, str) and "-----BEGIN" in pem for pem in members.values()):
        entries = [(kid, pem.encode("utf-8", "replace")) for kid, pem in members.items()]
    else:
        raise ConfigurationError('neither a JWK set, with an array "keys", nor a map of kid to PEM')
    if len(entries) > MAX_KEYS:
        raise ConfigurationError(f"the JWK set has more than {MAX_KEYS} keys")
    return entries


def _usable_keys(
    entry: object, kid: object, position: int, algorithms: Collection[str] | None
) -> Iterator[Key]:
    try:
        if isinstance(entry, bytes):
            keys = Key.all_from_pem(
                entry,
                algorithms=ordered_algorithms(algorithms),
                kid=kid if isinstance(kid, str) else None,
                public_only=True,
            )
        else:
            keys = _keys_of_jwk(entry, algorithms)
    except ConfigurationError as error:
        logger.warning("key %d of a JWK set (kid %.80a) is left out: %s", position, kid, error)
        return
    if isinstance(entry, Mapping) and not _PRIVATE_MEMBERS.isdisjoint(_present(entry)):
        logger.warning(
            "key %d of a JWK set (kid %.80a) is published with its private half, which is not "
            "used: anyone who reads the set can sign with it",
            position,
            kid,
        )
    yield from keys


def _keys_of_jwk(jwk: object, algorithms: Collection[str] | None) -> list[Key]:
    if not isinstance(jwk, Mapping) or jwk.get("kty") not in ("RSA", "EC", "OKP"):
        raise ConfigurationError("it is not an asymmetric key: kty must be RSA, EC or OKP")
    members = {name: value for name, value in _present(jwk).items() if name not in _PRIVATE_MEMBERS}
    if members.get("use", "sig") != "sig":
        raise ConfigurationError("it is not for signatures: its use is another")
    alg = members.get("alg")
    if alg is not None and (not isinstance(alg, str) or canonical_alg(alg) not in ALGORITHMS):
        raise ConfigurationError("its alg is not supported")
    if alg is None and members["kty"] == "RSA":
        return [Key.from_jwk(members, alg=one) for one in _rsa_algs(algorithms)]
    key = Key.from_jwk(members)
    if algorithms is not None and key.alg not in algorithms:
        raise ConfigurationError(f"{key.alg} is not accepted of this issuer")
    return [key]


def _rsa_algs(algorithms: Collection[str] | None) -> list[str]:
    accepted = [alg for alg in ordered_algorithms(algorithms) if alg.startswith(_RSA)]
    if not accepted:
        raise ConfigurationError("no RSA alg is accepted of this issuer")
    return accepted


def ordered_algorithms(algorithms: Collection[str] | None) -> Sequence[str]:
    """Return the algs for a key without alg, in order."""
    if algorithms is None:
        return DEFAULT_ALGORITHMS
    # The order of a set of strings differs between processes.
    if isinstance(algorithms, Sequence):
        return algorithms
    return [alg for alg in ALGORITHMS if alg in algorithms]


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are not ``null``: providers write that for absent ones."""
    return {name: value for name, value in members.items() if value is not None}

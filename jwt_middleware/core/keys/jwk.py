"""Parse and export JWKs (RFC 7517)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm

from ...errors import ConfigurationError
from ..encoding import decode_base64url, encode_base64url, parse_json
from ..jws import ALGORITHMS, InvalidKeyError, canonical_alg

# By kty: the public members in the hash order of RFC 7638 §3.2.
_PUBLIC_MEMBERS: Final = {
    "oct": ("k", "kty"),
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}
_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi")
_ENCODED_MEMBERS: Final = frozenset({"k", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"})
_KTY_OF_ALG: Final = {"HS": "oct", "RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_ALG_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class JWK(NamedTuple):
    """
    A parsed JWK.

    Attributes:
        alg: Its only alg.
        kid: Its kid, if any.
        issuer: The *iss* of the tokens that it is for, if any.
        operations: ``sign``, ``verify`` or both, as allowed by the JWK.
        material: The secret's bytes, or a public or private key object.
    """

    alg: str
    kid: str | None
    issuer: str | None
    operations: frozenset[str]
    material: Any


def parse_jwk(
    jwk: Mapping[str, Any] | str | bytes, *, alg: str | None, public_only: bool = False
) -> JWK:
    """
    Parse a JWK from its members or their JSON text.  A ``null`` member counts as absent.

    Args:
        jwk: Members or JSON text.
        alg: The alg for a JWK without one.
        public_only: Whether the private half of a key pair is ignored.

    Raises:
        ConfigurationError: It is not a usable signature key for one alg.
    """
    members = _members(jwk)
    if public_only and members["kty"] != "oct":
        members = {name: members[name] for name in members.keys() - _PRIVATE_MEMBERS}
    alg = _alg(members, alg)
    try:
        for name in _ENCODED_MEMBERS.intersection(members):
            # Non-ASCII becomes "?", which is refused by an error that does not quote it.
            decode_base64url(members[name].encode("ascii", "replace"))
        material = ALGORITHMS[alg].from_jwk(dict(members))
    except (InvalidKeyError, ValueError, KeyError, AttributeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"the JWK is not a usable key for {alg}") from error
    issuer = members.get("issuer")
    if issuer is not None and not isinstance(issuer, str):
        raise ConfigurationError("issuer of the JWK is not a string")
    return JWK(alg, members.get("kid"), issuer, _operations(members), material)


def export_jwk(alg: str, kid: str, material: Any) -> dict[str, str]:
    """
    Return the JWK of a key: *kty*, *kid*, *use*, *alg* and the members of its type.

    Args:
        alg: The key's alg.
        kid: The key's *kid*.
        material: The secret's bytes, or a public or private key object, which is exported as such.
    """
    members = ALGORITHMS[alg].to_jwk(material, as_dict=True)
    kty = members["kty"]
    names = (*_PUBLIC_MEMBERS[kty], *_PRIVATE_MEMBERS)
    exported = {"kty": kty, "kid": kid, "use": "sig", "alg": alg}
    return exported | {name: members[name] for name in names if name in members}


def thumbprint(alg: str, public_key: Any) -> str:
    """Return the SHA-256 thumbprint of a public key, base64url.  Source: RFC 7638 §3."""
    jwk = ALGORITHMS[alg].to_jwk(public_key, as_dict=True)
    required = {name: jwk[name] for name in _PUBLIC_MEMBERS[jwk["kty"]]}
    text = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return encode_base64url(hashlib.sha256(text.encode("ascii")).digest()).decode("ascii")


def _members(jwk: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    members: object = jwk
    if isinstance(jwk, str | bytes):
        octets = jwk if isinstance(jwk, bytes) else jwk.encode("utf-8", "surrogatepass")
        try:
            members = parse_json(octets)
        except ValueError as error:
            raise ConfigurationError("the JWK is not strict JSON") from error
    if not isinstance(members, Mapping) or str(members.get("kty")) not in _PUBLIC_MEMBERS:
        raise ConfigurationError("the JWK must be an object whose kty is oct, RSA, EC or OKP")
    return {name: value for name, value in members.items() if value is not None}


def _alg(members: Mapping[str, Any], wanted: str | None) -> str:
    named = members.get("alg")
    if named is None:
        alg = wanted or _ALG_OF_CURVE.get(str(members.get("crv")))
        if alg is None:
            raise ConfigurationError(f"the JWK names no alg: pass one of {', '.join(ALGORITHMS)}")
    else:
        alg = canonical_alg(named) if isinstance(named, str) else None
        if wanted is not None and alg != wanted:
            raise ConfigurationError(f"the JWK is not for {wanted}: it names another alg")
    if alg is None or alg not in ALGORITHMS:
        raise ConfigurationError(f"the JWK's alg is not one of {', '.join(ALGORITHMS)}")
    if _KTY_OF_ALG[alg[:2]] != members["kty"]:
        raise ConfigurationError(f"the JWK's kty is not for {alg}")
    return alg


def _operations(members: Mapping[str, Any]) -> frozenset[str]:
    """Return the allowed operations of ``sign`` and ``verify``.  Source: RFC 7517 §4.2, §4.3."""
    both = frozenset({"sign", "verify"})
    if members.get("use", "sig") != "sig":
        return frozenset()
    key_ops = members.get("key_ops")
    if key_ops is None:
        return both
    if not isinstance(key_ops, list | tuple) or not all(isinstance(op, str) for op in key_ops):
        raise ConfigurationError("key_ops of the JWK is not an array of strings")
    # Some JWKs have "sign, verify" in one string (Wycheproof tcId 349).
    return both & {name.strip() for op in key_ops for name in op.split(",")}

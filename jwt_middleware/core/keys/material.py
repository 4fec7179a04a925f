"""What keys are made of: secrets and asymmetric keys that are good enough for their alg."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from ...errors import ConfigurationError
from ..encoding import encode_base64url
from ..jws import ALGORITHMS, InvalidKeyError

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""A longer key makes each check slow enough to be an attack."""

SECRET_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""By alg: how long a secret must be, at least.  Source: RFC 7518 §3.2."""

_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}


def read_secret(secret: str | bytes, alg: str) -> bytes:
    """
    Return the bytes of an HMAC secret.

    Raises:
        ConfigurationError: *alg* takes none, or it is too short, or text that is no secret.
    """
    if alg not in SECRET_BYTES:
        raise ConfigurationError(f"alg {alg!r} takes no secret: use HS256, HS384 or HS512")
    octets = _octets(secret, "secret")
    if not _may_be_secret(octets, alg):
        raise ConfigurationError(
            "secret is empty, or is the text of a PEM, an SSH key or a JWK: use random bytes"
        )
    if len(octets) < SECRET_BYTES[alg]:
        raise ConfigurationError(
            f"secret has {len(octets)} bytes, {alg} needs at least {SECRET_BYTES[alg]}: "
            "make one with secrets.token_urlsafe(64) or `jwt-middleware init`"
        )
    return octets


def secret_kid(secret: bytes) -> str:
    """Return an identifier for a secret that has no name."""
    # RFC 7638 §7 warns of thumbprints of secrets: a plain hash could be looked up elsewhere.
    digest = hmac.digest(secret, b"jwt_middleware kid", "sha256")
    return encode_base64url(digest[:12]).decode("ascii")


def read_pem(pem: str | bytes, password: str | bytes | None) -> Any:
    """
    Return the private or public key in a PEM.

    Raises:
        ConfigurationError: It cannot be read.
    """
    octets = _octets(pem, "pem")
    passphrase = None if password is None else _octets(password, "password")
    try:
        if b"PRIVATE KEY-----" in octets:
            return load_pem_private_key(octets, passphrase)
        return load_pem_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            "the PEM cannot be read: it must hold one private or public key, and the right "
            "password must be given if it is encrypted"
        ) from error


def generate(alg: str) -> Any:
    """
    Return a new secret as long as the hash, or a private key.

    Raises:
        ConfigurationError: *alg* is not known.
    """
    if alg in SECRET_BYTES:
        return secrets.token_bytes(SECRET_BYTES[alg])
    if alg in _CURVES:
        return ec.generate_private_key(_CURVES[alg]())
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    _check_alg(alg)
    return rsa.generate_private_key(65537, MIN_RSA_BITS)


def check_fits(public: object, alg: str) -> None:
    """
    Check that a public key is of the type, curve and size for *alg*.  Source: RFC 7518 §3.

    Raises:
        ConfigurationError: It is not.
    """
    _check_alg(alg)
    if alg in SECRET_BYTES:
        raise ConfigurationError(f"{alg} takes a secret, not an asymmetric key")
    if alg in _CURVES:
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(
            public.curve, _CURVES[alg]
        ):
            raise ConfigurationError(f"{alg} needs an EC key on {_CURVES[alg].name}")
    elif alg == "EdDSA":
        if not isinstance(public, ed25519.Ed25519PublicKey):
            raise ConfigurationError("EdDSA needs an Ed25519 key")
    elif not isinstance(public, rsa.RSAPublicKey):
        raise ConfigurationError(f"{alg} needs an RSA key")
    elif not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise ConfigurationError(
            f"the RSA key has {public.key_size} bits: use {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )


def _octets(text: str | bytes, name: str) -> bytes:
    if not isinstance(text, str | bytes):
        raise ConfigurationError(f"{name} must be a string or bytes")
    try:
        return text.encode("utf-8") if isinstance(text, str) else text
    except UnicodeEncodeError:
        # Its repr holds the whole text.
        raise ConfigurationError(f"{name} holds characters that UTF-8 cannot encode") from None


def _may_be_secret(octets: bytes, alg: str) -> bool:
    try:
        ALGORITHMS[alg].prepare_key(octets)
    except InvalidKeyError:
        return False
    return b"-----BEGIN" not in octets  # PyJWT lets a PEM through that breaks off


def _check_alg(alg: str) -> None:
    if alg not in ALGORITHMS:
        raise ConfigurationError(f"alg {alg!r} is not one of {', '.join(ALGORITHMS)}")

"""Read secrets, PEM and certificates, and check them against their alg."""

from __future__ import annotations

import hmac
import math
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ...errors import ConfigurationError
from ..encoding import encode_base64url
from ..jws import ALGORITHMS, InvalidKeyError

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""Longer keys make verification slow enough for a denial of service."""

MAX_RSA_EXPONENT_BITS: Final = 256  # FIPS 186-5 §5.4

SECRET_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Minimum length of a secret by alg.  Source: RFC 7518 §3.2."""

_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}

# RFC 8032 §5.1: the field, and d of -x^2 + y^2 = 1 + d x^2 y^2.
_P25519: Final = 2**255 - 19
_D25519: Final = -121665 * pow(121666, -1, _P25519) % _P25519


class PEMKey(NamedTuple):
    """
    A key read from PEM.

    Attributes:
        material: A private or public key object.
        valid_from: Start of its certificate's validity; seconds since the epoch.
        valid_until: Expiry of its certificate; infinite without certificate.
    """

    material: Any
    valid_from: float = -math.inf
    valid_until: float = math.inf


def read_secret(secret: str | bytes, alg: str) -> bytes:
    """
    Return the bytes of an HMAC secret.

    Raises:
        ConfigurationError: *alg* takes no secret, or it is too short or the text of a key.
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
    """Return a *kid* derived from a secret."""
    # RFC 7638 §7 warns of thumbprints of secrets: a plain hash allows guessing.
    digest = hmac.digest(secret, b"jwt_middleware kid", "sha256")
    return encode_base64url(digest[:12]).decode("ascii")


def read_pem(pem: str | bytes, password: str | bytes | None) -> PEMKey:
    """
    Read the private key, public key or certificate in a PEM.

    Only key and dates of a certificate are read: it is trusted by configuration or by its URL, not
    by its signature.

    Raises:
        ConfigurationError: It cannot be read.
    """
    octets = _octets(pem, "pem")
    passphrase = None if password is None else _octets(password, "password")
    try:
        if b"PRIVATE KEY-----" in octets:
            return PEMKey(load_pem_private_key(octets, passphrase))
        if b"BEGIN CERTIFICATE-----" in octets:
            return _read_certificate(octets)
        return PEMKey(load_pem_public_key(octets))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            "the PEM cannot be read: it must hold one private key, public key or certificate, and "
            "the right password must be given if it is encrypted"
        ) from error


def _read_certificate(octets: bytes) -> PEMKey:
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415  slow, rarely needed

    certificate = load_pem_x509_certificate(octets)
    return PEMKey(
        certificate.public_key(),
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp() + 1,  # RFC 5280 §4.1.2.5: inclusive
    )


def generate(alg: str) -> Any:
    """
    Return a new secret as long as the hash, or a private key.

    Raises:
        ConfigurationError: *alg* is unknown.
    """
    _check_alg(alg)
    if alg in SECRET_BYTES:
        return secrets.token_bytes(SECRET_BYTES[alg])
    if alg in _CURVES:
        return ec.generate_private_key(_CURVES[alg]())
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, MIN_RSA_BITS)


def algs_of(public: object) -> tuple[str, ...]:
    """Return every alg that a public key fits, in the order of RFC 7518 §3.1."""
    if isinstance(public, rsa.RSAPublicKey):
        return tuple(alg for alg in ALGORITHMS if alg.startswith(("RS", "PS")))
    if isinstance(public, ed25519.Ed25519PublicKey):
        return ("EdDSA",)
    curve = getattr(public, "curve", None)
    return tuple(alg for alg, one in _CURVES.items() if isinstance(curve, one))


def check_fits(public: object, alg: str) -> None:
    """
    Check that a public key has the type, curve and size for *alg*, and is not degenerate.

    Source: RFC 7518 §3; RFC 8725 §3.4.

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
        _check_ed25519(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    elif not isinstance(public, rsa.RSAPublicKey):
        raise ConfigurationError(f"{alg} needs an RSA key")
    else:
        _check_rsa(public)


def _check_rsa(public: rsa.RSAPublicKey) -> None:
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise ConfigurationError(
            f"the RSA key has {public.key_size} bits: use {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )
    numbers = public.public_numbers()
    if numbers.n % 2 == 0:
        raise ConfigurationError("the RSA key is degenerate: its modulus is even")
    if numbers.e < 3 or numbers.e % 2 == 0 or numbers.e.bit_length() > MAX_RSA_EXPONENT_BITS:
        raise ConfigurationError("the RSA key is degenerate: its exponent must be odd, 3 or more")


def _check_ed25519(encoded: bytes) -> None:
    """
    Check that a public key canonically encodes a point that is not of small order.

    For a point of small order one signature is valid for many messages.
    """
    sign, y = encoded[31] >> 7, int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= _P25519:
        raise ConfigurationError("the Ed25519 key is degenerate: it is not canonical")
    # x^2 = (y^2 - 1) / (d y^2 + 1), RFC 8032 §5.1.3
    xx = (y * y - 1) * pow(_D25519 * y * y + 1, -1, _P25519) % _P25519
    if pow(xx, (_P25519 - 1) // 2, _P25519) == _P25519 - 1 or (xx == 0 and sign):
        raise ConfigurationError("the Ed25519 key is degenerate: it is not a point of the curve")
    for _ in range(3):  # doubled three times, a point of order 1, 2, 4 or 8 is neutral
        xx, y = _doubled_ed25519(xx, y)
    if (xx, y) == (0, 1):
        raise ConfigurationError("the Ed25519 key is degenerate: its point is of small order")


def _doubled_ed25519(xx: int, y: int) -> tuple[int, int]:
    """Double a point, given as x^2 and y."""
    yy = y * y % _P25519
    # x' = 2xy / (1 + d x^2 y^2), y' = (y^2 + x^2) / (1 - d x^2 y^2)
    dxxyy = _D25519 * xx * yy
    doubled_xx = 4 * xx * yy * pow(1 + dxxyy, -2, _P25519) % _P25519
    return doubled_xx, (yy + xx) * pow(1 - dxxyy, -1, _P25519) % _P25519


def _octets(text: str | bytes, name: str) -> bytes:
    if not isinstance(text, str | bytes):
        raise ConfigurationError(f"{name} must be a string or bytes")
    try:
        return text.encode("utf-8") if isinstance(text, str) else text
    except UnicodeEncodeError:
        # The error's repr contains the whole text.
        raise ConfigurationError(f"{name} holds characters that UTF-8 cannot encode") from None


def _may_be_secret(octets: bytes, alg: str) -> bool:
    try:
        ALGORITHMS[alg].prepare_key(octets)
    except InvalidKeyError:
        return False
    return b"-----BEGIN" not in octets  # PyJWT accepts a truncated PEM as a secret


def _check_alg(alg: str) -> None:
    if alg not in ALGORITHMS:
        raise ConfigurationError(f"alg {alg!r} is not one of {', '.join(ALGORITHMS)}")

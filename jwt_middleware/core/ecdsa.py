"""ECDSA signatures in the shape that JWS gives them."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import HashAlgorithm


def ecdsa_check(
    key: ec.EllipticCurvePublicKey, hash_algorithm: HashAlgorithm
) -> Callable[[bytes, bytes], bool]:
    """
    Return a function of message and signature that tells whether the one is signed by the other.

    A signature is two numbers of the curve's size, one behind the other (RFC 7518 §3.4).  PyJWT,
    too, rewrites them for OpenSSL, by way of hexadecimal, and makes anew what is made here once.
    """
    size = (key.curve.key_size + 7) // 8
    scheme = ec.ECDSA(hash_algorithm)

    def check(message: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * size:
            return False
        r = int.from_bytes(signature[:size], "big")
        s = int.from_bytes(signature[size:], "big")
        try:
            key.verify(encode_dss_signature(r, s), message, scheme)
        except InvalidSignature:
            return False
        return True

    return check

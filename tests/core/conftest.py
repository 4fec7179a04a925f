"""What the core's tests share: a clock to set, one key per alg, and a forge for any token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.jws import ALGORITHMS, serialize
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.verifier import TokenVerifier

ISSUER = "https://auth.example.com"
AUDIENCE = "api"
START = 1_800_000_000


@pytest.fixture
def now() -> list[float]:
    """Return the time that every clock here tells; assign to ``now[0]`` to let time pass."""
    return [START]


@pytest.fixture(scope="session")
def rsa_pem() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture(scope="session")
def keys_by_alg(rsa_pem: bytes) -> dict[str, Key]:
    """Return a private key for each alg; those for RSA share one, which takes time to make."""
    return {
        alg: Key.from_pem(rsa_pem, alg=alg, kid=alg)
        if alg[:2] in {"RS", "PS"}
        else Key.generate(alg, kid=alg)
        for alg in ALGORITHMS
    }


@pytest.fixture(scope="session")
def hs256(keys_by_alg: dict[str, Key]) -> Key:
    return keys_by_alg["HS256"]


@pytest.fixture
def claims() -> dict[str, Any]:
    """Return claims with which a token is good for a minute; the test's own to spoil."""
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "42", "exp": START + 60, "jti": "id-1"}


@pytest.fixture(scope="session")
def forge(hs256: Key) -> Callable[..., str]:
    """Return a function that signs any header and payload, as objects or as raw bytes."""

    def forge(payload: object, header: object = None, *, key: Key = hs256) -> str:
        if header is None:
            header = {"typ": "at+jwt", "alg": key.alg, "kid": key.kid}
        return serialize(_segment(header), _segment(payload), key.sign)

    return forge


@pytest.fixture
def make_verifier(hs256: Key, now: list[float]) -> Callable[..., TokenVerifier]:
    """Return a function that makes a verifier for *hs256*, or with other parts."""

    def make(**parts: Any) -> TokenVerifier:
        defaults: dict[str, Any] = {
            "keys": KeySet([hs256]),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "clock": lambda: now[0],
        }
        return TokenVerifier(**(defaults | parts))

    return make


def _segment(value: object) -> bytes:
    return encode_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())

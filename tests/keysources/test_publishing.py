from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwt_middleware.core.jws import ALGORITHMS
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.publishing import public_jwks

PUBLIC = {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}
SYMMETRIC = ("HS256", "HS384", "HS512")


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return {
        alg: Key.from_pem(pem, alg=alg) if alg[:2] in {"RS", "PS"} else Key.generate(alg)
        for alg in ALGORITHMS
    }


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_private_jwk_is_the_key(alg: str, keys: dict[str, Key]) -> None:
    key = keys[alg]
    again = Key.from_jwk(json.dumps(key.private_jwk()))
    assert (again.kid, again.alg) == (key.kid, key.alg)
    assert key.verify(b"message", again.sign(b"message"))
    assert again.verify(b"message", key.sign(b"message"))


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if alg not in SYMMETRIC])
def test_a_public_jwk_verifies_and_holds_no_more(alg: str, keys: dict[str, Key]) -> None:
    key = keys[alg]
    for shown in (key.public_jwk(), key.limited_to({"verify"}).public_jwk()):
        assert shown.keys() <= PUBLIC
        assert (shown["kid"], shown["alg"], shown["use"]) == (key.kid, alg, "sig")
        public = Key.from_jwk(shown)
        assert not public.can_sign
        assert public.verify(b"message", key.sign(b"message"))


def test_coordinates_have_their_full_length() -> None:
    # RFC 7518 §6.2.1.2; of 1,000 keys about eight have a coordinate that begins with a zero.
    for _ in range(1000):
        shown = Key.generate("ES256").public_jwk()
        assert len(shown["x"]) == len(shown["y"]) == 43


@pytest.mark.parametrize("alg", SYMMETRIC)
def test_a_secret_has_no_public_jwk(alg: str, keys: dict[str, Key]) -> None:
    for key in (keys[alg], keys[alg].limited_to({"verify"})):
        with pytest.raises(ConfigurationError, match="no public half") as caught:
            key.public_jwk()
        assert keys[alg].private_jwk()["k"] not in str(caught.value)


def test_a_key_that_only_verifies_has_no_private_jwk(keys: dict[str, Key]) -> None:
    for alg in ("HS256", "ES256"):
        with pytest.raises(ConfigurationError, match="only verifies"):
            keys[alg].limited_to({"verify"}).private_jwk()


def test_publishes_what_verifies_in_order_and_no_secret(keys: dict[str, Key]) -> None:
    signing_only = keys["ES384"].limited_to({"sign"})
    ring = KeySet(
        [keys["HS256"], keys["EdDSA"], keys["ES256"].limited_to({"verify"}), signing_only]
    )
    published = public_jwks(ring)
    assert [jwk["alg"] for jwk in published["keys"]] == ["EdDSA", "ES256"]
    assert not any({"d", "k"} & jwk.keys() for jwk in published["keys"])


def test_a_ring_of_secrets_publishes_an_empty_set(keys: dict[str, Key]) -> None:
    assert public_jwks(KeySet([keys["HS256"], keys["HS512"]])) == {"keys": []}

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.jws import ALGORITHMS, Header
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.jwks import MAX_KEYS, public_jwks, read_jwks

from ..table import table

RSA, EC, P384, ED = (Key.generate(alg, kid=alg) for alg in ("RS256", "ES256", "ES384", "EdDSA"))
SECRET = encode_base64url(b"0123456789abcdef0123456789abcdef").decode()


def jwks(*jwk: object) -> bytes:
    return json.dumps({"keys": jwk}).encode()


def without(jwk: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in jwk.items() if name not in names}


def test_reads_every_kind_of_public_key() -> None:
    keys = read_jwks(jwks(*(key.public_jwk() for key in (RSA, EC, P384, ED))), algorithms=None)
    assert [key.kid for key in keys] == ["RS256", "ES256", "ES384", "EdDSA"]
    assert all(key.alg == key.kid and key.can_verify and not key.can_sign for key in keys)


def test_reads_a_single_jwk() -> None:
    (key,) = read_jwks(json.dumps(EC.public_jwk()).encode(), algorithms=None)
    assert key.kid == "ES256"


def test_names_a_key_without_kid_by_its_thumbprint() -> None:
    # RFC 8037 Appendix A.2, A.3
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    (key,) = read_jwks(jwks(jwk), algorithms=None)
    assert (key.kid, key.alg) == ("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "EdDSA")


@table(
    ("algorithms", "algs"),
    [
        pytest.param(None, "RS256", id="RS256 by default"),
        pytest.param(["ES256", "PS384", "RS256"], "PS384 RS256", id="those that are for RSA"),
        pytest.param({"PS256", "RS512", "ES256"}, "RS512 PS256", id="RFC 7518's order for a set"),
    ],
)
@table("alg", [{}, {"alg": None}], ids=["absent", "null"])
def test_an_rsa_key_without_alg_serves_those_of_its_issuer(
    algorithms: Any, algs: str, alg: dict[str, None]
) -> None:
    keys = read_jwks(jwks(without(RSA.public_jwk(), "alg") | alg), algorithms=algorithms)
    assert [(key.kid, key.alg) for key in keys] == [("RS256", one) for one in algs.split()]


def test_uses_only_the_public_half_of_a_private_key(caplog: pytest.LogCaptureFixture) -> None:
    jwk = ALGORITHMS["EdDSA"].to_jwk(ED._signing, as_dict=True) | {"kid": "x", "key_ops": ["sign"]}
    (key,) = read_jwks(jwks(jwk), algorithms=None)
    assert key.can_verify
    assert not key.can_sign
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("jwt_middleware", logging.WARNING)
    assert "'x'" in caplog.text
    assert "private half" in caplog.text
    assert jwk["d"] not in caplog.text


def small_rsa() -> dict[str, Any]:
    key = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505  too small, that is the point
    jwk: dict[str, Any] = ALGORITHMS["RS256"].to_jwk(key, as_dict=True)
    return jwk | {"kid": "bad", "alg": "RS256"}


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        pytest.param(EC.public_jwk() | {"use": "enc"}, "not for signatures", id="use enc"),
        pytest.param(EC.public_jwk() | {"use": 1}, "not for signatures", id="use no string"),
        pytest.param(EC.public_jwk() | {"key_ops": ["encrypt"]}, "key_ops", id="key_ops"),
        pytest.param(EC.public_jwk() | {"key_ops": {}}, "key_ops", id="key_ops no array"),
        pytest.param({"kty": "oct", "k": SECRET}, "asymmetric", id="secret"),
        pytest.param(
            {"kty": "oct", "k": SECRET, "alg": "HS256"}, "asymmetric", id="secret with alg"
        ),
        pytest.param({"kty": "AKP", "alg": "ML-DSA-44"}, "asymmetric", id="unknown kty"),
        pytest.param({"kty": ["RSA"]}, "asymmetric", id="kty no string"),
        pytest.param({}, "asymmetric", id="empty"),
        pytest.param(RSA.public_jwk() | {"alg": "RSA-OAEP"}, "not supported", id="encryption"),
        pytest.param(RSA.public_jwk() | {"alg": "none"}, "not supported", id="none"),
        pytest.param(RSA.public_jwk() | {"alg": []}, "not supported", id="alg no string"),
        pytest.param(RSA.public_jwk() | {"alg": "HS256"}, "kty", id="alg of a secret"),
        pytest.param(RSA.public_jwk() | {"alg": "PS256"}, "not accepted", id="alg not accepted"),
        pytest.param(small_rsa(), "1024 bits", id="RSA of 1024 bits"),
        pytest.param(RSA.public_jwk() | {"n": "AQAB="}, "not a usable key", id="padded base64"),
        pytest.param(RSA.public_jwk() | {"n": "\u00e4"}, "not a usable key", id="not base64"),
        pytest.param(RSA.public_jwk() | {"e": 65537}, "not a usable key", id="e a number"),
        pytest.param(
            EC.public_jwk() | {"x": P384.public_jwk()["x"][:43]}, "not a usable key", id="off curve"
        ),
        pytest.param(EC.public_jwk() | {"crv": "secp256k1"}, "not a usable key", id="secp256k1"),
        pytest.param(EC.public_jwk() | {"alg": "ES384"}, "ES384", id="alg of another curve"),
        pytest.param(
            {"kty": "OKP", "crv": "X25519", "x": SECRET, "kid": "bad"}, "names no alg", id="X25519"
        ),
        pytest.param(EC.public_jwk() | {"kid": 1}, "kid must be", id="kid no string"),
        pytest.param(EC.public_jwk() | {"kid": ""}, "kid must be", id="kid empty"),
        pytest.param("no object", "asymmetric", id="no object"),
        pytest.param(None, "asymmetric", id="null"),
    ],
)
def test_leaves_out_an_unusable_key_with_one_line(
    jwk: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(jwk, dict):
        jwk = {"kid": "bad"} | jwk
    keys = read_jwks(jwks(jwk, ED.public_jwk()), algorithms=["RS256", "ES256", "EdDSA"])
    assert [key.kid for key in keys] == ["EdDSA"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("jwt_middleware", logging.WARNING)
    assert reason in record.getMessage()
    if isinstance(jwk, dict):
        assert f"{jwk['kid']!r}" in record.getMessage()
    assert SECRET not in caplog.text
    assert RSA.public_jwk()["n"] not in caplog.text


def test_leaves_out_an_rsa_key_where_no_rsa_alg_is_accepted() -> None:
    jwk = without(RSA.public_jwk(), "alg")
    keys = read_jwks(jwks(jwk, EC.public_jwk()), algorithms={"ES256"})
    assert [key.alg for key in keys] == ["ES256"]


def test_escapes_and_cuts_a_kid_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError):
        read_jwks(jwks({"kid": "\n\u202e" + "x" * 1000}), algorithms=None)
    (message,) = caplog.messages
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 200


@table(
    ("document", "reason"),
    [
        pytest.param(b"", "strict JSON", id="nothing"),
        pytest.param(b"<html>", "strict JSON", id="HTML"),
        pytest.param(b'{"keys": [], "keys": []}', "strict JSON", id="member twice"),
        pytest.param(b'{"keys": ' + b"[" * 100_000, "strict JSON", id="deeply nested"),
        pytest.param(b"\xff\xfe", "strict JSON", id="not UTF-8"),
        pytest.param(b"[]", 'array "keys"', id="an array"),
        pytest.param(b"null", 'array "keys"', id="null"),
        pytest.param(b"{}", 'array "keys"', id="no keys"),
        pytest.param(b'{"keys": {}}', "not an array", id="keys no array"),
        pytest.param(b'{"keys": null}', 'array "keys"', id="keys null"),
        pytest.param(b'{"keys": null, "kty": "EC"}', "no usable key", id="keys null, single"),
        pytest.param(b'{"a": "-----BEGIN CERTIFICATE-----"}', "no usable key", id="half a PEM"),
        pytest.param(b'{"a": "-----BEGIN CERTIFICATE-----", "b": 1}', 'array "keys"', id="no map"),
        pytest.param(b'{"keys": []}', "no usable key", id="empty"),
        pytest.param(b'{"keys": [{"kty": "oct"}]}', "no usable key", id="nothing usable"),
        pytest.param(b'{"kty": "EC"}', "no usable key", id="single, unusable"),
        pytest.param(jwks(*[{}] * (MAX_KEYS + 1)), "more than 100", id="too many"),
    ],
)
def test_refuses_a_document(document: bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        read_jwks(document, algorithms=None)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_reads_as_many_keys_as_it_says() -> None:
    keys = [ED.public_jwk() | {"kid": str(number)} for number in range(MAX_KEYS)]
    assert len(read_jwks(jwks(*keys), algorithms=None)) == MAX_KEYS


def test_a_key_left_out_may_share_its_kid() -> None:
    document = jwks(RSA.public_jwk() | {"use": "enc"}, RSA.public_jwk())
    assert len(read_jwks(document, algorithms=None)) == 1


def test_publishes_what_verifies_in_order_and_no_secret() -> None:
    secret = Key.generate("HS256")
    keys = KeySet([secret, ED, EC.limited_to({"verify"}), P384.limited_to({"sign"})])
    published = public_jwks(keys)
    assert [jwk["alg"] for jwk in published["keys"]] == ["EdDSA", "ES256"]
    assert not any({"d", "k"} & jwk.keys() for jwk in published["keys"])


def test_publishes_an_empty_set_where_there_are_only_secrets() -> None:
    assert public_jwks(KeySet([Key.generate("HS256"), Key.generate("HS512")])) == {"keys": []}


def certificate_of(key: Key, *, ends: datetime.timedelta) -> str:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key._verifying)
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + ends)
    )
    signed = builder.sign(key._signing, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def public_pem(key: Key) -> str:
    pem: bytes = key._verifying.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


class TestMapOfKids:
    """As Firebase (certificates) and Identity-Aware Proxy (public keys) publish them."""

    DAY = datetime.timedelta(days=1)

    def test_is_read(self) -> None:
        document = {
            "a": certificate_of(EC, ends=self.DAY),
            "b": public_pem(RSA),
            "c": public_pem(ED),
            "null": None,
        }
        keys = read_jwks(json.dumps(document).encode(), algorithms=None)
        assert [(key.kid, key.alg) for key in keys] == [
            ("a", "ES256"),
            ("b", "RS256"),
            ("c", "EdDSA"),
        ]
        assert all(not key.can_sign for key in keys)

    def test_leaves_out_what_is_not_usable(self, caplog: pytest.LogCaptureFixture) -> None:
        private: bytes = EC._signing.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        document = {
            "expired": certificate_of(EC, ends=-self.DAY),
            "half": certificate_of(EC, ends=self.DAY)[:99],
            "384": public_pem(P384),
            "private": private.decode(),
        }
        keys = read_jwks(json.dumps(document).encode(), algorithms=["ES256"])
        assert [(key.kid, key.can_sign) for key in keys] == [("private", False)]
        for kid, reason in (
            ("expired", "has expired"),
            ("half", "cannot be read"),
            ("384", "not for ES256"),
        ):
            assert any(f"'{kid}'" in line and reason in line for line in caplog.messages)


def test_reads_pem_and_only_public_halves_of_it() -> None:
    private: bytes = EC._signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = certificate_of(P384, ends=datetime.timedelta(days=1))
    document = b"theirs:\n" + private + certificate.encode()
    keys = read_jwks(document, algorithms=None)
    assert [(key.alg, key.can_sign) for key in keys] == [("ES256", False), ("ES384", False)]


class TestSharedKids:
    def test_are_candidates_by_alg(self) -> None:
        # RFC 7517 §4.5: RSA and EC keys that are alternatives of each other.
        document = jwks(*(key.public_jwk() | {"kid": "k"} for key in (RSA, EC, ED)))
        keys = read_jwks(document, algorithms=None)
        for alg in ("RS256", "ES256", "EdDSA"):
            (found,) = keys.candidates(Header(alg, "k", None))
            assert found.alg == alg

    def test_drop_exact_duplicates(self, caplog: pytest.LogCaptureFixture) -> None:
        keys = read_jwks(jwks(EC.public_jwk(), EC.public_jwk() | {"x5c": ["x"]}), algorithms=None)
        assert len(keys) == 1
        assert caplog.messages == []

    def test_keep_duplicates_for_other_issuers(self) -> None:
        jwk = EC.public_jwk()
        keys = read_jwks(jwks(jwk | {"issuer": "a"}, jwk | {"issuer": "b"}), algorithms=None)
        assert [key.issuer for key in keys] == ["a", "b"]

    def test_are_four_at_most_and_the_rest_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        several = [Key.generate("ES256", kid="k") for _ in range(6)]
        keys = read_jwks(
            jwks(*(key.public_jwk() for key in several), ED.public_jwk()), algorithms=None
        )
        assert [key.kid for key in keys] == ["k"] * 4 + ["EdDSA"]
        found = keys.candidates(Header("ES256", "k", None))
        assert [key.public_jwk() for key in found] == [key.public_jwk() for key in several[:4]]
        assert [line[:25] for line in caplog.messages] == [
            "key 5 of a JWK set (kid '",
            "key 6 of a JWK set (kid '",
        ]

    def test_a_degenerate_key_is_left_out(self, caplog: pytest.LogCaptureFixture) -> None:
        small = {"kty": "OKP", "crv": "Ed25519", "kid": "bad", "x": "A" * 43}
        even = RSA.public_jwk() | {"kid": "even", "e": "AAAC"}
        keys = read_jwks(jwks(small, even, EC.public_jwk()), algorithms=None)
        assert [key.kid for key in keys] == ["ES256"]
        assert "degenerate" in caplog.text

    def test_null_members_are_absent(self) -> None:
        absent = dict.fromkeys(["use", "key_ops", "alg", "x5c", "d", "issuer"])
        (key,) = read_jwks(jwks(EC.public_jwk() | absent), algorithms=None)
        assert (key.kid, key.alg) == ("ES256", "ES256")

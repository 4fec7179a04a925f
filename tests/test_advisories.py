"""
One test for each published weakness of a library of this kind, named after it.

The identifiers are those under which the weakness was published; where there is none, the test is
named after the weakness alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwt_middleware.core.encoding import decode_base64url, encode_base64url
from jwt_middleware.core.jws import MAX_TOKEN_CHARS, serialize
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.verifier import TokenVerifier
from jwt_middleware.errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    InvalidTokenError,
    MalformedTokenError,
    RevokedTokenError,
    UnknownKeyError,
)

from .table import table

NOW = 1_800_000_000
ISSUER = "https://auth.example.com"
CLAIMS = {"iss": ISSUER, "aud": "api", "sub": "42", "exp": NOW + 60, "jti": "id-1"}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

HMAC_KEY = Key.generate(kid="hmac")
EC_KEY = Key.generate("ES256", kid="ec")
ED_KEY = Key.generate("EdDSA", kid="ed")
RSA_PRIVATE = rsa.generate_private_key(65537, 2048)
RSA_PEM = RSA_PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
RSA_PUBLIC_PEM = RSA_PRIVATE.public_key().public_bytes(
    Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
)
RSA_KEY = Key.from_pem(RSA_PEM, alg="RS256", kid="rsa")
RSA_PUBLIC_KEY = Key.from_pem(RSA_PUBLIC_PEM, alg="RS256", kid="rsa")


def verifier_for(*keys: Key, **parts: Any) -> TokenVerifier:
    defaults: dict[str, Any] = {"issuer": ISSUER, "audience": "api", "clock": lambda: NOW}
    return TokenVerifier(keys=KeySet(keys), **(defaults | parts))


def segment(value: object) -> bytes:
    return encode_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def sign(key: Key, claims: object = CLAIMS, **header: object) -> str:
    members = {"alg": key.alg, "kid": key.kid} | header
    return serialize(segment(members), segment(claims), key.sign)


def sign_with(alg: str, secret: bytes, **header: object) -> str:
    """Sign under HMAC with whatever octets an attacker knows."""
    return serialize(
        segment({"alg": alg, **header}),
        segment(CLAIMS),
        lambda message: hmac.digest(secret, message, hashlib.sha256),
    )


def resigned(token: str, change: Callable[[bytes], bytes]) -> str:
    """Return *token* with its signature changed."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{encode_base64url(change(decode_base64url(signature.encode()))).decode()}"


@table("key", [HMAC_KEY, RSA_PUBLIC_KEY, EC_KEY], ids=lambda key: key.alg)
@table("alg", ["none", "None", "NONE", "nOnE", ""])
def test_cve_2022_23540_jsonwebtoken_alg_none_by_default(alg: str, key: Key) -> None:
    head = b".".join((segment({"alg": alg, "kid": key.kid}), segment(CLAIMS))).decode()
    for signature in (".", "", "." + sign(HMAC_KEY).rpartition(".")[2]):
        with pytest.raises(InvalidTokenError):
            verifier_for(key).verify(head + signature)


@pytest.mark.parametrize("key", [HMAC_KEY, RSA_KEY, EC_KEY, ED_KEY], ids=lambda key: key.alg)
def test_an_empty_signature_is_no_signature(key: Key) -> None:
    with pytest.raises(InvalidSignatureError):
        verifier_for(key).verify(resigned(sign(key), lambda _: b""))


@table(
    "known",
    [
        pytest.param(RSA_PUBLIC_PEM, id="pem"),
        pytest.param(RSA_PUBLIC_PEM.strip(), id="pem-stripped"),
        pytest.param(
            RSA_PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1), id="pkcs1"
        ),
        pytest.param(
            RSA_PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            id="der",
        ),
        pytest.param(
            RSA_PRIVATE.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), id="ssh"
        ),
    ],
)
def test_cve_2022_29217_and_cve_2024_33663_public_key_as_hmac_secret(known: bytes) -> None:
    for header in ({"kid": "rsa"}, {}):
        with pytest.raises(AlgorithmNotAllowedError):
            verifier_for(RSA_PUBLIC_KEY).verify(sign_with("HS256", known, **header))
    with pytest.raises(ConfigurationError):
        Key.from_secret(known)


def test_cve_2022_23541_one_key_lookup_for_hmac_and_rsa() -> None:
    verifier = verifier_for(HMAC_KEY, RSA_PUBLIC_KEY)
    with pytest.raises(AlgorithmNotAllowedError):
        verifier.verify(sign_with("HS256", RSA_PUBLIC_PEM, kid="rsa"))
    with pytest.raises(InvalidSignatureError):
        verifier.verify(sign_with("HS256", RSA_PUBLIC_PEM))


def test_cve_2026_34950_fast_jwt_white_space_before_a_pem() -> None:
    for space in (b" ", b"\n", b"\t\r\n", b"\xef\xbb\xbf"):
        with pytest.raises(ConfigurationError):
            Key.from_secret(space + RSA_PUBLIC_PEM)


def test_cve_2026_48526_pyjwt_public_jwk_as_hmac_secret() -> None:
    jwk = json.dumps({"kty": "RSA", "n": "x" * 342, "e": "AQAB"})
    for text in (jwk, f" {jwk}", f'{{"keys":[{jwk}]}}'):
        with pytest.raises(ConfigurationError):
            Key.from_secret(text)


def test_cve_2026_48523_pyjwt_header_alg_is_not_the_alg_of_the_key() -> None:
    ps256 = Key.from_pem(RSA_PEM, alg="PS256", kid="rsa")
    for alg in ("RS256", "PS256"):
        with pytest.raises(InvalidTokenError):
            verifier_for(RSA_PUBLIC_KEY).verify(sign(ps256, alg=alg))


def test_cve_2026_22817_hono_a_jwk_without_alg_takes_that_of_the_token() -> None:
    with pytest.raises(ConfigurationError, match="names no alg"):
        Key.from_jwk({"kty": "oct", "k": "A" * 43})
    with pytest.raises(ConfigurationError, match="names no alg"):
        Key.from_jwk({"kty": "RSA", "n": "A" * 342, "e": "AQAB"})


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_cve_2018_0114_and_cve_2026_27962_key_brought_by_the_token(name: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    x, y = (encode_base64url(part.to_bytes(32)).decode() for part in (numbers.x, numbers.y))
    brought = {
        "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y},
        "jku": "https://attacker.example/jwks",
        "x5u": "https://attacker.example/x5u",
        "x5c": ["AAAA"],
    }
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    attacker = Key.from_pem(pem, alg="ES256", kid="ec")
    with pytest.raises(InvalidSignatureError):
        verifier_for(EC_KEY).verify(sign(attacker, **{name: brought[name]}))
    with pytest.raises(UnknownKeyError):
        verifier_for(EC_KEY).verify(sign(attacker, kid="new", **{name: brought[name]}))


@table("secret", [b"", b"\x00"])
@table("kid", ["../../../../dev/null", "/dev/null", "", "' UNION SELECT ''; --", "a\x00", "| id"])
def test_kid_traversal_and_injection(kid: str, secret: bytes) -> None:
    with pytest.raises(UnknownKeyError):
        verifier_for(HMAC_KEY).verify(sign_with("HS256", secret, kid=kid))


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_cve_2022_21449_psychic_signatures(alg: str) -> None:
    key = Key.generate(alg, kid="ec")
    token = sign(key)
    for change in (
        lambda signature: bytes(len(signature)),
        lambda signature: bytes(len(signature) // 2) + signature[len(signature) // 2 :],
        lambda signature: signature[: len(signature) // 2] + bytes(len(signature) // 2),
        lambda _: P256_ORDER.to_bytes(32) * 2,
        lambda _: bytes.fromhex("3006020100020100"),  # DER of r = s = 0
    ):
        with pytest.raises(InvalidSignatureError):
            verifier_for(key).verify(resigned(token, change))


def test_ghsa_q67f_28xg_22rw_ed25519_signature_with_s_not_below_the_order() -> None:
    def add_order(signature: bytes) -> bytes:
        s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
        return signature[:32] + s.to_bytes(32, "little")

    with pytest.raises(InvalidSignatureError):
        verifier_for(ED_KEY).verify(resigned(sign(ED_KEY), add_order))


def test_ecdsa_malleability_does_not_outlive_a_revocation() -> None:
    # (r, n - s) is a signature too: a list of revoked strings would be passed by the twin.
    def twin(signature: bytes) -> bytes:
        s = P256_ORDER - int.from_bytes(signature[32:])
        return signature[:32] + s.to_bytes(32)

    token = sign(EC_KEY)
    other = resigned(token, twin)
    assert other != token
    assert verifier_for(EC_KEY).verify(other).subject == "42"
    verifier = verifier_for(EC_KEY, is_revoked=lambda claims: claims["jti"] == "id-1")
    for one in (token, other):
        with pytest.raises(RevokedTokenError):
            verifier.verify(one)


@pytest.mark.parametrize("key", [HMAC_KEY, RSA_KEY, EC_KEY, ED_KEY], ids=lambda key: key.alg)
def test_padded_or_respelled_signature_is_another_string_and_refused(key: Key) -> None:
    token = sign(key)
    verifier_for(key).verify(token)
    for spelled in (
        token + "=",
        token + "==",
        token + "\n",
        token + "A",
        f"{token[:-1]} {token[-1]}",
    ):
        with pytest.raises(InvalidTokenError):
            verifier_for(key).verify(spelled)
    with pytest.raises(InvalidSignatureError):
        verifier_for(key).verify(resigned(token, lambda signature: signature + b"\x00"))


@pytest.mark.parametrize("key_length", [0, 16, 31])
def test_cve_2025_45768_weak_hmac_key(key_length: int) -> None:
    with pytest.raises(ConfigurationError):
        Key.from_secret(b"k" * key_length)


def test_weak_rsa_key() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505  so it must be refused
    pem = weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigurationError, match="1024 bits"):
        Key.from_pem(pem, alg="RS256")


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["bork"], "bork": "x"},
        {"crit": ["cnf"], "cnf": {"jkt": "thumb-42"}},
        {"crit": []},
        {"crit": "bork"},
    ],
    ids=repr,
)
def test_cve_2026_32597_and_cve_2025_59420_unknown_crit(header: dict[str, object]) -> None:
    with pytest.raises(MalformedTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, **header))


@pytest.mark.parametrize("header", [{"b64": False}, {"b64": False, "crit": ["b64"]}], ids=repr)
def test_unencoded_payload_of_rfc_7797(header: dict[str, object]) -> None:
    head = segment({"alg": "HS256", "kid": "hmac", **header})
    for payload in (segment(CLAIMS), json.dumps(CLAIMS).encode()):
        with pytest.raises(InvalidTokenError):
            verifier_for(HMAC_KEY).verify(serialize(head, payload, HMAC_KEY.sign))


@table("issuer", ["", "https", "auth.example.com", ISSUER[:-1], ISSUER + "/"])
def test_cve_2024_53861_pyjwt_part_of_the_issuer(issuer: str) -> None:
    with pytest.raises(InvalidClaimError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, CLAIMS | {"iss": issuer}))


def test_fast_jwt_issue_552_list_of_issuers_subjects_or_ids() -> None:
    for name, value in (("iss", ISSUER), ("sub", "42"), ("jti", "id-1")):
        with pytest.raises(InvalidClaimError) as caught:
            verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, CLAIMS | {name: [value, "attacker"]}))
        assert caught.value.claim == name


@table("audience", [[], [""], "", "ap", "api2", {"api": 1}, None, ...], ids=repr)
def test_cve_2020_26160_jwt_go_audience_is_passed_over(audience: object) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "aud"}
    if audience is not ...:
        claims["aud"] = audience
    with pytest.raises(InvalidClaimError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, claims))


@table("name", ["exp", "nbf", "iat"])
@table("value", [None, "9999999999", True, [], {}, float("inf"), float("nan")])
def test_cve_2026_44459_hono_dates_that_are_no_finite_numbers(name: str, value: object) -> None:
    with pytest.raises(InvalidTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, CLAIMS | {name: value}))


@pytest.mark.parametrize("exp", [0, -1, NOW])
def test_an_expiry_that_is_false_is_still_an_expiry(exp: int) -> None:
    with pytest.raises(ExpiredTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, CLAIMS | {"exp": exp}))


def test_cve_2022_39227_python_jwt_json_serialization_mixed_with_compact() -> None:
    header, payload, signature = sign(HMAC_KEY).split(".")
    forged = segment(CLAIMS | {"sub": "admin"}).decode()
    for token in (
        json.dumps({f"  {header}.{forged}.": "", "payload": payload, "signature": signature}),
        json.dumps({"protected": header, "payload": payload, "signature": signature}),
        f'{{"kid":"a.b.c","protected":"{header}"}}',
    ):
        with pytest.raises(MalformedTokenError):
            verifier_for(HMAC_KEY).verify(token)


def test_cve_2024_33664_and_cve_2024_28102_jwe_bomb() -> None:
    bomb = encode_base64url(zlib.compress(b" " * 10_000_000))
    head = {"alg": "dir", "enc": "A256GCM", "zip": "DEF", "kid": "hmac"}
    with pytest.raises(MalformedTokenError):
        verifier_for(HMAC_KEY).verify(b".".join((segment(head), b"", b"AA", bomb, b"AA")).decode())
    # A JWS knows no "zip": what is compressed is no JSON.
    with pytest.raises(MalformedTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, zlib.compress(b"{}"), zip="DEF"))


def test_cve_2025_30204_and_cve_2025_27144_a_million_dots() -> None:
    for token in ("." * 1_000_000, "a." * 500_000, "." * MAX_TOKEN_CHARS):
        with pytest.raises(MalformedTokenError):
            verifier_for(HMAC_KEY).verify(token)


def test_cve_2025_61920_authlib_huge_segments() -> None:
    huge = "A" * 1_000_000
    for token in (f"{huge}.e30.AA", f"e30.{huge}.AA", f"e30.e30.{huge}"):
        with pytest.raises(MalformedTokenError, match="at most 16384 characters"):
            verifier_for(HMAC_KEY).verify(token)


@pytest.mark.parametrize(
    "nested",
    [
        pytest.param(b'{"x":' + b"[" * 5_000, id="arrays"),
        pytest.param(b'{"x":' * 1_000, id="objects"),
        pytest.param(b'{"x":' + b"[" * 40 + b"]" * 40 + b"}", id="closed"),
    ],
)
def test_deep_nesting_exhausts_no_stack(nested: bytes) -> None:
    with pytest.raises(MalformedTokenError):
        verifier_for(HMAC_KEY).verify(serialize(segment(nested), segment(CLAIMS), HMAC_KEY.sign))
    with pytest.raises(MalformedTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, nested))


def test_a_huge_integer_is_no_crash() -> None:
    for digits in (400, 4_300, 5_000):
        payload = json.dumps(CLAIMS).replace(str(NOW + 60), "9" * digits).encode()
        with pytest.raises(InvalidTokenError):
            verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, payload))


def test_duplicate_members_say_two_things() -> None:
    payload = json.dumps(CLAIMS)[:-1] + ',"sub":"admin"}'
    with pytest.raises(MalformedTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, payload.encode()))


@pytest.mark.parametrize(
    "members", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": ["wrapKey"]}], ids=repr
)
def test_use_and_key_ops_are_not_passed_over(members: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Key.from_jwk({"kty": "oct", "alg": "HS256", "k": "A" * 43, **members})


def test_a_verification_key_does_not_sign() -> None:
    key = Key.from_jwk({"kty": "oct", "alg": "HS256", "k": "A" * 43, "key_ops": ["verify"]})
    assert not key.can_sign
    assert KeySet([key, RSA_PUBLIC_KEY]).signing_key is None


@table(
    ("claims", "header"),
    [
        pytest.param({"type": "refresh"}, {}, id="refresh-by-type"),
        pytest.param({"token_type": "refresh"}, {}, id="refresh-by-token-type"),
        pytest.param({"typ": "Refresh"}, {}, id="refresh-by-typ"),
        pytest.param({"token_use": "id"}, {}, id="id-token-by-token-use"),
        pytest.param({"at_hash": "x"}, {}, id="id-token-by-at-hash"),
        pytest.param({}, {"typ": "logout+jwt"}, id="logout-token"),
        pytest.param({}, {"typ": "dpop+jwt"}, id="dpop-proof"),
    ],
)
def test_a_token_for_another_use_is_no_access_token(
    claims: dict[str, object], header: dict[str, object]
) -> None:
    with pytest.raises(InvalidTokenError):
        verifier_for(HMAC_KEY).verify(sign(HMAC_KEY, CLAIMS | claims, **header))


def test_cve_2026_35039_fast_jwt_cache_returns_the_claims_of_another_token() -> None:
    verifier = verifier_for(HMAC_KEY)
    tokens = {sign(HMAC_KEY, CLAIMS | {"sub": str(number)}): str(number) for number in range(50)}
    for _ in range(2):
        for token, subject in tokens.items():
            assert verifier.verify(token).claims["sub"] == subject
    first, second, *_ = tokens
    mixed = ".".join((*first.split(".")[:2], second.split(".")[2]))
    with pytest.raises(InvalidSignatureError):
        verifier.verify(mixed)


def test_errors_do_not_tell_the_signature_that_would_be_right() -> None:
    token = sign(HMAC_KEY)
    with pytest.raises(InvalidSignatureError) as caught:
        verifier_for(HMAC_KEY).verify(resigned(token, lambda _: bytes(32)))
    assert token.rpartition(".")[2] not in f"{caught.value!r} {caught.value.__cause__!r}"

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.keys import Key
from jwt_middleware.core.keys.jwk import parse_jwk, thumbprint
from jwt_middleware.errors import ConfigurationError

from ...strategies import CHARACTERS
from ...table import table

RFCS = json.loads((Path(__file__).parents[2] / "vectors" / "jose_rfcs.json").read_text("utf-8"))
OCT, RSA, EC, EC521, OKP = ({**v["jwk"], "alg": v["alg"]} for v in RFCS["vectors"])


@table("form", [dict, json.dumps, lambda jwk: json.dumps(jwk).encode()])
@table(
    ("jwk", "material"),
    [
        pytest.param(OCT, bytes, id="oct"),
        pytest.param(RSA, rsa.RSAPrivateKey, id="rsa-private"),
        pytest.param(EC, ec.EllipticCurvePrivateKey, id="ec-private"),
        pytest.param(OKP, ed25519.Ed25519PrivateKey, id="okp-private"),
        pytest.param({**RSA, "d": ...}, rsa.RSAPublicKey, id="rsa-public"),
        pytest.param({**EC521, "d": ...}, ec.EllipticCurvePublicKey, id="ec-public"),
        pytest.param({**OKP, "d": ...}, ed25519.Ed25519PublicKey, id="okp-public"),
    ],
)
def test_reads_members_text_and_bytes(jwk: dict[str, Any], material: type, form: Any) -> None:
    members = {name: value for name, value in jwk.items() if value is not ...}
    parsed = parse_jwk(form(members), alg=None)
    assert parsed.alg == jwk["alg"]
    assert isinstance(parsed.material, material)
    assert parsed.operations == {"sign", "verify"}


@table(
    ("jwk", "wanted", "alg"),
    [
        pytest.param({**RSA, "alg": "PS512"}, None, "PS512", id="named"),
        pytest.param(RSA, "RS256", "RS256", id="named-and-wanted"),
        pytest.param({**RSA, "alg": None}, "PS256", "PS256", id="wanted"),
        pytest.param({**EC, "alg": None}, None, "ES256", id="implied-by-p-256"),
        pytest.param({**EC521, "alg": None}, None, "ES512", id="implied-by-p-521"),
        pytest.param({**OKP, "alg": None}, None, "EdDSA", id="implied-by-ed25519"),
    ],
)
def test_takes_the_alg(jwk: dict[str, Any], wanted: str | None, alg: str) -> None:
    assert parse_jwk(jwk, alg=wanted).alg == alg


@table(
    ("jwk", "wanted"),
    [
        pytest.param(RSA, "PS256", id="another-is-wanted"),
        pytest.param({**RSA, "alg": None}, None, id="rsa-without"),
        pytest.param({**OCT, "alg": None}, None, id="oct-without"),
        pytest.param({**EC, "alg": None, "crv": "P-192"}, None, id="curve-that-implies-none"),
        pytest.param({**EC, "alg": ""}, None, id="empty-though-the-curve-implies-one"),
        pytest.param({**OCT, "alg": "none"}, None, id="none"),
        pytest.param({**RSA, "alg": "RSA-OAEP"}, None, id="for-encryption"),
        pytest.param({**RSA, "alg": ["RS256"]}, None, id="a-list"),
        pytest.param({**RSA, "alg": 256}, None, id="a-number"),
        pytest.param({**OCT, "alg": "RS256"}, None, id="oct-for-rs256"),
        pytest.param({**RSA, "alg": "HS256"}, None, id="rsa-for-hs256"),
        pytest.param({**OKP, "alg": "ES256"}, None, id="okp-for-es256"),
    ],
)
def test_refuses_an_alg(jwk: dict[str, Any], wanted: str | None) -> None:
    with pytest.raises(ConfigurationError):
        parse_jwk(jwk, alg=wanted)


@table(
    "jwk",
    [
        pytest.param(None, id="none"),
        pytest.param(5, id="number"),
        pytest.param([OCT], id="list"),
        pytest.param("", id="no-text"),
        pytest.param("[]", id="array"),
        pytest.param('{"kty":"oct"', id="broken-json"),
        pytest.param(json.dumps(OCT)[:-1] + ',"kty":"oct"}', id="duplicate-member"),
        pytest.param(json.dumps(OCT) + "\ud800", id="lone-surrogate"),
        pytest.param(b"\xff", id="not-utf-8"),
        pytest.param({}, id="no-kty"),
        pytest.param({**OCT, "kty": "OCT"}, id="kty-in-capitals"),
        pytest.param({**OCT, "kty": []}, id="kty-a-list"),
        pytest.param({**OCT, "kty": None}, id="kty-null"),
        pytest.param({**OCT, "k": ""}, id="k-empty"),
        pytest.param({**OCT, "k": ...}, id="k-missing"),
        pytest.param({**OCT, "k": OCT["k"] + "="}, id="k-padded"),
        pytest.param({**OCT, "k": OCT["k"].replace("-", "+")}, id="k-in-base64"),
        pytest.param({**OCT, "k": "é" * 43}, id="k-not-ascii"),
        pytest.param({**OCT, "k": 5}, id="k-a-number"),
        pytest.param({**OCT, "k": b"a" * 43}, id="k-bytes"),
        pytest.param({**RSA, "n": ...}, id="n-missing"),
        pytest.param({**RSA, "e": "AA"}, id="e-zero"),
        pytest.param({**RSA, "e": "AQ"}, id="e-one"),
        pytest.param({**RSA, "e": "AQAA"}, id="e-even"),
        pytest.param({**RSA, "n": ""}, id="n-empty"),
        pytest.param({**RSA, "d": "AQAB"}, id="d-of-another-key"),
        pytest.param({**RSA, "p": "AQAB"}, id="some-primes"),
        pytest.param({**RSA, "oth": []}, id="more-than-two-primes"),
        pytest.param({**EC, "x": EC["y"]}, id="off-the-curve"),
        pytest.param({**EC, "x": ...}, id="x-missing"),
        pytest.param({**EC, "crv": "P-384"}, id="another-curve"),
        pytest.param({**EC, "crv": ["P-256"]}, id="crv-a-list"),
        pytest.param({**EC, "d": EC["x"]}, id="d-of-another-point"),
        pytest.param({**OKP, "crv": "X25519"}, id="key-agreement-curve"),
        pytest.param({**OKP, "d": OKP["x"]}, id="x-of-another-key"),
        pytest.param({**OKP, "x": "AAAA"}, id="x-short"),
        pytest.param({**OCT, "key_ops": "verify"}, id="key-ops-a-string"),
        pytest.param({**OCT, "key_ops": [1]}, id="key-ops-of-numbers"),
        pytest.param({**OCT, "key_ops": [["verify"]]}, id="key-ops-of-lists"),
    ],
)
def test_refuses_a_jwk(jwk: Any) -> None:
    if isinstance(jwk, dict):
        jwk = {name: value for name, value in jwk.items() if value is not ...}
    with pytest.raises(ConfigurationError):
        parse_jwk(jwk, alg=None)


@table(
    ("members", "operations"),
    [
        pytest.param({}, {"sign", "verify"}, id="nothing-said"),
        pytest.param({"use": "sig"}, {"sign", "verify"}, id="use-sig"),
        pytest.param({"use": "enc"}, set(), id="use-enc"),
        pytest.param({"use": None, "key_ops": None}, {"sign", "verify"}, id="null"),
        pytest.param({"use": ["sig"]}, set(), id="use-a-list"),
        pytest.param({"key_ops": ["verify"]}, {"verify"}, id="verify"),
        pytest.param({"key_ops": ["sign", "wrapKey"]}, {"sign"}, id="sign-and-another"),
        pytest.param({"key_ops": ["sign, verify"]}, {"sign", "verify"}, id="both-in-one-string"),
        pytest.param({"key_ops": []}, set(), id="none"),
        pytest.param({"key_ops": ["encrypt"]}, set(), id="encrypt"),
        pytest.param({"use": "enc", "key_ops": ["verify"]}, set(), id="use-wins"),
    ],
)
def test_honours_use_and_key_ops(members: dict[str, Any], operations: set[str]) -> None:
    assert parse_jwk({**OCT, **members}, alg=None).operations == operations


def test_does_not_alter_the_members_it_is_given() -> None:
    members = dict(RSA)
    parse_jwk(members, alg=None)
    assert members == RSA


def test_thumbprint_is_that_of_rfc_8037() -> None:
    key = parse_jwk(OKP, alg=None).material
    assert thumbprint("EdDSA", key.public_key()) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_thumbprint_is_of_the_public_members_only() -> None:
    public = {name: EC[name] for name in ("kty", "crv", "x", "y", "alg")}
    assert Key.from_jwk(EC).kid == Key.from_jwk(public).kid


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(CHARACTERS, max_size=8),
    st.binary(max_size=70).map(lambda octets: encode_base64url(octets).decode()),
    st.lists(st.sampled_from(["sign", "verify", "enc", 1]), max_size=3),
    st.sampled_from([*OCT.values(), *RSA.values(), *EC.values(), *EC521.values(), *OKP.values()]),
)
names = st.sampled_from(
    ["kty", "alg", "crv", "kid", "use", "key_ops", "k", "n", "e", "d", "p", "x", "y", "oth", "x5c"]
)


@given(
    st.sampled_from([OCT, RSA, EC, EC521, OKP, {}]),
    st.dictionaries(names, values, max_size=3),
    st.sets(names, max_size=2),
    st.sampled_from([None, "HS256", "RS256", "ES256", "EdDSA", "none"]),
)
def test_reads_any_jwk_or_raises_configuration_error(
    good: dict[str, Any], changes: dict[str, Any], missing: set[str], alg: str | None
) -> None:
    members = {name: v for name, v in (good | changes).items() if name not in missing}
    try:
        key = Key.from_jwk(members, alg=alg)
    except ConfigurationError:
        return
    assert key.can_sign or key.can_verify


@given(
    st.one_of(
        values, st.text(CHARACTERS), st.binary(), st.dictionaries(st.text(CHARACTERS), values)
    )
)
def test_reads_any_object_or_raises_configuration_error(jwk: Any) -> None:
    with pytest.raises(ConfigurationError):
        Key.from_jwk(jwk)

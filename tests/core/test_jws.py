from __future__ import annotations

import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.core.encoding import MAX_UNSIGNED_VALUES, encode_base64url
from jwt_middleware.core.jws import (
    ALGORITHMS,
    MAX_HEADER_CHARS,
    MAX_SIGNATURE_CHARS,
    MAX_TOKEN_CHARS,
    CompactJWS,
    Header,
    checked_algorithms,
    decode_object,
    decode_segment,
    decode_signature,
    encode_object,
    parse_header,
    serialize,
    signature_check,
    split,
)
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    InvalidSignatureError,
    InvalidTokenError,
    MalformedTokenError,
)

from ..strategies import CHARACTERS
from ..table import table

MESSAGE = b"header.payload"
RFCS = json.loads((Path(__file__).parents[1] / "vectors" / "jose_rfcs.json").read_text("utf-8"))
WYCHEPROOF = Path(__file__).parents[3] / "shared" / "vectors" / "wycheproof_json_web_signature.json"


def verify_jws(token: str, keys: KeySet) -> bytes:
    """Verify at the level of the JWS, whatever the payload is; return the payload."""
    jws = split(token)
    candidates = keys.candidates(parse_header(jws.header))
    signature = decode_segment(jws.signature, "signature")
    payload = decode_segment(jws.payload, "payload")
    if not any(key.verify(jws.signing_input, signature) for key in candidates):
        raise InvalidSignatureError
    return payload


def header_segment(members: object) -> bytes:
    return encode_base64url(json.dumps(members).encode())


def test_cuts_a_token_in_three() -> None:
    assert split("aa.b.cc") == CompactJWS(b"aa", b"b", b"cc", b"aa.b")


def test_leaves_empty_segments_to_the_decoders() -> None:
    assert split("..") == CompactJWS(b"", b"", b"", b".")


@table(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("a", id="one-segment"),
        pytest.param("a.b", id="two-segments"),
        pytest.param("a.b.c.d", id="four-segments"),
        pytest.param("a.b.c.d.e", id="a-jwe"),
        pytest.param("." * 1000, id="dots"),
        pytest.param("a.b.c\u00e9", id="latin-1"),
        pytest.param("\ud800.b.c", id="lone-surrogate"),
        pytest.param("ａ.b.c", id="full-width"),
        pytest.param(None, id="none"),
        pytest.param(b"a.b.c", id="bytes"),
        pytest.param(["a", "b", "c"], id="list"),
    ],
)
def test_refuses_what_is_not_three_ascii_segments(token: str) -> None:
    with pytest.raises(MalformedTokenError):
        split(token)


def test_bounds_the_length_of_a_token() -> None:
    longest = "a.b." + "c" * (MAX_TOKEN_CHARS - 4)
    assert len(longest) == 16_384
    assert split(longest).signature
    with pytest.raises(MalformedTokenError, match="16384"):
        split(longest + "c")


@pytest.mark.parametrize(
    ("members", "header"),
    [
        pytest.param({"alg": "HS256"}, Header("HS256", None, None), id="alg-alone"),
        pytest.param(
            {"typ": "JWT", "alg": "ES512", "kid": ""}, Header("ES512", "", "JWT"), id="empty-kid"
        ),
        pytest.param(
            {"alg": "EdDSA", "jku": "https://x", "jwk": {}, "x5u": 1, "x5c": [], "cty": "x"},
            Header("EdDSA", None, None),
            id="members-that-decide-nothing",
        ),
    ],
)
def test_parses_a_header(members: object, header: Header) -> None:
    assert parse_header(header_segment(members)) == header


@table(
    "alg",
    [
        pytest.param(alg, id=repr(alg))
        for alg in (
            *("none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", " HS256", "HS256\x00"),
            *("HS1", "RS1", "ES256K", "ES521", "ed25519", "Ed448", "A256GCM", "dir"),
            *(None, 256, True, ["HS256"], {"alg": "HS256"}),
        )
    ],
)
def test_refuses_another_alg(alg: object) -> None:
    with pytest.raises(AlgorithmNotAllowedError):
        parse_header(header_segment({"alg": alg}))


def test_refuses_a_header_without_alg() -> None:
    with pytest.raises(AlgorithmNotAllowedError):
        parse_header(header_segment({"typ": "JWT"}))


@table(
    "extra",
    [
        pytest.param({"crit": ["exp"], "exp": 1}, id="crit-with-its-member"),
        pytest.param({"crit": ["absent"]}, id="crit-without-its-member"),
        pytest.param({"crit": []}, id="crit-empty"),
        pytest.param({"crit": "b64"}, id="crit-a-string"),
        pytest.param({"crit": None}, id="crit-null"),
        pytest.param({"crit": ["b64"], "b64": False}, id="crit-b64-false"),
        pytest.param({"b64": False}, id="b64-false"),
        pytest.param({"b64": True}, id="b64-true"),
        pytest.param({"kid": None}, id="kid-null"),
        pytest.param({"kid": 1}, id="kid-a-number"),
        pytest.param({"kid": ["a"]}, id="kid-a-list"),
        pytest.param({"typ": None}, id="typ-null"),
        pytest.param({"typ": ["JWT"]}, id="typ-a-list"),
    ],
)
def test_refuses_a_header_with(extra: dict[str, object]) -> None:
    with pytest.raises(MalformedTokenError):
        parse_header(header_segment({"alg": "HS256", **extra}))


def test_bounds_the_length_of_a_header() -> None:
    def header(length: int) -> bytes:
        return encode_base64url(json.dumps({"alg": "HS256", "x": "a" * length}).encode())

    assert len(header(3_047)) == MAX_HEADER_CHARS
    assert parse_header(header(3_047)).alg == "HS256"
    with pytest.raises(MalformedTokenError, match="header is longer than"):
        parse_header(header(3_048))


def test_bounds_the_length_of_a_signature() -> None:
    longest = encode_base64url(bytes(8192 // 8))
    assert len(longest) == MAX_SIGNATURE_CHARS
    assert decode_signature(longest) == bytes(1024)
    with pytest.raises(MalformedTokenError, match="signature is longer than"):
        decode_signature(encode_base64url(bytes(1025)))


@pytest.mark.parametrize(
    ("most", "over"),
    [
        pytest.param([0] * 62, [0] * 63, id="items"),
        pytest.param([{"a": 0}] * 31, [{"a": 0}] * 32, id="objects"),
        pytest.param("," * 62, "," * 63, id="text"),
    ],
)
def test_bounds_the_values_of_a_header(most: object, over: object) -> None:
    def header(extra: object) -> bytes:
        text = json.dumps({"alg": "HS256", "x": extra}, separators=(",", ":"))
        assert MAX_UNSIGNED_VALUES == 64
        return encode_base64url(text.encode())

    assert parse_header(header(most)).alg == "HS256"
    with pytest.raises(MalformedTokenError, match="more than 64 values"):
        parse_header(header(over))


@table(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"1", id="number"),
        pytest.param(b'{"alg":"HS256"}{}', id="two-objects"),
        pytest.param(b'{"alg":"none","alg":"HS256"}', id="duplicate-member"),
        pytest.param(b'{"alg":"HS256","kid":"\xff"}', id="invalid-utf-8"),
        pytest.param(rb'{"alg":"HS256","kid":"\ud800"}', id="lone-surrogate"),
        pytest.param(b'{"a":' * 33 + b"1" + b"}" * 33, id="deep"),
    ],
)
def test_refuses_a_segment_that_is_no_strict_object(octets: bytes) -> None:
    for parse in (parse_header, lambda segment: decode_object(segment, "payload")):
        with pytest.raises(MalformedTokenError):
            parse(encode_base64url(octets))


@table("segment", [b"e30=", b"e3 0", b"e31", b"e30?", b"e\n30", b"\xff"])
def test_refuses_a_segment_that_is_no_base64url(segment: bytes) -> None:
    with pytest.raises(MalformedTokenError, match="payload"):
        decode_object(segment, "payload")
    with pytest.raises(MalformedTokenError, match="signature"):
        decode_segment(segment, "signature")


def test_knows_thirteen_algs_and_not_none() -> None:
    assert sorted(ALGORITHMS) == sorted(
        [family + bits for family in ("HS", "RS", "PS", "ES") for bits in ("256", "384", "512")]
        + ["EdDSA"]
    )


def test_encodes_text_as_it_is() -> None:
    segment = encode_object({"kid": "schlüssel", "n": 1})
    assert decode_segment(segment, "header") == '{"kid":"schlüssel","n":1}'.encode()


def test_does_not_encode_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_object({"exp": float("nan")})


@table("alg", ALGORITHMS)
def test_signs_what_pyjwt_verifies(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    token = serialize(encode_object({"alg": alg}), encode_object({"sub": "42"}), key.sign)
    assert jwt.decode(token, key._verifying, algorithms=[alg]) == {"sub": "42"}


@table("alg", ALGORITHMS)
def test_verifies_what_pyjwt_signs(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    token = jwt.encode({"sub": "42"}, key._signing, algorithm=alg, headers={"kid": alg})
    assert json.loads(verify_jws(token, KeySet([key]))) == {"sub": "42"}


@table("signed", ALGORITHMS)
def test_refuses_every_other_alg_of_the_same_material(
    signed: str, keys_by_alg: dict[str, Key]
) -> None:
    token = serialize(encode_object({"alg": signed}), b"e30", keys_by_alg[signed].sign)
    for alg, key in keys_by_alg.items():
        if alg != signed:
            with pytest.raises(AlgorithmNotAllowedError):
                verify_jws(token, KeySet([key]))


@table("vector", [pytest.param(v, id=v["name"]) for v in RFCS["vectors"]])
def test_agrees_with_the_rfcs(vector: dict[str, Any]) -> None:
    key = Key.from_jwk(vector["jwk"], alg=vector["alg"])
    jws = split(vector["token"])
    assert verify_jws(vector["token"], KeySet([key])) == decode_segment(jws.payload, "payload")
    if vector["deterministic"]:
        assert serialize(jws.header, jws.payload, key.sign) == vector["token"]
    altered = "B" + vector["token"].rpartition(".")[2][1:]
    with pytest.raises(InvalidSignatureError):
        verify_jws(f"{jws.signing_input.decode()}.{altered}", KeySet([key]))


def test_refuses_the_unsecured_jws_of_rfc_7515(hs256: Key) -> None:
    with pytest.raises(AlgorithmNotAllowedError):
        verify_jws(RFCS["unsecured"]["token"], KeySet([hs256]))


@pytest.mark.skipif(not WYCHEPROOF.exists(), reason=f"Wycheproof is not there: {WYCHEPROOF}")
def test_agrees_with_wycheproof() -> None:
    disagreements = {}
    number = 0
    for group in json.loads(WYCHEPROOF.read_text("utf-8"))["testGroups"]:
        jwk = group.get("public", group["private"])
        for test in group["tests"]:
            number += 1
            if _accepts(test["jws"], jwk) != (test["result"] == "valid"):
                disagreements[test["tcId"]] = test["result"]
    # Those of conformance.md: in four the JWK's alg is not the token's, two are equal to the valid
    # 357 and marked invalid, and the last two hold a "?" and are marked valid.
    assert disagreements == {
        **dict.fromkeys((346, 347, 350, 351, 372, 373), "valid"),
        **dict.fromkeys((367, 370), "invalid"),
    }
    assert number - len(disagreements) == 393


def _accepts(token: str, jwk: dict[str, Any]) -> bool:
    try:
        verify_jws(token, KeySet([Key.from_jwk(jwk)]))
    except (InvalidTokenError, ConfigurationError):
        return False
    return True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS), inner, max_size=3)
    ),
    max_leaves=5,
)
headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]),
    st.sampled_from(["HS256", "none", "JWT"]) | json_values,
)


@given(st.one_of(st.text(CHARACTERS), st.text(alphabet="ab.-_=é\ud800"), json_values, st.binary()))
def test_splits_or_raises_malformed(token: Any) -> None:
    try:
        jws = split(token)
    except MalformedTokenError:
        return
    assert b".".join((jws.header, jws.payload, jws.signature)).decode() == token


@given(st.one_of(st.binary(), st.binary().map(encode_base64url), headers.map(header_segment)))
def test_parses_a_header_or_raises_invalid_token(segment: bytes) -> None:
    try:
        header = parse_header(segment)
    except InvalidTokenError:
        return
    assert header.alg in ALGORITHMS


@given(st.one_of(st.binary(), st.binary().map(encode_base64url), json_values.map(header_segment)))
def test_decodes_an_object_or_raises_malformed(segment: bytes) -> None:
    try:
        members = decode_object(segment, "payload")
    except MalformedTokenError:
        return
    assert isinstance(members, dict)


class TestCheckedAlgorithms:
    @pytest.mark.parametrize(
        ("algorithms", "accepted"),
        [
            pytest.param(None, None, id="none given"),
            pytest.param("RS256", ("RS256",), id="one name"),
            pytest.param(["PS256", "RS256", "PS256"], ("PS256", "RS256"), id="in their order"),
            pytest.param(
                {"ES256", "PS256", "RS512", "RS256"},
                ("RS256", "RS512", "ES256", "PS256"),
                id="a set has none",
            ),
        ],
    )
    def test_keeps_the_order(self, algorithms: Any, accepted: tuple[str, ...] | None) -> None:
        assert checked_algorithms(algorithms) == accepted

    @table(
        "algorithms", ["", "none", [], set(), ["RS256", "none"], {"none"}, [["RS256"]], 5], ids=repr
    )
    def test_refuses_what_is_not_implemented(self, algorithms: Any) -> None:
        with pytest.raises(ConfigurationError, match="algorithms must be one or more of HS256"):
            checked_algorithms(algorithms)


@table("length", [32, 63, 64, 65, 127, 128, 129, 1000])
@table("bits", [256, 384, 512])
def test_hmac_is_that_of_the_standard_library(bits: int, length: int) -> None:
    secret = bytes(range(256)) * 4
    check = signature_check(f"HS{bits}", secret[:length])
    for message in (b"", b"one", b"m" * 1000, b"one"):  # one leaves nothing behind for the next
        signature = hmac.digest(secret[:length], message, f"sha{bits}")
        assert check(message, signature)
        assert not check(message + b"!", signature)
        assert not check(message, signature[:-1])
        assert not check(message, b"")


def test_hmac_of_several_threads_are_their_own() -> None:
    check = signature_check("HS256", b"k" * 32)
    messages = [bytes([number]) * 5_000 for number in range(40)]  # long enough to release the GIL
    signed = [(one, hmac.digest(b"k" * 32, one, "sha256")) for one in messages] * 10
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda pair: check(*pair), signed))


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_ecdsa_agrees_with_pyjwt(alg: str) -> None:
    key = Key.generate(alg)
    good = key.sign(MESSAGE)
    half = len(good) // 2
    signatures = [
        *(good, b"", good[:-1], good + b"\0", b"\0" + good, good[half:] + good[:half]),
        *(bytes(2 * half), b"\xff" * (2 * half), bytes(half) + good[half:], good[:half]),
        good[:half] + bytes(half),
    ]
    answers = [key.verify(MESSAGE, signature) for signature in signatures]
    expected = [
        ALGORITHMS[alg].verify(MESSAGE, key._verifying, signature) for signature in signatures
    ]
    assert answers == expected
    assert answers.count(True) == 1
    assert not key.verify(MESSAGE + b"!", good)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_number_of_an_ecdsa_signature_has_one_length(alg: str) -> None:
    key = Key.generate(alg)
    good = key.sign(MESSAGE)
    half = len(good) // 2
    # The same two numbers, and another token.
    assert not key.verify(MESSAGE, good[:half] + b"\0" + good[half:])

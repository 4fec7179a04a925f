"""Cases 29 to 39: one spelling for each token, and a bound on everything."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwt_middleware import TokenVerifier
from jwt_middleware.errors import InvalidRequestError, InvalidTokenError
from jwt_middleware.wsgi.bearer import parse_authorization

from .support import (
    AUD,
    ISS,
    KEYS,
    NOW,
    VECTORS,
    Refusals,
    Site,
    b64,
    forge,
    good_claims,
    good_token,
    hs256,
    json_vectors,
    unb64,
)

VERIFIER = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)


def with_segment(index: int, change: Callable[[str], str]) -> str:
    """Change one segment of a good token, and sign again what was changed."""
    segments = good_token().split(".")
    segments[index] = change(segments[index])
    if index < 2:
        segments[2] = b64(hs256(".".join(segments[:2]).encode("utf-8")))
    return ".".join(segments)


@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("char", ["+", "/", " ", "\n", "?", "=", "\t", "\r", "\0", "\v", "~", "%"])
def test_case_29_character_outside_base64url(
    char: str, segment: int, position: str, site: Site, refusals: Refusals
) -> None:
    def place(text: str) -> int:
        return {"first": 0, "middle": 8, "last": len(text) - 1}[position]

    def insert(text: str) -> str:
        return text[: place(text)] + char + text[place(text) :]

    def replace(text: str) -> str:
        return text[: place(text)] + char + text[place(text) + 1 :]

    for change in (insert, replace, lambda text: text + char):
        token = with_segment(segment, change)
        with pytest.raises(InvalidTokenError):
            VERIFIER.verify(token)
        if char in " \t" and not token.startswith(" "):  # that is only a wider 1*SP
            # On the way there, RFC 6750's grammar has already seen more than one word.
            refusals.b400(site.ask(token))
        elif char not in " \t":
            refusals.r401(site, token)


@pytest.mark.parametrize("padding", ["=", "==", "===", "%3D"])
@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
def test_case_29_padding(padding: str, segment: int, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, with_segment(segment, lambda text: text + padding))


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
def test_case_32_spare_bits(segment: int, site: Site, refusals: Refusals) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # Lengths of header and payload that leave two and four spare bits; the signature has two.
    for size in range(3):
        token = forge(
            json.dumps({"alg": "HS256", "kid": "k1"}).encode() + b" " * size,
            json.dumps(good_claims()).encode() + b" " * size,
        )
        segments = token.split(".")
        spare = {0: 0, 2: 4, 3: 2}[len(segments[segment]) % 4]
        for bits in range(1, 1 << spare):
            last = alphabet[alphabet.index(segments[segment][-1]) + bits]
            changed = segments.copy()
            changed[segment] = changed[segment][:-1] + last
            if segment < 2:
                changed[2] = b64(hs256(".".join(changed[:2]).encode()))
            assert unb64(changed[segment]) == unb64(segments[segment])
            refusals.r401(site, ".".join(changed))


GOOD = json.dumps(good_claims()).encode()


@pytest.mark.parametrize(
    "payload",
    [
        *(pytest.param(text, id=repr(text)) for text in (b"[]", b'"x"', b"null", b"1", b"")),
        pytest.param(b" ", id="space"),
        pytest.param(b"[" + GOOD + b"]", id="in-an-array"),
        pytest.param(GOOD + b"{}", id="trailing-object"),
        pytest.param(GOOD + b"x", id="trailing-letter"),
        pytest.param(GOOD + b"\0", id="trailing-nul"),
        pytest.param(GOOD[:-1], id="unclosed"),
        pytest.param(GOOD[:-1] + b",}", id="trailing-comma"),
        pytest.param(GOOD[:-1] + b',"sub":"43"}', id="sub-twice"),
        pytest.param(GOOD[:-1] + b',"s\\u0075b":"43"}', id="sub-twice-escaped"),
        pytest.param(GOOD[:-1] + b',"x":{"a":1,"a":2}}', id="nested-twice"),
        pytest.param(GOOD[:-1] + b"/**/}", id="comment"),
        pytest.param(GOOD.replace(b'"', b"'"), id="single-quotes"),
        pytest.param(GOOD[:-1] + b',"x":NaN}', id="nan"),
        pytest.param(GOOD[:-1] + b',"x":-Infinity}', id="infinity"),
        pytest.param(GOOD[:-1] + b',"x":' + b"9" * 5000 + b"}", id="5000-digits"),
    ],
)
def test_case_34_payload_is_no_strict_object(
    payload: bytes, site: Site, refusals: Refusals
) -> None:
    refusals.r401(site, forge(payload=payload))


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\xff", id="invalid"),
        pytest.param(b"\xc0\xaf", id="overlong-slash"),
        pytest.param(b"\xe0\x80\xaf", id="overlong-3"),
        pytest.param(b"\xed\xa0\x80", id="encoded-surrogate"),
        pytest.param(b"\\ud800", id="escaped-surrogate"),
        pytest.param(b"\xf4\x90\x80\x80", id="beyond-unicode"),
        pytest.param(b"\xc3", id="cut-off"),
    ],
)
def test_case_35_bad_utf_8(octets: bytes, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, forge(payload=GOOD[:-1] + b',"x":"' + octets + b'"}'))
    refusals.r401(site, forge(payload=GOOD.replace(b'"sub": "42"', b'"sub": "4' + octets + b'"')))
    refusals.r401(site, forge(b'{"alg":"HS256","kid":"k1","x":"' + octets + b'"}'))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_case_35_other_encodings(encoding: str, site: Site, refusals: Refusals) -> None:
    text = GOOD.decode()
    refusals.r401(site, forge(payload=text.encode(encoding)))
    refusals.r401(site, forge('{"alg":"HS256","kid":"k1"}'.encode(encoding)))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'], ids=["arrays", "objects", "both"])
def test_case_37_deep_nesting(opening: bytes, site: Site, refusals: Refusals) -> None:
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":': b"}]"}[opening]
    for depth in (33, 1_000, 5_000, 50_000, 100_000):
        deep = opening * depth + b"1" + closing * depth
        refusals.r401(site, forge(b'{"alg":"HS256","kid":"k1","x":' + deep + b"}"))
        refusals.r401(site, forge(payload=GOOD[:-1] + b',"x":' + deep + b"}"))
        refusals.r401(site, forge(payload=opening * depth))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("." * 1_000_000, id="dots"),
        pytest.param("a" * 1_000_000, id="letters"),
        pytest.param("a." + "a" * 1_000_000 + ".a", id="payload"),
        pytest.param(".".join(["a" * 333_333] * 3), id="three"),
        pytest.param("\xe9" * 1_000_000, id="latin-1"),
    ],
)
def test_case_39_a_million_characters(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)  # warm: what is imported lazily is not this request's memory
    authorization = f"Bearer {token}"
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_AUTHORIZATION": authorization,
    }
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    body = site.middleware(environ, lambda *_: lambda _: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert body
    assert peak - before < 5_000_000
    # Nothing is kept of them, however many come.
    assert len(site.verifier._cache) == 1


def test_case_39_refused_tokens_are_not_remembered(site: Site) -> None:
    for number in range(50):
        site.ask(forge({"alg": "HS256", "kid": "k1", "n": number}, sign=lambda _: b"\0" * 32))
    assert len(site.verifier._cache) == 0
    (trusted,) = site.verifier.trusted.values()
    assert trusted._known_headers == {}


@pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/vectors is not there")
def test_json_test_suite_as_token_segments(site: Site, refusals: Refusals) -> None:
    seen = 0
    for name, document, valid in json_vectors():
        seen += 1
        if valid and document.strip()[:1] == b"{":
            continue  # an object: may be a header or payload, and is judged by its members
        for token in (forge(document), forge(payload=document)):
            answer = site.ask(token)
            assert answer.status_int == 401, name
    assert seen == 283
    assert site.calls == []


@given(st.text(st.characters(max_codepoint=0x10FFFF, exclude_categories=())))
def test_any_string_is_refused_by_one_of_our_errors(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        VERIFIER.verify(text)


@given(st.binary(max_size=64), st.binary(max_size=64), st.binary(max_size=40))
def test_any_three_segments_are_refused(header: bytes, payload: bytes, signature: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        VERIFIER.verify(".".join(map(b64, (header, payload, signature))))


@given(st.data())
@settings(max_examples=300)
def test_any_change_to_a_good_token_is_refused(data: st.DataObject) -> None:
    token = good_token()
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.characters(max_codepoint=255))
    changed = token[:at] + char + token[at + data.draw(st.integers(0, 1)) :]
    if changed != token:
        with pytest.raises(InvalidTokenError):
            VERIFIER.verify(changed)


AUTHORIZATION = st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.lists(
        st.sampled_from(["Bearer", "bearer", "BEARER", "Basic", " ", "\t", ",", "a.b.c", "=", "x"])
    ).map("".join),
)


@given(AUTHORIZATION)
def test_any_authorization_gives_a_token_or_none_or_invalid_request(value: str) -> None:
    try:
        token = parse_authorization(value)
    except InvalidRequestError:
        return
    if token is not None:
        assert value.lower().startswith("bearer ")
        assert value.endswith(token)
        assert not set(token) & set(" \t,")
        assert token

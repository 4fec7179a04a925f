from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jwt_middleware.core.encoding import (
    MAX_JSON_DEPTH,
    decode_base64url,
    encode_base64url,
    parse_json,
)

from ..strategies import CHARACTERS
from ..table import table

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
JSON_TEST_SUITE = Path(__file__).parents[3] / "shared" / "vectors" / "json_test_suite.json"


@table(
    ("octets", "segment"),
    [
        pytest.param(b"", b"", id="empty"),
        pytest.param(b"f", b"Zg", id="one-octet"),
        pytest.param(b"fo", b"Zm8", id="two-octets"),
        pytest.param(b"foo", b"Zm9v", id="three-octets"),
        pytest.param(b"foob", b"Zm9vYg", id="four-octets"),
        pytest.param(b"\xfb\xef\xbe\xff", b"----_w", id="minus-and-underscore"),
    ],
)
def test_encodes_and_decodes(octets: bytes, segment: bytes) -> None:
    assert encode_base64url(octets) == segment
    assert decode_base64url(segment) == octets


@table(
    "segment",
    [
        pytest.param(b"Zg==", id="padded"),
        pytest.param(b"Zg=", id="half-padded"),
        pytest.param(b"Zm9v====", id="padding-alone"),
        pytest.param(b"++++", id="plus"),
        pytest.param(b"////", id="slash"),
        pytest.param(b"-+_/", id="both-alphabets"),
        pytest.param(b"-A==", id="padded-and-a-minus"),
        pytest.param(b"Zm 9v", id="space"),
        pytest.param(b"Zm9v\n", id="newline-behind"),
        pytest.param(b"\nZm9v", id="newline-before"),
        pytest.param(b"Zm9\tvYmF", id="tab"),
        pytest.param(b"Zm?v", id="question-mark"),
        pytest.param(b"Zm9v!", id="exclamation-mark"),
        pytest.param(b"Zm9\x00", id="nul"),
        pytest.param(b"Zm9\xc3\xa9vYm", id="not-ascii"),
        pytest.param(b"Z", id="one-character"),
        pytest.param(b"Zm9vY", id="four-and-one-characters"),
    ],
)
def test_refuses_what_is_not_base64url(segment: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the class is the contract, not the text
        decode_base64url(segment)


@pytest.mark.parametrize(("head", "canonical"), [(b"A", b"AQgw"), (b"AA", b"AEIMQUYcgkosw048")])
def test_refuses_each_last_character_with_spare_bits(head: bytes, canonical: bytes) -> None:
    for last in ALPHABET:
        segment = head + bytes([last])
        if last in canonical:
            assert encode_base64url(decode_base64url(segment)) == segment
        else:
            with pytest.raises(ValueError, match="canonical"):
                decode_base64url(segment)


@given(st.binary(max_size=200))
def test_decodes_what_it_encoded(octets: bytes) -> None:
    assert decode_base64url(encode_base64url(octets)) == octets


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(ALPHABET)).map(bytes)))
def test_accepts_one_spelling_of_each_value(segment: bytes) -> None:
    try:
        octets = decode_base64url(segment)
    except ValueError:
        return
    assert encode_base64url(octets) == segment


@table(
    ("document", "value"),
    [
        pytest.param(b"{}", {}, id="empty-object"),
        pytest.param(b' \t\r\n{"a":1}\n', {"a": 1}, id="white-space-around"),
        pytest.param('"é 漢 😀"'.encode(), "é 漢 😀", id="utf-8"),
        pytest.param(rb'"\u00e9\ud83d\ude00"', "é😀", id="escapes-and-a-surrogate-pair"),
        pytest.param(rb'"\\ud800"', r"\ud800", id="an-escaped-backslash-before-u"),
        pytest.param(b'{"a":1,"A":2,"a ":3}', {"a": 1, "A": 2, "a ": 3}, id="alike-names"),
        pytest.param(b'[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}], id="a-name-once-an-object"),
        pytest.param(b"1e400", inf, id="beyond-a-float"),
        pytest.param(b"null", None, id="null"),
    ],
)
def test_parses_json(document: bytes, value: object) -> None:
    assert parse_json(document) == value


@table(
    "document",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" \n", id="white-space"),
        pytest.param(b"{}{}", id="two-values"),
        pytest.param(b"{} x", id="text-behind"),
        pytest.param(b"{}\x00", id="nul-behind"),
        pytest.param(b"{}\xc2\xa0", id="no-break-space-behind"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
        pytest.param("{}".encode("utf-16"), id="utf-16"),
        pytest.param("{}".encode("utf-16-le"), id="utf-16-without-mark"),
        pytest.param(b'"\xff"', id="invalid-utf-8"),
        pytest.param(b'"\xc0\xaf"', id="overlong-utf-8"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate-in-utf-8"),
        pytest.param(rb'"\ud800"', id="lone-high-surrogate"),
        pytest.param(rb'"\udc00\ud800"', id="reversed-surrogates"),
        pytest.param(rb'{"\udfff":1}', id="lone-surrogate-in-a-name"),
        pytest.param(rb'[[{"a":["\uDC00"]}]]', id="lone-surrogate-within"),
        pytest.param(b'{"a":1,"a":1}', id="duplicate-member"),
        pytest.param(rb'{"a":1,"\u0061":2}', id="duplicate-member-escaped"),
        pytest.param(b'[{"b":{"a":1,"a":2}}]', id="duplicate-member-within"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b'{"exp":Infinity}', id="infinity"),
        pytest.param(b"[-Infinity]", id="minus-infinity"),
        pytest.param(b'"a\nb"', id="control-character-in-a-string"),
        pytest.param(b"{'a':1}", id="single-quotes"),
        pytest.param(b"[1,]", id="trailing-comma"),
        pytest.param(b"01", id="leading-zero"),
        pytest.param(b"9" * 5000, id="more-digits-than-python-converts"),
        pytest.param(b"9" * 5000 + b".0", id="as-many-before-a-point"),
    ],
)
def test_refuses_what_is_not_strict_json(document: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the class is the contract, not the text
        parse_json(document)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        pytest.param(b"[", b"]", id="arrays"),
        pytest.param(b'{"a":', b"}", id="objects"),
        pytest.param(b'[{"[":', b"}]", id="both-and-a-bracket-in-a-name"),
    ],
)
def test_bounds_the_depth(opening: bytes, closing: bytes) -> None:
    levels = MAX_JSON_DEPTH // (2 if opening.startswith(b"[{") else 1)
    deepest = opening * levels + b"1" + closing * levels
    assert parse_json(deepest)
    with pytest.raises(ValueError, match="nested deeper than 32"):
        parse_json(b"[" + deepest + b"]")


@pytest.mark.parametrize("depth", [100, 1_000, 100_000])
def test_refuses_a_depth_that_would_exhaust_the_stack(depth: int) -> None:
    for document in (
        b"[" * depth,
        b'{"a":' * depth,
        b"[" * depth + b"]" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
    ):
        with pytest.raises(ValueError, match=r"nested deeper|not strict JSON"):
            parse_json(document)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([[]] * 40, id="side-by-side"),
        pytest.param(["[" * 40, {"{" * 40: "]}"}], id="in-strings"),
        pytest.param(['"' + "[" * 40, "\\", "[" * 40], id="behind-escapes"),
        pytest.param(["[", "]", "[[", "{}", "[]"] * 20, id="in-strings-side-by-side"),
    ],
)
def test_counts_only_brackets_that_nest(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@table("text", ["]", "}", "]" * 40, '"]', "\\", '\\"]', "", "[", "[]"])
def test_no_bracket_in_a_string_hides_one_that_nests(text: str) -> None:
    string = json.dumps(text).encode()
    nested = (b"[" + string + b",") * 33 + string + b"]" * 33
    assert json.loads(nested)
    with pytest.raises(ValueError, match="nested deeper"):
        parse_json(nested)


def test_counts_brackets_behind_an_escaped_backslash() -> None:
    with pytest.raises(ValueError, match="nested deeper"):
        parse_json(b'["\\\\",' + b"[" * 40 + b"]" * 41)


@table(
    "document",
    [
        b'["hunter2", "\xff"]',
        rb'["hunter2", "\ud800"]',
        b'["hunter2"',
        b'"hunter2" x',
        b'{"hunter2":1,"hunter2":1}',
        b'{"a":' * 33 + b'"hunter2"' + b"}" * 33,
    ],
)
def test_errors_do_not_quote_the_document(document: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its text is looked at below
        parse_json(document)
    cause = caught.value.__cause__
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "hunter2" not in f"{caught.value!r} {caught.value} {cause!r} {cause}"


def reference(document: bytes) -> object:
    """Read JSON slowly, by the standard library: what :func:`parse_json` must agree with."""
    value = json.loads(
        document.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
    )
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails with a lone surrogate
    if _depth(value) > MAX_JSON_DEPTH:
        raise ValueError("too deep")
    return value


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("duplicate")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def outcome(read: Any, document: bytes) -> str:
    """Return what *read* makes of *document*; unlike the value it tells 1 from 1.0 and True."""
    try:
        return repr(read(document))
    except (ValueError, RecursionError):
        return "refused"


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(CHARACTERS, max_size=8)
    | st.text(alphabet='[]{}"\\/\b\ud83d\ude00\ud800é漢', max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS, max_size=3), inner),
    max_leaves=12,
)
_DOCUMENTS = st.builds(
    lambda value, ascii_only, spaced: json.dumps(
        value, ensure_ascii=ascii_only, separators=(", ", ": ") if spaced else (",", ":")
    ).encode("utf-8", "surrogatepass"),
    _VALUES,
    st.booleans(),
    st.booleans(),
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Return a document with a few octets of it replaced, left out or put in."""
    document = bytearray(draw(_DOCUMENTS))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(document)))
        end = min(len(document), begin + draw(st.integers(0, 2)))
        document[begin:end] = draw(
            st.binary(max_size=2) | st.sampled_from(JSON_FRAGMENTS) | st.just(document[:6])
        )
    return bytes(document)


JSON_FRAGMENTS = [
    *(b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\", b"\\u", b"\\ud800", b"\\udc00", b'"a":1,'),
    *(
        b" ",
        b"\t",
        b"\n",
        b"\r",
        b"\f",
        b"\0",
        b"\xc2\xa0",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xff",
    ),
    *(b"-", b"+", b".", b"0", b"00", b"1", b"e", b"E", b"e400", b"e-400", b"1e23", b"NaN", b"null"),
    *(b"Infinity", b"-Infinity", b"true", b"//", b"/**/", b"'", b"[" * 33, b"]" * 33, b'{"":' * 31),
]
_FRAGMENTS = st.lists(st.sampled_from(JSON_FRAGMENTS), max_size=12).map(b"".join)


@given(_DOCUMENTS | _damaged() | _FRAGMENTS | st.binary(max_size=40))
@example(b"[" * 33)
@example(rb'{"\ud800":1}')
@example(b"[" * 33 + b"]" * 33)
@example(b'{"a":' * 32 + b"1e400" + b"}" * 32)
@example(b"-0")
@example(b"-0.0")
@example(b"2.2250738585072011e-308")
@example(b"9007199254740993.0")
@example(b"0." + b"1" * 800)
@example(b"1" * 4300)
@example(b"1" * 4301)
@example(b"-" + b"1" * 4300)
@example(b"-" + b"1" * 4301)
@example(b"1" * 400 + b".0")
def test_agrees_with_a_slow_reader(document: bytes) -> None:
    assert outcome(parse_json, document) == outcome(reference, document)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reads_each_float_exactly(number: float) -> None:
    for text in (repr(number), f"{number:.17e}", f"{number:.30e}", f"{number:.3f}"):
        assert outcome(parse_json, text.encode()) == outcome(reference, text.encode())


@pytest.mark.skipif(
    not JSON_TEST_SUITE.exists(), reason=f"JSONTestSuite is not there: {JSON_TEST_SUITE}"
)
def test_agrees_with_json_test_suite() -> None:
    documents = json.loads(JSON_TEST_SUITE.read_text("utf-8"))
    disagreements = {
        document["name"]
        for document in documents
        if document["valid"] != _parses(base64.b64decode(document["base64"]))
    }
    assert len(documents) == 283
    for document in documents:
        octets = base64.b64decode(document["base64"])
        assert outcome(parse_json, octets) == outcome(reference, octets), document["name"]
    # RFC 8259 §4 lets a reader take duplicate members; RFC 7519 §4 lets a JWT's reader refuse them.
    assert disagreements == {
        "y_object_duplicated_key.json",
        "y_object_duplicated_key_and_value.json",
    }


def _parses(document: bytes) -> bool:
    try:
        parse_json(document)
    except ValueError:
        return False
    return True

"""
Strict base64url and JSON: one spelling for each value, and a bound on everything.

Both readers raise ``ValueError`` for whatever they refuse, and nothing else.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from typing import NoReturn

MAX_JSON_DEPTH = 32
"""Nested arrays and objects, counted together; a JWT needs three or four."""

# "+", "/" and "=" belong to other alphabets: they become "!", which no base64 reader accepts.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_BASE64URL = bytes.maketrans(b"+/", b"-_")

# By length modulo 4: the padding that was left out, and the last characters whose spare bits are
# zero.  A length of 4n + 1 encodes nothing, hence it may end in no character.
_PADDING = (b"", b"", b"==", b"=")
_CANONICAL_LAST = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")

_JSON_SPACE = " \t\n\r"
# The closing quote is optional, so that an unclosed string is passed over once and not once more
# from each escaped quote in it: 12 KB of \" would take half a second.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_base64url(segment: bytes) -> bytes:
    """
    Decode base64url without padding.

    Refuses padding, white space, other alphabets and non-zero spare bits, so that no two segments
    decode to the same bytes.  Source: RFC 7515 §2, RFC 4648 §3.5 and §5.
    """
    remainder = len(segment) & 3
    if remainder and segment[-1] not in _CANONICAL_LAST[remainder]:
        raise ValueError("not canonical base64url")
    return a2b_base64(segment.translate(_TO_BASE64) + _PADDING[remainder], strict_mode=True)


def encode_base64url(octets: bytes) -> bytes:
    """Encode to base64url without padding.  Source: RFC 7515 §2."""
    return b2a_base64(octets, newline=False).rstrip(b"=").translate(_TO_BASE64URL)


def parse_json(document: bytes) -> object:
    """
    Read one JSON text.

    Refuses anything but UTF-8, a byte order mark, duplicate members, ``NaN`` and ``Infinity``,
    lone surrogates, and nesting beyond :data:`MAX_JSON_DEPTH`.  A number too large for a float
    becomes an infinity, as in :mod:`json`: whoever uses numbers asks for finite ones.
    Source: RFC 8259, RFC 7493 (I-JSON), RFC 7519 §4 for duplicates.
    """
    try:
        text = document.decode("utf-8").strip(_JSON_SPACE)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None  # its repr holds the whole document
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH:
        _check_depth(text)
    value, end = _decoder.raw_decode(text)
    if end != len(text):
        raise ValueError("text after the JSON value")
    if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("lone surrogate")
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")
        elif first in "]}":
            depth -= 1


def _unique_members(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_refuse_constant)

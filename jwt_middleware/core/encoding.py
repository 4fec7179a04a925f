"""
Strict base64url and JSON: one spelling for each value, and a bound on everything.

Both readers raise ``ValueError`` for whatever they refuse, and nothing else.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from typing import Final

from jiter import from_json

MAX_JSON_DEPTH: Final = 32
"""Nested arrays and objects, counted together; a JWT needs three or four."""

MAX_UNSIGNED_VALUES: Final = 64
"""Members and items, at any depth, of what is read before a signature is checked."""

_DIGITS: Final = 200  # far beyond a float's: a longer number takes time to read

_MINUS, _UNDERSCORE, _PLUS, _SLASH, _EQUALS, _QUOTE, _BACKSLASH = b'-_+/="\\'
# "+", "/" and "=" belong to other alphabets: they become "!", which no base64 reader accepts.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_BASE64URL: Final = bytes.maketrans(b"+/", b"-_")

# By length modulo 4: the padding that was left out, and the last characters whose spare bits are
# zero.  A length of 4n + 1 encodes nothing, hence it may end in no character.
_PADDING: Final = (b"", b"", b"==", b"=")
_CANONICAL_LAST: Final = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")

# What nesting can be told by is left of a document: quotes, and brackets as if all were square.
_NESTING: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(set(range(256)) - set(b'"[]{}'))
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_STRING: Final = re.compile(rb'"[^"]*"')


def decode_base64url(segment: bytes) -> bytes:
    """
    Decode base64url without padding.

    Refuses padding, white space, other alphabets and non-zero spare bits, so that no two segments
    decode to the same bytes.  Source: RFC 7515 §2, RFC 4648 §3.5 and §5.
    """
    remainder = len(segment) & 3
    if remainder and segment[-1] not in _CANONICAL_LAST[remainder]:
        raise ValueError("not canonical base64url")
    if _MINUS in segment or _UNDERSCORE in segment:
        segment = segment.translate(_TO_BASE64)
    elif _PLUS in segment or _SLASH in segment or _EQUALS in segment:
        raise ValueError("not canonical base64url")
    return a2b_base64(segment + _PADDING[remainder], strict_mode=True)


def encode_base64url(octets: bytes) -> bytes:
    """Encode to base64url without padding.  Source: RFC 7515 §2."""
    return b2a_base64(octets, newline=False).rstrip(b"=").translate(_TO_BASE64URL)


def parse_json(document: bytes) -> object:
    """
    Read one JSON text.

    Refuses anything but UTF-8, a byte order mark, duplicate members, ``NaN`` and ``Infinity``,
    lone surrogates, and nesting beyond :data:`MAX_JSON_DEPTH`.  A number too large for a float
    becomes an infinity, as in :mod:`json`: what uses a number checks that it is finite.
    Source: RFC 8259, RFC 7493 (I-JSON), RFC 7519 §4 for duplicates.
    """
    return parse_counted(document)[0]


def parse_counted(document: bytes) -> tuple[object, int]:
    """Do what :func:`parse_json` does; return how many brackets open in the text as well."""
    try:
        value = from_json(
            document, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys"
        )
    except ValueError:
        raise ValueError("not strict JSON") from None  # jiter's error may quote the document
    brackets = document.count(b"[") + document.count(b"{")  # in strings as well
    if brackets > MAX_JSON_DEPTH:
        _check_depth(document)
    return value, brackets


def parse_bounded(document: bytes) -> object:
    """
    Do what :func:`parse_json` does with what may not be signed, unless it would take long.

    Refuses very long numbers as well, and more than :data:`MAX_UNSIGNED_VALUES`: counted by commas
    and brackets, in strings as well.
    """
    if document.count(b",") + document.count(b"[") + document.count(b"{") > MAX_UNSIGNED_VALUES:
        raise ValueError(f"more than {MAX_UNSIGNED_VALUES} values")
    # Twice as many digits always fill one of these; a regular expression would try each anew.
    if any(document[at : at + _DIGITS].isdigit() for at in range(0, len(document), _DIGITS)):
        raise ValueError("a number of too many digits")
    return parse_json(document)


def _check_depth(document: bytes) -> None:
    """Take the innermost brackets off a valid JSON text, as often as it may be deep."""
    if _BACKSLASH in document:
        document = _ESCAPE.sub(b"", document)
    # A string without brackets is two quotes by now: what is left of the others has some.
    brackets = document.translate(_NESTING, _OTHERS).replace(b'""', b"")
    if _QUOTE in brackets:
        brackets = _STRING.sub(b"", document.translate(_NESTING, _OTHERS))
    for _ in range(MAX_JSON_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")

"""
Strict, bounded base64url and JSON.

Both decoders raise only ``ValueError``.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from typing import Final

from jiter import from_json

MAX_JSON_DEPTH: Final = 32
"""Maximum nesting of arrays and objects; a JWT needs three or four levels."""

MAX_UNSIGNED_VALUES: Final = 64
"""Maximum number of members and items in JSON that is read before the signature check."""

_DIGITS: Final = 200  # far more than a float has; longer numbers are slow to parse

_MINUS, _UNDERSCORE, _PLUS, _SLASH, _EQUALS, _QUOTE, _BACKSLASH = b'-_+/="\\'
# "+", "/" and "=" belong to other alphabets: they become "!", which no base64 decoder accepts.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_BASE64URL: Final = bytes.maketrans(b"+/", b"-_")

# By length modulo 4: the omitted padding, and the allowed last characters, whose spare bits are
# zero.  A length of 4n + 1 is invalid, so no last character is allowed.
_PADDING: Final = (b"", b"", b"==", b"=")
_CANONICAL_LAST: Final = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")

# Keeps only what shows nesting: quotes, and all brackets as square ones.
_NESTING: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(set(range(256)) - set(b'"[]{}'))
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_STRING: Final = re.compile(rb'"[^"]*"')


def decode_base64url(segment: bytes) -> bytes:
    """
    Decode base64url without padding.

    Refuses padding, white space, other alphabets and non-zero spare bits, so that each value has
    exactly one encoding.  Source: RFC 7515 §2, RFC 4648 §3.5 and §5.
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
    Parse a JSON text.

    Refuses anything but UTF-8, a byte order mark, duplicate members, ``NaN`` and ``Infinity``, lone
    surrogates, and nesting beyond :data:`MAX_JSON_DEPTH`.  A number too large for a float becomes
    infinity, as in :mod:`json`: callers check that numbers are finite.  Source: RFC 8259, RFC 7493
    (I-JSON), RFC 7519 §4 for duplicates.
    """
    return parse_counted(document)[0]


def parse_counted(document: bytes) -> tuple[object, int]:
    """Like :func:`parse_json`; also return the number of opening brackets in the text."""
    try:
        value = from_json(
            document, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys"
        )
    except ValueError:
        raise ValueError("not strict JSON") from None  # jiter's error may quote the document
    brackets = document.count(b"[") + document.count(b"{")  # including those in strings
    if brackets > MAX_JSON_DEPTH:
        _check_depth(document)
    return value, brackets


def parse_bounded(document: bytes) -> object:
    """
    Like :func:`parse_json`, for unverified input, with a bound on the time.

    Also refuses very long numbers, and more than :data:`MAX_UNSIGNED_VALUES`, counted by commas and
    brackets, including those in strings.
    """
    if document.count(b",") + document.count(b"[") + document.count(b"{") > MAX_UNSIGNED_VALUES:
        raise ValueError(f"more than {MAX_UNSIGNED_VALUES} values")
    # Twice as many digits always fill one aligned block; a regular expression would be quadratic.
    if any(document[at : at + _DIGITS].isdigit() for at in range(0, len(document), _DIGITS)):
        raise ValueError("a number has too many digits")
    return parse_json(document)


def _check_depth(document: bytes) -> None:
    """Check the depth of valid JSON by removing innermost brackets up to the limit."""
    if _BACKSLASH in document:
        document = _ESCAPE.sub(b"", document)
    # Strings without brackets are two quotes by now; other strings still contain brackets.
    brackets = document.translate(_NESTING, _OTHERS).replace(b'""', b"")
    if _QUOTE in brackets:
        brackets = _STRING.sub(b"", document.translate(_NESTING, _OTHERS))
    for _ in range(MAX_JSON_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")

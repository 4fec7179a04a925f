"""In which ways we are stricter than others on purpose, each by its name."""

from __future__ import annotations

import codecs
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jwt.utils import base64url_decode, base64url_encode

from jwt_middleware.core.encoding import MAX_JSON_DEPTH
from jwt_middleware.core.jws import MAX_TOKEN_CHARS

from .mutations import NOW
from .subject import KEYS

_KIDS: Final = {key.kid for key in KEYS}
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*")
_OTHERS: Final = {"at_hash", "c_hash", "events"}
_ACCESS: Final[Mapping[str, set[str]]] = {
    "typ": {"bearer", "jwt", "at+jwt", "access"},
    "token_use": {"access"},
    "token_type": {"access", "access_token", "bearer"},
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A token as a lax reader reads it."""

    token: str
    segments: list[str]
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    octets: list[bytes]
    texts: list[str]


def read(token: str) -> Reading:
    """Read *token* as laxly as others do: invalid characters are skipped, the last member wins."""
    segments = token.split(".")
    octets = [base64url_decode(one.encode()) for one in segments[:2]]
    # As json.loads() does with bytes.
    texts = [one.decode(json.detect_encoding(one), "surrogatepass") for one in octets]
    header, claims = (json.loads(text) for text in texts)
    return Reading(token, segments, header, claims, octets, texts)


def name_of(token: str) -> str | None:
    """Return the first strictness that refuses *token*, or ``None``."""
    reading = read(token)
    return next((name for name, applies in STRICTNESSES.items() if applies(reading)), None)


def _has_duplicates(reading: Reading) -> bool:
    found = False

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) != len(pairs)
        return dict(pairs)

    for text in reading.texts:
        json.loads(text, object_pairs_hook=note)
    return found


def _has_constants(reading: Reading) -> bool:
    constants: list[str] = []
    for text in reading.texts:
        json.loads(text, parse_constant=constants.append)
    return bool(constants)


def _depth(value: Any) -> int:
    # Level by level: a reader that knows no bound may have gone deeper than functions can.
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [
            child for one in level for child in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


def _is_date(value: Any) -> bool:
    return type(value) in {int, float} and abs(value) <= sys.float_info.max


def _has_odd_date(reading: Reading) -> bool:
    dates = [reading.claims[name] for name in ("exp", "nbf", "iat") if name in reading.claims]
    return not all(map(_is_date, dates))


def _is_immature(reading: Reading) -> bool:
    return any(reading.claims.get(name, 0) > NOW for name in ("nbf", "iat"))


def _has_odd_subject(reading: Reading) -> bool:
    subject = reading.claims.get("sub")
    odd = {"Cc", "Zl", "Zp", "Cs"}
    return (
        not isinstance(subject, str)
        or not subject
        or any(unicodedata.category(one) in odd for one in subject)
    )


def _has_surrogates(reading: Reading) -> bool:
    whole = json.dumps([reading.header, reading.claims], ensure_ascii=False)
    return any(unicodedata.category(one) == "Cs" for one in whole)


def _has_odd_type(reading: Reading) -> bool:
    typ = reading.header.get("typ", "JWT")
    known = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}
    return not isinstance(typ, str) or typ.lower() not in known


def _is_for_another_use(reading: Reading) -> bool:
    claims = reading.claims
    return (
        not _OTHERS.isdisjoint(claims)
        or any(
            name in claims and str(claims[name]).lower() not in accepted
            for name, accepted in _ACCESS.items()
        )
        or str(claims.get("type")) in {"refresh", "id"}
    )


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_respelled(reading: Reading) -> bool:
    return any(
        len(one) % 4 == 1 or base64url_encode(base64url_decode(one.encode())).decode() != one
        for one in reading.segments
    )


def _has_odd_audience(reading: Reading) -> bool:
    audience = reading.claims.get("aud")
    members = audience if isinstance(audience, list) else [audience]
    return not all(isinstance(one, str) for one in members)


STRICTNESSES: Final[Mapping[str, Callable[[Reading], bool]]] = {
    "longer than is read": lambda it: len(it.token) > MAX_TOKEN_CHARS,
    "padding": lambda it: "=" in it.token,
    "characters outside base64url": lambda it: not all(map(_ALPHABET.fullmatch, it.segments)),
    "spare bits that are not zero": _is_respelled,
    "byte order mark": lambda it: any(one.startswith(codecs.BOM_UTF8) for one in it.octets),
    "not UTF-8": lambda it: not all(map(_is_utf8, it.octets)),
    "duplicate members": _has_duplicates,
    "NaN or Infinity": _has_constants,
    "nesting": lambda it: max(_depth(it.header), _depth(it.claims)) > MAX_JSON_DEPTH,
    "lone surrogates": _has_surrogates,
    "critical extensions": lambda it: bool({"crit", "b64"} & it.header.keys()),
    "a kid that names no key": lambda it: it.header.get("kid", next(iter(_KIDS))) not in _KIDS,
    "typ of another kind of token": _has_odd_type,
    "claims of another kind of token": _is_for_another_use,
    "dates that are no finite numbers": _has_odd_date,
    "from the future": _is_immature,
    "expired, whole seconds or not": lambda it: it.claims["exp"] <= NOW,
    "subject that is no printable text": _has_odd_subject,
    "jti that is no string": lambda it: not isinstance(it.claims.get("jti", ""), str),
    "aud that is not all strings": _has_odd_audience,
}
"""Name to what it applies to, tried in this order."""

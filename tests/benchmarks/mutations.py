"""Tokens that are nearly good: from the same seed always the same ones."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any, Final

from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.jws import serialize

from .subject import AUDIENCE, ISSUER, KEYS

NOW: Final = 1_800_000_000

_KEY: Final = next(iter(KEYS))
_BASE64URL: Final = string.ascii_letters + string.digits + "-_"
_ODD_CHARACTERS: Final = _BASE64URL + "+/=.!~ \n\t\x00é\u2028"
_ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1e400, 10**400, 1.5, "", "42", "é", "a\nb", "\ud800"),
    *([], {}, ["api"], ["api", 1], [[]], {"a": [1]}, NOW, NOW + 60, NOW - 60, str(NOW + 60)),
    *(AUDIENCE, ISSUER, "access", "refresh", "id", "Bearer", float("nan")),
)
_ODD_HEADER_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 1, "", "HS256", "hs256", "none", "HS512", "RS256", "JWT", "at+jwt", "jwt"),
    *("application/at+jwt", "JOSE", "dpop+jwt", "logout+jwt", _KEY.kid, "other", ["exp"], [], {}),
)
_CLAIMS: Final = (
    *("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "scope", "token_type", "token_use", "type"),
    *("typ", "events", "at_hash", "extra"),
)
_HEADERS: Final = ("alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u", "cty", "zip", "extra")


def mutated_tokens(count: int, *, seed: int) -> Iterator[str]:
    """Yield *count* tokens, each different from a good one in one to three ways."""
    chance = random.Random(seed)  # noqa: S311  it has to be repeatable, not secret
    for _ in range(count):
        yield _mutated(chance)


def _mutated(chance: random.Random) -> str:
    header: dict[str, Any] = {"typ": "at+jwt", "alg": "HS256", "kid": _KEY.kid}
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "42",
        "exp": NOW + 60,
        "nbf": NOW,
        "iat": NOW,
        "jti": "token-1",
        "scope": "read write",
    }
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        if chance.random() < 0.4:
            _change_member(chance, header, _HEADERS, _ODD_HEADER_VALUES)
        else:
            _change_member(chance, claims, _CLAIMS, _ODD_VALUES)
    texts = [_as_text(chance, members) for members in (header, claims)]
    if chance.random() < 0.4:
        which = chance.randrange(2)
        texts[which] = chance.choice(_TEXT_MUTATIONS)(chance, texts[which])
    segments = [encode_base64url(text.encode("utf-8", "surrogatepass")) for text in texts]
    if chance.random() < 0.15:
        which = chance.randrange(2)
        segments[which] = _respelled(chance, segments[which].decode()).encode()
    token = serialize(segments[0], segments[1], _KEY.sign)
    return _with_its_end_changed(chance, token)


def _change_member(
    chance: random.Random, members: dict[str, Any], names: tuple[str, ...], values: tuple[Any, ...]
) -> None:
    name = chance.choice(names)
    if chance.random() < 0.15:
        members.pop(name, None)
    else:
        members[name] = chance.choice(values)


def _as_text(chance: random.Random, members: dict[str, Any]) -> str:
    return json.dumps(
        members,
        ensure_ascii=chance.random() < 0.5,
        separators=chance.choice(((",", ":"), (", ", ": "))),
    )


def _with_its_end_changed(chance: random.Random, token: str) -> str:
    """Change what no signature covers: the signature, its spelling, the number of segments."""
    fate = chance.random()
    if fate < 0.6:
        return token
    head, _, signature = token.rpartition(".")
    if fate < 0.85:
        return f"{head}.{_respelled(chance, signature)}"
    if fate < 0.95:
        return _one_character_changed(chance, token)
    ends = (head, head + ".", token + ".", token + "." + signature, "." + token)
    return chance.choice(ends)


def _respelled(chance: random.Random, segment: str) -> str:
    """Spell a base64url segment otherwise, in a way that a lax reader reads the same."""
    last = _BASE64URL.find(segment[-1:])
    place = chance.randrange(len(segment) + 1)
    spellings: tuple[str, ...] = (
        segment + "=" * (-len(segment) % 4),
        segment + "=",
        segment + "==",
        segment[:-1] + _BASE64URL[last ^ 1],
        segment[:place] + chance.choice("!~ \n\t") + segment[place:],
        segment.replace("-", "+").replace("_", "/"),
    )
    return chance.choice(spellings)


def _one_character_changed(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text))
    kept = chance.choice((place, place + 1))
    other: str = chance.choice(["", *_ODD_CHARACTERS])
    return text[:place] + other + text[kept:]


def _duplicate(chance: random.Random, text: str) -> str:
    name = chance.choice((*_CLAIMS, *_HEADERS))
    value = json.dumps(chance.choice(("HS256", _KEY.kid, ISSUER, AUDIENCE, "42", NOW + 60, "x")))
    member = f"{json.dumps(name)}: {value}"
    if chance.random() < 0.5:
        return "{" + member + ", " + text[1:]
    return text[:-1] + ", " + member + "}"


def _nested(chance: random.Random, text: str) -> str:
    depth = chance.choice((2, 30, 31, 32, 33, 100, 2000))
    inner = "[" * depth + "]" * depth
    return text[:-1] + f', "deep": {inner}}}'


def _nested_duplicate(_chance: random.Random, text: str) -> str:
    return text[:-1] + ', "deep": [{"a": 1, "a": 2}]}'


def _escaped(chance: random.Random, text: str) -> str:
    place = chance.randrange(1, len(text))
    character = text[place]
    return text[:place] + f"\\u{ord(character):04x}" + text[place + 1 :]


def _surrounded(chance: random.Random, text: str) -> str:
    around = chance.choice((" ", "\n\t", "\ufeff", "\x00", "\x0b", "\u00a0"))
    return chance.choice((around + text, text + around, text + "{}", text + text))


def _long(chance: random.Random, text: str) -> str:
    return text[:-1] + ', "long": "' + "x" * chance.choice((100, 11_000, 12_500, 20_000)) + '"}'


def _odd_number(chance: random.Random, text: str) -> str:
    number = chance.choice(("NaN", "Infinity", "-Infinity", "1e400", "01", "1.", "-0", "9" * 5000))
    return text[:-1] + f', "number": {number}}}'


_TEXT_MUTATIONS: Final[tuple[Callable[[random.Random, str], str], ...]] = (
    *(_one_character_changed, _duplicate, _duplicate, _nested, _nested_duplicate, _escaped),
    *(_surrounded, _long, _odd_number),
)

"""How cost grows: the same operation over n issuers, keys, tokens or nested claims."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Final

from jwt_middleware import Key, KeySet, TokenVerifier, TrustedIssuer
from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.jws import decode_segment, encode_object, serialize, split
from jwt_middleware.errors import InvalidTokenError

from .subject import AUDIENCE, ISSUER, KEYS, new_tokens, verifier_for
from .table import Row
from .timing import Batch, Case, interleaved, over_all

TOKENS: Final = 60
_MOST_CHARS: Final = 16_000


@dataclass(frozen=True, slots=True)
class Growth:
    """
    One line of the table.

    Attributes:
        measured: What is done.
        by: What there is more of, from size to size.
        sizes: How many; what the first costs is 1.
        case: Makes the case for a size.
        at_most: How many times the first the last may cost; ``None`` where it is only reported.
    """

    measured: str
    by: str
    sizes: Sequence[int]
    case: Callable[[int], Case]
    at_most: float | None = None


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure every line, its sizes interleaved, and what unsigned and nested tokens cost."""
    for growth in GROWTHS:
        yield from _sizes(growth, rounds)
    yield from _new_nested(rounds)
    yield from _unsigned(rounds)


def _sizes(growth: Growth, rounds: int) -> Iterator[Row]:
    timings = interleaved({str(size): growth.case(size) for size in growth.sizes}, rounds=rounds)
    first, *others = growth.sizes
    for size in others:
        is_last = size == growth.sizes[-1]
        yield Row(
            f"{growth.measured}: {size:,} {growth.by}",
            f"{first:,}",
            timings.ratio(str(size), str(first)),
            target=growth.at_most if is_last else None,
            detail=f"{timings.median(str(size)):.2f} / {timings.median(str(first)):.2f} µs",
        )


def tokens_with(extra: dict[str, Any], count: int = TOKENS) -> Sequence[str]:
    """Return signed tokens that also have the claims of *extra*."""
    key = KEYS.signing_key
    if key is None:
        raise AssertionError
    header = encode_object({"typ": "at+jwt", "alg": key.alg, "kid": key.kid})
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "42", "iat": now, "exp": now + 7200}
    claims |= {"uid": 42, "scope": "read write", "auth": "blue", "ac_type": "email"}
    return [
        serialize(header, encode_object(claims | {"jti": f"id-{number}"} | extra), key.sign)
        for number in range(count)
    ]


def roles(count: int) -> dict[str, Any]:
    """Return a flat list of roles."""
    return {"roles": [f"role-{number}" for number in range(count)]} if count else {}


def clients(count: int) -> dict[str, Any]:
    """Return roles by client, as Keycloak has them."""
    by_client = {f"client-{number}": {"roles": ["view", "edit"]} for number in range(count)}
    return {"resource_access": by_client} if count else {}


def _known(nested: Callable[[int], dict[str, Any]], count: int) -> Case:
    verifier, tokens = verifier_for(), tokens_with(nested(count))
    for token in tokens:
        verifier.verify(token)
    return over_all(lambda token: verifier.verify(token).claims, tokens)


def _issuers(count: int) -> Case:
    others = (
        TrustedIssuer(issuer=f"https://{number}.example", audience=AUDIENCE, keys=KEYS)
        for number in range(count - 1)
    )
    own = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE, keys=KEYS)
    return _new(lambda: TokenVerifier(trusted=[*_all(others), own]), new_tokens(TOKENS))


def _all(issuers: Iterator[TrustedIssuer]) -> Sequence[TrustedIssuer]:
    made = list(issuers)
    # One more keeps a single issuer from being told without its iss: the same path for all sizes.
    return made or [TrustedIssuer(issuer="https://other.example", audience="x", keys=KEYS)]


def _keys(count: int) -> Case:
    keys = KeySet(chain(KEYS, (Key.generate(kid=str(number)) for number in range(count - 1))))
    return _new(lambda: verifier_for(keys), new_tokens(TOKENS))


def _new(make: Callable[[], TokenVerifier], tokens: Sequence[str]) -> Case:
    def ready() -> Batch:
        verify, first, *others = make().verify, *tokens
        verify(first)

        def batch() -> int:
            for token in others:
                verify(token)
            return len(others)

        return batch

    return ready


def _in_turn(count: int) -> Case:
    verifier, tokens = verifier_for(cache_size=2_000), new_tokens(count)
    for token in tokens:
        verifier.verify(token)
    return over_all(verifier.verify, tokens)


GROWTHS: Final = (
    Growth("first sight", "issuers", (1, 10, 100), _issuers, 1.3),
    Growth("first sight", "keys", (1, 100, 1_000), _keys, 1.3),
    Growth("known tokens in turn, cache_size 2,000", "tokens", (100, 1_500, 2_000), _in_turn, 3),
    Growth("known token", "roles", (0, 10, 100, 1_000), partial(_known, roles)),
    Growth("known token", "roles, to 100", (0, 100), partial(_known, roles), 3),
    Growth("known token", "clients with roles", (0, 10, 150), partial(_known, clients)),
)


def _new_nested(rounds: int) -> Iterator[Row]:
    flat = tokens_with({})
    for name, extra in (
        ("10 roles", roles(10)),
        ("100 roles", roles(100)),
        ("1,000 roles", roles(900)),
        ("20 clients", clients(20)),
        ("100 clients", clients(100)),
    ):
        tokens = tokens_with(extra)
        payloads = [decode_segment(split(token).payload, "payload") for token in tokens]
        timings = interleaved(
            {
                "flat": _new(verifier_for, flat),
                "nested": _new(verifier_for, tokens),
                "json.loads": over_all(json.loads, payloads),
            },
            rounds=rounds,
        )
        nested, plain, loads = map(timings.median, ("nested", "flat", "json.loads"))
        yield Row(
            f"first sight, nested: {name}",
            "flat and 2 × json.loads of its payload",
            nested / (plain + 2 * loads),
            target=1,
            detail=f"{nested:.0f} / {plain:.0f} + 2 × {loads:.0f} µs",
        )


def _unsigned(rounds: int) -> Iterator[Row]:
    verifier = verifier_for()
    good = new_tokens(TOKENS)
    verifier.verify(good[0])
    header, _, signature = good[0].split(".")
    cases = {"good": _new(verifier_for, good)}
    for name, document in _hostile().items():
        segment = encode_base64url(document).decode()
        cases[f"header of {name}"] = _refusing(verifier, f"{segment}.e30.{signature}")
        cases[f"payload of {name}"] = _refusing(verifier, f"{header}.{segment}.{signature}")
    cases["signature of 16,000 characters"] = _refusing(verifier, f"{header}.e30.{'A' * 16_000}")
    timings = interleaved(cases, rounds=rounds)
    for name in sorted(cases.keys() - {"good"}):
        yield Row(
            f"refused, unsigned: {name}",
            "first sight of a good token",
            timings.ratio(name, "good"),
            target=3,
            detail=f"{timings.median(name):.0f} / {timings.median('good'):.0f} µs",
        )


def _hostile() -> dict[str, bytes]:
    octets = _MOST_CHARS * 3 // 4 - 400
    members = ",".join(f'"{number:x}":0' for number in range(octets // 7))[:octets]
    return {
        "brackets": b"[" + b"[]," * (octets // 3) + b"[]]",
        "depth": (b"[" * 31 + b"]" * 31 + b",") * (octets // 63),
        "members": b"{" + members.rpartition(",")[0].encode() + b"}",
        "text": b'{"alg":"' + b"a" * octets + b'"}',
        "escapes": b'{"alg":"' + b"\\u00e9" * (octets // 6) + b'"}',
        "quotes": b'"' + b'\\"' * (octets // 2),
        "digits": b'{"alg":' + b"9" * 3_000 + b"}",
    }


def _refusing(verifier: TokenVerifier, token: str) -> Case:
    def refuse(token: str) -> None:
        try:
            verifier.verify(token)
        except InvalidTokenError:
            return
        raise AssertionError("accepted")

    return over_all(refuse, [token] * TOKENS)

"""How cost grows: the same operation over n issuers, keys, rules, tokens, sessions and so on."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

from jwt_middleware import Key, KeySet, Policy, Rule, Sessions, TokenVerifier, TrustedIssuer
from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.jws import decode_segment, encode_object, serialize, split
from jwt_middleware.errors import InvalidTokenError
from jwt_middleware.keysources.ring.ring import KeyRing
from jwt_middleware.keysources.ring.rotation import create, rotate
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from .subject import (
    AUDIENCE,
    ISSUER,
    KEYS,
    PAYLOAD,
    issuer_for,
    new_tokens,
    request_with,
    verifier_for,
)
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


def measure(*, rounds: int, most_sessions: int = 100_000) -> Iterator[Row]:
    """Measure every line, its sizes interleaved, and what unsigned and nested tokens cost."""
    for growth in GROWTHS:
        yield from _sizes(growth, rounds)
    with ExitStack() as stack:
        refresh = partial(_refreshes, stack)
        sizes = (1_000, most_sessions)
        yield from _sizes(Growth("refresh, SQLite", "sessions", sizes, refresh, 1.3), rounds)
        start = partial(_ring_starts, stack)
        yield from _sizes(Growth("loading a ring", "retiring RSA keys", (1, 5), start, 1.3), 5)
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
            curve=f"{growth.measured}, by {growth.by}",
            size=size,
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


def _first_decisions(public: str, size: int) -> Case:
    rules = [Rule(f"/area{number}/*", scopes=["read"]) for number in range(size - 1)]
    policy = Policy([*rules, Rule(public, access="public")])
    numbers = count()

    def ready() -> Batch:
        # Each path is another one, as those with an id in them are.
        environs = [
            request_with("", f"/area{number % size}/{number}")
            for number in (next(numbers) for _ in range(TOKENS))
        ]
        return over_all(policy.requirement, environs)()

    return ready


def _refreshes(stack: ExitStack, size: int) -> Case:
    file = _folder(stack) / "sessions.db"
    store = stack.enter_context(closing(SQLSessions(f"sqlite:///{file}")))
    store.create_schema()
    sessions = Sessions(store=store, issuer=issuer_for())
    sessions.start(PAYLOAD)
    with closing(sqlite3.connect(file)) as database, database:
        names = [row[1] for row in database.execute("PRAGMA table_info(jwt_sessions)")]
        made = {"sid": "hex(randomblob(11))", "subject_hash": "randomblob(32)"}
        columns = ", ".join(made.get(name, name) for name in names)
        database.execute(
            f"INSERT INTO jwt_sessions SELECT {columns} FROM jwt_sessions, "  # noqa: S608
            "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
            "WHERE n < ?) SELECT n FROM numbers)",
            [size],
        )

    def ready() -> Batch:
        tokens = [str(sessions.start(PAYLOAD).refresh_token) for _ in range(20)]
        return over_all(sessions.refresh, tokens)()

    return ready


def _ring_starts(stack: ExitStack, retiring: int) -> Case:
    folder = _folder(stack) / "ring"
    now = time.time()
    create(folder, alg="RS256", now=now)
    for number in range(retiring):
        rotate(folder, token_lifetime_seconds=600, now=now + number, older_than_seconds=0)
    return over_all(KeyRing, [folder])


def _folder(stack: ExitStack) -> Path:
    # A disk would be all that is measured.
    memory = Path("/dev/shm")  # noqa: S108
    parent = memory if memory.is_dir() else None
    return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent)))


GROWTHS: Final = (
    Growth("first decision", "rules", (10, 100, 1_000), partial(_first_decisions, "/public"), 3),
    Growth(
        "first decision, the rest public",
        "rules",
        (10, 100, 1_000),
        partial(_first_decisions, "/*"),
        3,
    ),
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
    one, several = verifier_for(), _with_another()
    good = new_tokens(TOKENS)
    for verifier in (one, several):
        verifier.verify(good[0])
    header, _, signature = good[0].split(".")
    cases = {"good": _new(verifier_for, good)}
    for name, document in _hostile().items():
        segment = encode_base64url(document).decode()
        cases[f"header of {name}"] = _refusing(one, f"{segment}.e30.{signature}")
        cases[f"payload of {name}"] = _refusing(one, f"{header}.{segment}.{signature}")
        named = document.replace(b"{", b'{"iss":"%b",' % ISSUER.encode(), 1)
        segment = encode_base64url(named).decode()
        token = f"{header}.{segment}.{signature}"
        cases[f"payload of {name}, one of several issuers"] = _refusing(several, token)
    for name, document in _hostile_issuers().items():
        token = f"{header}.{encode_base64url(document).decode()}.{signature}"
        cases[f"payload with {name}, one of several issuers"] = _refusing(several, token)
    cases["signature of 16,000 characters"] = _refusing(one, f"{header}.e30.{'A' * 16_000}")
    timings = interleaved(cases, rounds=rounds)
    for name in sorted(cases.keys() - {"good"}):
        yield Row(
            f"refused, unsigned: {name}",
            "first sight of a good token",
            timings.ratio(name, "good"),
            target=3,
            detail=f"{timings.median(name):.0f} / {timings.median('good'):.0f} µs",
        )


def _with_another() -> TokenVerifier:
    other = TrustedIssuer(issuer="https://other.example", audience=AUDIENCE, keys=KEYS)
    return verifier_for(trusted=[other])


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
        "numbers": b'{"alg":[' + (b"9" * 399 + b",") * 7 + b"0]}",
    }


def _hostile_issuers() -> dict[str, bytes]:
    """Return payloads in which *iss* is hard to find for who trusts several issuers."""
    named = b'"iss":"%b"' % ISSUER.encode()
    return {
        "a late iss": b'{"a":"' + b"x" * 3_700 + b'",' + named + b"}",
        "a later iss": b'{"a":"' + b"x" * 11_000 + b'",' + named + b"}",
        "a long iss": b'{"a":[],"iss":"' + b"x" * 3_700 + b'"}',
        "an iss of escapes": b'{"a":[],"iss":"' + b"\\u0078" * 600 + b'"}',
        "numbers behind two iss": b'{"a":{},%b,%b,"n":[' % (named, named)
        + (b"9" * 399 + b",") * 8
        + b"0]}",
    }


def _refusing(verifier: TokenVerifier, token: str) -> Case:
    def refuse(token: str) -> None:
        try:
            verifier.verify(token)
        except InvalidTokenError:
            return
        raise AssertionError("accepted")

    return over_all(refuse, [token] * TOKENS)

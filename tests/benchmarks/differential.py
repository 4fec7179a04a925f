"""
``python -m tests.benchmarks.differential``: the same odd tokens to us, PyJWT and joserfc.

We accept nothing that both refuse; what we refuse and both accept has a name in
:mod:`.strictness`.  All three are asked for the same: HS256 with one key, issuer, audience, times,
and that *exp* and *sub* are there.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final
from unittest import mock

import jwt
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey

from jwt_middleware.errors import InvalidTokenError

from .mutations import NOW, mutated_tokens
from .strictness import name_of
from .subject import AUDIENCE, ISSUER, SECRET, verifier_for

SEED: Final = 20261125
TOKENS: Final = 200_000

Accepts = Callable[[str], bool]


@dataclass(slots=True)
class Outcome:
    """
    What came of it.

    Attributes:
        counts: By who accepted.
        strictnesses: By name, how many we refused that both others accept.
        too_lax: What we accept and both refuse.
        unnamed: What we refuse and both accept, for no reason that has a name.
    """

    counts: Counter[str] = field(default_factory=Counter)
    strictnesses: Counter[str] = field(default_factory=Counter)
    too_lax: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def compare(tokens: Iterable[str]) -> Outcome:
    """Show each of *tokens* to all three."""
    outcome = Outcome()
    judges = {"ours": _ours(), "PyJWT": _pyjwt, "joserfc": _joserfc()}
    for token in tokens:
        with mock.patch("jwt.api_jwt.datetime", _At):  # it has no parameter for the time
            accepting = {name for name, accepts in judges.items() if accepts(token)}
        outcome.counts[" and ".join(sorted(accepting)) or "nobody"] += 1
        if accepting == {"ours"}:
            outcome.too_lax.append(token)
        elif accepting == {"PyJWT", "joserfc"}:
            name = name_of(token)
            if name is None:
                outcome.unnamed.append(token)
            else:
                outcome.strictnesses[name] += 1
    return outcome


def _ours() -> Accepts:
    verifier = verifier_for(clock=lambda: NOW)

    def accepts(token: str) -> bool:
        try:
            verifier.verify(token)
        except InvalidTokenError:  # and nothing else: another error fails the comparison
            return False
        return True

    return accepts


class _At(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _At:
        return cls.fromtimestamp(NOW, tz)


def _pyjwt(token: str) -> bool:
    try:
        jwt.decode(
            token,
            SECRET,
            algorithms=["HS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "sub", "iss", "aud"]},
        )
    except Exception:  # noqa: BLE001  PyJWT lets many kinds out
        return False
    return True


def _joserfc() -> Accepts:
    key = OctKey.import_key(SECRET)
    registry = joserfc_jwt.JWTClaimsRegistry(
        now=NOW,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
    )

    def accepts(token: str) -> bool:
        try:
            claims = joserfc_jwt.decode(token, key, algorithms=["HS256"]).claims
            registry.validate(claims)
        except Exception:  # noqa: BLE001  as above
            return False
        return True

    return accepts


def main(arguments: list[str] | None = None) -> int:
    """Print what came of it; return 1 if there is anything to explain."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.differential")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    outcome = compare(mutated_tokens(options.tokens, seed=options.seed))
    for title, counter in (
        ("accepted by", outcome.counts),
        ("refused by us, accepted by both others, for", outcome.strictnesses),
    ):
        print(f"{title}:")
        for name, count in counter.most_common():
            print(f"  {count:7,}  {name}")
    for title, tokens in (("TOO LAX", outcome.too_lax), ("UNNAMED", outcome.unnamed)):
        print(f"{title}: {len(tokens)}", *(f"{token[:200]!r}" for token in tokens[:10]), sep="\n  ")
    return int(bool(outcome.too_lax or outcome.unnamed))


if __name__ == "__main__":
    sys.exit(main())

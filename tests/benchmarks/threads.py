"""Eight threads on one verifier: nothing raised, nothing mixed up, and how fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from jwt_middleware import JWTPayload, TokenVerifier

from .subject import issuer_for, verifier_for
from .table import Row

THREADS: Final = 8
TOKENS: Final = 500


def measure(*, repetitions: int) -> Iterator[Row]:
    """Have one thread, then eight, verify the same tokens; a cache of a few has them all race."""
    issuer = issuer_for()
    tokens = [(f"{uid}", issuer.issue(JWTPayload(uid=uid)).token) for uid in range(TOKENS)]
    verifier = verifier_for(cache_size=TOKENS // 2)
    one, _ = _throughput(verifier, tokens, threads=1, repetitions=repetitions)
    many, wrong = _throughput(verifier, tokens, threads=THREADS, repetitions=repetitions)
    lock = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", no GIL"
    yield Row(
        f"errors and wrong claims of {THREADS} threads on one verifier{lock}",
        "none",
        wrong,
        target=0,
        unit="",
        detail=f"{THREADS * repetitions * TOKENS:,} verifications",
    )
    yield Row(
        f"throughput of {THREADS} threads{lock}",
        "one thread",
        many / one,
        bound="at least",
        detail=f"{many:,.0f} / {one:,.0f} tokens/s",
    )


def _throughput(
    verifier: TokenVerifier, tokens: Sequence[tuple[str, str]], *, threads: int, repetitions: int
) -> tuple[float, int]:
    def verify_all(offset: int) -> int:
        wrong = 0
        turned = [*tokens[offset:], *tokens[:offset]]
        for _ in range(repetitions):
            for subject, token in turned:
                verified = verifier.verify(token)
                wrong += verified.claims["sub"] != subject or verified.subject != subject
        return wrong

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        wrong = sum(pool.map(verify_all, range(0, threads * 50, 50)))
    seconds = time.perf_counter() - begun
    return threads * repetitions * len(tokens) / seconds, wrong

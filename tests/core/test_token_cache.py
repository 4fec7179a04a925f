"""What a verifier remembers: the hit ratio, the bounds, and that threads never disturb it."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice
from typing import Any

import pytest

from jwt_middleware.core.jws import Header
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.trust import TrustedIssuer
from jwt_middleware.core.verifier import TokenCache, TokenVerifier, VerifiedToken

from ..table import table

UNBOUNDED = 2**40
KEYS = KeySet([Key.generate()])
TRUSTED = TrustedIssuer(issuer="me", audience="api", keys=KEYS)

Claims = dict[str, Any]
Forge = Callable[..., str]
MakeVerifier = Callable[..., TokenVerifier]


def entry(token: str, size: int = 1) -> VerifiedToken:
    header, claims = Header("HS256", None, None), {"sub": token}
    return VerifiedToken(header, claims, TRUSTED, KEYS, 0, 1, token, token, size)


def present(cache: TokenCache, token: str, size: int = 1) -> bool:
    """Do what a verifier does with a good token; tell whether it was remembered."""
    found = cache.get(token)
    if found is None:
        cache.put(token, entry(token, size))
        return False
    assert found.subject == token
    found.used = True
    return True


def hit_ratio(cache: TokenCache, requests: Sequence[str]) -> float:
    """Return the share of hits in the second half of *requests*; the first fills the cache."""
    half = len(requests) // 2
    for token in requests[:half]:
        present(cache, token)
    return sum(present(cache, token) for token in requests[half:]) / (len(requests) - half)


def lru_hit_ratio(size: int, requests: Sequence[str]) -> float:
    known: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for number, token in enumerate(requests):
        if token in known:
            known.move_to_end(token)
            hits += number >= len(requests) // 2
        else:
            known[token] = None
            if len(known) > size:
                known.popitem(last=False)
    return hits / (len(requests) - len(requests) // 2)


def in_turn(tokens: int, rounds: int) -> list[str]:
    return [str(number) for number in range(tokens)] * rounds


def zipf(tokens: int, exponent: float, requests: int) -> list[str]:
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(tokens)))
    drawn = random.Random(5).choices(range(tokens), cum_weights=weights, k=requests)  # noqa: S311
    return [str(number) for number in drawn]


def with_scans(requests: Iterable[str], every: int, length: int) -> list[str]:
    """Return *requests* with tokens of a single use in between, as short-lived ones come."""
    mixed: list[str] = []
    for number, token in enumerate(requests):
        mixed.append(token)
        if number % every == 0:
            mixed += [f"once-{number}-{one}" for one in range(length)]
    return mixed


class TestHitRatio:
    SIZE = 1_000

    @pytest.mark.parametrize("tokens", [750, 1_000])
    def test_tokens_that_fit_are_all_kept(self, tokens: int) -> None:
        assert hit_ratio(TokenCache(self.SIZE, UNBOUNDED), in_turn(tokens, 4)) == 1

    @table(
        "draw",
        [
            pytest.param(lambda: zipf(10_000, 1.0, 10_000), id="zipf 1.0 of 10,000"),
            pytest.param(lambda: zipf(10_000, 0.8, 10_000), id="zipf 0.8 of 10,000"),
            pytest.param(lambda: zipf(1_100, 0.8, 6_000), id="zipf 0.8 of 1,100"),
            pytest.param(lambda: zipf(1_100, 0.0, 6_000), id="uniform of 1,100"),
            pytest.param(lambda: with_scans(zipf(2_000, 1.0, 4_000), 50, 50), id="zipf, scans"),
            pytest.param(lambda: in_turn(1_100, 3), id="1,100 in turn"),
        ],
    )
    def test_is_at_most_two_hundredths_below_lru(self, draw: Callable[[], list[str]]) -> None:
        requests = draw()
        ratio = hit_ratio(TokenCache(self.SIZE, UNBOUNDED), requests)
        assert ratio >= lru_hit_ratio(self.SIZE, requests) - 0.02

    def test_a_verifier_remembers_as_many_as_it_says(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(cache_size=50)
        tokens = [forge(claims | {"jti": str(number)}) for number in range(50)]
        first = [verifier.verify(token) for token in tokens]
        for _ in range(3):
            assert all(
                verifier.verify(token) is one for token, one in zip(tokens, first, strict=True)
            )

    def test_a_token_in_use_outlives_those_that_are_not(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(cache_size=4)
        token = forge(claims)
        first = verifier.verify(token)
        for number in range(20):
            assert verifier.verify(token) is first
            verifier.verify(forge(claims | {"jti": str(number)}))


class TestBounds:
    def test_remembers_by_the_whole_token(self) -> None:
        cache = TokenCache(10, UNBOUNDED)
        present(cache, "a.b.c")
        for other in ("a.b.", "a.b.c ", "a.b.C", ""):
            assert cache.get(other) is None

    @pytest.mark.parametrize("bounds", [(0, UNBOUNDED), (10, 0)])
    def test_zero_keeps_none(self, bounds: tuple[int, int]) -> None:
        cache = TokenCache(*bounds)
        assert not present(cache, "a")
        assert not present(cache, "a")
        assert len(cache) == 0

    @table("size", [1, 2, 3, 10, 11])
    def test_keeps_its_size(self, size: int) -> None:
        cache = TokenCache(size, UNBOUNDED)
        for number in range(100):
            present(cache, str(number))
            assert present(cache, str(number))
            assert len(cache) == min(size, number + 1)

    def test_keeps_its_bytes(self) -> None:
        cache = TokenCache(1_000, 100)
        sizes = random.Random(7).choices([1, 5, 30, 100, 101], k=2_000)  # noqa: S311
        for number, size in enumerate(sizes):
            present(cache, str(number), size)
            kept = [one.size for one in cache._entries.values()]
            assert sum(kept) == cache._bytes <= 100
            assert (size == 101) == (str(number) not in cache._entries)

    def test_a_token_put_again_has_its_new_value(self) -> None:
        cache = TokenCache(4, 100)
        for token in "abc":
            present(cache, token, 10)
        again = entry("a", 10)
        cache.put("a", again)
        assert cache.get("a") is again
        assert (len(cache), len(cache._queue), cache._bytes) == (3, 3, 30)

    @table("name", ["cache_size", "cache_bytes"])
    @table("bound", [-1, 1.5, True, None, "10"])
    def test_a_verifier_refuses_a_bound(
        self, name: str, bound: Any, make_verifier: MakeVerifier
    ) -> None:
        with pytest.raises(ValueError, match=f"{name} must be a whole number, at least 0"):
            make_verifier(**{name: bound})


SHAPES: dict[str, Claims] = {
    "flat": {"uid": 42, "auth": "blue", "scope": "read write", "ac_type": "email"},
    "a long text": {"note": "x" * 6_000},
    "1,000 roles": {"roles": [f"role-{number}" for number in range(700)]},
    "clients": {
        "resource_access": {
            f"client-{number}": {"roles": ["view", f"edit-{number}"]} for number in range(120)
        }
    },
    "numbers": {"ids": list(range(1_000, 3_000))},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_estimates_the_memory_of_a_token(
    shape: Claims, forge: Forge, claims: Claims, make_verifier: MakeVerifier
) -> None:
    verifier = make_verifier()
    tokens = (forge(claims | shape | {"jti": f"id-{number}"}) for number in range(25))
    verifier.verify(next(tokens)).claims  # noqa: B018  its copier is part of the memory
    tracemalloc.start()
    try:
        for token in islice(tokens, 20):
            verifier.verify(token).claims  # noqa: B018
        taken = tracemalloc.get_traced_memory()[0] / 20
    finally:
        tracemalloc.stop()
    estimated = verifier.verify(token).size
    assert 0.7 < estimated / taken < 2


def test_sixty_four_threads_get_what_they_ask_for(
    forge: Forge, claims: Claims, make_verifier: MakeVerifier
) -> None:
    tokens = {str(number): forge(claims | {"sub": str(number)}) for number in range(40)}
    verifier = make_verifier(cache_size=30)
    failures: list[object] = []
    start = threading.Barrier(64)

    def work(seed: int) -> None:
        subjects = random.Random(seed).choices(list(tokens), k=150)  # noqa: S311
        start.wait()
        try:
            for subject in subjects:
                verified = verifier.verify(tokens[subject])
                if verified.subject != subject or verified.claims["sub"] != subject:
                    failures.append((subject, verified))
        except Exception as error:  # noqa: BLE001  it fails the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    cache = verifier._cache
    assert len(cache) == 30
    assert sorted(cache._queue) == sorted(cache._entries)
    assert cache._bytes == sum(one.size for one in cache._entries.values())

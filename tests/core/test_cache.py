from __future__ import annotations

import threading

import pytest

from jwt_middleware.core.cache import TokenCache


def filled(size: int, *tokens: str) -> TokenCache[str]:
    cache: TokenCache[str] = TokenCache(size)
    for token in tokens:
        cache.put(token, token.upper())
    return cache


def test_remembers_by_the_whole_token() -> None:
    cache = filled(10, "a.b.c")
    assert cache.get("a.b.c") == "A.B.C"
    for other in ("a.b.", "a.b.c ", "a.b.C", ""):
        assert cache.get(other) is None


def test_size_zero_keeps_none() -> None:
    cache = filled(0, "a", "b")
    assert len(cache) == 0
    assert cache.get("a") is None


@pytest.mark.parametrize(("size", "kept"), [(1, 2), (2, 2), (3, 4), (10, 10), (11, 12)])
def test_keeps_its_size_rounded_up_to_even(size: int, kept: int) -> None:
    cache: TokenCache[str] = TokenCache(size)
    lengths = []
    for number in range(100):
        cache.put(str(number), "x")
        lengths.append(len(cache))
        assert cache.get(str(number)) == "x"
    assert max(lengths) == kept


def test_drops_the_older_half() -> None:
    cache = filled(4, "a", "b", "c", "d", "e")
    assert [token for token in "abcde" if cache.get(token)] == ["c", "d", "e"]


def test_keeps_what_is_in_use() -> None:
    cache = filled(4, "a")
    for token in "bcdefgh":
        cache.put(token, token)
        assert cache.get("a") == "A"


def test_a_token_put_again_has_its_new_value() -> None:
    cache = filled(4, "a", "b", "c")
    cache.put("a", "new")
    assert cache.get("a") == "new"


def test_threads_see_their_own_values_and_the_bound_holds() -> None:
    cache: TokenCache[str] = TokenCache(8)
    wrong: list[object] = []
    start = threading.Barrier(8)

    def work(name: str) -> None:
        start.wait()
        for number in range(2_000):
            token = f"{name}-{number % 7}"
            found = cache.get(token)
            if found is None:
                cache.put(token, token)
            elif found != token:
                wrong.append((token, found))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    # Each thread may add one entry between another's look at the length and its own.
    assert len(cache) <= 8 + 2 * len(threads)

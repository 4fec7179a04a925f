from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.sessions.revocation.live import ExpiringNames

from ...strategies import CHARACTERS

ALL_PARTS = 1 << 14


@given(
    st.lists(st.tuples(st.text(CHARACTERS, max_size=3), st.integers(0, 2**40)), max_size=60),
    st.integers(0, 100),
)
def test_holds_what_a_dict_would(entries: list[tuple[str, int]], minute: int) -> None:
    names, expected = ExpiringNames(), dict[str, int]()
    for name, until in entries:
        names.add(name, minute=until)
        expected[name] = max(until, expected.get(name, 0))
    names.forget_before(minute, parts=ALL_PARTS)
    left = {name for name, until in expected.items() if until >= minute}
    assert {name for name in expected if name in names} == left
    assert len(names) == len(left)


def test_holds_many() -> None:
    entries = [(f"name-{number}", number % 7) for number in range(5_000)]
    names = ExpiringNames()
    for name, until in (*entries, *entries[:100]):
        names.add(name, minute=until)
    assert len(names) == 5_000
    assert all(name in names for name, _ in entries)
    assert not any(f"other-{number}" in names for number in range(5_000))
    names.forget_before(3, parts=ALL_PARTS)
    assert {until for name, until in entries if name in names} == {3, 4, 5, 6}


def test_forgets_a_few_parts_at_a_time_until_it_has_seen_all() -> None:
    names = ExpiringNames()
    for number in range(5_000):
        names.add(f"name-{number}", minute=1)
    rounds = 0
    while len(names):
        names.forget_before(2, parts=256)
        rounds += 1
    assert rounds == ALL_PARTS // 256


def test_readers_see_every_name_while_others_are_added_and_forgotten() -> None:
    names = ExpiringNames()
    kept = [f"kept-{number}" for number in range(200)]
    for name in kept:
        names.add(name, minute=100)
    stop = threading.Event()

    def read() -> int:
        missed = 0
        while not stop.is_set():
            missed += sum(name not in names for name in kept)
        return missed

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for turn in range(3):
            for number in range(200):
                names.add(f"passing-{turn}-{number}", minute=turn)
            names.forget_before(turn, parts=ALL_PARTS)
        stop.set()
        assert [reader.result() for reader in readers] == [0, 0, 0]

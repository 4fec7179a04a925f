from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest

from jwt_middleware.errors import PoolExhaustedError
from jwt_middleware.sql.database import Pool


class Connection:
    deadline = 0.0

    def __init__(self, deadline: float) -> None:
        self.made_by = deadline
        self.works = True
        self.closed = False

    def is_idle(self) -> bool:
        return self.works

    def is_usable(self) -> bool:
        return self.works

    def close(self) -> None:
        self.closed = True


def a_pool(size: int, connect: Callable[[float], Connection] = Connection) -> Pool:
    return Pool(cast(Any, connect), size=size)


@contextmanager
def lent(pool: Pool, seconds: float = 30) -> Iterator[Connection]:
    connection = pool.take(time.monotonic() + seconds)
    try:
        yield cast(Connection, connection)
    finally:
        pool.put_back(connection)


def test_lends_the_last_used_one_first() -> None:
    pool = a_pool(2)
    with lent(pool) as first, lent(pool) as second:
        assert first is not second
    with lent(pool) as again:
        assert again is first


def test_every_operation_has_a_deadline_of_its_own() -> None:
    pool = a_pool(1)
    first = cast(Connection, pool.take(5.0))
    assert first.made_by == 5.0
    pool.put_back(cast(Any, first))
    assert pool.take(7.0).deadline == 7.0


def test_closes_what_came_back_broken() -> None:
    pool = a_pool(1)
    with lent(pool) as broken:
        broken.works = False
    assert broken.closed
    with lent(pool) as another:
        assert another is not broken


def test_closes_what_broke_while_it_was_idle() -> None:
    pool = a_pool(1)
    with lent(pool) as broken:
        pass
    broken.works = False
    with lent(pool) as another:
        assert another is not broken
    assert broken.closed


def test_lends_no_more_than_its_size_until_the_deadline() -> None:
    pool = a_pool(2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(lent(pool))
        with pytest.raises(PoolExhaustedError):
            held.enter_context(lent(pool, 0.01))
    with lent(pool, 0), lent(pool, 0):
        pass


def test_a_place_comes_back_when_connecting_fails() -> None:
    errors = [OSError("down")]

    def connect(deadline: float) -> Connection:
        if errors:
            raise errors.pop()
        return Connection(deadline)

    pool = a_pool(1, connect)
    with pytest.raises(OSError, match="down"), lent(pool):
        pass
    with lent(pool, 0):
        pass


def test_threads_are_served_in_the_order_of_their_arrival() -> None:
    pool = a_pool(1)
    served: list[int] = []

    def use(number: int) -> None:
        with lent(pool):
            served.append(number)

    threads = [threading.Thread(target=use, args=[number]) for number in range(8)]
    with lent(pool):
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            while len(pool._waiting) < waiting:
                pass
    with lent(pool):  # it comes back at once, and has to wait for the others
        served.append(8)
    for thread in threads:
        thread.join()
    assert served == [*range(9)]


def test_places_that_many_threads_give_up_are_not_lost() -> None:
    pool = a_pool(2)

    def use(number: int) -> bool:
        try:
            with lent(pool, 0.0001 * (number % 7)):
                return True
        except PoolExhaustedError:
            return False

    with ThreadPoolExecutor(16) as threads:
        outcomes = [*threads.map(use, range(2_000))]
    assert any(outcomes)
    with lent(pool, 0), lent(pool, 0):
        pass


def test_closes_what_is_idle() -> None:
    pool = a_pool(2)
    with lent(pool) as held:
        with lent(pool) as idle:
            pass
        pool.close()
        assert idle.closed
        assert not held.closed
    with lent(pool) as again:
        assert again is held

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from jwt_middleware.errors import PoolExhaustedError
from jwt_middleware.sql.deadline import within
from jwt_middleware.sql.pool import Pool


class Connection:
    def __init__(self) -> None:
        self.works = True
        self.closed = False

    def is_idle(self) -> bool:
        return self.works

    def is_usable(self) -> bool:
        return self.works

    def close(self) -> None:
        self.closed = True


def test_lends_the_last_used_one_first() -> None:
    pool = Pool(Connection, size=2)
    with pool.connection() as first, pool.connection() as second:
        assert first is not second
    with pool.connection() as again:
        assert again is first


def test_closes_what_came_back_broken() -> None:
    pool = Pool(Connection, size=1)
    with pool.connection() as broken:
        broken.works = False
    assert broken.closed
    with pool.connection() as another:
        assert another is not broken


def test_closes_what_broke_while_it_was_idle() -> None:
    pool = Pool(Connection, size=1)
    with pool.connection() as broken:
        pass
    broken.works = False
    with pool.connection() as another:
        assert another is not broken
    assert broken.closed


def test_lends_no_more_than_its_size_until_the_deadline() -> None:
    pool = Pool(Connection, size=2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(pool.connection())
        with within(0.01), pytest.raises(PoolExhaustedError):
            held.enter_context(pool.connection())
    with pool.connection(), pool.connection():
        pass


def test_a_place_comes_back_when_connecting_fails() -> None:
    errors = [OSError("down")]

    def connect() -> Connection:
        if errors:
            raise errors.pop()
        return Connection()

    pool = Pool(connect, size=1)
    with pytest.raises(OSError, match="down"), pool.connection():
        pass
    with within(0), pool.connection():
        pass


def test_threads_are_served_in_the_order_of_their_arrival() -> None:
    pool = Pool(Connection, size=1)
    served: list[int] = []

    def use(number: int) -> None:
        with within(30), pool.connection():
            served.append(number)

    threads = [threading.Thread(target=use, args=[number]) for number in range(8)]
    with pool.connection():
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            while len(pool._places._waiting) < waiting:
                pass
    with within(30), pool.connection():  # it comes back at once, and has to wait for the others
        served.append(8)
    for thread in threads:
        thread.join()
    assert served == [*range(9)]


def test_places_that_many_threads_give_up_are_not_lost() -> None:
    pool = Pool(Connection, size=2)

    def use(number: int) -> bool:
        try:
            with within(0.0001 * (number % 7)), pool.connection():
                return True
        except PoolExhaustedError:
            return False

    with ThreadPoolExecutor(16) as threads:
        outcomes = [*threads.map(use, range(2_000))]
    assert any(outcomes)
    with within(0), pool.connection(), pool.connection():
        pass


def test_closes_what_is_idle() -> None:
    pool = Pool(Connection, size=2)
    with pool.connection() as held:
        with pool.connection() as idle:
            pass
        pool.close()
        assert idle.closed
        assert not held.closed
    with pool.connection() as again:
        assert again is held

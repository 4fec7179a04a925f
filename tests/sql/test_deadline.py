from __future__ import annotations

import math

from jwt_middleware.sql.deadline import remaining, within


def test_without_a_deadline_there_is_time() -> None:
    assert remaining() == math.inf


def test_a_deadline_holds_in_its_block() -> None:
    with within(60):
        assert 0 < remaining() <= 60
    assert remaining() == math.inf


def test_an_inner_deadline_is_no_later_than_the_outer_one() -> None:
    with within(0):
        with within(60):
            assert remaining() <= 0
        assert remaining() <= 0


def test_an_inner_deadline_ends_with_its_block() -> None:
    with within(60):
        with within(0):
            assert remaining() <= 0
        assert remaining() > 0

"""What every store does when many want the same at once, in threads and in several processes."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import pytest

from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.store import Cursor, Outcome, Revocation

from ..conftest import PROCESSES, Contenders, Job
from ..contender import patiently
from ..values import (
    ISS,
    NOW,
    a_revocation,
    a_rotation,
    a_session,
    an_attempt,
    end_all,
    key_of,
    read_all,
    revoked_sessions,
)

SALTS = [f"{number:016}" for number in range(50)]


def fifty_uses_of_one_token(contenders: Contenders, *, grace_seconds: float) -> list[list[str]]:
    halves = contenders(
        [
            ("rotate", {"salts": salts, "grace_seconds": grace_seconds})
            for salts in (SALTS[:25], SALTS[25:])
        ]
    )
    uses: list[list[str]] = [*chain(*halves)]
    assert len(uses) == 50
    return uses


def test_within_the_grace_all_uses_of_a_token_agree_on_one_salt(
    store: SessionStore, contenders: Contenders
) -> None:
    store.add(a_session())
    uses = fifty_uses_of_one_token(contenders, grace_seconds=10)
    assert Counter(outcome for outcome, _ in uses) == {"rotated": 1, "repeated": 49}
    (salt,) = {salt for _, salt in uses}
    found = store.find("sid")
    assert found is not None
    assert found.token_hash == salt.encode() * 2


def test_without_grace_one_use_of_a_token_succeeds_and_the_next_ends_the_session(
    store: SessionStore, contenders: Contenders
) -> None:
    store.add(a_session())
    uses = fifty_uses_of_one_token(contenders, grace_seconds=0)
    assert Counter(outcome for outcome, _ in uses) == {"rotated": 1, "replayed": 1, "gone": 48}
    assert store.find("sid") is None
    assert [one.key for one in read_all(store)[0]] == [key_of("sid")]


def test_a_burst_holds_across_all_that_count(store: SessionStore, contenders: Contenders) -> None:
    job: Job = ("attempt", {"bursts": {"full": 10, "free": 1_000}, "times": 15})
    assert sum(contenders([job] * PROCESSES)) == 10
    # What was refused was not counted in the other bucket either.
    free = an_attempt(free=Drip(11, 1_000.0))
    assert [store.reserve(free, now=NOW + 1).wait_seconds > 0 for _ in range(2)] == [False, True]


def test_a_reader_misses_nothing_while_others_write(
    store: SessionStore, contenders: Contenders
) -> None:
    keys = [[f"{number}-{count}" for count in range(20)] for number in range(PROCESSES)]
    jobs: list[Job] = [("revoke", {"keys": some}) for some in keys]
    read: list[Revocation] = []
    cursor: Cursor | None = None
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(contenders, jobs)
        while not writing.done():
            changes = patiently(partial(store.changes, cursor, limit=7))
            read += changes.revocations
            cursor = changes.cursor
        writing.result()
    rest, _ = read_all(store, cursor)
    assert sorted(one.key for one in [*read, *rest]) == sorted(chain(*keys))


def test_revocations_of_one_key_are_joined_whoever_writes(
    store: SessionStore, contenders: Contenders
) -> None:
    job: Job = ("revoke", {"keys": ["one"] * 10})
    contenders([job] * PROCESSES)
    assert read_all(store)[0] == [a_revocation("one")]


def test_a_session_is_ended_once_by_whoever_comes_first(store: SessionStore) -> None:
    store.add(a_session())
    start = threading.Barrier(8)

    def end(_: int) -> bool:
        start.wait()
        return store.end("sid", issuer=ISS, now=NOW)

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(end, range(8))].count(True) == 1


def test_what_is_used_or_begun_while_all_end_is_kept_or_revoked(store: SessionStore) -> None:
    old = [f"old{number}" for number in range(20)]
    for sid in old:
        store.add(a_session(sid, used_at=NOW - 1_000))
    start = threading.Barrier(4)

    def begin() -> list[str]:
        start.wait()
        sids = [f"new{number}" for number in range(20)]
        for sid in sids:
            store.add(a_session(sid))
        return sids

    def use() -> list[str]:
        start.wait()
        return [sid for sid in old if store.rotate(a_rotation(sid=sid))[0] is Outcome.ROTATED]

    def end() -> list[str]:
        start.wait()
        for _ in range(5):
            end_all(store, "42", now=NOW, expires_at=NOW + 7)
        return []

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(job) for job in (begin, use, end, end)]
        fresh = {sid for job in jobs for sid in job.result()}
    kept = {one.sid for one in store.list()}
    revoked = {one.key.removeprefix(key_of("")) for one in revoked_sessions(store)}
    assert kept.isdisjoint(revoked)
    assert kept | revoked == fresh | (kept & {*old})


@pytest.mark.parametrize("time", range(2))
def test_processes_create_the_schema_at_once(processes: Contenders, time: int) -> None:
    assert processes([("create_schema", {})] * PROCESSES) == [0] * PROCESSES

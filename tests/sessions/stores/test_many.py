"""One subject with very many sessions: ending them, and a login beside them, take no longer."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
import redis

from jwt_middleware import JWTPayload, Key, KeySet, Sessions, TokenIssuer
from jwt_middleware.sessions import MemorySessions, SessionStore

from ..values import ISS, NOW, a_session

COUNTS = [10**3, 10**5, 10**6]
MOST_SECONDS = 0.1

_COPIED = (
    "subject_hash, payload, created_at, used_at, expires_at, ends_at, tokens_until, token_hash,"
    " previous_hash, salt, rotated_at, issuer, subject, born, address"
)


def fill(store: SessionStore, url: str, count: int) -> None:
    """Give the subject 42 as many sessions, all used a moment ago."""
    session = a_session(expires_at=NOW + 10**6, ends_at=NOW + 10**6)
    if isinstance(store, MemorySessions):
        for number in range(count):
            store.add(replace(session, sid=f"s{number}"), max_per_subject=count)
        return
    store.add(session)
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute(
                f"INSERT INTO jwt_sessions (sid, {_COPIED}) WITH RECURSIVE numbers(n) AS (SELECT 1"  # noqa: S608
                f" UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) SELECT hex(n), {_COPIED}"
                " FROM numbers, jwt_sessions WHERE sid = 'sid'"
            )
    elif url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            connection.execute(
                f"INSERT INTO jwt_sessions (sid, {_COPIED}) SELECT md5(n::text), {_COPIED}"  # noqa: S608
                f" FROM jwt_sessions, generate_series(1, {count}) AS n WHERE sid = 'sid'"
            )
            connection.execute("ANALYZE jwt_sessions")  # as PostgreSQL does by itself soon
    else:
        fill_redis(url, count)


def fill_redis(url: str, count: int) -> None:
    script = """
        local at, subject, expiry = KEYS[1], ARGV[3], ARGV[4]
        for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
            redis.call('COPY', at .. ':session:sid', at .. ':session:s' .. n)
            redis.call('ZADD', at .. ':sessions', expiry, 's' .. n)
            redis.call('ZADD', at .. ':of:' .. subject, n, 's' .. n)
        end
    """
    with redis.Redis.from_url(url) as client:
        for first in range(1, count + 1, 10_000):
            last = min(first + 9_999, count)
            client.eval(script, 1, "{jwt_middleware}", first, last, f"{ISS}\n42", NOW + 10**6)


def milliseconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1_000


@pytest.mark.full
@pytest.mark.parametrize("count", COUNTS)
def test_all_are_ended_and_a_login_is_as_quick(
    store: SessionStore,
    store_kind: str,
    request: pytest.FixtureRequest,
    count: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "" if store_kind == "memory" else request.getfixturevalue("empty_store_url")
    keys = KeySet([Key.from_secret(b"k" * 32)])
    issuer = TokenIssuer(keys=keys, issuer=ISS, audience="api", clock=lambda: NOW)
    sessions = Sessions(store=store, issuer=issuer, clock=lambda: NOW)
    fill(store, url, count)
    login = min(milliseconds(lambda: sessions.start(JWTPayload(uid=42))) for _ in range(5))
    other = min(milliseconds(lambda: sessions.start(JWTPayload(uid=43))) for _ in range(5))
    ending = milliseconds(lambda: sessions.end_all("42"))
    assert store.find("sid" if url else "s0") is None
    again = min(milliseconds(lambda: sessions.start(JWTPayload(uid=42))) for _ in range(5))
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{store_kind}, {count:,} sessions: end_all {ending:.1f} ms, login {login:.2f} ms"
            f" before, {again:.2f} ms after, {other:.2f} ms of another subject"
        )
    assert ending < MOST_SECONDS * 1_000

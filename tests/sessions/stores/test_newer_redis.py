"""What a newer version has written to Redis: ignored if it was added, a 503 if it is unreadable."""

from __future__ import annotations

import json

import pytest
import redis

from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.revocation.follower import Revocations
from jwt_middleware.sessions.store import Revocation, SessionStore

from ..values import NOW, a_session, an_attempt
from .test_newer import refused_by, use_all

KINDS = ["redis"]
KEY = "{jwt_middleware}"


@pytest.fixture
def client(empty_store_url: str) -> redis.Redis:
    return redis.Redis.from_url(empty_store_url)


def test_other_members_change_nothing(
    shared_store: SessionStore, client: redis.Redis, store_kind: str
) -> None:
    shared_store.add(a_session())
    key = f"{KEY}:session:sid"
    client.hset(key, "another", "1")
    client.hset(key, "further", json.dumps({"client_id": "web", "another": 1}))
    client.hset(f"{KEY}:head", "another", "1")
    found = shared_store.find("sid")
    assert found is not None
    assert found.payload.client_id == "web"
    use_all(shared_store)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uid", None),
        ("uid", "{"),
        ("uid", "[]"),
        ("credential", None),
        ("scope", None),
        ("expires_at", "soon"),
        ("further", "7"),
        ("further", '{"claims": 7}'),
    ],
)
def test_a_session_that_cannot_be_read_is_unavailable(
    shared_store: SessionStore,
    client: redis.Redis,
    store_kind: str,
    name: str,
    value: str | None,
) -> None:
    shared_store.add(a_session())
    if value is None:
        client.hdel(f"{KEY}:session:sid", name)
    else:
        client.hset(f"{KEY}:session:sid", name, value)
    fault = "a session cannot be read: .* newer version"
    with pytest.raises(UnavailableError, match=fault):
        shared_store.find("sid")
    with pytest.raises(UnavailableError, match=fault):
        [*shared_store.list()]


def test_another_member_of_a_bucket_is_ignored(
    shared_store: SessionStore, client: redis.Redis, store_kind: str
) -> None:
    attempt = an_attempt(account=Drip(1, 60.0))
    (key,) = shared_store.reserve(attempt, now=NOW).keys
    client.set(f"{KEY}:bucket:{key}", f"{NOW + 60} 1 {NOW + 10} another")
    assert shared_store.reserve(attempt, now=NOW).wait_seconds == 1


def test_a_bucket_that_cannot_be_read_is_unavailable(
    shared_store: SessionStore, client: redis.Redis, store_kind: str
) -> None:
    attempt = an_attempt(account=Drip(1, 60.0))
    (key,) = shared_store.reserve(attempt, now=NOW).keys
    client.set(f"{KEY}:bucket:{key}", "another")
    with pytest.raises(UnavailableError):
        shared_store.reserve(attempt, now=NOW)


def test_a_revocation_of_another_kind_is_not_ignored(
    shared_store: SessionStore, client: redis.Redis, store_kind: str
) -> None:
    revocations = Revocations(shared_store, max_delay_seconds=0)
    revocations.current()
    shared_store.revoke(Revocation("device", "d", int(NOW), int(NOW) + 100))  # type: ignore[arg-type]
    refused_by(revocations)
    refused_by(Revocations(shared_store))


def test_what_is_too_new_is_refused_with_the_fix(
    shared_store: SessionStore, client: redis.Redis, store_kind: str
) -> None:
    assert shared_store.schema_version() == 2  # type: ignore[attr-defined]
    client.hset(f"{KEY}:head", mapping={"schema": 9, "oldest": 3, "package": "0.9.0"})
    fix = "its sessions are of schema version 9, .* knows 2: upgrade .* to 0.9.0 or later"
    with pytest.raises(UnavailableError, match=fix):
        shared_store.store_clock()  # type: ignore[attr-defined]
    assert shared_store.schema_version() == 9  # type: ignore[attr-defined]

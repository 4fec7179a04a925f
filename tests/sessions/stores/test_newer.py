"""What a newer version has written: what it added is ignored, and what cannot be read is a 503."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

import psycopg
import pytest

from jwt_middleware import JWTPayload
from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.attempts import Drip
from jwt_middleware.sessions.revocation.follower import Revocations
from jwt_middleware.sessions.store import Outcome, Revocation, SessionStore

from ..values import ISS, NOW, a_rotation, a_session, an_attempt

KINDS = ["sqlite", "postgresql"]

Run = Callable[..., None]


@pytest.fixture
def run(empty_store_url: str) -> Run:
    """Return what executes SQL in the store."""

    def run(statement: str) -> None:
        if empty_store_url.startswith("sqlite"):
            with sqlite3.connect(empty_store_url.removeprefix("sqlite:///")) as connection:
                connection.execute(statement)
            connection.close()
            return
        with psycopg.connect(empty_store_url) as server:
            server.execute(statement.encode())

    return run


def use_all(store: SessionStore) -> None:
    """Do what a worker does."""
    store.add(a_session("new"))
    assert store.find("sid") is not None
    assert len([*store.list()]) == 2
    assert store.rotate(a_rotation()).outcome is Outcome.ROTATED
    store.revoke(Revocation("token", "j", int(NOW), int(NOW) + 100))
    attempt = an_attempt(account=Drip(5, 60.0))
    store.settle(attempt, store.reserve(attempt, now=NOW), succeeded=True, now=NOW)
    store.clear_attempts(attempt.account)
    store.end_all(ISS, "42", now=NOW, expires_at=NOW + 1_000)
    store.clear_ended(ISS, "42", limit=10)
    assert store.find("sid") is None
    assert len(store.changes(None, limit=100).revocations) >= 2
    store.prune(now=NOW + 10_000, limit=100)


@pytest.mark.parametrize("kind", ["TEXT", "TEXT NOT NULL DEFAULT 'new'"])
def test_other_columns_and_tables_change_nothing(
    shared_store: SessionStore, store_kind: str, run: Run, kind: str
) -> None:
    shared_store.add(a_session())
    for table in ("sessions", "revocations", "attempts", "store", "ended_subjects", "schema"):
        run(f"ALTER TABLE jwt_{table} ADD COLUMN another {kind}")
    run("CREATE TABLE jwt_another (id INTEGER NOT NULL PRIMARY KEY)")
    use_all(shared_store)
    shared_store.create_schema()


PAYLOAD = {"uid": 42, "auth": "blue", "scope": "read", "ac_type": "email", "credential": "1"}


def test_another_member_of_a_payload_is_ignored(
    shared_store: SessionStore, store_kind: str, run: Run
) -> None:
    shared_store.add(a_session())
    text = json.dumps(PAYLOAD | {"another": {"deep": [1]}})
    run(f"UPDATE jwt_sessions SET payload = '{text}'")  # noqa: S608  a test's own
    found = shared_store.find("sid")
    assert found is not None
    assert found.payload == JWTPayload(uid=42, scope="read", subject=found.payload.subject)
    use_all(shared_store)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps(PAYLOAD | {"uid": [42]}),
        json.dumps(PAYLOAD | {"claims": 7}),
        json.dumps(PAYLOAD | {"lifetime_seconds": "long"}),
    ],
)
def test_a_session_that_cannot_be_read_is_unavailable(
    shared_store: SessionStore, store_kind: str, run: Run, text: str
) -> None:
    shared_store.add(a_session())
    run(f"UPDATE jwt_sessions SET payload = '{text}'")  # noqa: S608  a test's own
    for use in (
        lambda: shared_store.find("sid"),
        lambda: [*shared_store.list()],
        lambda: shared_store.rotate(a_rotation()),
        lambda: shared_store.end("sid", issuer=ISS, now=NOW),
    ):
        with pytest.raises(UnavailableError, match=r"a session cannot be read: .* newer version"):
            use()
    shared_store.end_all(ISS, "42", now=NOW, expires_at=NOW + 1_000)  # and this ends it


def test_another_member_of_a_bucket_is_ignored(
    shared_store: SessionStore, store_kind: str, run: Run
) -> None:
    attempt = an_attempt(account=Drip(1, 60.0))
    shared_store.reserve(attempt, now=NOW)
    later = json.dumps([NOW + 60, 1, NOW + 10, "another"])
    run(f"UPDATE jwt_attempts SET times = '{later}'")  # noqa: S608  a test's own
    assert shared_store.reserve(attempt, now=NOW).wait_seconds == 1


@pytest.mark.parametrize("text", ["", "7", "[null]", '{"empty_at": 1}'])
def test_a_bucket_that_cannot_be_read_is_unavailable(
    shared_store: SessionStore, store_kind: str, run: Run, text: str
) -> None:
    attempt = an_attempt(account=Drip(5, 60.0))
    reservation = shared_store.reserve(attempt, now=NOW)
    run(f"UPDATE jwt_attempts SET times = '{text}'")  # noqa: S608  a test's own
    fault = "the state of login attempts cannot be read: .* newer version"
    with pytest.raises(UnavailableError, match=fault):
        shared_store.reserve(attempt, now=NOW)
    with pytest.raises(UnavailableError, match=fault):
        shared_store.settle(attempt, reservation, succeeded=True, now=NOW)


def test_a_revocation_of_another_kind_is_not_ignored(
    shared_store: SessionStore, store_kind: str, run: Run
) -> None:
    revocations = Revocations(shared_store, max_delay_seconds=0)
    revocations.current()
    shared_store.revoke(Revocation("token", "j", int(NOW), int(NOW) + 100))
    run("UPDATE jwt_revocations SET kind = 'device'")
    refused_by(revocations)
    refused_by(Revocations(shared_store))


def refused_by(revocations: Revocations) -> None:
    claims = {"iss": ISS, "sub": "42", "jti": "another", "iat": NOW}
    with pytest.raises(UnavailableError, match=r"kind 'device', .*: upgrade wsgi-jwt-middleware"):
        revocations(claims)

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.sessions import MemorySessions, Revocations
from jwt_middleware.sessions.store import Changes, Cursor, Revocation
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from ..conftest import ISS, NOW, Clock

CLAIMS = {"iss": ISS, "sub": "42", "iat": NOW, "jti": "j"}


class Store(MemorySessions):
    """The store in memory, which counts how often it is asked and can be out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.down = False
        self.before: Callable[[], None] = lambda: None

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        self.asked += 1
        self.before()
        if self.down:
            raise UnavailableError("the store is away")
        return super().changes(since, limit=limit)

    def revoke_token(self, jti: str = "j", *, until: float = NOW + 600) -> None:
        self.revoke(Revocation("token", jti, int(NOW), int(until)))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def monotonic() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def make(store: Store, clock: Clock, monotonic: Clock) -> Callable[..., Revocations]:
    def make(**settings: Any) -> Revocations:
        return Revocations(store, issuer=ISS, clock=clock, monotonic=monotonic, **settings)

    return make


def let_time_pass(seconds: int, clock: Clock, revocations: Revocations) -> None:
    for _ in range(seconds):
        clock.now += 1
        revocations.current()


def is_revoked(revocations: Revocations) -> bool:
    revocations.current()
    return revocations.covers(CLAIMS)


@pytest.mark.parametrize("delay", [-1, 60.5, float("nan"), True, "1", None])
def test_a_delay_that_makes_no_sense_is_refused(delay: Any, make: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_delay_seconds"):
        make(max_delay_seconds=delay)


def test_nothing_is_asked_before_the_first_request(make: Any, store: Store) -> None:
    make()
    assert store.asked == 0


def test_learns_of_a_revocation_within_the_delay(make: Any, store: Store, monotonic: Clock) -> None:
    revocations = make(max_delay_seconds=1)
    assert not is_revoked(revocations)
    store.revoke_token()
    monotonic.now += 0.49
    assert not is_revoked(revocations)
    assert store.asked == 1
    monotonic.now += 0.02
    assert is_revoked(revocations)


def test_follows_the_store_as_a_part_of_another_check(
    make: Any, store: Store, monotonic: Clock
) -> None:
    revocations = make(max_delay_seconds=1)

    def is_revoked_here_or_elsewhere(claims: Any) -> bool:
        return bool(revocations(claims)) or claims["jti"] == "elsewhere"

    assert not is_revoked_here_or_elsewhere(CLAIMS)
    store.revoke_token()
    assert not is_revoked_here_or_elsewhere(CLAIMS)
    monotonic.now += 1
    assert is_revoked_here_or_elsewhere(CLAIMS)
    store.down = True
    monotonic.now += 2
    with pytest.raises(UnavailableError):
        is_revoked_here_or_elsewhere(CLAIMS)


def test_asks_for_every_request_where_no_delay_is_allowed(make: Any, store: Store) -> None:
    revocations = make(max_delay_seconds=0)
    for _ in range(3):
        assert not is_revoked(revocations)
    assert store.asked == 3
    store.revoke_token()
    assert is_revoked(revocations)


def test_the_state_is_one_object_until_something_is_added(
    make: Any, store: Store, monotonic: Clock
) -> None:
    revocations = make()
    state = revocations.current()
    monotonic.now += 5
    assert revocations.current() is state
    store.revoke_token()
    monotonic.now += 5
    assert revocations.current() is not state


def test_its_own_change_is_seen_by_the_next_request(make: Any, store: Store) -> None:
    revocations = make(max_delay_seconds=60)
    assert not is_revoked(revocations)
    store.revoke_token()
    revocations.expect_change()
    assert is_revoked(revocations)
    assert store.asked == 2


def test_its_own_change_is_waited_for(make: Any, store: Store) -> None:
    revocations = make(max_delay_seconds=60)
    revocations.current()
    revocations.expect_change()
    store.down = True
    with pytest.raises(UnavailableError):
        revocations.current()


def test_its_own_change_during_a_look_is_seen_by_the_next_request(
    make: Any, store: Store, monotonic: Clock
) -> None:
    revocations = make(max_delay_seconds=60)

    def change() -> None:
        store.before = lambda: None
        monotonic.now += 0.001
        revocations.expect_change()

    store.before = change
    revocations.current()
    revocations.current()
    assert store.asked == 2


class TestStoreAway:
    def test_nobody_goes_on_when_the_delay_has_passed(
        self, make: Any, store: Store, monotonic: Clock
    ) -> None:
        revocations = make(max_delay_seconds=1)
        revocations.current()
        store.down = True
        monotonic.now += 1.001
        with pytest.raises(UnavailableError, match="the store is away"):
            revocations.current()

    def test_they_go_on_until_then(
        self,
        make: Any,
        store: Store,
        monotonic: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        revocations = make(max_delay_seconds=1)
        state = revocations.current()
        store.down = True
        monotonic.now += 0.95
        with caplog.at_level(logging.WARNING):
            assert revocations.current() is state
        assert "another try follows: the store is away" in caplog.text
        monotonic.now += 0.06  # less than the pause before another try
        with pytest.raises(UnavailableError):
            revocations.current()

    def test_from_the_start_nobody_goes_on(self, make: Any, store: Store) -> None:
        store.down = True
        with pytest.raises(UnavailableError):
            make(max_delay_seconds=60).current()

    def test_it_is_not_asked_again_at_once(self, make: Any, store: Store, monotonic: Clock) -> None:
        revocations = make(max_delay_seconds=0)
        store.down = True
        for _ in range(100):
            with pytest.raises(UnavailableError, match="the store is away"):
                revocations.current()
        assert store.asked == 1
        monotonic.now += 0.1
        with pytest.raises(UnavailableError):
            revocations.current()
        assert store.asked == 2

    def test_recovers_by_itself(self, make: Any, store: Store, monotonic: Clock) -> None:
        revocations = make()
        store.down = True
        with pytest.raises(UnavailableError):
            revocations.current()
        store.down = False
        store.revoke_token()
        monotonic.now += 0.1
        assert is_revoked(revocations)

    def test_who_comes_while_one_tries_again_need_not_wait(
        self, make: Any, store: Store, monotonic: Clock
    ) -> None:
        revocations = make()
        store.down = True
        with pytest.raises(UnavailableError):
            revocations.current()
        monotonic.now += 1
        trying, go_on = threading.Event(), threading.Event()

        def hang() -> None:
            trying.set()
            assert go_on.wait(10)

        store.before = hang
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(revocations.current)
            assert trying.wait(10)
            with pytest.raises(UnavailableError, match="the store is away"):
                revocations.current()
            go_on.set()
            with pytest.raises(UnavailableError):
                first.result(10)


def test_one_asks_while_the_others_go_on(make: Any, store: Store, monotonic: Clock) -> None:
    revocations = make(max_delay_seconds=1)
    state = revocations.current()
    monotonic.now += 0.6
    asking, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        asking.set()
        assert go_on.wait(10)

    store.before = hang
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(revocations.current)
        assert asking.wait(10)
        for _ in range(10):
            assert revocations.current() is state
        assert store.asked == 2
        go_on.set()
        assert first.result(10) is state


def test_reads_page_by_page(make: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_middleware.sessions.revocation.follower._PAGE_SIZE", 10)
    for number in range(25):
        store.revoke_token(f"j{number}")
    revocations = make()
    revocations.current()
    assert store.asked == 3
    assert len(revocations) == 25


def test_more_than_can_be_read_in_time_is_read_by_several_requests(
    make: Any, store: Store, monotonic: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_middleware.sessions.revocation.follower._PAGE_SIZE", 10)
    for number in range(45):
        store.revoke_token(f"j{number}")

    def take_long() -> None:
        monotonic.now += 5

    store.before = take_long
    revocations = make(max_delay_seconds=60)
    refused = 0
    while True:
        monotonic.now += 0.1
        try:
            revocations.current()
            break
        except UnavailableError:
            refused += 1
    assert refused == 2
    assert len(revocations) == 45


def test_what_the_store_has_lost_is_still_revoked(make: Any, store: Store, clock: Clock) -> None:
    revocations = make(max_delay_seconds=0)
    store.revoke_token()
    assert is_revoked(revocations)
    store.__init__()  # type: ignore[misc]  # emptied, with another identity
    store.revoke_token("another")
    assert is_revoked(revocations)
    assert len(revocations) == 2
    let_time_pass(900, clock, revocations)
    assert not is_revoked(revocations)


def test_forgets_what_has_expired(make: Any, store: Store, clock: Clock) -> None:
    revocations = make(max_delay_seconds=0)
    store.revoke_token(until=NOW + 60)
    assert is_revoked(revocations)
    let_time_pass(300, clock, revocations)
    assert len(revocations) == 0


def test_a_lock_that_is_held_during_a_fork_stops_no_child(clock: Clock) -> None:
    class Shared(Store):
        """Goes on in a child: here it is the lock of the reader that counts."""

        def changes(self, since: Cursor | None, *, limit: int) -> Changes:
            self.before()
            return Changes([], Cursor("x", 1), complete=True)

    store = Shared()
    revocations = Revocations(store, issuer=ISS, max_delay_seconds=0, clock=clock)
    asking, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        asking.set()
        assert go_on.wait(10)

    store.before = hang
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(revocations.current)
        assert asking.wait(10)
        child = os.fork()
        if child == 0:
            store.before = lambda: None
            code = 1
            try:
                revocations.current()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        go_on.set()
        first.result(10)
    assert os.waitstatus_to_exitcode(status) == 0


def test_what_this_process_has_revoked_it_knows_at_once(make: Any, store: Store) -> None:
    revocations = make(max_delay_seconds=60)
    assert not is_revoked(revocations)
    state = revocations.current()
    revocations.add(Revocation("token", "j", int(NOW), int(NOW) + 600))
    assert revocations.covers(CLAIMS)
    assert revocations.current() is not state
    assert store.asked == 2  # and it asks for what the store has


class TestStoreBackInTime:
    """The store is one of an earlier time, and goes on from there."""

    @pytest.fixture
    def revocations(self, make: Any, store: Store, monotonic: Clock) -> Revocations:
        revocations: Revocations = make(max_delay_seconds=1)
        for jti in ("a", "b", "c"):
            store.revoke_token(jti)
            monotonic.now += 1
            revocations.current()
        return revocations

    def go_back(self, store: Store, *, to: int, then: str = "") -> None:
        store._id = "another history"  # the memory store's tags are its identity
        lost = [store._log.pop(number) for number in range(to + 1, store._number + 1)]
        for one in lost:
            del store._numbers[one.kind, one.key]
        store._number = to
        for jti in then:
            store.revoke_token(jti)

    @pytest.mark.parametrize("then", ["", "x", "xy", "xyz", "wxyz"])
    def test_all_of_both_histories_is_revoked(
        self, revocations: Revocations, store: Store, monotonic: Clock, then: str
    ) -> None:
        self.go_back(store, to=1, then=then)
        monotonic.now += 1
        revocations.current()
        for jti in "abc" + then:
            assert revocations.covers(CLAIMS | {"jti": jti})
        store.revoke_token("later")
        monotonic.now += 1
        assert revocations(CLAIMS | {"jti": "later"})

    def test_it_is_said_once(
        self,
        revocations: Revocations,
        store: Store,
        monotonic: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.go_back(store, to=1, then="xyz")
        for _ in range(3):
            monotonic.now += 1
            revocations.current()
        (said,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert said.message.startswith("revocations.lost store=Store() detail=")
        assert said.message.endswith('made"')  # whole

    def test_what_this_process_revoked_is_recorded_again(
        self, revocations: Revocations, store: Store, monotonic: Clock
    ) -> None:
        for jti in ("own", "old"):
            expires_at = int(NOW) + (600 if jti == "own" else 0)
            own = Revocation("token", jti, int(NOW), expires_at)
            store.revoke(own)
            revocations.add(own)
            revocations.current()
        self.go_back(store, to=1, then="xyz")
        monotonic.now += 1
        revocations.current()
        assert [one.key for one in store._log.values()] == [*"axyz", "own"]

    def test_requests_go_on_while_a_long_log_is_read_again(
        self,
        revocations: Revocations,
        store: Store,
        monotonic: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("jwt_middleware.sessions.revocation.follower._PAGE_SIZE", 10)
        store.__init__()  # type: ignore[misc]
        for number in range(45):
            store.revoke_token(f"n{number}")

        def take_long() -> None:
            monotonic.now += 0.06

        store.before = take_long
        monotonic.now += 0.5
        asked = []
        while not revocations(CLAIMS | {"jti": "n44"}):
            asked.append(store.asked)
            assert revocations(CLAIMS | {"jti": "c"})
        assert len(asked) > 1

    def test_an_error_while_it_is_read_again_changes_nothing(
        self, revocations: Revocations, store: Store, monotonic: Clock
    ) -> None:
        self.go_back(store, to=1, then="xyz")
        asked = store.asked

        def fail() -> None:
            store.down = store.asked == asked + 3

        store.before = fail
        monotonic.now += 1.5
        with pytest.raises(UnavailableError):
            revocations.current()
        store.before, store.down = (lambda: None), False
        monotonic.now += 1
        for jti in "abcxyz":
            assert revocations(CLAIMS | {"jti": jti})


class TestPrepared:
    def test_the_first_request_finds_all_read(
        self, make: Any, store: Store, monotonic: Clock
    ) -> None:
        store.revoke_token()
        revocations = make()
        revocations.prepare()
        assert store.asked == 1
        monotonic.now += 0.1
        assert is_revoked(revocations)
        assert store.asked == 1

    def test_a_store_that_is_away_delays_no_start(
        self, make: Any, store: Store, monotonic: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.down = True
        revocations = make()
        revocations.prepare()
        assert "were not read before the start: the store is away" in caplog.text
        store.down = False
        store.revoke_token()
        monotonic.now += 1
        assert is_revoked(revocations)

    def test_a_forked_worker_reads_on(self, make: Any, clock: Clock) -> None:
        class Shared(Store):
            def changes(self, since: Cursor | None, *, limit: int) -> Changes:
                found = [] if since else [Revocation("token", "j", int(NOW), int(NOW) + 600)]
                return Changes(found, Cursor("x", 1), complete=True)

        revocations = Revocations(Shared(), issuer=ISS, max_delay_seconds=0, clock=clock)
        revocations.prepare()
        child = os.fork()
        if child == 0:
            os._exit(0 if is_revoked(revocations) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(("token", "j", "a", "b"), id="times"),
        pytest.param(("token", b"\xff", 1, 2), id="octets"),
        pytest.param(("token", "j\\x", 1, 2), id="escape"),
        pytest.param(("other", "j", 1, 2), id="kind"),
    ],
)
def test_a_revocation_that_cannot_be_read_is_unavailable_while_it_is_there(
    values: tuple[object, ...], tmp_path: Path
) -> None:
    store = SQLSessions(f"sqlite:///{tmp_path}/sessions.db")
    store.create_schema()
    revocations = Revocations(store, max_delay_seconds=0)
    assert not revocations(CLAIMS)
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as file:
        file.execute("INSERT INTO jwt_revocations VALUES (1, x'01', ?, ?, ?, ?)", values)
        file.execute("UPDATE jwt_store SET number = 1")
        file.commit()
        for reader in (revocations, Revocations(store)):
            reader.prepare()
            reader._retry_at = 0
            with pytest.raises(UnavailableError, match=r"newer version|does not know"):
                reader(CLAIMS)
        file.execute("DELETE FROM jwt_revocations")
        file.commit()
    revocations._retry_at = 0
    assert not revocations(CLAIMS)
    store.close()

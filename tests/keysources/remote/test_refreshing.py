from __future__ import annotations

import json
import logging
import math
import queue
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.keysources.jwks import read_jwks
from jwt_middleware.keysources.remote.fetching import Fetched, FetchError
from jwt_middleware.keysources.remote.refreshing import (
    ABANDONED_AFTER_SECONDS,
    RefreshedKeys,
    Timing,
    in_thread,
    retry_after,
)

from ...table import table

if TYPE_CHECKING:
    from jwt_middleware.testing import FrozenClock
    from tests.keysources.conftest import Background

URL = "https://a.example/jwks"


class Provider:
    """What a fetch brings, or raises, and how many there were."""

    def __init__(self, *keys: Key) -> None:
        self.fetches = 0
        self.max_age: float | None = None
        self.error: BaseException | None = None
        self.octets = b""
        self.during: Callable[[], object] = lambda: None
        self.publish(*keys)

    def publish(self, *keys: Key) -> None:
        self.octets = json.dumps({"keys": [key.public_jwk() for key in keys]}).encode()

    def __call__(self) -> Fetched:
        self.fetches += 1
        self.during()
        if self.error is not None:
            raise self.error
        return Fetched(self.octets, self.max_age, URL)


@pytest.fixture
def provider(key_a: Key) -> Provider:
    return Provider(key_a)


@pytest.fixture
def keys(provider: Provider, clock: FrozenClock, background: Background) -> RefreshedKeys:
    return RefreshedKeys(
        provider,
        partial(read_jwks, algorithms=None),
        name=URL,
        timing=Timing(wait_seconds=0),
        clock=clock,
        spawn=background,
    )


def kids(keys: KeySet) -> list[str]:
    return [key.kid for key in keys]


def test_fetches_nothing_before_it_is_used(keys: RefreshedKeys, provider: Provider) -> None:
    assert provider.fetches == 0
    assert repr(keys) == f"<RefreshedKeys {URL}>"


def test_fetches_on_first_use_and_not_again(keys: RefreshedKeys, provider: Provider) -> None:
    first = keys.current()
    assert kids(first) == ["a"]
    assert keys.current() is first
    assert provider.fetches == 1


def test_serves_the_old_keys_while_new_ones_are_fetched(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock, background: Background, key_b: Key
) -> None:
    first = keys.current()
    provider.publish(key_b)
    background.at_once = False
    clock.now += 479  # of the 600 that stand for no max-age: never earlier than 480
    assert keys.current() is first
    assert background.waiting == []
    clock.now += 92
    assert keys.current() is first
    assert keys.current() is first
    assert len(background.waiting) == 1
    background.catch_up()
    assert kids(keys.current()) == ["b"]
    assert provider.fetches == 2


def test_believes_max_age(keys: RefreshedKeys, provider: Provider, clock: FrozenClock) -> None:
    provider.max_age = 10_000
    keys.current()
    clock.now += 7999
    keys.current()
    assert provider.fetches == 1
    clock.now += 2001
    keys.current()
    assert provider.fetches == 2


def test_keeps_the_set_while_the_same_keys_are_published(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock, key_a: Key, key_b: Key
) -> None:
    provider.publish(key_a, key_b)
    first = keys.current()
    clock.now += 601
    assert keys.current() is first
    provider.octets += b"\n"
    clock.now += 601
    assert keys.current() is first
    provider.publish(key_b, key_a)
    clock.now += 601
    assert keys.current() is first
    assert provider.fetches == 4
    # The same kid, and yet another key:
    provider.publish(key_a, Key.generate("ES256", kid="b"))
    clock.now += 601
    assert keys.current() is not first


def test_fetches_for_an_unknown_kid_once_per_cooldown(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock, key_a: Key, key_b: Key
) -> None:
    keys.current()
    provider.publish(key_a, key_b)
    assert kids(keys.refreshed("b")) == ["a", "b"]
    for number in range(1000):
        keys.refreshed(str(number))
    clock.now += 29.9
    keys.refreshed("c")
    assert provider.fetches == 2
    clock.now += 0.1
    keys.refreshed("c")
    assert provider.fetches == 3


def test_a_failed_look_uses_up_its_cooldown_and_spoils_nothing(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock
) -> None:
    first = keys.current()
    provider.error = FetchError("down")
    for _ in range(1000):
        assert keys.refreshed("b") is first
    assert provider.fetches == 2
    assert keys.current() is first
    clock.now += 30
    keys.refreshed("b")
    assert provider.fetches == 3


def test_a_look_joins_the_refresh_under_way(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock, background: Background
) -> None:
    first = keys.current()
    background.at_once = False
    clock.now += 601
    keys.current()
    assert keys.refreshed("b") is first
    assert len(background.waiting) == 1
    background.catch_up()
    # That was not its own, which it may still have.
    keys.refreshed("b")
    assert len(background.waiting) == 1


@pytest.mark.parametrize("kids_asked", [["made up"] * 8, [str(n) for n in range(8)]])
def test_a_server_that_hangs_never_holds_more_than_one_thread(
    provider: Provider, clock: FrozenClock, kids_asked: list[str]
) -> None:
    fetching, release = threading.Event(), threading.Event()
    keys = RefreshedKeys(
        provider,
        partial(read_jwks, algorithms=None),
        name=URL,
        timing=Timing(wait_seconds=60),
        clock=clock,
        spawn=in_thread,
    )
    first = keys.current()

    def hang() -> None:
        fetching.set()
        release.wait()

    provider.during = hang
    answered: queue.SimpleQueue[KeySet] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=lambda kid=kid: answered.put(keys.refreshed(kid)))
        for kid in kids_asked
    ]
    for thread in threads:
        thread.start()
    assert fetching.wait(60)
    for _ in threads[1:]:
        assert answered.get(timeout=50) is first
    assert answered.empty()
    release.set()
    for thread in threads:
        thread.join()
    assert answered.get() is first


def test_nobody_waits_for_a_fetch_that_has_taken_too_long(
    provider: Provider, clock: FrozenClock
) -> None:
    keys = RefreshedKeys(
        provider,
        partial(read_jwks, algorithms=None),
        name=URL,
        timing=Timing(wait_seconds=2),
        clock=clock,
        spawn=lambda _: None,  # a fetch that never ends
    )
    keys._flights.get().join_refresh(clock.now)
    clock.now += 2
    # With the clock standing still, a wait would be for two seconds; this is for none.
    with pytest.raises(UnavailableError):
        keys.current()


def test_retries_later_and_later_and_recovers_by_itself(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock, key_b: Key
) -> None:
    first = keys.current()
    provider.error = FetchError("down")
    clock.now += 601
    tries = []
    for _ in range(600):
        before = provider.fetches
        assert keys.current() is first
        if provider.fetches > before:
            tries.append(clock.now)
        clock.now += 1
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[0] <= 2
    assert gaps == sorted(gaps[:6]) + gaps[6:]
    assert 60 <= max(gaps) <= 76
    assert len(tries) <= 16
    provider.error = None
    provider.publish(key_b)
    clock.now += 75
    assert kids(keys.current()) == ["b"]
    clock.now += 601
    keys.current()
    assert provider.fetches == len(tries) + 3


def test_keeps_keys_until_they_are_too_old(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock
) -> None:
    first = keys.current()
    provider.error = FetchError("https://a.example/jwks: status 500")
    clock.now += 86_399.9
    assert keys.current() is first
    assert keys.refreshed("b") is first
    clock.now += 0.1
    with pytest.raises(UnavailableError, match="status 500") as caught:
        keys.current()
    with pytest.raises(UnavailableError):
        keys.refreshed("b")
    assert 1 <= caught.value.retry_after_seconds <= 3
    provider.error = None
    clock.now += 10
    assert keys.current() is first


def test_does_not_hammer_a_server_that_is_down_from_the_start(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock
) -> None:
    provider.error = FetchError("down")
    for _ in range(100):
        with pytest.raises(UnavailableError):
            keys.current()
    assert provider.fetches == 1
    clock.now += 1.25
    with pytest.raises(UnavailableError) as caught:
        keys.current()
    assert provider.fetches == 2
    assert 2 <= caught.value.retry_after_seconds <= 3
    provider.error = None
    clock.now += 2.5
    assert kids(keys.current()) == ["a"]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"<html>", id="garbage"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"keys": []}', id="empty"),
        pytest.param(b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', id="nothing usable"),
    ],
)
def test_refuses_a_bad_set_and_keeps_the_last_good_one(
    keys: RefreshedKeys,
    provider: Provider,
    clock: FrozenClock,
    octets: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = keys.current()
    provider.octets = octets
    clock.now += 601
    assert keys.current() is first
    assert keys.refreshed("b") is first
    assert f'keys.failed url={URL} detail="{URL}: the JWK set ' in caplog.text


def test_takes_a_set_with_the_same_kid_twice(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock, key_a: Key
) -> None:
    first = keys.current()
    provider.publish(key_a, key_a)
    clock.now += 601
    assert keys.current() is first
    provider.publish(key_a, Key.generate("ES256", kid="a"))
    clock.now += 601
    assert kids(keys.current()) == ["a", "a"]


def test_survives_whatever_a_fetch_raises_and_does_not_quote_it(
    keys: RefreshedKeys, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.error = RuntimeError("https://user:secret@proxy/")
    with pytest.raises(UnavailableError, match=f"{URL}: RuntimeError"):
        keys.current()
    assert "secret" not in caplog.text


def test_lands_a_fetch_that_is_killed(
    keys: RefreshedKeys, provider: Provider, clock: FrozenClock
) -> None:
    provider.error = SystemExit()
    with pytest.raises(SystemExit):
        keys.current()
    provider.error = None
    with pytest.raises(UnavailableError, match="broken off"):
        keys.current()
    clock.now += 1.25
    assert kids(keys.current()) == ["a"]


def test_lives_without_more_threads(provider: Provider, clock: FrozenClock) -> None:
    def spawn(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    keys = RefreshedKeys(
        provider,
        partial(read_jwks, algorithms=None),
        name=URL,
        timing=Timing(),
        clock=clock,
        spawn=spawn,
    )
    with pytest.raises(UnavailableError, match="no thread to fetch in"):
        keys.current()


def test_replaces_a_fetch_that_never_ends_and_ignores_what_it_brings(
    keys: RefreshedKeys,
    provider: Provider,
    clock: FrozenClock,
    background: Background,
    key_a: Key,
    key_b: Key,
) -> None:
    first = keys.current()
    background.at_once = False
    clock.now += 601
    keys.current()
    clock.now += ABANDONED_AFTER_SECONDS - 0.1
    keys.current()
    assert len(background.waiting) == 1
    clock.now += 0.1
    keys.current()
    assert len(background.waiting) == 2
    late, replacement = background.waiting
    provider.publish(key_b)
    late()
    assert keys.current() is first
    provider.publish(key_a, key_b)
    replacement()
    assert kids(keys.current()) == ["a", "b"]


def test_a_request_with_known_keys_never_waits(
    provider: Provider, clock: FrozenClock, key_a: Key
) -> None:
    fetching, release = threading.Event(), threading.Event()
    keys = RefreshedKeys(
        provider,
        partial(read_jwks, algorithms=None),
        name=URL,
        timing=Timing(wait_seconds=60),
        clock=clock,
        spawn=in_thread,
    )
    first = keys.current()

    def hang() -> None:
        fetching.set()
        release.wait()

    provider.during = hang
    clock.now += 601
    assert keys.current() is first
    assert fetching.wait(60)
    for _ in range(1000):
        assert keys.current() is first
    assert not release.is_set()
    # One with an unknown kid waits for that same fetch.
    found: list[KeySet] = []
    waiting = threading.Thread(target=lambda: found.append(keys.refreshed("b")))
    waiting.start()
    provider.publish(key_a, Key.generate("ES256", kid="b"))
    release.set()
    waiting.join()
    assert kids(found[0]) == ["a", "b"]
    assert provider.fetches == 2


def test_threads_share_the_first_fetch_and_the_fetch_for_an_unknown_kid(
    provider: Provider, clock: FrozenClock, key_a: Key, key_b: Key
) -> None:
    keys = RefreshedKeys(
        provider,
        partial(read_jwks, algorithms=None),
        name=URL,
        timing=Timing(wait_seconds=60),
        clock=clock,
        spawn=in_thread,
    )

    def in_threads(call: Callable[[], KeySet]) -> list[KeySet]:
        found: list[KeySet] = []
        start = threading.Barrier(8)

        def run() -> None:
            start.wait()
            found.append(call())

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    found = in_threads(keys.current)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert provider.fetches == 1
    # Of those with an unknown kid one waits.
    provider.publish(key_a, key_b)
    found = in_threads(lambda: keys.refreshed("b"))
    assert ["a", "b"] in [kids(one) for one in found]
    assert kids(keys.refreshed("b")) == ["a", "b"]
    assert provider.fetches == 2


def test_the_path_of_every_request_takes_no_lock(
    keys: RefreshedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keys.current()
    monkeypatch.setattr(keys, "_flights", None)
    assert keys.current() is first


@table(
    ("max_age", "earliest", "latest"),
    [
        pytest.param(None, 480, 570, id="absent: 10 minutes"),
        pytest.param(3600, 2880, 3420, id="as published"),
        pytest.param(0, 60, 60, id="not under a minute"),
        pytest.param(61, 60, 60, id="not under a minute by being early"),
        pytest.param(10**9, 69_120, 82_080, id="not over a day"),
    ],
)
def test_refreshes_somewhat_before_expiry(
    max_age: float | None, earliest: float, latest: float
) -> None:
    times = {Timing().refresh_after(max_age) for _ in range(100)}
    assert earliest <= min(times) <= max(times) <= latest
    assert earliest == latest or len(times) > 1


def test_refreshes_before_the_keys_are_too_old() -> None:
    assert Timing(max_stale_seconds=100).refresh_after(86_400) == 100


@table(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (2000, 60)])
def test_retries_later_and_later(failures: int, seconds: float) -> None:
    times = [retry_after(failures) for _ in range(100)]
    assert seconds <= min(times) <= max(times) <= seconds * 1.25


@table(
    "parts",
    [
        {"wait_seconds": -1},
        {"wait_seconds": math.inf},
        {"wait_seconds": math.nan},
        {"wait_seconds": True},
        {"cooldown_seconds": "30"},
        {"min_refresh_seconds": 0},
        {"min_refresh_seconds": 61, "max_refresh_seconds": 60},
        {"max_stale_seconds": 59},
    ],
)
def test_refuses_times_that_make_no_sense(parts: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(parts))):
        Timing(**parts)

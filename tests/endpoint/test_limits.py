from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from jwt_middleware import LoginThrottle
from jwt_middleware.endpoint.limits import Attempt
from jwt_middleware.errors import ConfigurationError, TooManyAttemptsError, UnavailableError
from jwt_middleware.sessions import MemorySessions

HERE = ip_address("192.0.2.1")
THERE = ip_address("192.0.2.2")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Recorder(MemorySessions):
    """Keeps the keys it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def record_attempt(
        self, quotas: Mapping[str, int], *, window_seconds: float, now: float
    ) -> float:
        self.keys.update(quotas)
        return super().record_attempt(quotas, window_seconds=window_seconds, now=now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Recorder:
    return Recorder()


@pytest.fixture
def throttle(clock: Clock, store: Recorder) -> Callable[..., LoginThrottle]:
    return lambda **limits: LoginThrottle(store, clock=clock, **limits)


def tries(throttle: LoginThrottle, *accounts: str, address: Any = HERE) -> Attempt:
    return throttle.attempt("email", accounts, address=address)


def test_five_attempts_a_minute_for_one_account(
    throttle: Callable[..., LoginThrottle], clock: Clock
) -> None:
    limited = throttle()
    for _ in range(5):
        tries(limited, "ann")
        clock.now += 1
    for address in (HERE, THERE):
        with pytest.raises(TooManyAttemptsError) as raised:
            tries(limited, "ann", address=address)
        assert raised.value.retry_after_seconds == 55
    tries(limited, "bob")


def test_twenty_attempts_a_minute_from_one_address(
    throttle: Callable[..., LoginThrottle],
) -> None:
    limited = throttle()
    for number in range(20):
        tries(limited, f"account-{number}")
    with pytest.raises(TooManyAttemptsError):
        tries(limited, "another")
    tries(limited, "another", address=THERE)


def test_the_window_slides(throttle: Callable[..., LoginThrottle], clock: Clock) -> None:
    limited = throttle(max_per_account=2)
    tries(limited, "ann")
    clock.now += 30
    tries(limited, "ann")
    clock.now += 29.999
    with pytest.raises(TooManyAttemptsError) as raised:
        tries(limited, "ann")
    assert raised.value.retry_after_seconds == 1
    clock.now += 0.001
    tries(limited, "ann")
    with pytest.raises(TooManyAttemptsError) as raised:
        tries(limited, "ann")
    assert raised.value.retry_after_seconds == 30


def test_a_refused_attempt_does_not_count(
    throttle: Callable[..., LoginThrottle], clock: Clock
) -> None:
    limited = throttle(max_per_account=1)
    tries(limited, "ann")
    for _ in range(100):
        with pytest.raises(TooManyAttemptsError):
            tries(limited, "ann")
    clock.now += 60
    tries(limited, "ann")


def test_success_forgets_the_account_and_takes_back_one_of_the_address(
    throttle: Callable[..., LoginThrottle],
) -> None:
    limited = throttle(max_per_account=3, max_per_address=4)
    for _ in range(2):
        tries(limited, "ann")
    for _ in range(10):
        limited.succeed(tries(limited, "ann"), "ann")
    tries(limited, "ann")
    tries(limited, "ann")
    with pytest.raises(TooManyAttemptsError):
        tries(limited, "bob")  # the address's limit: four that did not succeed
    tries(limited, "ann", address=THERE)


@pytest.mark.parametrize("limit", ["max_per_account", "max_per_address"])
def test_zero_switches_a_limit_off(limit: str, throttle: Callable[..., LoginThrottle]) -> None:
    limited = throttle(**{"max_per_account": 3, "max_per_address": 3, limit: 0})
    for number in range(50):
        one_account = limit == "max_per_account"
        attempt = tries(limited, "ann" if one_account else f"{number}", address=ip_address(number))
        limited.succeed(attempt, *attempt.accounts)
    other = {"max_per_account": "max_per_address", "max_per_address": "max_per_account"}[limit]
    limited = throttle(**{limit: 0, other: 1})
    tries(limited, "zoe")
    with pytest.raises(TooManyAttemptsError):
        tries(limited, "zoe")


def test_without_limits_the_store_is_not_asked() -> None:
    nothing: Any = None
    limited = LoginThrottle(nothing, max_per_account=0, max_per_address=0)
    for _ in range(50):
        limited.succeed(tries(limited, "ann"), "ann")


def test_an_unknown_address_is_limited_by_the_account_alone(
    throttle: Callable[..., LoginThrottle],
) -> None:
    limited = throttle(max_per_address=1)
    for number in range(9):
        tries(limited, f"{number}", address=None)
    for _ in range(4):
        tries(limited, "0", address=None)
    with pytest.raises(TooManyAttemptsError):
        tries(limited, "0", address=None)


@pytest.mark.parametrize("spelling", ["ANN@x", " ann@x ", "ａnn@x", "Ann@X"])
def test_spellings_of_one_account_count_together(
    spelling: str, throttle: Callable[..., LoginThrottle]
) -> None:
    limited = throttle(max_per_account=1)
    tries(limited, "ann@x")
    with pytest.raises(TooManyAttemptsError):
        tries(limited, spelling)


def test_accounts_of_two_client_types_count_apart(
    throttle: Callable[..., LoginThrottle],
) -> None:
    limited = throttle(max_per_account=1)
    for client_type in ("email", "username", "service"):
        limited.attempt(client_type, ["ann"], address=None)


@pytest.mark.parametrize("name", ["", "a\u200bnn", "\ud800", "x" * 300, "a\nb"])
def test_a_name_that_no_account_can_have_is_limited_too(
    name: str, throttle: Callable[..., LoginThrottle]
) -> None:
    limited = throttle(max_per_account=1)
    tries(limited, name)
    with pytest.raises(TooManyAttemptsError):
        tries(limited, name)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        pytest.param("192.0.2.1", "192.0.2.2", False, id="ipv4"),
        pytest.param("2001:db8::1", "2001:db8::ffff:0:0:1", True, id="same-64"),
        pytest.param("2001:db8:0:1::1", "2001:db8:0:2::1", False, id="other-64"),
        pytest.param("0.0.0.1", "::1", False, id="ipv4-and-ipv6"),
    ],
)
def test_what_counts_as_one_address(
    one: str,
    other: str,
    together: bool,  # noqa: FBT001
    throttle: Callable[..., LoginThrottle],
    store: Recorder,
) -> None:
    limited = throttle(max_per_account=0)
    tries(limited, "ann", address=ip_address(one))
    tries(limited, "ann", address=ip_address(other))
    assert (len(store.keys) == 1) == together


def test_two_readings_of_one_name_are_one_attempt_for_each_of_them(
    throttle: Callable[..., LoginThrottle],
) -> None:
    limited = throttle(max_per_account=2, max_per_address=0)
    tries(limited, "a b", "a+b")
    attempt = tries(limited, "a b", "a+b")
    for name in ("a b", "a+b"):
        with pytest.raises(TooManyAttemptsError):
            tries(limited, name)
    limited.succeed(attempt, "a+b")
    tries(limited, "a+b")
    tries(limited, "a+b")
    tries(limited, "a b")  # of the other name only this attempt is taken back
    with pytest.raises(TooManyAttemptsError):
        tries(limited, "a b")


def test_the_store_learns_no_name_and_no_address(
    throttle: Callable[..., LoginThrottle], store: Recorder
) -> None:
    attempt = tries(throttle(), "ann@example.com")
    assert len(store.keys) == 2
    for key in store.keys:
        assert len(key) == 32
        assert "ann" not in key
        assert "192" not in key[:3]
    assert "ann" not in repr(attempt)


def test_failed_logins_leave_nothing_behind_for_long(
    throttle: Callable[..., LoginThrottle], store: Recorder, clock: Clock
) -> None:
    limited = throttle(window_seconds=60)
    for number in range(2_000):
        clock.now += 1
        tries(limited, f"nobody {number}", f"nobody+{number}", address=HERE + number)
    assert len(store.keys) == 6_000
    # Those of a minute, and what comes before the next step.
    assert len(store._attempts) <= 3 * (60 + 50)


def test_attempts_go_on_while_the_store_cannot_be_pruned(
    throttle: Callable[..., LoginThrottle],
    store: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**_: object) -> int:
        raise UnavailableError("the disk is full")

    monkeypatch.setattr(store, "prune", fail)
    limited = throttle()
    for number in range(50):
        tries(limited, f"nobody {number}", address=HERE + number)
    assert "not pruned: the disk is full" in caplog.text


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_per_account", -1),
        ("max_per_account", 1001),
        ("max_per_account", True),
        ("max_per_address", 1.0),
        ("max_per_address", "5"),
        ("window_seconds", 0),
        ("window_seconds", 86_401),
        ("window_seconds", float("nan")),
        ("window_seconds", True),
        ("window_seconds", None),
    ],
)
def test_wrong_setting_is_a_configuration_error(
    setting: str, value: Any, throttle: Callable[..., LoginThrottle]
) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} must be"):
        throttle(**{setting: value})

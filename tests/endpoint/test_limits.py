from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware import LoginThrottle
from jwt_middleware.accounts.client_type import fold_account
from jwt_middleware.endpoint.limits import CountedAttempt, LoginLimits, _prefix
from jwt_middleware.errors import ConfigurationError, TooManyAttemptsError, UnavailableError
from jwt_middleware.sessions import MemorySessions
from jwt_middleware.sessions.attempts import Attempt, Drip, Reservation
from jwt_middleware.testing import FrozenClock
from jwt_middleware.wsgi.address import Address

HERE = ip_address("192.0.2.1")
THERE = ip_address("198.51.100.7")
MakeThrottle = Callable[..., LoginThrottle]


class Recorder(MemorySessions):
    """Keeps the attempts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[Attempt] = []

    def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
        self.attempts.append(attempt)
        return super().reserve(attempt, now=now)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(1_800_000_000)


@pytest.fixture
def store() -> Recorder:
    return Recorder()


@pytest.fixture
def throttle(clock: FrozenClock, store: Recorder) -> MakeThrottle:
    return lambda **limits: LoginThrottle(store, clock=clock, **limits)


def tries(throttle: LoginThrottle, account: str = "ann", *, address: Any = HERE) -> CountedAttempt:
    """Let an attempt fail."""
    counted = throttle.attempt("email", account, address=address)
    throttle.fail(counted)
    return counted


def log_in(throttle: LoginThrottle, account: str = "ann", *, address: Any = HERE) -> None:
    throttle.succeed(throttle.attempt("email", account, address=address))


def refused(throttle: LoginThrottle, account: str = "ann", *, address: Any = HERE) -> int:
    """Return how long a client is told to wait."""
    with pytest.raises(TooManyAttemptsError) as raised:
        throttle.attempt("email", account, address=address)
    return raised.value.retry_after_seconds


def count(throttle: LoginThrottle, account: str = "ann", *, addresses: list[Any]) -> int:
    """Return how many of as many attempts as there are addresses are let through."""
    passed = 0
    for address in addresses:
        try:
            tries(throttle, account, address=address)
        except TooManyAttemptsError:
            continue
        passed += 1
    return passed


# --- Strangers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "passed", "wait"),
    [
        pytest.param([HERE] * 50, 5, 180, id="one-leaf"),
        pytest.param([HERE + n for n in range(50)], 10, 360, id="one-net"),
        pytest.param([HERE + 256 * n for n in range(50)], 15, 240, id="one-wide-net"),
        pytest.param([HERE + 65_536 * n for n in range(50)], 20, 120, id="anywhere"),
        pytest.param([ip_address("2001:db8::1") + n for n in range(50)], 5, 180, id="one-64"),
        pytest.param(
            [ip_address("2001:db8::") + (n << 64) for n in range(50)], 10, 360, id="one-48"
        ),
        pytest.param(
            [ip_address("2001:db8::") + (n << 80) for n in range(50)], 15, 240, id="one-v6-32"
        ),
        pytest.param(
            [ip_address("2001:db8::") + (n << 96) for n in range(50)], 20, 120, id="anywhere-v6"
        ),
    ],
)
def test_strangers_have_a_burst_for_an_account_and_then_a_drip(
    addresses: list[Any], passed: int, wait: int, throttle: MakeThrottle, clock: FrozenClock
) -> None:
    limited = throttle()
    assert count(limited, addresses=addresses) == passed
    assert refused(limited, address=addresses[-1]) == wait
    clock.now += wait
    assert count(limited, addresses=addresses[-1:] * 2) == 1
    tries(limited, "bob", address=THERE)


def test_an_address_has_a_burst_over_all_accounts(
    throttle: MakeThrottle, clock: FrozenClock
) -> None:
    limited = throttle()
    for number in range(30):
        tries(limited, f"account-{number}")
    assert refused(limited, "another") == 30
    tries(limited, "another", address=THERE)
    clock.now += 30
    tries(limited, "another")


def test_an_ipv6_site_has_a_burst_over_all_accounts(throttle: MakeThrottle) -> None:
    limited, passed = throttle(), 0
    for number in range(200):
        address = ip_address("2001:db8::") + (number << 64)
        passed += count(limited, f"account-{number}", addresses=[address])
    assert passed == 120


def test_a_client_without_an_address_is_limited_by_the_account_alone(
    throttle: MakeThrottle,
) -> None:
    limited = throttle()
    assert count(limited, addresses=[None] * 50) == 5
    log_in(limited, "bob", address=None)
    assert count(limited, "bob", addresses=[None] * 50) == 5
    for number in range(100):
        tries(limited, f"{number}", address=None)


def test_a_refused_attempt_does_not_count(throttle: MakeThrottle, clock: FrozenClock) -> None:
    limited = throttle()
    assert count(limited, addresses=[HERE] * 100) == 5
    clock.now += 180
    tries(limited)


# --- Owners and others -------------------------------------------------------------------------


def test_an_owner_at_a_known_address_is_locked_out_by_no_other(throttle: MakeThrottle) -> None:
    limited = throttle()
    log_in(limited)
    assert count(limited, addresses=[THERE + 65_536 * n for n in range(500)]) == 20
    for _ in range(100):
        log_in(limited)


def test_a_known_address_has_a_burst_of_its_own(throttle: MakeThrottle, clock: FrozenClock) -> None:
    limited = throttle()
    log_in(limited)
    assert count(limited, addresses=[HERE] * 50) == 10
    assert refused(limited) == 90
    clock.now += 90
    assert count(limited, addresses=[HERE] * 50) == 1
    assert count(limited, addresses=[THERE] * 50) == 5


def test_a_success_forgives_no_failure_of_others(
    throttle: MakeThrottle, clock: FrozenClock
) -> None:
    """A busy service authenticates between an attacker's guesses."""
    limited, guesses = throttle(), 0
    for _ in range(300):
        log_in(limited, "service", address=ip_address("203.0.113.9"))
        guesses += count(limited, "service", addresses=[HERE, THERE])
    assert guesses == 5 + 5
    # At its own address it has to share.
    log_in(limited, "service", address=HERE + 256)
    assert count(limited, "service", addresses=[HERE + 256] * 300) == 10


def test_trusted_networks_count_as_known(throttle: MakeThrottle) -> None:
    limits = LoginLimits(trusted_networks=["192.0.2.0/24", "2001:db8::/32"])
    limited = throttle(limits=limits)
    assert count(limited, addresses=[HERE] * 50) == 10
    assert count(limited, addresses=[ip_address("2001:db8::5")] * 50) == 10
    assert count(limited, addresses=[THERE] * 50) == 5


def test_many_at_once_of_one_owner_are_told_to_wait_a_second(throttle: MakeThrottle) -> None:
    limited = throttle()
    checked = [limited.attempt("email", "ann", address=HERE) for _ in range(5)]
    assert refused(limited) == 1
    for one in checked[:-1]:
        limited.fail(one)
    assert refused(limited) == 1
    limited.fail(checked[-1])
    assert refused(limited) == 180


def test_what_was_counted_for_an_account_can_be_cleared(throttle: MakeThrottle) -> None:
    limited = throttle()
    assert count(limited, addresses=[HERE] * 50) == 5
    limited.clear("email", " ANN ")
    assert count(limited, addresses=[HERE] * 50) == 5


# --- Keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    ["ANN@x", " ann@x ", "ａnn@x", "a\u200bnn@x", "ann\u00ad@x", "a nn@x", "ánn@x", "ann@x\u3000"],
)
@pytest.mark.parametrize("client_type", ["email", "username", "ldap", "service"])
def test_spellings_of_one_account_count_together(
    spelling: str, client_type: str, throttle: MakeThrottle
) -> None:
    limited = throttle(max_per_account=1)
    limited.attempt(client_type, "ann@x", address=None)
    with pytest.raises(TooManyAttemptsError):
        limited.attempt(client_type, spelling, address=None)


def test_sixty_spellings_are_not_sixty_accounts(throttle: MakeThrottle) -> None:
    limited = throttle()
    spellings = [f"a\u200b{'n' if n & 1 else 'N'}n{' ' * n}" for n in range(60)]
    assert sum(count(limited, one, addresses=[HERE]) for one in spellings) == 5


@pytest.mark.parametrize("one", ["bob", "an", "аnn", "ann1"])
def test_other_accounts_count_apart(one: str) -> None:
    assert fold_account(one) != fold_account("ann")


def test_accounts_of_two_client_types_and_issuers_count_apart(throttle: MakeThrottle) -> None:
    limited = throttle(max_per_account=1)
    for client_type in ("email", "username", "service"):
        for issuer in ("https://a", "https://b"):
            limited.attempt(client_type, "ann", issuer=issuer, address=None)


def test_the_addresses_of_two_issuers_count_apart(throttle: MakeThrottle) -> None:
    limited = throttle(max_per_address=1)
    limited.attempt("email", "ann", issuer="https://a", address=HERE)
    limited.attempt("email", "bob", issuer="https://b", address=HERE)
    with pytest.raises(TooManyAttemptsError):
        limited.attempt("email", "eve", issuer="https://b", address=HERE)


@pytest.mark.parametrize("name", ["", "a\u200bnn", "\ud800", "x" * 300, "a\nb"])
def test_a_name_that_no_account_can_have_is_limited_too(name: str, throttle: MakeThrottle) -> None:
    assert count(throttle(), name, addresses=[HERE] * 9) == 5


def test_the_store_learns_no_name_and_no_address(throttle: MakeThrottle, store: Recorder) -> None:
    counted = tries(throttle(), "ann@example.com")
    (attempt,) = store.attempts
    for key in (attempt.account, attempt.leaf, *attempt.drips):
        assert "ann" not in str(key)
        assert "192" not in str(key)[:3]
    assert attempt.account not in repr(counted)


def test_failed_logins_leave_nothing_behind_for_long(
    throttle: MakeThrottle, store: Recorder, clock: FrozenClock
) -> None:
    limited = throttle()
    for number in range(1_000):
        clock.now += 30
        tries(limited, f"unknown {number}", address=HERE + number)
    # Each leaves at most six for six minutes; and some come before the next step.
    assert len(store._levels) <= 6 * (12 + 50)


def test_attempts_go_on_while_the_store_cannot_be_pruned(
    throttle: MakeThrottle,
    store: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**_: object) -> int:
        raise UnavailableError("the disk is full")

    monkeypatch.setattr(store, "prune", fail)
    limited = throttle()
    for number in range(50):
        tries(limited, f"unknown {number}", address=HERE + number)
    assert "not pruned: the disk is full" in caplog.text


# --- Settings ----------------------------------------------------------------------------------


def test_the_settings_of_version_0_1_are_bursts_and_drips(
    throttle: MakeThrottle, clock: FrozenClock
) -> None:
    limited = throttle(max_per_account=2, window_seconds=60)
    assert count(limited, addresses=[HERE, THERE] * 9) == 2
    assert refused(limited) == 30
    clock.now += 60
    assert count(limited, addresses=[HERE, THERE] * 9) == 2
    limited = throttle(max_per_address=4)
    elsewhere = [ip_address("203.0.113.9")]
    assert sum(count(limited, f"{n}", addresses=elsewhere) for n in range(9)) == 4


@pytest.mark.parametrize("limit", ["max_per_account", "max_per_address"])
def test_zero_switches_a_limit_off(limit: str, throttle: MakeThrottle) -> None:
    limited = throttle(**{limit: 0})
    for number in range(150):
        one_account = limit == "max_per_account"
        tries(
            limited,
            "ann" if one_account else f"{number}",
            address=HERE + 65_536 * number if one_account else HERE,
        )


def test_without_limits_the_store_is_not_used() -> None:
    nothing: Any = None
    limited = LoginThrottle(nothing, max_per_account=0, max_per_address=0)
    for _ in range(50):
        log_in(limited)
        tries(limited)


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
    ],
)
def test_wrong_setting_is_a_configuration_error(
    setting: str, value: Any, throttle: MakeThrottle
) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} must be"):
        throttle(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("known", (0, 60)),
        ("account", (5, 0)),
        ("leaf", (5,)),
        ("net", 5),
        ("wide", (True, 60)),
        ("address", (5, float("nan"))),
        ("site", (5, 100_000)),
        ("known_days", -1),
        ("known_days", float("inf")),
        ("max_known", 0),
        ("trusted_networks", ["192.0.2.1/24"]),
        ("trusted_networks", ["nowhere"]),
        ("trusted_networks", [None]),
    ],
)
def test_wrong_limit_is_a_configuration_error(
    setting: str, value: Any, throttle: MakeThrottle
) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} must be"):
        throttle(limits=LoginLimits(**{setting: value}))


def test_old_and_new_limits_exclude_each_other(throttle: MakeThrottle) -> None:
    with pytest.raises(ConfigurationError, match="exclude"):
        throttle(limits=LoginLimits(leaf=Drip(1, 60)), max_per_account=5)


@given(st.ip_addresses())
def test_a_network_is_named_as_the_last_version_named_it(address: Address) -> None:
    for bits in ({4: 32, 6: 64}, {4: 24, 6: 48}, {4: 16, 6: 32}):
        network = ip_network((address, bits[address.version]), strict=False)
        assert _prefix(address, bits) == sha256(str(network).encode()).hexdigest()[:32]

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import HashingError, VerificationError

from jwt_middleware.accounts import InvalidSecretError
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.errors import ConfigurationError, JWTMiddlewareError, UnavailableError
from jwt_middleware.fork import PerProcess

from ..table import table


class CountingArgon2(PasswordHasher):
    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  argon2's name
        self.verified.append(hash)
        return super().verify(hash, password)


class Gate(PasswordHasher):
    """Argon2 that nobody leaves before it is opened."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.entered.release()
        assert self.opened.wait(timeout=10)
        with self._lock:
            self.inside -= 1
        return super().hash(password, salt=salt)


def test_default_parameters_are_owasp_s_floor() -> None:
    assert SecretHasher().hash("secret").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_verifies_what_it_hashed(hasher: SecretHasher) -> None:
    encoded = hasher.hash("hunter2")
    assert hasher.verify(encoded, "hunter2")
    assert not hasher.verify(encoded, "hunter3")


def test_every_hash_has_a_salt_of_its_own(hasher: SecretHasher) -> None:
    assert hasher.hash("hunter2") != hasher.hash("hunter2")


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("x", id="one"),
        pytest.param("密" * 1024, id="longest"),
        pytest.param("\U0001f511" * 1024, id="longest-in-bytes"),
        pytest.param("a\x00b", id="nul"),
        pytest.param(" a ", id="white-space"),
    ],
)
def test_secrets_count_to_their_last_character(hasher: SecretHasher, secret: str) -> None:
    encoded = hasher.hash(secret)
    assert hasher.verify(encoded, secret)
    assert not hasher.verify(encoded, secret[:-1])
    assert not hasher.verify(encoded, secret[:-1] + "?")


UNHASHABLE = [
    pytest.param("", id="empty"),
    pytest.param("x" * 1025, id="too-long"),
    pytest.param("x" * 1_000_000, id="a-megabyte"),
    pytest.param("hunter2\ud800", id="surrogate"),
]


@pytest.mark.parametrize("secret", UNHASHABLE)
def test_refuses_to_hash(hasher: SecretHasher, secret: str) -> None:
    with pytest.raises(InvalidSecretError, match="a secret") as raised:
        hasher.hash(secret)
    assert isinstance(raised.value, (JWTMiddlewareError, ValueError))
    assert raised.value.__context__ is None
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("secret", [*UNHASHABLE, pytest.param("wrong", id="wrong")])
def test_a_wrong_secret_costs_one_verification(hasher: SecretHasher, secret: str) -> None:
    encoded = hasher.hash("right")
    hasher._argon2 = counting = CountingArgon2()
    assert not hasher.verify(encoded, secret)
    assert len(counting.verified) == 1


def test_the_decoy_has_this_hasher_s_parameters() -> None:
    hasher = SecretHasher(time_cost=3, memory_cost_kib=64, parallelism=2)
    assert extract_parameters(hasher.decoy) == extract_parameters(hasher.hash("x"))
    assert not hasher.needs_rehash(hasher.decoy)
    assert hasher.decoy != SecretHasher(time_cost=3, memory_cost_kib=64, parallelism=2).decoy


@pytest.mark.parametrize("secret", ["", "x", "\ud800"])
def test_the_decoy_is_nobody_s(
    hasher: SecretHasher, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not hasher.verify(hasher.decoy, secret)
    assert not caplog.records  # Argon2 ran: it was a mismatch, no damage


DAMAGED: list[Any] = [
    pytest.param("", id="empty"),
    pytest.param("hunter2", id="plain-text"),
    pytest.param("$argon2id$v=19$m=8,t=1,p=1$", id="cut-off"),
    pytest.param("$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA", id="short-salt"),
    pytest.param("$argon2id$v=19$m=0,t=0,p=0$c29tZXNhbHQ$aGFzaGhhc2g", id="no-cost"),
    pytest.param("$2b$12$abcdefghijklmnopqrstuu", id="bcrypt"),
    pytest.param("$argon2id$\u00e9", id="not-ascii"),
    pytest.param(None, id="none"),
    pytest.param(7, id="int"),
]


@pytest.mark.parametrize("encoded", DAMAGED)
def test_a_damaged_hash_matches_nothing_at_the_same_cost(
    hasher: SecretHasher, encoded: str, caplog: pytest.LogCaptureFixture
) -> None:
    hasher._argon2 = counting = CountingArgon2()
    assert not hasher.verify(encoded, "hunter2")
    # the damaged one, which fails before any work, and the decoy
    assert counting.verified == [encoded, hasher.decoy]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "hunter2" not in caplog.text
    assert hasher.decoy not in caplog.text


@pytest.mark.parametrize("encoded", DAMAGED[:-2])
def test_a_damaged_hash_needs_a_rehash(hasher: SecretHasher, encoded: str) -> None:
    assert hasher.needs_rehash(encoded)


@pytest.mark.parametrize(
    ("other", "needed"),
    [
        pytest.param(SecretHasher(time_cost=1, memory_cost_kib=8), False, id="same"),
        pytest.param(SecretHasher(time_cost=2, memory_cost_kib=8), True, id="time"),
        pytest.param(SecretHasher(time_cost=1, memory_cost_kib=16), True, id="memory"),
        pytest.param(
            SecretHasher(time_cost=1, memory_cost_kib=16, parallelism=2), True, id="parallelism"
        ),
    ],
)
def test_needs_a_rehash_when_parameters_differ(
    hasher: SecretHasher, *, other: SecretHasher, needed: bool
) -> None:
    encoded = other.hash("hunter2")
    assert hasher.needs_rehash(encoded) is needed
    assert hasher.verify(encoded, "hunter2")


class NoMemory(PasswordHasher):
    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        raise HashingError("Memory allocation error")

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  argon2's name
        raise VerificationError("Memory allocation error")


def test_a_lack_of_memory_is_our_fault_not_the_caller_s(
    hasher: SecretHasher, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = hasher.hash("hunter2")
    hasher._argon2 = NoMemory()
    with pytest.raises(UnavailableError):
        hasher.verify(encoded, "hunter2")
    with pytest.raises(UnavailableError):
        hasher.hash("hunter2")
    assert not caplog.records


def test_hashes_at_most_so_many_at_a_time() -> None:
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8, max_concurrent=2, max_wait_seconds=10)
    hasher._argon2 = gate = Gate()
    threads = [threading.Thread(target=hasher.hash, args=("x",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert gate.entered.acquire(timeout=10)
    assert gate.entered.acquire(timeout=10)
    assert not gate.entered.acquire(blocking=False)
    gate.opened.set()
    for thread in threads:
        thread.join(timeout=10)
    assert gate.most == 2
    assert gate.inside == 0
    assert sum(gate.entered.acquire(blocking=False) for _ in range(6)) == 4


def test_more_callers_than_may_wait_are_refused_at_once() -> None:
    hasher = SecretHasher(
        time_cost=1, memory_cost_kib=8, max_concurrent=1, max_waiting=2, max_wait_seconds=60
    )
    encoded = hasher.hash("x")
    hasher._argon2 = gate = Gate()
    hasher._places = PerProcess(lambda: places)
    places = CountingPlaces(3)
    threads = [threading.Thread(target=hasher.hash, args=("x",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert places.taken.acquire(timeout=10)
    for work in (lambda: hasher.hash("x"), lambda: hasher.verify(encoded, "x")):
        with pytest.raises(UnavailableError, match="too many logins") as raised:
            work()
        assert raised.value.retry_after_seconds == 60
    gate.opened.set()
    for thread in threads:
        thread.join(timeout=10)
    assert (gate.most, gate.inside) == (1, 0)
    assert hasher.verify(encoded, "x")


class CountingPlaces(threading.BoundedSemaphore):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.taken = threading.Semaphore(0)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:  # noqa: FBT001, FBT002  threading's
        taken = super().acquire(blocking, timeout)
        if taken:
            self.taken.release()
        return taken


def test_by_default_six_threads_of_a_process_are_busy_with_secrets() -> None:
    hasher = SecretHasher()
    places, turns = hasher._places.get(), hasher._turns.get()
    assert [places.acquire(blocking=False) for _ in range(7)] == [True] * 6 + [False]
    assert [turns.acquire(blocking=False) for _ in range(3)] == [True] * 2 + [False]


def test_waits_no_longer_than_it_says() -> None:
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8, max_concurrent=1, max_wait_seconds=0)
    encoded = hasher.hash("x")
    hasher._argon2 = gate = Gate()
    thread = threading.Thread(target=hasher.hash, args=("x",))
    thread.start()
    assert gate.entered.acquire(timeout=10)
    for work in (lambda: hasher.hash("x"), lambda: hasher.verify(encoded, "x")):
        with pytest.raises(UnavailableError, match="too many logins") as raised:
            work()
        assert raised.value.retry_after_seconds == 1
    gate.opened.set()
    thread.join(timeout=10)
    assert hasher.verify(encoded, "x")


def test_a_turn_is_given_back_after_an_error() -> None:
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8, max_concurrent=1, max_wait_seconds=0)
    for encoded in ("damaged", hasher.decoy, "damaged"):
        assert not hasher.verify(encoded, "x")


class NoTurns(threading.BoundedSemaphore):
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:  # noqa: FBT001, FBT002  threading's
        return False


def test_a_retry_is_suggested_after_the_wait() -> None:
    hasher = SecretHasher(max_wait_seconds=1.001)
    hasher._turns = PerProcess(NoTurns)
    with pytest.raises(UnavailableError, match=r"after 1\.001 seconds") as raised:
        hasher.hash("x")
    assert raised.value.retry_after_seconds == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_all_turns() -> None:
    script = """if True:
        import os
        from jwt_middleware.accounts.hashing import SecretHasher
        hasher = SecretHasher(time_cost=1, memory_cost_kib=8, max_concurrent=1, max_wait_seconds=0)
        hasher._turns.get().acquire()
        child = os.fork()
        if not child:
            os._exit(0 if hasher.verify(hasher.hash("x"), "x") else 1)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run([sys.executable, "-c", script], check=True)


@table(
    ("setting", "value"),
    [
        pytest.param("time_cost", 0, id="no-pass"),
        pytest.param("time_cost", 1001, id="too-many-passes"),
        pytest.param("time_cost", True, id="bool"),
        pytest.param("time_cost", 2.0, id="float"),
        pytest.param("time_cost", "2", id="str"),
        pytest.param("parallelism", 0, id="no-lane"),
        pytest.param("parallelism", 65, id="too-many-lanes"),
        pytest.param("memory_cost_kib", 7, id="too-little-memory"),
        pytest.param("memory_cost_kib", 19 * 1024 * 1024, id="memory-in-bytes"),
        pytest.param("max_concurrent", 0, id="no-turn"),
        pytest.param("max_concurrent", None, id="none"),
        pytest.param("max_waiting", -1, id="fewer-than-none-waiting"),
        pytest.param("max_waiting", 1025, id="too-many-waiting"),
        pytest.param("max_waiting", 1.0, id="waiting-as-float"),
        pytest.param("max_wait_seconds", -1, id="negative-wait"),
        pytest.param("max_wait_seconds", 61, id="too-long-a-wait"),
        pytest.param("max_wait_seconds", float("nan"), id="nan"),
        pytest.param("max_wait_seconds", True, id="bool-wait"),
        pytest.param("max_wait_seconds", "2", id="str-wait"),
    ],
)
def test_names_the_setting_and_the_mend(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} must be a .*number"):
        SecretHasher(**{setting: value})


def test_memory_is_at_least_eight_kib_a_lane() -> None:
    with pytest.raises(ConfigurationError, match="from 16 to"):
        SecretHasher(parallelism=2, memory_cost_kib=15)
    assert SecretHasher(time_cost=1, parallelism=2, memory_cost_kib=16).hash("x")

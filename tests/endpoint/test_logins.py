from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware import JWTPayload, LoginThrottle
from jwt_middleware.endpoint.limits import ClientAddresses
from jwt_middleware.endpoint.logins import Credentials, Logins
from jwt_middleware.errors import (
    BadCredentialsError,
    InvalidGrantError,
    TooManyAttemptsError,
    UnavailableError,
)
from jwt_middleware.sessions import MemorySessions, Session

if TYPE_CHECKING:
    from ..service import Accounts

HERE = {"REMOTE_ADDR": "192.0.2.1"}


def logins(accounts: Any, store: Any = None, **parts: Any) -> Logins:
    settings: dict[str, Any] = {
        "verifiers": {"email": lambda account, secret: accounts.verify("email", account, secret)},
        "lookups": {"email": lambda uid: accounts.look_up("email", uid)},
        "throttle": None if store is None else LoginThrottle(store),
        "addresses": ClientAddresses(),
        **parts,
    }
    return Logins(**settings)


def session(**changes: Any) -> Session:
    payload = JWTPayload(uid=42, scope="read", ac_type="email")
    times = dict.fromkeys(("created_at", "used_at", "expires_at", "ends_at", "tokens_until"), 1.0)
    return Session(**{"sid": "s", "payload": payload, "credential": "0", **times, **changes})


def test_the_first_reading_that_is_good_counts(accounts: Accounts) -> None:
    wrong, right = Credentials("ann", "wrong"), Credentials("ann", "right")
    assert logins(accounts).verify("email", [wrong, right], HERE).uid == 42
    with pytest.raises(BadCredentialsError):
        logins(accounts).verify("email", [wrong, wrong], HERE)


def test_an_attempt_is_counted_before_a_secret_is_looked_at(accounts: Accounts) -> None:
    class Down(MemorySessions):
        def record_attempt(
            self, quotas: Mapping[str, int], *, window_seconds: float, now: float
        ) -> float:
            raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        logins(accounts, Down()).verify("email", [Credentials("ann", "right")], HERE)
    assert accounts.asked == []


def test_accounts_that_cannot_be_asked_are_not_a_wrong_secret(accounts: Accounts) -> None:
    accounts.error = UnavailableError("down")
    readings = [Credentials("ann", "wrong"), Credentials("ann", "right")]
    with pytest.raises(UnavailableError):
        logins(accounts, MemorySessions()).verify("email", readings, HERE)


def test_what_succeeded_is_forgotten_and_what_failed_is_not(accounts: Accounts) -> None:
    for quota in ("max_per_account", "max_per_address"):
        limits: dict[str, Any] = {"max_per_account": 0, "max_per_address": 0, quota: 1}
        asked = logins(accounts, throttle=LoginThrottle(MemorySessions(), **limits))
        for _ in range(3):
            asked.verify("email", [Credentials("ann", "right")], HERE)
        with pytest.raises(BadCredentialsError):
            asked.verify("email", [Credentials("ann", "wrong")], HERE)
        with pytest.raises(TooManyAttemptsError):
            asked.verify("email", [Credentials("ann", "right")], HERE)


def test_the_throttle_is_told_where_a_request_comes_from(accounts: Accounts) -> None:
    seen: list[object] = []

    class Throttle(LoginThrottle):
        def attempt(self, *args: Any, address: Any) -> Any:
            seen.append(address)
            return super().attempt(*args, address=address)

    asked = logins(accounts, throttle=Throttle(MemorySessions()))
    asked.verify("email", [Credentials("ann", "right")], HERE)
    assert seen == [ip_address("192.0.2.1")]


def test_a_session_goes_on_with_what_its_account_may_do_now(accounts: Accounts) -> None:
    assert logins(accounts).recheck(session()).scope == "read write"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda ann: setattr(ann, "enabled", False), id="disabled"),
        pytest.param(lambda ann: setattr(ann, "version", 1), id="other-secret"),
        pytest.param(lambda ann: setattr(ann, "uid", 44), id="unknown"),
    ],
)
def test_a_session_ends_with_its_account_or_its_secret(
    change: Callable[[object], object], accounts: Accounts
) -> None:
    change(accounts.entries["email", "ann"])
    with pytest.raises(InvalidGrantError):
        logins(accounts).recheck(session())


def test_a_session_keeps_its_uid_whatever_a_lookup_says(accounts: Accounts) -> None:
    other = {"uid": 1, "scope": "read", "auth": "red", "credential": "0"}
    payload = logins(accounts, lookups={"email": lambda uid: other}).recheck(session())
    assert payload == JWTPayload(uid=42, auth="red", scope="read", ac_type="email")

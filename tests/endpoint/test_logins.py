from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware import JWTPayload, LoginThrottle
from jwt_middleware.accounts import Identity
from jwt_middleware.endpoint.limits import ClientAddresses, CountedAttempt
from jwt_middleware.endpoint.logins import Credentials, Logins, ProvedSecrets
from jwt_middleware.endpoint.subjects import Subjects
from jwt_middleware.errors import (
    BadCredentialsError,
    InvalidGrantError,
    TooManyAttemptsError,
    UnavailableError,
)
from jwt_middleware.sessions import MemorySessions, Session
from jwt_middleware.sessions.attempts import Attempt, Reservation

if TYPE_CHECKING:
    from ..service import Accounts

HERE = {"REMOTE_ADDR": "192.0.2.1"}


def logins(accounts: Any, store: Any = None, **parts: Any) -> Logins:
    settings: dict[str, Any] = {
        "issuer": "https://auth",
        "subjects": Subjects({}, {}),
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
        def reserve(self, attempt: Attempt, *, now: float) -> Reservation:
            raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        logins(accounts, Down()).verify("email", [Credentials("ann", "right")], HERE)
    assert accounts.asked == []


def test_accounts_that_cannot_be_asked_are_not_a_wrong_secret(accounts: Accounts) -> None:
    accounts.error = UnavailableError("down")
    readings = [Credentials("ann", "wrong"), Credentials("ann", "right")]
    with pytest.raises(UnavailableError):
        logins(accounts, MemorySessions()).verify("email", readings, HERE)


def test_the_limits_are_told_of_the_issuer_and_the_address(accounts: Accounts) -> None:
    seen: list[dict[str, object]] = []

    class Throttle(LoginThrottle):
        def attempt(self, *args: Any, **where: Any) -> CountedAttempt:
            seen.append(where)
            return super().attempt(*args, **where)

    asked = logins(accounts, throttle=Throttle(MemorySessions()))
    asked.verify("email", [Credentials("ann", "right"), Credentials("ann", "wrong")], HERE)
    assert seen == [{"issuer": "https://auth", "address": ip_address("192.0.2.1"), "secrets": 2}]


def test_a_verifier_that_returns_none_refuses(accounts: Accounts) -> None:
    with pytest.raises(BadCredentialsError):
        logins(accounts, verifiers={"email": lambda *_: None}).verify(
            "email", [Credentials("ann", "right")], HERE
        )


class LockedError(BadCredentialsError):
    code = "locked"
    sentence = "This account is locked."


@pytest.mark.parametrize("readings", [1, 2])
def test_an_application_s_own_refusal_is_kept(accounts: Accounts, readings: int) -> None:
    accounts.error = LockedError()
    with pytest.raises(LockedError):
        logins(accounts, MemorySessions()).verify(
            "email", [Credentials("ann", f"wrong {number}") for number in range(readings)], HERE
        )


@pytest.mark.parametrize(
    "returned", [7, {}, {"uid": True}, {"uid": "a\nb"}, {"uid": 1, "scope": "a  b"}, {"uid": ""}]
)
def test_what_is_no_identity_is_unavailable_and_logged(
    accounts: Accounts, returned: object, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnavailableError, match="the account verifier of email failed"):
        logins(accounts, verifiers={"email": lambda *_: returned}).verify(
            "email", [Credentials("ann", "right")], HERE
        )
    assert "an account verifier must return" in caplog.text


def test_a_lookup_s_failure_is_unavailable_and_ends_nothing(accounts: Accounts) -> None:
    accounts.error = KeyError("a bug")
    with pytest.raises(UnavailableError, match="the account lookup of email failed"):
        logins(accounts).recheck(session())


def test_an_account_without_credential_is_warned_of_once(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    asked = logins(accounts, verifiers={"email": lambda *_: {"uid": 1}})
    for _ in range(3):
        asked.verify("email", [Credentials("ann", "right")], HERE)
    assert caplog.text.count("accounts of the type email have no credential") == 1


# Secrets of services that were proved lately


class Services:
    """One service, and how often its secret was hashed."""

    def __init__(self) -> None:
        self.secret, self.version, self.enabled, self.hashed = "right", 0, True, 0

    def verify(self, account: str, secret: str) -> object:
        self.hashed += 1
        if (account, secret) != ("billing", self.secret) or not self.enabled:
            raise BadCredentialsError
        return self._identity()

    def look_up(self, uid: int | str) -> object | None:
        return self._identity() if self.enabled else None

    def _identity(self) -> object:
        return {"uid": 7, "credential": str(self.version)}

    def logins(self, **parts: Any) -> Logins:
        kinds = {"service": self.verify}
        return logins(None, verifiers=kinds, lookups={"service": self.look_up}, **parts)


def prove(asked: Logins, secret: str = "right", account: str = "billing") -> bool:
    try:
        asked.verify("service", [Credentials(account, secret)], HERE)
    except BadCredentialsError:
        return False
    return True


def test_a_proved_secret_is_not_hashed_again_and_no_other_is_taken_for_it() -> None:
    services = Services()
    asked = services.logins()
    assert all(prove(asked) for _ in range(20))
    assert services.hashed == 1
    assert not prove(asked, "wrong")
    assert not prove(asked, "right", "other")
    assert services.hashed == 3


@pytest.mark.parametrize("change", ["secret", "version", "enabled"])
def test_an_account_that_changed_is_verified_anew(change: str) -> None:
    services = Services()
    asked = services.logins()
    prove(asked)
    if change == "secret":
        services.secret, services.version = "another", 1
    else:
        setattr(services, change, 1 if change == "version" else False)
    assert prove(asked) == (change == "version")
    assert services.hashed == 2


def test_a_proved_secret_is_compared_only_after_the_attempt_was_counted() -> None:
    services = Services()
    asked = services.logins(throttle=LoginThrottle(MemorySessions(), max_per_account=5))
    assert prove(asked)
    for _ in range(5):
        assert not prove(asked, "wrong")
    with pytest.raises(TooManyAttemptsError):
        prove(asked)


def test_a_proof_ends_after_five_minutes() -> None:
    now = [0.0]
    proved = ProvedSecrets(lambda: now[0])
    proved.remember("service", "billing", "right", Identity(7, credential="1"))
    assert proved.uid("service", "billing") == 7
    now[0] = 299.9
    assert proved.uid("service", "billing") == 7
    now[0] = 300
    assert proved.uid("service", "billing") is None


def test_only_secrets_of_services_are_remembered(accounts: Accounts) -> None:
    asked = logins(accounts)
    for _ in range(3):
        asked.verify("email", [Credentials("ann", "right")], HERE)
    assert len(accounts.asked) == 3


# Rechecks


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

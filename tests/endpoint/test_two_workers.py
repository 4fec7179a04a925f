"""Refresh tokens and revocation, seen over HTTP at two workers of one store."""

from __future__ import annotations

import io
import json
import logging
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp, TestResponse

from jwt_middleware import JWTPayload, LoginThrottle, TokenEndpoint, TokenIssuer
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import BadCredentialsError, UnavailableError
from jwt_middleware.sessions import MemorySessions, Sessions
from jwt_middleware.testing import FrozenClock

from ..site import AUD, ISS, KEYS, NOW, PASSWORD, Refusals, Site
from ..strategies import CHARACTERS

CLIENT = {"client_id": "billing", "client_secret": PASSWORD}


class Store(MemorySessions):
    """A store that can be taken away."""

    down = False

    def _mine(self) -> Any:
        if self.down:
            raise UnavailableError("cannot be asked: redis://h:6379")
        return super()._mine()


class Clock(FrozenClock):
    def __init__(self) -> None:
        super().__init__(NOW)
        self._readings = 0

    def monotonic(self) -> float:
        self._readings += 1  # as no two readings of a real clock are the same
        return self.now - NOW + self._readings / 1e6


class Worker:
    """A process of its own, but for the process: it shares nothing but the store and the time."""

    def __init__(
        self, store: Store, accounts: SQLAccounts, clock: Clock, *, max_delay_seconds: float
    ) -> None:
        issuer = TokenIssuer(keys=KEYS, issuer=ISS, audience=AUD, clock=clock)
        sessions = Sessions(
            store=store, issuer=issuer, max_delay_seconds=max_delay_seconds, clock=clock
        )
        sessions.revocations._monotonic = clock.monotonic
        self.issuer = issuer
        self.site = Site(is_revoked=sessions.revocations)
        types = ("email", "service")
        self.site = Site(
            is_revoked=sessions.revocations,
            endpoint=TokenEndpoint(
                issuer=issuer,
                verifiers={one: accounts.verifier(one) for one in types},
                lookups={one: accounts.lookup(one) for one in types},
                sessions=sessions,
                verifier=self.site.verifier,
                throttle=LoginThrottle(store, clock=clock),
            ),
        )
        self.web: TestApp = self.site.web

    def log_in(self, account: str = "ann@x", status: int = 200) -> dict[str, Any]:
        body = {"account": account, "secret": PASSWORD, "type": "email"}
        answer: dict[str, Any] = self.web.post_json("/token", body, status=status).json
        return answer

    def refresh(self, token: str, status: int = 200) -> TestResponse:
        body = {"grant_type": "refresh_token", "refresh_token": token}
        return self.web.post("/token", body, status=status)

    def post(self, path: str, token: str, status: int) -> TestResponse:
        """POST to a path below the endpoint's, with *token* in the header and in the body."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.web.post(f"/token/{path}", {"token": token}, headers=headers, status=status)


class Workers:
    def __init__(self, accounts: SQLAccounts, *, max_delay_seconds: float = 0) -> None:
        self.clock = Clock()
        self.store = Store()
        self.accounts = accounts
        self.one, self.other = (
            Worker(self.store, accounts, self.clock, max_delay_seconds=max_delay_seconds)
            for _ in range(2)
        )
        self.both = (self.one, self.other)

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        for worker in self.both:
            worker.site.now = self.clock.now


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[SQLAccounts]:
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8)
    accounts = SQLAccounts(f"sqlite:///{tmp_path / 'a.db'}", hasher=hasher, clock=lambda: NOW)
    accounts.create_schema()
    for name in ("ann@x", "bob@x"):
        accounts.add("email", name, PASSWORD, scope="read")
    accounts.add("service", "billing", PASSWORD, scope="read")
    yield accounts
    accounts.close()


@pytest.fixture
def workers(accounts: SQLAccounts) -> Workers:
    return Workers(accounts)


def test_replayed_refresh_token_and_its_family(
    workers: Workers, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = workers.both
    first = one.log_in()
    bystander = other.log_in()
    second = other.refresh(first["refresh_token"]).json
    third = one.refresh(second["refresh_token"]).json
    workers.advance(10)
    caplog.clear()
    assert other.refresh(first["refresh_token"], 400).json["error"] == "invalid_grant"
    assert [one.levelno for one in caplog.records].count(logging.WARNING) == 1
    assert "replayed" in caplog.text
    for granted in (first, second, third):
        assert granted["refresh_token"] not in caplog.text
        for worker in workers.both:
            worker.refresh(granted["refresh_token"], 400)
            refusals.r401(worker.site, granted["access_token"], good=bystander["access_token"])
    for worker in workers.both:
        bystander = worker.refresh(bystander["refresh_token"]).json


def test_a_thief_and_its_victim_end_each_other_s_session(workers: Workers) -> None:
    stolen = workers.one.log_in()["refresh_token"]
    thief = workers.other.refresh(stolen).json
    workers.advance(3600)
    workers.one.refresh(stolen, 400)
    workers.other.refresh(thief["refresh_token"], 400)
    assert workers.other.site.ask(thief["access_token"]).status_int == 401


def test_one_token_used_by_many_at_once_has_one_successor(workers: Workers) -> None:
    token = workers.one.log_in()["refresh_token"]
    answers: list[TestResponse] = []
    barrier = threading.Barrier(10)

    def refresh(worker: Worker) -> None:
        barrier.wait(timeout=60)
        answers.append(worker.refresh(token))

    threads = [threading.Thread(target=refresh, args=[workers.both[n % 2]]) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == 10
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert len({answer.json["access_token"] for answer in answers}) == 10
    workers.other.refresh(answers[0].json["refresh_token"])


def log_out(workers: Workers, granted: dict[str, Any]) -> None:
    workers.one.post("logout", granted["access_token"], 204)


def log_out_all(workers: Workers, granted: dict[str, Any]) -> None:
    workers.one.post("logout-all", granted["access_token"], 204)


def revoke(workers: Workers, granted: dict[str, Any]) -> None:
    workers.one.post("revoke", granted["refresh_token"], 200)


def disable(workers: Workers, granted: dict[str, Any]) -> None:
    workers.accounts.disable("email", "ann@x")


def disable_and_enable(workers: Workers, granted: dict[str, Any]) -> None:
    workers.accounts.disable("email", "ann@x")
    workers.other.refresh(granted["refresh_token"], 400)
    workers.accounts.enable("email", "ann@x")


def change_secret(workers: Workers, granted: dict[str, Any]) -> None:
    workers.accounts.set_secret("email", "ann@x", "another one")


def set_the_same_secret(workers: Workers, granted: dict[str, Any]) -> None:
    workers.accounts.set_secret("email", "ann@x", PASSWORD)


ENDS = [
    log_out,
    log_out_all,
    revoke,
    disable,
    disable_and_enable,
    change_secret,
    set_the_same_secret,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_refresh_after_logout_disable_or_a_changed_secret(
    end: Callable[[Workers, dict[str, Any]], None], workers: Workers
) -> None:
    granted, bystander = workers.one.log_in(), workers.one.log_in("bob@x")
    before = granted["refresh_token"]
    granted = workers.one.refresh(before).json
    end(workers, granted)
    for token in (granted["refresh_token"], before):
        for worker in workers.both:
            answer = worker.refresh(token, 400)
            assert answer.json["error"] == "invalid_grant"
            # And then it is revoked: its access tokens are good no longer either.
            assert worker.site.ask(granted["access_token"]).status_int == 401
    for worker in workers.both:
        bystander = worker.refresh(bystander["refresh_token"]).json


@pytest.mark.parametrize("path", ["logout", "logout-all", "revoke"])
@pytest.mark.parametrize("delay", [0, 1, 5])
def test_revoked_access_token_at_every_worker(
    path: str, delay: float, accounts: SQLAccounts, refusals: Refusals
) -> None:
    workers = Workers(accounts, max_delay_seconds=delay)
    granted, bystander = workers.one.log_in(), workers.other.log_in("bob@x")
    token, good = granted["access_token"], bystander["access_token"]
    for worker in workers.both:
        worker.site.accepts(token)
    workers.one.post(path, token, 200 if path == "revoke" else 204)
    # At the worker that did it, at once; at the other within the bound.
    refusals.r401(workers.one.site, token, good=good)
    workers.advance(delay)
    refusals.r401(workers.other.site, token, good=good)
    assert workers.other.post("logout", token, 401).json["code"] == "revoked_token"


def test_tokens_of_clients_are_revoked_as_well(workers: Workers, refusals: Refusals) -> None:
    body = {"grant_type": "client_credentials", **CLIENT}
    token = workers.one.web.post("/token", body).json["access_token"]
    workers.other.site.accepts(token)
    workers.one.post("logout", token, 204)
    good = workers.one.log_in()["access_token"]
    for worker in workers.both:
        refusals.r401(worker.site, token, good=good)


def test_store_down(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    one, store = workers.one, workers.store
    granted = one.log_in()
    outside = one.issuer.issue(JWTPayload(uid=1)).token
    one.site.accepts(granted["access_token"])
    store.down = True
    calls = len(one.site.calls)
    for token in (granted["access_token"], outside):
        answer = one.site.ask(token)
        assert (answer.status_int, answer.headers["Retry-After"]) == (503, "1")
        assert "WWW-Authenticate" not in answer.headers
    assert len(one.site.calls) == calls, "the app was called"
    # Nothing is issued that was not recorded, and no answer says that anything was ended.
    login = {"account": "ann@x", "secret": PASSWORD, "type": "email"}
    credentials = {"grant_type": "client_credentials", **CLIENT}
    refresh = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    for body in (login, credentials, refresh):
        answer = one.web.post("/token", body, status=503)
        assert "access_token" not in answer.text
        assert answer.headers["Retry-After"]
    for path in ("logout", "logout-all", "revoke"):
        one.post(path, granted["access_token"], 503)
    one.web.post("/token/introspect", {"token": "x", **CLIENT}, status=503)
    assert "Traceback" not in caplog.text
    # It recovers without a restart, and what was asked for in vain did not happen.
    store.down = False
    workers.advance(1)
    for worker in workers.both:
        worker.site.accepts(granted["access_token"])
    assert len([*store.list()]) == 1
    one.refresh(granted["refresh_token"])
    one.log_in()


@pytest.mark.parametrize("method", ["add", "rotate", "reserve"])
def test_store_that_goes_down_in_the_middle(
    method: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted = workers.one.log_in()

    def fail(*args: object, **kwargs: object) -> object:
        raise UnavailableError("gone")

    monkeypatch.setattr(workers.store, method, fail)
    if method == "rotate":
        workers.one.refresh(granted["refresh_token"], 503)
    else:
        assert "access_token" not in workers.one.log_in(status=503)
    monkeypatch.undo()
    assert len([*workers.store.list()]) == 1
    workers.other.refresh(granted["refresh_token"])


# Whatever is sent

NAMES = ["grant_type", "refresh_token", "scope", "client_id", "client_secret", "token",
         "token_type_hint", "account", "secret", "type"]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["refresh_token", "client_credentials", "billing", PASSWORD, "read", "email", "", "x" * 64]
    ),
    st.text(CHARACTERS, max_size=12),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(st.text(CHARACTERS, max_size=3)),
    st.dictionaries(st.text(CHARACTERS, max_size=3), st.integers()),
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), VALUES)
BODIES = st.one_of(
    FIELDS.map(lambda fields: (json.dumps(fields).encode(), "application/json")),
    FIELDS.map(
        lambda fields: (
            urlencode(fields, errors="surrogatepass").encode(),
            "application/x-www-form-urlencoded",
        )
    ),
    st.tuples(st.binary(max_size=60), st.sampled_from(["application/json", "text/plain", ""])),
)
AUTHORIZATIONS = st.one_of(
    st.just(""),
    st.binary(max_size=40).map(lambda octets: "Basic " + b64encode(octets).decode()),
    st.text(CHARACTERS, max_size=20).map(
        lambda text: "Basic " + b64encode(f"billing:{text}".encode("utf-8", "replace")).decode()
    ),
    st.sampled_from(["Basic ", "Bearer ", "basic", "bearer x", "Basic YTpi, Bearer x"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
)
PATHS = st.sampled_from(["", "/revoke", "/introspect", "/logout", "/logout-all", "/x", "revoke"])


@pytest.fixture(scope="module")
def bare() -> TokenEndpoint:
    def verify(account: str, secret: str) -> object:
        if secret != PASSWORD:
            raise BadCredentialsError
        return {"uid": account, "scope": "read"}

    clock = Clock()
    issuer = TokenIssuer(keys=KEYS, issuer=ISS, audience=AUD, clock=clock)
    sessions = Sessions(store=MemorySessions(), issuer=issuer, clock=clock)
    return TokenEndpoint(
        issuer=issuer,
        verifiers={"email": verify, "service": verify},
        lookups={"email": None, "service": None},
        sessions=sessions,
        verifier=Site(is_revoked=sessions.revocations).verifier,
        throttle=LoginThrottle(sessions.store, max_per_account=0, max_per_address=0),
        trusted_proxies=1,
    )


@given(BODIES, AUTHORIZATIONS, PATHS, st.text(st.characters(max_codepoint=255), max_size=30))
def test_any_request_is_answered(
    bare: TokenEndpoint,
    request_body: tuple[bytes, str],
    authorization: str,
    path: str,
    forwarded: str,
) -> None:
    body, content_type = request_body
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/token" + path,
        "SERVER_NAME": "h",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": content_type,
        "HTTP_AUTHORIZATION": authorization,
        "HTTP_X_FORWARDED_FOR": forwarded,
    }
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    octets = b"".join(bare(environ, start_response))
    assert int(statuses[0][:3]) in {200, 204, 400, 401, 413, 415}
    assert not octets or isinstance(json.loads(octets), dict)

"""A middleware round an app that shows what reached it, and an endpoint with sessions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp, TestResponse

from jwt_middleware import (
    JWTMiddleware,
    JWTPayload,
    Key,
    KeySet,
    LoginThrottle,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
)
from jwt_middleware.errors import BadCredentialsError
from jwt_middleware.sessions import MemorySessions, Sessions
from jwt_middleware.wsgi.environ import RESPONSES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOW = 1_800_000_000
SHOWN = ("jwt_middleware.claims", "jwt_middleware.error", "REMOTE_USER", "AUTH_TYPE")


def show_identity(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with every key of the environ that could be taken for an identity."""
    shown = {
        key: value
        for key, value in environ.items()
        if key in SHOWN or "REMOTE_USER" in key or key.startswith("jwt_middleware")
        if key != RESPONSES  # no identity, and no JSON
    }
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@pytest.fixture(scope="session")
def keys() -> KeySet:
    return KeySet([Key.from_secret(b"k" * 32, kid="2026-11")])


@pytest.fixture
def issuer(keys: KeySet) -> TokenIssuer:
    return TokenIssuer(keys=keys, issuer="https://auth", audience="api", clock=lambda: NOW)


@pytest.fixture
def verifier(keys: KeySet) -> TokenVerifier:
    return TokenVerifier(keys=keys, issuer="https://auth", audience="api", clock=lambda: NOW)


@pytest.fixture
def bearer(issuer: TokenIssuer) -> Callable[..., dict[str, str]]:
    """Return request headers with a good token."""

    def make(scope: str = "", *, uid: int | str = 42, lifetime: int = 60) -> dict[str, str]:
        issued = issuer.issue(JWTPayload(uid=uid, scope=scope), lifetime_seconds=lifetime)
        return {"Authorization": f"Bearer {issued.token}"}

    return make


@pytest.fixture
def wrapped(verifier: TokenVerifier) -> Callable[..., TestApp]:
    """Return a WebTest app of the middleware; both sides of it are checked against PEP 3333."""

    def make(**parts: Any) -> TestApp:
        app = JWTMiddleware(validator(show_identity), **{"verifier": verifier, **parts})
        return TestApp(validator(app))

    return make


@dataclass
class Account:
    secret: str
    uid: int | str
    scope: str = "read write"
    enabled: bool = True
    version: int = 0


class Accounts:
    """Accounts of an app's own, by client type and name."""

    def __init__(self) -> None:
        self.entries = {
            ("email", "ann"): Account("right", 42),
            ("email", "bob"): Account("right", 43),
            ("service", "billing"): Account("s3cr:t+/%=é", "svc"),
        }
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.before_answering: Callable[[], object] = lambda: None

    def verify(self, client_type: str, account: str, secret: str) -> object:
        self.asked.append(account)
        if self.error is not None:
            raise self.error
        found = self.entries.get((client_type, account))
        if found is None or not found.enabled or found.secret != secret:
            raise BadCredentialsError
        identity = self._identity(found)
        self.before_answering()
        return identity

    def look_up(self, client_type: str, uid: int | str) -> object | None:
        if self.error is not None:
            raise self.error
        for (kind, _), one in self.entries.items():
            if (kind, one.uid) == (client_type, uid) and one.enabled:
                return self._identity(one)
        return None

    def set_secret(self, account: str, secret: str) -> None:
        entry = self.entries["email", account]
        entry.secret, entry.version = secret, entry.version + 1

    def _identity(self, one: Account) -> dict[str, object]:
        return {"uid": one.uid, "scope": one.scope, "credential": str(one.version)}


class Service:
    """An endpoint with sessions before an app, a clock for all of it, and a client."""

    def __init__(self, keys: KeySet, store: MemorySessions | None = None, **parts: Any) -> None:
        self.now: float = NOW
        self.ticks = 0
        self.keys = keys
        self.accounts = parts.pop("accounts", None) or Accounts()
        self.store = store if store is not None else MemorySessions()
        common: dict[str, Any] = {"keys": keys, "issuer": "https://auth", "audience": "api"}
        self.issuer = TokenIssuer(**common, clock=self.clock)
        self.sessions = Sessions(
            store=self.store,
            issuer=self.issuer,
            max_delay_seconds=parts.pop("max_delay_seconds", 0),
            clock=self.clock,
        )
        self.sessions.revocations._monotonic = self.monotonic
        self.verifier = TokenVerifier(
            **common,
            trusted=parts.pop("trusted", ()),
            is_revoked=self.sessions.revocations,
            clock=self.clock,
        )
        types = ("email", "service")
        settings: dict[str, Any] = {
            "issuer": self.issuer,
            "verifiers": {one: partial(self.accounts.verify, one) for one in types},
            "lookups": {one: partial(self.accounts.look_up, one) for one in types},
            "sessions": self.sessions,
            "verifier": self.verifier,
            "throttle": LoginThrottle(self.store, clock=self.clock),
            **parts,
        }
        self.endpoint = TokenEndpoint(**settings)
        app = JWTMiddleware(
            validator(show_identity), verifier=self.verifier, endpoint=self.endpoint
        )
        self.web = TestApp(validator(app))

    def clock(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.ticks += 1  # as no two readings of a real clock are the same
        return self.now - NOW + self.ticks / 1e6

    def log_in(self, account: str = "ann", secret: str = "right", **options: Any) -> TestResponse:
        login = {"account": account, "secret": secret, "type": "email"}
        return self.web.post_json("/token", login, **options)

    def refresh(self, token: str, **fields: Any) -> TestResponse:
        status = fields.pop("status", None)
        body = {"grant_type": "refresh_token", "refresh_token": token, **fields}
        return self.web.post_json("/token", body, status=status)

    def ask(self, token: str, status: int | None = None) -> TestResponse:
        return self.web.get("/", headers={"Authorization": f"Bearer {token}"}, status=status)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def make_service(keys: KeySet) -> Callable[..., Service]:
    return partial(Service, keys)


@pytest.fixture
def service(keys: KeySet) -> Service:
    return Service(keys)

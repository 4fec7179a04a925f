"""Forged tokens, a protected site, and what a refusal must look like."""

from __future__ import annotations

import hmac
import json
import logging
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from wsgiref.validate import validator

import pytest
from webtest import TestApp, TestResponse

from jwt_middleware import (
    JWTMiddleware,
    JWTPayload,
    Key,
    KeySet,
    Policy,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
)
from jwt_middleware.errors import BadCredentialsError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NOW: Final = 1_800_000_000
ISS: Final = "https://auth.example.com"
AUD: Final = "api"
SECRET: Final = b"conformance-secret-of-32-bytes!!"
PASSWORD: Final = "correct horse battery"
MARKER: Final = "claim-7f3a91c4"  # in every forged token: must never come out again

KEYS: Final = KeySet([Key.from_secret(SECRET, kid="k1")])

VECTORS: Final = Path(__file__).parents[2] / "shared" / "vectors"

Claims = dict[str, Any]
Sign = Callable[[bytes], bytes]


def good_claims(**changes: Any) -> Claims:
    """Return claims that pass, but for *changes*; a change to ``...`` leaves the claim out."""
    claims: Claims = {
        "iss": ISS,
        "aud": AUD,
        "sub": "42",
        "exp": NOW + 60,
        "iat": NOW,
        "nbf": NOW,
        "jti": "j-1",
        "scope": "read",
        "marker": MARKER,
    }
    claims |= changes
    return {name: value for name, value in claims.items() if value is not ...}


def b64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "==")


def hs256(signing_input: bytes, secret: bytes = SECRET) -> bytes:
    return hmac.digest(secret, signing_input, "sha256")


def forge(
    header: Mapping[str, Any] | bytes | None = None,
    payload: Mapping[str, Any] | bytes | None = None,
    *,
    sign: Sign = hs256,
) -> str:
    """
    Sign anything at all, truly.

    Args:
        header: Members, or raw octets; by default a good one.
        payload: Claims, or raw octets; by default good ones.
        sign: Signing input to signature.
    """
    if header is None:
        header = {"alg": "HS256", "kid": "k1", "typ": "at+jwt"}
    if payload is None:
        payload = good_claims()
    octets = (
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    )
    signing_input = ".".join(map(b64, octets))
    return f"{signing_input}.{b64(sign(signing_input.encode()))}"


class Site:
    """
    An app behind the middleware, both sides of which are held to PEP 3333.

    Args:
        lint: Off for what a server lets in though PEP 3333 does not: methods of no RFC, paths
            without a leading slash.

    Attributes:
        calls: The environ of each request that reached the app.
        now: What the verifier takes for the time.
        web: WebTest's client.
    """

    def __init__(
        self,
        *,
        keys: KeySet = KEYS,
        policy: Policy | None = None,
        endpoint: TokenEndpoint | None = None,
        app: WSGIApplication | None = None,
        lint: bool = True,
        **settings: Any,
    ) -> None:
        check = validator if lint else _unchecked
        self.calls: list[WSGIEnvironment] = []
        self.now: float = NOW
        self.verifier = TokenVerifier(
            keys=keys, issuer=ISS, audience=AUD, clock=lambda: self.now, **settings
        )
        self.middleware = JWTMiddleware(
            check(app or self._app), verifier=self.verifier, policy=policy, endpoint=endpoint
        )
        self.web = TestApp(check(self.middleware), lint=lint)

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [b"the app"]

    def ask(
        self, token: str | None = None, path: str = "/", *, authorization: str | None = None
    ) -> TestResponse:
        """GET *path* with a token, or with a whole Authorization value, as the server had it."""
        value = authorization if token is None else f"Bearer {token}"
        extra = {} if value is None else {"HTTP_AUTHORIZATION": value}
        return self.web.get(path, extra_environ=extra, expect_errors=True)

    def accepts(self, token: str) -> None:
        """Assert that *token* reaches the app."""
        calls = len(self.calls)
        answer = self.ask(token)
        assert answer.status_int == 200, answer.body
        assert len(self.calls) == calls + 1


def _unchecked(app: WSGIApplication) -> WSGIApplication:
    return app


class Refusals:
    """
    What a refusal must look like, as assertions: 401 with an error or without, and 400.

    Args:
        caplog: Has to be set to DEBUG.
        good: A token that the site accepts.
    """

    def __init__(self, caplog: pytest.LogCaptureFixture, good: str) -> None:
        self._caplog = caplog
        self._good = good

    def r401(self, site: Site, token: str, *, good: str | None = None) -> None:
        self._caplog.clear()
        calls = len(site.calls)
        answer = site.ask(token)
        assert answer.status_int == 401
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer ")
        assert 'error="invalid_token"' in challenge
        assert len(site.calls) == calls, "the app was called"
        self._says_nothing_of(token, answer)
        site.accepts(good or self._good)

    def m401(self, answer: TestResponse) -> None:
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        assert "error" not in answer.headers["WWW-Authenticate"]

    def b400(self, answer: TestResponse) -> None:
        assert answer.status_int == 400
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer ")
        assert 'error="invalid_request"' in challenge

    def _says_nothing_of(self, token: str, answer: TestResponse) -> None:
        log = self._caplog.text
        said = answer.text + str(answer.headers) + log
        for segment in token.split("."):
            assert len(segment) < 8 or segment not in said
        assert MARKER not in said
        for word in ("Traceback", "Error(", "jwt_middleware.errors", "Exception"):
            assert word not in said


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def refusals(caplog: pytest.LogCaptureFixture) -> Refusals:
    caplog.set_level(logging.DEBUG)
    return Refusals(caplog, good_token(scope="admin"))


def good_token(**changes: Any) -> str:
    return forge(payload=good_claims(**changes))


def verify_account(account: str, secret: str) -> object:
    """Log one account in: ``ann``."""
    if (account, secret) != ("ann", PASSWORD):
        raise BadCredentialsError
    return {"uid": 42, "scope": "read"}


def token_endpoint(**parts: Any) -> TokenEndpoint:
    issuer = TokenIssuer(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
    return TokenEndpoint(**{"issuer": issuer, "verifiers": {"email": verify_account}, **parts})


def token_with(scope: str, *, keys: KeySet = KEYS) -> str:
    issuer = TokenIssuer(keys=keys, issuer=ISS, audience=AUD, clock=lambda: NOW)
    return issuer.issue(JWTPayload(uid=42, scope=scope)).token


def json_vectors() -> Iterator[tuple[str, bytes, bool]]:
    """Yield name, document and validity of JSONTestSuite's cases; nothing where they are absent."""
    path = VECTORS / "json_test_suite.json"
    if path.exists():
        for case in json.loads(path.read_text()):
            yield case["name"], b64decode(case["base64"]), case["valid"]

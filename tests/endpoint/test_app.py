from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwt_middleware import JWTPayload, KeySet, TokenEndpoint, TokenIssuer, TokenVerifier
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.errors import BadCredentialsError, ConfigurationError, UnavailableError
from jwt_middleware.sessions import MemorySessions
from jwt_middleware.wsgi.responses import Responses

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from ..service import Service

LOGIN = {"account": "ann", "secret": "right", "type": "email"}


class Accounts:
    """Account verifiers that count how often they are asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def by_mapping(self, account: str, secret: str) -> object:
        self.asked.append((account, secret))
        if (account, secret) != ("ann", "right"):
            raise BadCredentialsError
        return {"uid": 42, "scope": "read write", "auth": "red"}

    def by_object(self, account: str, secret: str) -> object:
        return SimpleNamespace(uid="svc", scope="")

    def down(self, account: str, secret: str) -> object:
        raise UnavailableError("accounts unavailable", retry_after_seconds=5)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def endpoint(issuer: TokenIssuer, accounts: Accounts) -> Callable[..., TestApp]:
    def make(**settings: Any) -> TestApp:
        verifiers = {
            "email": accounts.by_mapping,
            "service": accounts.by_object,
            "ldap": accounts.down,
        }
        parts = {"issuer": issuer, "verifiers": verifiers, **settings}
        return TestApp(validator(TokenEndpoint(**parts)))

    return make


@pytest.mark.parametrize("kind", ["email", 100])
def test_login_as_json_gets_a_token(
    kind: object, endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, "type": kind})
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["expires_in"] == 7200
    claims = verifier.verify(answer.json["access_token"]).claims
    assert claims["sub"] == "42"
    assert (claims["uid"], claims["auth"], claims["scope"], claims["ac_type"]) == (
        *(42, "red", "read write"),
        "email",
    )


def test_login_as_a_form_gets_a_token(endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().post("/token", {**LOGIN, "type": "100"})
    assert answer.json["scope"] == "read write"


def test_identity_may_be_an_object(
    endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, "type": "service"})
    claims = verifier.verify(answer.json["access_token"]).claims
    assert (claims["sub"], claims["auth"], claims["ac_type"]) == ("svc", "blue", "service")


def test_envelope_carries_the_token_as_its_message(
    endpoint: Callable[..., TestApp], verifier: TokenVerifier
) -> None:
    answer = endpoint(responses=Responses(style="envelope")).post_json("/token", LOGIN)
    assert answer.json["error_code"] == 0
    assert answer.json["request"] == "POST /token"
    assert verifier.verify(answer.json["msg"]).subject == "42"


@pytest.mark.parametrize("wrong", [{"account": "bob"}, {"secret": "wrong"}])
def test_wrong_login_is_one_answer(wrong: dict[str, str], endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, **wrong}, status=401)
    assert answer.json["code"] == "bad_credentials"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_form_errors_name_their_fields_and_no_account_is_looked_at(
    endpoint: Callable[..., TestApp], accounts: Accounts
) -> None:
    answer = endpoint().post_json("/token", {"account": []}, status=400)
    assert answer.json["errors"].keys() == {"account", "secret", "type"}
    assert accounts.asked == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"])
@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # methods are case-sensitive
def test_only_post_is_allowed(method: str, endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().request("/token", method=method, status=405)
    assert answer.headers["Allow"] == "POST"
    assert (answer.body == b"") == (method == "HEAD")


def test_accounts_that_cannot_be_asked_are_503(endpoint: Callable[..., TestApp]) -> None:
    answer = endpoint().post_json("/token", {**LOGIN, "type": "ldap"}, status=503)
    assert answer.headers["Retry-After"] == "5"
    assert "access_token" not in answer.json


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_body_is_bounded(size: int, status: int, endpoint: Callable[..., TestApp]) -> None:
    body = b'{"account":"ann","secret":"right","type":"email"}'.ljust(size)
    endpoint(max_body_bytes=1000).post(
        "/token", body, content_type="application/json", status=status
    )


def test_it_can_be_mounted_without_the_middleware(issuer: TokenIssuer, accounts: Accounts) -> None:
    def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b""]

    endpoint = TokenEndpoint(issuer=issuer, verifiers={"email": accounts.by_mapping})
    app = TestApp(DispatcherMiddleware(not_found, {"/auth/token": endpoint}))
    assert app.post_json("/auth/token", LOGIN).json["token_type"] == "Bearer"
    app.post_json("/token", LOGIN, status=404)


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        pytest.param({"path": "token"}, "must be like /token", id="no-slash"),
        pytest.param({"path": "/token//"}, "must be like /token", id="two-slashes"),
        pytest.param({"path": "/"}, "must be like /token", id="root"),
        pytest.param({"path": "/a/../b"}, "must be like /token", id="dots"),
        pytest.param({"verifiers": {}}, "verifiers must map", id="no-verifier"),
        pytest.param({"verifiers": {"email": "User"}}, "verifiers must map", id="not-callable"),
        pytest.param({"max_body_bytes": 0}, "max_body_bytes", id="no-body"),
        pytest.param({"max_body_bytes": "x"}, "max_body_bytes", id="body-as-text"),
        pytest.param({"path": None}, "must be like /token", id="no-path"),
        pytest.param({"issuer": None}, "issuer must be a TokenIssuer", id="no-issuer"),
        pytest.param({"lookups": {"email": 1}}, "lookups must map", id="lookup-not-callable"),
        pytest.param({"trusted_proxies": -1}, "trusted_proxies must be", id="proxies"),
    ],
)
def test_wrong_setting_is_a_configuration_error(
    settings: dict[str, Any], fix: str, endpoint: Callable[..., TestApp]
) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        endpoint(**settings)


# With sessions

BELOW = ["revoke", "introspect", "logout", "logout-all"]


def test_sessions_bring_paths_with_them(service: Service, issuer: TokenIssuer) -> None:
    found = {"/token", *(f"/token/{name}" for name in BELOW)}
    assert service.endpoint.paths == found | {f"{path}/" for path in found}
    alone = TokenEndpoint(issuer=issuer, verifiers={"email": Accounts().by_mapping}, path="/a/b")
    assert alone.paths == {"/a/b", "/a/b/"}


@pytest.mark.parametrize("name", BELOW)
def test_without_sessions_these_paths_are_the_app_s(
    name: str, make_service: Callable[..., Service]
) -> None:
    service = make_service(sessions=None, verifier=None)
    answer = service.web.post(f"/token/{name}", status=401)
    assert answer.json["code"] == "missing_token"


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b""]


@pytest.mark.parametrize(
    ("mount", "path"),
    [
        pytest.param("/auth/token", "", id="at-its-own-path"),
        pytest.param("/auth", "/token", id="below-a-prefix"),
        pytest.param("/a/b/c", "/login", id="elsewhere"),
        pytest.param("/revoke", "", id="at-a-misleading-path"),
    ],
)
def test_all_of_it_can_be_mounted_without_the_middleware(
    mount: str, path: str, service: Service
) -> None:
    web = TestApp(validator(DispatcherMiddleware(not_found, {mount: service.endpoint})))
    at = mount + path
    granted = web.post_json(at, LOGIN).json
    client = {"client_id": "billing", "client_secret": "s3cr:t+/%=é"}
    body = {"token": granted["access_token"], **client}
    assert web.post(f"{at}/introspect", body).json["active"] is True
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    web.post(f"{at}/logout", headers=headers, status=204)
    web.post(f"{at}/logout-all", headers=headers, status=401)
    web.post(f"{at}/revoke", body, status=200)
    web.post_json("/token" if at != "/token" else "/x", LOGIN, status=404)


def test_it_can_be_mounted_by_who_leaves_the_whole_path(service: Service) -> None:
    web = TestApp(service.endpoint)
    granted = web.post_json("/some/where/token", LOGIN).json
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    web.post("/some/where/token/logout", headers=headers, status=204)


def test_a_path_that_ends_like_one_below_is_still_its_own(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(path="/revoke")
    assert service.web.post_json("/revoke", LOGIN).json["token_type"] == "Bearer"
    service.web.post("/revoke/revoke", {"token": "x"}, status=200)


def test_sessions_in_memory_are_refused_where_others_would_not_share_them(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    login = json.dumps(LOGIN)
    options: dict[str, Any] = {"extra_environ": {"wsgi.multiprocess": True}, "status": 503}
    answer = service.web.post("/token", login, content_type="application/json", **options)
    assert answer.headers["Retry-After"] == "1"
    assert "give [sessions] a url" in caplog.text
    for name in BELOW:
        service.web.post(f"/token/{name}", **options)
    assert [*service.store.list()] == []


class Shared(MemorySessions):
    single_process = False  # type: ignore[misc]


def test_sessions_that_are_shared_are_at_home_under_many_workers(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(store=Shared())
    service.web.post_json("/token", LOGIN, extra_environ={"wsgi.multiprocess": True})


@pytest.mark.parametrize("verifier", [None, "foreign", "unchecked", "no verifier"])
def test_sessions_need_a_verifier_of_their_own_tokens(
    verifier: object, service: Service, make_service: Callable[..., Service], keys: KeySet
) -> None:
    if verifier == "foreign":
        verifier = TokenVerifier(
            keys=keys,
            issuer="https://other",
            audience="api",
            is_revoked=service.sessions.revocations,
        )
    elif verifier == "unchecked":
        verifier = TokenVerifier(keys=keys, issuer="https://auth", audience="api")
    with pytest.raises(ConfigurationError, match="verifier must be a TokenVerifier of the"):
        make_service(verifier=verifier)


def test_sessions_need_the_same_issuer(
    issuer: TokenIssuer, make_service: Callable[..., Service]
) -> None:
    with pytest.raises(ConfigurationError, match="the same issuer"):
        make_service(issuer=issuer)


# Login protection


def test_a_form_that_is_refused_is_no_attempt(service: Service) -> None:
    for _ in range(9):
        service.log_in(secret="", status=400)
    service.log_in()


def test_with_sessions_logins_are_limited_by_default(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(throttle=None)
    for _ in range(5):
        service.log_in(secret="wrong", status=401)
    service.log_in(status=429)


def test_without_sessions_there_is_no_limit_unless_one_is_given(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(sessions=None, verifier=None, throttle=None)
    for _ in range(30):
        service.log_in(secret="wrong", status=401)
    service = make_service(sessions=None, verifier=None)
    for _ in range(5):
        service.log_in(secret="wrong", status=401)
    service.log_in(status=429)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "limited"),
    [
        pytest.param(0, "{n}.1.1.1", True, id="made-up"),
        pytest.param(1, "{n}.1.1.1", False, id="written-by-a-proxy"),
        pytest.param(1, "{n}.1.1.1, 1.1.1.1", True, id="made-up-beside-a-proxy"),
        pytest.param(2, "{n}.1.1.1", True, id="fewer-than-trusted"),
    ],
)
def test_an_address_is_limited_over_all_accounts(
    proxies: int,
    forwarded: str,
    limited: bool,  # noqa: FBT001
    make_service: Callable[..., Service],
) -> None:
    service = make_service(trusted_proxies=proxies)

    def guess(number: int, status: int) -> None:
        environ = {
            "REMOTE_ADDR": "10.0.0.1",
            "HTTP_X_FORWARDED_FOR": forwarded.format(n=number + 1),
        }
        service.log_in(f"account-{number}", extra_environ=environ, status=status)

    for number in range(30):
        guess(number, 401)
    guess(30, 429 if limited else 401)
    service.log_in(extra_environ={"REMOTE_ADDR": "10.0.0.2"})


def test_who_succeeds_is_never_limited(service: Service) -> None:
    environ = {"REMOTE_ADDR": "10.0.0.1"}
    for _ in range(50):
        service.log_in(extra_environ=environ)
    for _ in range(4):
        service.log_in(secret="wrong", extra_environ=environ, status=401)
    service.log_in(extra_environ=environ)
    for _ in range(4):
        service.log_in(secret="wrong", extra_environ=environ, status=401)
    service.log_in(extra_environ=environ)


def test_of_many_guesses_at_the_same_time_five_are_looked_at(
    make_service: Callable[..., Service],
) -> None:
    service = make_service()
    barrier = threading.Barrier(12)
    statuses: list[int] = []

    def guess() -> None:
        barrier.wait(timeout=60)
        statuses.append(service.log_in(secret="wrong", status="*").status_int)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(statuses) == [401] * 5 + [429] * 7
    assert len(service.accounts.asked) == 5


class Gate(SecretHasher):
    """A hasher whose Argon2 takes until it is told to end."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost_kib=8, max_wait_seconds=60)
        self.opened = threading.Event()
        self._argon2 = _Gated(self._argon2, self.opened)  # type: ignore[assignment]


class _Gated:
    def __init__(self, argon2: Any, opened: threading.Event) -> None:
        self._argon2 = argon2
        self._opened = opened

    def verify(self, encoded: str, material: bytes) -> bool:
        assert self._opened.wait(timeout=60)
        return bool(self._argon2.verify(encoded, material))


def test_a_flood_of_logins_leaves_a_worker_s_threads_to_the_tokens(
    make_service: Callable[..., Service],
) -> None:
    hasher = Gate()

    def verify(account: str, secret: str) -> object:
        hasher.verify(hasher.decoy, secret)
        raise BadCredentialsError

    service = make_service(verifiers={"email": verify}, lookups=None, throttle=None, sessions=None)
    token = service.issuer.issue(JWTPayload(uid=42)).token
    with ThreadPoolExecutor(8) as worker:
        logins = [worker.submit(service.log_in, status="*") for _ in range(40)]
        checks = [worker.submit(service.ask, token) for _ in range(20)]
        try:
            assert {one.result(timeout=60).status_int for one in checks} == {200}
            answered = islice(as_completed(logins, timeout=60), 34)
            assert {one.result().status_int for one in answered} == {503}
        finally:
            hasher.opened.set()
        assert sorted(one.result().status_int for one in logins) == [401] * 6 + [503] * 34


def test_a_body_of_one_byte_is_the_smallest_bound(issuer: TokenIssuer) -> None:
    parts: dict[str, Any] = {"issuer": issuer, "verifiers": {"email": lambda *_: None}}
    assert TokenEndpoint(**parts, max_body_bytes=1).max_body_bytes == 1
    with pytest.raises(ConfigurationError, match="max_body_bytes must be a whole number"):
        TokenEndpoint(**parts, max_body_bytes=0)


def test_with_sessions_every_verifier_needs_a_lookup_or_none(make_service: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"lookups\.\w+ is missing"):
        make_service(lookups={})
    make_service(lookups={"email": None, "service": None})

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestResponse

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer, TrustedIssuer
from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions import MemorySessions

if TYPE_CHECKING:
    from ..service import Service

MakeService = Callable[..., "Service"]
CLIENT = {"client_id": "billing", "client_secret": "s3cr:t+/%=é"}
BASIC = {"Authorization": "Basic " + b64encode("billing:s3cr:t+/%=é".encode()).decode()}
INACTIVE = {"active": False}


class Breaking(MemorySessions):
    """A store that can be taken away."""

    down = False

    def _mine(self) -> Any:
        if self.down:
            raise UnavailableError("the store is down", retry_after_seconds=3)
        return super()._mine()


def revoke(service: Service, token: str, **options: Any) -> TestResponse:
    answer = service.web.post("/token/revoke", {"token": token}, **{"status": 200, **options})
    if answer.status_int == 200:
        assert answer.json == {}
        assert answer.headers["Cache-Control"] == "no-store"
    return answer


def introspect(service: Service, token: str, **fields: Any) -> dict[str, Any]:
    answer = service.web.post("/token/introspect", {"token": token, **fields}, headers=BASIC)
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    members: dict[str, Any] = answer.json
    return members


def foreign() -> tuple[TokenIssuer, TrustedIssuer]:
    keys = KeySet([Key.from_secret(b"f" * 32, kid="f")])
    issuer = TokenIssuer(keys=keys, issuer="https://other", audience="api", clock=lambda: 1.8e9)
    return issuer, TrustedIssuer(issuer="https://other", audience="api", keys=keys)


def without_jti(service: Service) -> str:
    """Return a good token of our own keys that nothing could revoke."""
    issuer = service.issuer
    signer = issuer._current_signer()
    sign = signer.sign

    def forget(claims: dict[str, object]) -> str:
        return sign({name: value for name, value in claims.items() if name != "jti"})

    signer.sign = forget  # type: ignore[method-assign]
    try:
        return issuer.issue(JWTPayload(uid=42)).token
    finally:
        signer.sign = sign  # type: ignore[method-assign]


# Revocation (RFC 7009)


def test_a_revoked_refresh_token_ends_its_session(service: Service) -> None:
    granted = service.log_in().json
    other = service.log_in().json
    revoke(service, granted["refresh_token"])
    service.ask(granted["access_token"], 401)
    assert service.refresh(granted["refresh_token"], status=400).json["error"] == "invalid_grant"
    service.ask(other["access_token"], 200)
    service.refresh(other["refresh_token"])


def test_any_refresh_token_of_a_session_ends_it(service: Service) -> None:
    first = service.log_in().json["refresh_token"]
    latest = service.refresh(first).json
    service.now += 3600
    revoke(service, first)
    service.refresh(latest["refresh_token"], status=400)


def test_a_revoked_access_token_is_revoked_alone(service: Service) -> None:
    first = service.log_in().json
    second = service.refresh(first["refresh_token"]).json
    revoke(service, first["access_token"])
    answer = service.ask(first["access_token"], 401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    service.ask(second["access_token"], 200)
    service.refresh(second["refresh_token"])


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "saml2", ""])
@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_a_wrong_hint_changes_nothing(hint: str, which: str, service: Service) -> None:
    granted = service.log_in().json
    body = {"token": granted[which], "token_type_hint": hint}
    service.web.post_json("/token/revoke", body, status=200)
    service.ask(granted["access_token"], 401)


def test_tokens_that_are_not_good_are_answered_in_the_same_way(make_service: MakeService) -> None:
    service = make_service()
    granted = service.log_in().json
    revoke(service, granted["refresh_token"])
    bad = granted["access_token"][:-4] + "AAAA"
    for token in (*granted.values(), bad, "x", "x" * 64, "é", "a.b.c", "A" * 5000):
        answer = revoke(service, str(token))
        assert sorted(answer.headers) == sorted(revoke(service, "unknown").headers)


def test_a_good_token_that_cannot_be_revoked_is_said_to_be(make_service: MakeService) -> None:
    issuer, trusted = foreign()
    service = make_service(trusted=[trusted])
    for token in (issuer.issue(JWTPayload(uid=42)).token, without_jti(service)):
        answer = service.web.post("/token/revoke", {"token": token}, status=400)
        assert answer.json["error"] == "unsupported_token_type"
        service.ask(token, 200)


def test_an_expired_token_is_not_kept(service: Service) -> None:
    token = service.log_in().json["access_token"]
    service.now += 7200
    revoke(service, token)
    assert service.store.changes(None, limit=10).revocations == []


def test_a_token_is_revoked_without_authentication_but_not_with_a_wrong_one(
    service: Service,
) -> None:
    granted = service.log_in().json
    for options in (
        {"headers": {"Authorization": "Basic YTpi"}},
        {"headers": {"Authorization": "Basic"}},
    ):
        answer = revoke(service, granted["refresh_token"], status=401, **options)
        assert answer.json["error"] == "invalid_client"
    service.ask(granted["access_token"], 200)
    revoke(service, granted["refresh_token"], headers=BASIC)
    service.ask(granted["access_token"], 401)


@pytest.mark.parametrize("path", ["revoke", "introspect"])
@pytest.mark.parametrize(
    "body",
    [{}, {"token": ""}, {"token": None}, {"token": ["x"]}, {"token": 1}, {"token": {"a": "b"}},
     {"token": "x", "token_type_hint": 1}, {"token": "x", "client_secret": "x"}],
    ids=repr,
)  # fmt: skip
def test_requests_that_are_not_understood(
    path: str, body: dict[str, Any], service: Service
) -> None:
    answer = service.web.post_json(f"/token/{path}", body, status=400)
    assert answer.json["error"] == "invalid_request"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["revoke", "introspect", "logout", "logout-all"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"])
@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # methods are case-sensitive
def test_only_post_is_allowed(path: str, method: str, service: Service) -> None:
    answer = service.web.request(f"/token/{path}", method=method, status=405)
    assert answer.headers["Allow"] == "POST"
    assert (answer.body == b"") == (method == "HEAD")


@pytest.mark.parametrize("path", ["revoke", "introspect"])
def test_bodies_are_bounded_and_typed(path: str, make_service: MakeService) -> None:
    service = make_service(max_body_bytes=100)
    body = b"token=" + b"x" * 95
    service.web.post(f"/token/{path}", body, status=413)
    answer = service.web.post(f"/token/{path}", b"token=x", content_type="text/plain", status=415)
    assert answer.json["error"] == "invalid_request"


# Introspection (RFC 7662)


def test_a_good_access_token_is_active(service: Service) -> None:
    token = service.log_in().json["access_token"]
    claims = service.verifier.verify(token).claims
    members = introspect(service, token)
    assert members.pop("active") is True
    assert members.pop("token_type") == "Bearer"
    assert members == claims
    for name in ("scope", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "uid", "sid"):
        assert name in members


def test_a_refresh_token_in_force_is_active(service: Service) -> None:
    first = service.log_in().json["refresh_token"]
    members = introspect(service, first, token_type_hint="refresh_token")
    assert members == {
        "active": True,
        "scope": "read write",
        "exp": service.now + 14 * 86_400,
        "iat": service.now,
        "sub": "42",
        "aud": "https://auth",
        "iss": "https://auth",
        "uid": 42,
        "auth": "blue",
        "ac_type": "email",
        "sid": next(service.store.list()).sid,
    }
    second = service.refresh(first).json["refresh_token"]
    assert introspect(service, first, token_type_hint="refresh_token") == INACTIVE
    assert introspect(service, second, token_type_hint="refresh_token")["active"] is True
    service.now += 14 * 86_400
    assert introspect(service, second, token_type_hint="refresh_token") == INACTIVE


@pytest.mark.parametrize("hint", [None, "", "access_token", "Refresh_Token", "saml2"])
def test_without_its_hint_a_refresh_token_is_not_active(hint: str | None, service: Service) -> None:
    token = service.log_in().json["refresh_token"]
    fields = {} if hint is None else {"token_type_hint": hint}
    assert introspect(service, token, **fields) == INACTIVE


def test_introspection_shows_own_claims_and_the_client(service: Service) -> None:
    payload = JWTPayload(42, claims={"tenant": "acme", "username": "ann"}, client_id="web")
    members = introspect(service, service.issuer.issue(payload).token)
    assert (
        members.items()
        >= {"tenant": "acme", "username": "ann", "client_id": "web", "active": True}.items()
    )
    assert "scope" not in members
    answer = service.web.post("/token", {"grant_type": "client_credentials", **CLIENT})
    members = introspect(service, answer.json["access_token"])
    assert (members["client_id"], members["sub"]) == ("billing", "svc")


def test_everything_else_is_inactive_and_no_more_is_said(make_service: MakeService) -> None:
    issuer, trusted = foreign()
    service = make_service(trusted=[trusted])
    alone, in_session = service.log_in().json, service.log_in().json
    revoke(service, alone["access_token"])
    revoke(service, in_session["refresh_token"])
    expired = service.issuer.issue(JWTPayload(uid=42), lifetime_seconds=0).token
    other = issuer.issue(JWTPayload(uid=42)).token
    for token in (
        *(alone["access_token"], *in_session.values(), expired, other),
        *("x", "x" * 64, "é", "a.b.c", "A" * 5000),
    ):
        assert introspect(service, str(token)) == INACTIVE
    hint = {"token_type_hint": "refresh_token"}
    assert introspect(service, alone["refresh_token"], **hint)["active"] is True


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="none"),
        pytest.param({"headers": {"Authorization": "Basic YTpi"}}, id="unknown"),
        pytest.param({"headers": {"Authorization": "Basic YW5uOnJpZ2h0"}}, id="no-service"),
        pytest.param({"headers": {"Authorization": "Bearer x"}}, id="bearer"),
        pytest.param({"client": {"client_id": "billing"}}, id="name-alone"),
        pytest.param({"client": {**CLIENT, "client_secret": "x"}}, id="wrong-secret"),
    ],
)
def test_only_authenticated_services_may_ask(options: dict[str, Any], service: Service) -> None:
    token = service.log_in().json["access_token"]
    body = {"token": token, **options.pop("client", {})}
    answer = service.web.post("/token/introspect", body, status=401, **options)
    assert answer.json["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.headers["Cache-Control"] == "no-store"
    body = {"token": token, **CLIENT}
    assert service.web.post("/token/introspect", body).json["active"] is True


def test_asking_in_vain_is_limited_and_asking_well_is_not(service: Service) -> None:
    for _ in range(30):
        introspect(service, "x")
    wrong = {"token": "x", **CLIENT, "client_secret": "x"}
    for _ in range(5):
        service.web.post("/token/introspect", wrong, status=401)
    answer = service.web.post("/token/introspect", wrong, status=429)
    assert answer.json["error"] == "too_many_attempts"
    assert answer.headers["Retry-After"] == "180"


# A store that is away


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_while_the_store_is_down_the_answer_is_neither_yes_nor_no(
    which: str, make_service: MakeService
) -> None:
    store = Breaking()
    service = make_service(store=store)
    granted = service.log_in().json
    store.down = True
    for path in ("revoke", "introspect"):
        body = {"token": granted[which], **CLIENT}
        answer = service.web.post(f"/token/{path}", body, status=503)
        assert answer.json["error"] == "temporarily_unavailable"
        assert answer.headers["Retry-After"] == "3"
    store.down = False
    service.now += 1
    service.ask(granted["access_token"])
    revoke(service, granted[which])
    service.ask(granted["access_token"], 401)


def test_refresh_tokens_are_no_words_of_another_alphabet(service: Service) -> None:
    revoke(service, encode_base64url(b"\0" * 48).decode())

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestApp, TestResponse

from jwt_middleware import TokenEndpoint
from jwt_middleware.errors import UnavailableError
from jwt_middleware.wsgi.responses import Responses

from ..service import Account

if TYPE_CHECKING:
    from ..service import Service

MakeService = Callable[..., "Service"]
REFRESH = {"grant_type": "refresh_token"}
CREDENTIALS = {"grant_type": "client_credentials"}
CLIENT = {"client_id": "billing", "client_secret": "s3cr:t+/%=é"}


def basic(account: str = "billing", secret: str = CLIENT["client_secret"]) -> dict[str, str]:
    encoded = b64encode(f"{account}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def assert_refused(answer: TestResponse, error: str) -> None:
    """As RFC 6749 §5.2 has it."""
    assert answer.json.keys() == {"error", "error_description"}
    assert answer.json["error"] == error
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert ("WWW-Authenticate" in answer.headers) == (answer.status_int == 401)


# Refreshing


def test_a_login_can_be_refreshed(service: Service) -> None:
    first = service.log_in().json
    assert first.keys() == {
        "access_token", "token_type", "expires_in", "scope", "refresh_token"
    }  # fmt: skip
    second = service.refresh(first["refresh_token"]).json
    assert second.keys() == first.keys()
    assert second["refresh_token"] != first["refresh_token"]
    claims = service.verifier.verify(second["access_token"]).claims
    assert (claims["sub"], claims["uid"], claims["ac_type"]) == ("42", 42, "email")
    assert claims["sid"] == service.verifier.verify(first["access_token"]).claims["sid"]


def test_the_envelope_carries_the_refresh_token_beside_its_message(
    make_service: MakeService,
) -> None:
    service = make_service(responses=Responses(style="envelope"))
    answer = service.log_in().json
    assert answer.keys() == {"error_code", "msg", "request", "refresh_token"}
    assert service.refresh(answer["refresh_token"]).json["token_type"] == "Bearer"


def test_refreshing_speaks_oauth_urlencoded_too(service: Service) -> None:
    token = service.log_in().json["refresh_token"]
    answer = service.web.post("/token", {**REFRESH, "refresh_token": token})
    assert answer.json["scope"] == "read write"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_refreshed_scope_can_shrink_and_not_grow(service: Service) -> None:
    token = service.log_in().json["refresh_token"]
    narrowed = service.refresh(token, scope="read").json
    assert narrowed["scope"] == "read"
    assert service.verifier.verify(narrowed["access_token"]).claims["scope"] == "read"
    for scope in ("admin", "read admin", "read  write", " read", 'a"b'):
        answer = service.refresh(narrowed["refresh_token"], scope=scope, status=400)
        assert_refused(answer, "invalid_scope")
    # What failed has used nothing up, and the session's own scope is what it was.
    assert service.refresh(narrowed["refresh_token"]).json["scope"] == "read write"


def test_scope_follows_the_account(service: Service) -> None:
    token = service.log_in().json["refresh_token"]
    service.accounts.entries["email", "ann"].scope = "write admin"
    assert service.refresh(token).json["scope"] == "write"


@pytest.mark.parametrize("token", ["x", "x" * 64, "A" * 64, "é" * 64, "a.b.c", "x" * 10_000])
def test_a_token_that_is_none_is_an_invalid_grant(token: str, service: Service) -> None:
    assert_refused(service.refresh(token, status=400), "invalid_grant")


def test_an_access_token_is_no_refresh_token(service: Service) -> None:
    token = service.log_in().json["access_token"]
    assert_refused(service.refresh(token, status=400), "invalid_grant")


def test_client_authentication_is_optional_and_must_be_valid(service: Service) -> None:
    token = service.log_in().json["refresh_token"]
    assert_refused(service.refresh(token, **{**CLIENT, "client_secret": "x"}, status=401),
                   "invalid_client")  # fmt: skip
    body = {**REFRESH, "refresh_token": token}
    answer = service.web.post("/token", body, headers=basic(secret="x"), status=401)
    assert_refused(answer, "invalid_client")
    token = service.web.post("/token", body, headers=basic()).json["refresh_token"]
    token = service.refresh(token, **CLIENT).json["refresh_token"]
    # A name alone proves nothing, and is asked of nobody: clients without a secret send it.
    service.refresh(token, client_id="app")


def test_a_client_type_that_may_not_log_in_any_more_cannot_refresh(
    make_service: MakeService,
) -> None:
    before = make_service()
    token = before.log_in().json["refresh_token"]
    after = make_service(
        store=before.store, verifiers={"service": before.accounts.verify}, lookups={"service": None}
    )
    assert_refused(after.refresh(token, status=400), "invalid_grant")


def test_without_a_lookup_a_session_goes_on_as_it_began(make_service: MakeService) -> None:
    service = make_service(lookups={"email": None, "service": None})
    token = service.log_in().json["refresh_token"]
    service.accounts.entries["email", "ann"].enabled = False
    assert service.refresh(token).json["scope"] == "read write"


def test_accounts_that_cannot_be_asked_use_nothing_up(service: Service) -> None:
    token = service.log_in().json["refresh_token"]
    service.accounts.error = UnavailableError("down", retry_after_seconds=7)
    answer = service.refresh(token, status=503)
    assert_refused(answer, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "7"
    service.accounts.error = None
    service.refresh(token)


# Clients on their own behalf


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "urlencoded"])
@pytest.mark.parametrize("in_header", [True, False], ids=["basic", "body"])
def test_client_credentials_get_a_token_without_a_refresh_token(
    as_json: bool,  # noqa: FBT001
    in_header: bool,  # noqa: FBT001
    service: Service,
) -> None:
    post = service.web.post_json if as_json else service.web.post
    headers, body = (basic(), CREDENTIALS) if in_header else ({}, {**CREDENTIALS, **CLIENT})
    answer = post("/token", body, headers=headers)
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    claims = service.verifier.verify(answer.json["access_token"]).claims
    assert (claims["sub"], claims["ac_type"], claims["scope"]) == ("svc", "service", "read write")
    # It can be revoked like any other.
    assert service.store.find(claims["sid"]) is not None


def test_client_credentials_work_without_sessions(make_service: MakeService) -> None:
    service = make_service(sessions=None, verifier=None, throttle=None)
    answer = service.web.post_json("/token", {**CREDENTIALS, **CLIENT, "scope": "read"})
    claims = service.verifier.verify(answer.json["access_token"]).claims
    assert (answer.json["scope"], claims["scope"], "sid" in claims) == ("read", "read", False)
    token = service.refresh("x" * 64, status=400)
    assert_refused(token, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("scope", "granted"),
    [("read", "read"), ("write read", "write read"), ("read read", "read"), ("", "read write")],
)
def test_a_client_may_ask_for_less(scope: str, granted: str, service: Service) -> None:
    answer = service.web.post("/token", {**CREDENTIALS, **CLIENT, "scope": scope})
    assert answer.json["scope"] == granted


def test_a_client_may_not_ask_for_more(service: Service) -> None:
    body = {**CREDENTIALS, **CLIENT, "scope": "read admin"}
    assert_refused(service.web.post("/token", body, status=400), "invalid_scope")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"client_id": "unknown"}, id="unknown"),
        pytest.param({"client_secret": "wrong"}, id="wrong-secret"),
        pytest.param({"client_id": "ann", "client_secret": "right"}, id="of-another-type"),
        pytest.param({"client_secret": ""}, id="no-secret"),
        pytest.param({"client_id": "", "client_secret": ""}, id="nothing"),
        pytest.param({"client_id": "x" * 256}, id="long-name"),
        pytest.param({"client_secret": "x" * 1025}, id="long-secret"),
    ],
)
def test_a_client_that_is_not_who_it_says_is_one_answer(
    change: dict[str, str], service: Service
) -> None:
    answer = service.web.post_json("/token", {**CREDENTIALS, **CLIENT, **change}, status=401)
    assert_refused(answer, "invalid_client")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="api", charset="UTF-8"'


def test_where_no_service_can_log_in_there_are_no_client_credentials(
    make_service: MakeService,
) -> None:
    service = make_service(verifiers={"email": lambda *_: {"uid": 1}}, lookups={"email": None})
    answer = service.web.post("/token", {**CREDENTIALS, **CLIENT}, status=400)
    assert_refused(answer, "unsupported_grant_type")
    token = service.log_in().json["refresh_token"]
    assert_refused(service.refresh(token, **CLIENT, status=401), "invalid_client")


# What is no grant


@pytest.mark.parametrize(
    "grant_type",
    ["password", "authorization_code", "CLIENT_CREDENTIALS", "refresh_token ", "__class__",
     "urn:ietf:params:oauth:grant-type:jwt-bearer"],
)  # fmt: skip
def test_other_grant_types_are_not_supported(grant_type: str, service: Service) -> None:
    body = {"account": "ann", "secret": "right", "type": "email", "grant_type": grant_type}
    answer = service.web.post_json("/token", body, status=400)
    assert_refused(answer, "unsupported_grant_type")
    assert service.accounts.asked == []


@pytest.mark.parametrize("value", [None, 1, True, [], ["x"], {}, {"x": "y"}, "a\0b"], ids=repr)
@pytest.mark.parametrize(
    "name", ["grant_type", "refresh_token", "scope", "client_id", "client_secret"]
)
def test_parameters_are_strings(name: str, value: Any, service: Service) -> None:
    body = {**REFRESH, "refresh_token": "x", **CLIENT, "scope": "read", name: value}
    assert_refused(service.web.post_json("/token", body, status=400), "invalid_request")
    assert service.accounts.asked == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("grant_type=", id="empty-type"),
        pytest.param("grant_type=refresh_token", id="no-token"),
        pytest.param("grant_type=refresh_token&refresh_token=", id="empty-token"),
        pytest.param("grant_type=refresh_token&grant_type=refresh_token&refresh_token=x", id="2"),
        pytest.param("grant_type=refresh_token&refresh_token=x&refresh_token=y", id="two-tokens"),
        pytest.param("grant_type=client_credentials&client_secret=x", id="secret-alone"),
        pytest.param("grant_type=%ff", id="no-text"),
        pytest.param("grant%5Ftype=refresh_token", id="name-encoded"),
    ],
)
def test_requests_that_are_not_understood_are_answered_in_oauth(
    body: str, service: Service
) -> None:
    assert_refused(service.web.post("/token", body, status=400), "invalid_request")


@pytest.mark.parametrize("body", ['{"grant_type": "refresh_token"', '{"grant_type":"a"}x'])
def test_json_that_cannot_be_parsed_is_answered_in_oauth(body: str, service: Service) -> None:
    answer = service.web.post("/token", body, content_type="application/json", status=400)
    assert_refused(answer, "invalid_request")


def test_a_login_that_only_mentions_a_grant_type_is_a_login(service: Service) -> None:
    answer = service.log_in("grant_type", status=401)
    assert answer.content_type == "application/problem+json"


# A login that crosses with its account's end


@pytest.mark.parametrize("how", ["disabled", "secret"])
def test_a_login_that_crosses_with_its_account_s_end_gets_nothing(
    how: str, service: Service
) -> None:
    accounts = service.accounts
    ann = accounts.entries["email", "ann"]

    def end() -> None:
        ann.enabled = how != "disabled"
        ann.version += how == "secret"

    accounts.before_answering = end
    answer = service.log_in(status=401)
    assert answer.json["code"] == "bad_credentials"
    assert [*service.store.list()] == []


def test_a_client_that_crosses_with_its_account_s_end_gets_nothing(service: Service) -> None:
    billing = service.accounts.entries["service", "billing"]
    service.accounts.before_answering = lambda: setattr(billing, "enabled", False)
    answer = service.web.post("/token", {**CREDENTIALS, **CLIENT}, status=401)
    assert_refused(answer, "invalid_client")
    assert [*service.store.list()] == []


def test_a_verifier_s_own_failure_is_logged_and_answered_503(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(account: str, secret: str) -> object:
        raise LookupError(f"no table of {secret}")

    service = make_service(
        verifiers={"email": fail, "service": fail}, lookups={"email": None, "service": None}
    )
    answer = service.log_in(secret="right \\'", status=503)
    assert answer.json["code"] == "temporarily_unavailable"
    answer = service.web.post("/token", {**CREDENTIALS, **CLIENT}, status=503)
    assert_refused(answer, "temporarily_unavailable")
    assert "LookupError: no table of …" in caplog.text
    assert "right" not in caplog.text


# Whose refresh token it is


def log_in_as_service(service: Service) -> str:
    body = {"account": "billing", "secret": CLIENT["client_secret"], "type": "service"}
    token: str = service.web.post_json("/token", body).json["refresh_token"]
    return token


def test_a_service_s_refresh_token_needs_its_authentication(service: Service) -> None:
    token = log_in_as_service(service)
    assert_refused(service.refresh(token, status=401), "invalid_client")
    assert_refused(service.refresh(token, client_id="billing", status=401), "invalid_client")
    # Nothing was used up, and nothing has ended.
    token = service.refresh(token, **CLIENT).json["refresh_token"]
    service.web.post("/token", {**REFRESH, "refresh_token": token}, headers=basic())


def test_a_service_s_refresh_token_is_no_other_client_s(service: Service) -> None:
    service.accounts.entries["service", "other"] = Account("sesame street", "svc2")
    token = log_in_as_service(service)
    other = {"client_id": "other", "client_secret": "sesame street"}
    assert_refused(service.refresh(token, **other, status=400), "invalid_grant")
    for path, fields in (("revoke", other), ("revoke", {})):
        answer = service.web.post(f"/token/{path}", {"token": token, **fields}, status="*")
        assert_refused(answer, "invalid_grant" if fields else "invalid_client")
    token = service.refresh(token, **CLIENT).json["refresh_token"]
    service.web.post("/token/revoke", {"token": token, **CLIENT}, status=200)
    service.refresh(token, **CLIENT, status=400)


def test_a_service_s_access_token_is_revoked_by_itself_alone(service: Service) -> None:
    service.accounts.entries["service", "other"] = Account("sesame street", "svc2")
    token = service.web.post("/token", {**CREDENTIALS, **CLIENT}).json["access_token"]
    body = {"token": token, "client_id": "other", "client_secret": "sesame street"}
    assert_refused(service.web.post("/token/revoke", body, status=400), "invalid_grant")
    assert_refused(
        service.web.post("/token/revoke", {"token": token}, status=401), "invalid_client"
    )
    service.ask(token, 200)
    service.web.post("/token/revoke", {"token": token, **CLIENT}, status=200)
    service.ask(token, 401)


def test_a_second_use_within_the_grace_is_logged_with_both_addresses(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    first = service.log_in().json["refresh_token"]

    def refresh(address: str) -> None:
        body = {**REFRESH, "refresh_token": first}
        service.web.post("/token", body, extra_environ={"REMOTE_ADDR": address})

    refresh("192.0.2.1")
    assert "token.repeated" not in caplog.text
    refresh("198.51.100.7")
    (record,) = [one for one in caplog.records if "token.repeated" in one.getMessage()]
    assert "client=198.51.100.7" in record.getMessage()
    assert "before from 192.0.2.1" in record.getMessage()
    assert record.levelname == "WARNING"
    assert first not in caplog.text


def test_the_endpoint_alone_answers_the_same(service: Service) -> None:
    web = TestApp(service.endpoint)
    assert isinstance(service.endpoint, TokenEndpoint)
    assert web.post("/token", {**CREDENTIALS, **CLIENT}).json["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ('"{}"', "the token is in quotes"),
        ('{{"refresh_token": "{}"}}', "a JSON response is not a token"),
        ("Bearer {}", "Bearer is repeated"),
        ("{}\n", "the token ends in a line break"),
        ("{}%3D", "the token is percent-encoded"),
        ("null", "the token is a null value"),
    ],
)
def test_says_what_a_refresh_token_was_wrapped_in(service: Service, form: str, told: str) -> None:
    token = service.log_in().json["refresh_token"]
    answer = service.refresh(form.format(token), status=400)
    assert answer.json["error"] == "invalid_grant"
    assert f": refresh_token: {told}" in answer.json["error_description"]
    assert token not in answer.text
    service.refresh(token)  # it was not used


def test_says_that_an_access_token_is_none_to_refresh_with(service: Service) -> None:
    answer = service.refresh(service.log_in().json["access_token"], status=400)
    assert "refresh_token: that is an access token" in answer.json["error_description"]

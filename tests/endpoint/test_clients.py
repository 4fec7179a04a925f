from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestResponse

from jwt_middleware.endpoint.clients import _MAX_CHARS
from jwt_middleware.endpoint.logins import Credentials
from jwt_middleware.errors import AuthError

if TYPE_CHECKING:
    from ..service import Service

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


def test_two_ways_to_authenticate_are_one_too_many(service: Service) -> None:
    body = {**CREDENTIALS, **CLIENT}
    answer = service.web.post("/token", body, headers=basic(), status=400)
    assert_refused(answer, "invalid_request")
    assert service.accounts.asked == []


def test_a_client_may_name_itself_beside_its_header(service: Service) -> None:
    service.web.post("/token", {**CREDENTIALS, "client_id": "billing"}, headers=basic())
    body = {**CREDENTIALS, "client_id": "other"}
    assert_refused(service.web.post("/token", body, headers=basic(), status=401), "invalid_client")


def test_basic_is_read_as_rfc_6749_and_as_clients_write_it(service: Service) -> None:
    for secret in (CLIENT["client_secret"], "s3cr%3At%2B%2F%25%3D%C3%A9"):
        service.web.post("/token", CREDENTIALS, headers=basic(secret=secret))
    for secret in ("s3cr%3At%2B%2F%25%3D", "s3cr%3At%2B%2F%25%3D%FF", "s3cr:t /%=é"):
        answer = service.web.post("/token", CREDENTIALS, headers=basic(secret=secret), status=401)
        assert_refused(answer, "invalid_client")


def test_two_readings_are_counted_as_two_guesses(service: Service) -> None:
    for _ in range(2):
        service.web.post("/token", CREDENTIALS, headers=basic(secret="a+b%20c"), status=401)
    assert service.accounts.asked == ["billing"] * 4
    answer = service.web.post("/token", CREDENTIALS, headers=basic(secret="a+b%20c"), status=429)
    assert_refused(answer, "too_many_attempts")
    assert len(service.accounts.asked) == 4


def test_a_client_whose_name_has_two_readings_is_not_locked_out_by_itself(
    service: Service,
) -> None:
    entries = service.accounts.entries
    entries["service", "a%20b"] = entries["service", "billing"]
    for _ in range(50):
        service.web.post("/token", CREDENTIALS, headers=basic("a%20b"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Basic", id="empty"),
        pytest.param("Basic ", id="space"),
        pytest.param("Basic !!!!", id="no-base64"),
        pytest.param("Basic YWJj", id="no-colon"),
        pytest.param("Basic YWJ", id="no-padding"),
        pytest.param("Basic /zp4", id="no-utf-8"),
        pytest.param("Basic Og==", id="nothing-in-it"),
        pytest.param("Basic YTpi, Basic YTpi", id="two"),
        pytest.param("Basic YQA6Yg==", id="nul"),
        pytest.param("BASIC  YTp4", id="unknown"),
        pytest.param("Basic " + "YWFh" * 10_000, id="long"),
        pytest.param("Bearer YTpi", id="bearer"),
        pytest.param("Digest x", id="digest"),
        pytest.param("Basicx YTpi", id="another-scheme"),
    ],
)
def test_any_authorization_that_is_no_client_s_is_an_invalid_client(
    value: str, service: Service
) -> None:
    answer = service.web.post(
        "/token", CREDENTIALS, extra_environ={"HTTP_AUTHORIZATION": value}, status=401
    )
    assert_refused(answer, "invalid_client")


def test_a_bearer_token_beside_a_body_is_ignored(service: Service) -> None:
    headers = {"Authorization": "Bearer x"}
    service.web.post("/token", {**CREDENTIALS, **CLIENT}, headers=headers)


def test_the_name_of_a_client_may_hold_percent_signs_and_pluses(service: Service) -> None:
    entries = service.accounts.entries
    entries["service", "a+b%20c"] = entries["service", "billing"]
    for name in ("a+b%20c", "a%2Bb%2520c"):
        service.web.post("/token", CREDENTIALS, headers=basic(name, "s3cr%3At%2B%2F%25%3D%C3%A9"),
                         status=200 if name != "a+b%20c" else 401)  # fmt: skip
        service.web.post("/token", CREDENTIALS, headers=basic(name, CLIENT["client_secret"]),
                         status=200 if name == "a+b%20c" else 401)  # fmt: skip


def test_credentials_are_not_shown() -> None:
    assert "right" not in repr(Credentials("ann", "right"))
    assert "ann" not in f"{Credentials('ann', 'right')}"


def test_nothing_that_was_sent_is_chained_to_the_refusal(service: Service) -> None:
    """An error report of a server's own shows the causes of what it reports."""
    seen: list[BaseException] = []
    refuse = service.endpoint._oauth.refuse

    def keep(error: AuthError, *rest: Any) -> Any:
        seen.append(error)
        return refuse(error, *rest)

    service.endpoint._oauth.refuse = keep  # type: ignore[assignment, method-assign]
    for headers in (basic(secret="%ff"), basic("x" * 300), {"Authorization": "Basic /zp4"}):
        service.web.post("/token", CREDENTIALS, headers=headers, status=401)
    assert [(one.__cause__, one.__context__) for one in seen] == [(None, None)] * 3


def test_a_header_beyond_the_longest_credentials_is_not_read(service: Service) -> None:
    value = "Basic " + " " * _MAX_CHARS + b64encode(b"billing:s3cr:t+/%=\xc3\xa9").decode()
    headers = {"Authorization": value}
    body = {"grant_type": "client_credentials"}
    assert service.web.post("/token", body, headers=headers, status=401)
    assert service.accounts.asked == []
    headers = {"Authorization": value.replace(" " * _MAX_CHARS, "")}
    service.web.post("/token", body, headers=headers, status=200)


def test_basic_that_is_no_utf_8_is_read_as_latin_1(service: Service) -> None:
    latin = b64encode("billing:s3cr:t+/%=é".encode("latin-1")).decode()
    headers = {"Authorization": f"Basic {latin}"}
    answer = service.web.post("/token", {"grant_type": "client_credentials"}, headers=headers)
    assert answer.json["token_type"] == "Bearer"

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestResponse

from jwt_middleware import JWTPayload
from jwt_middleware.wsgi.responses import Responses

from .test_tokens import Breaking, foreign, without_jti

if TYPE_CHECKING:
    from ..service import Service

MakeService = Callable[..., "Service"]
PATHS = ["/token/logout", "/token/logout-all"]


def leave(service: Service, path: str, token: str, status: int = 204) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    answer = service.web.post(path, headers=headers, status=status)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


@pytest.mark.parametrize("path", PATHS)
def test_logging_out_ends_the_session(path: str, service: Service) -> None:
    first = service.log_in().json
    second = service.refresh(first["refresh_token"]).json
    assert leave(service, path, second["access_token"]).body == b""
    for token in (first["access_token"], second["access_token"]):
        service.ask(token, 401)
    for token in (first["refresh_token"], second["refresh_token"]):
        assert service.refresh(token, status=400).json["error"] == "invalid_grant"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("delay", [0, 1, 60])
def test_nobody_logs_out_twice(path: str, delay: float, make_service: MakeService) -> None:
    service = make_service(max_delay_seconds=delay)
    token = service.log_in().json["access_token"]
    leave(service, path, token)
    for again in PATHS:
        answer = leave(service, again, token, 401)
        assert 'Bearer realm="api", error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert answer.json["code"] == "revoked_token"


def test_logging_out_ends_no_other_session(service: Service) -> None:
    one, other = service.log_in().json, service.log_in().json
    leave(service, "/token/logout", one["access_token"])
    service.ask(other["access_token"], 200)
    service.refresh(other["refresh_token"])


def test_logging_out_everywhere_ends_all_that_the_subject_has(service: Service) -> None:
    mine = [service.log_in().json for _ in range(3)]
    outside = service.issuer.issue(JWTPayload(uid=42)).token
    others = service.log_in("bob").json
    service.now += 1
    leave(service, "/token/logout-all", mine[0]["access_token"])
    for granted in mine:
        service.ask(granted["access_token"], 401)
        service.refresh(granted["refresh_token"], status=400)
    service.ask(outside, 401)
    service.ask(others["access_token"], 200)
    service.refresh(others["refresh_token"])
    # And nothing that comes later.
    later = service.log_in().json
    service.ask(later["access_token"], 200)
    service.refresh(later["refresh_token"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("lost", [True, False], ids=["session-lost", "without-session"])
def test_a_token_whose_session_cannot_be_ended_is_revoked_itself(
    path: str,
    lost: bool,  # noqa: FBT001
    service: Service,
) -> None:
    if lost:
        token = service.log_in().json["access_token"]
        service.store._sessions.clear()
    else:
        token = service.issuer.issue(JWTPayload(uid=42)).token
    service.ask(token, 200)
    leave(service, path, token)
    service.ask(token, 401)


@pytest.mark.parametrize("path", PATHS)
def test_a_token_that_nothing_could_end_is_said_to_be(path: str, service: Service) -> None:
    answer = leave(service, path, without_jti(service), 400)
    assert answer.json["code"] == "invalid_request"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("style", ["problem", "envelope"])
def test_a_token_is_needed(path: str, style: Any, make_service: MakeService) -> None:
    service = make_service(responses=Responses(style=style))
    service.web.post(path, status=401)
    answer = service.web.post(path, {"token": "x"}, headers={"Authorization": "Basic YTpi"},
                              status=401)  # fmt: skip
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert ("error_code" in answer.json) == (style == "envelope")
    service.web.post(path, headers={"Authorization": "Bearer"}, status=400)
    expired = service.issuer.issue(JWTPayload(uid=42), lifetime_seconds=0).token
    refresh_token = service.log_in().json["refresh_token"]
    for token in ("x", expired, refresh_token):
        leave(service, path, token, 401)


@pytest.mark.parametrize("path", PATHS)
def test_who_is_known_elsewhere_is_nobody_here(path: str, make_service: MakeService) -> None:
    issuer, trusted = foreign()
    service = make_service(trusted=[trusted])
    mine = service.log_in().json
    other = issuer.issue(JWTPayload(uid=42)).token
    service.ask(other, 200)
    leave(service, path, other, 401)
    service.ask(mine["access_token"], 200)
    service.refresh(mine["refresh_token"])


@pytest.mark.parametrize("path", PATHS)
def test_while_the_store_is_down_nobody_is_told_to_be_out(
    path: str, make_service: MakeService
) -> None:
    store = Breaking()
    service = make_service(store=store)
    token = service.log_in().json["access_token"]
    store.down = True
    assert leave(service, path, token, 503).headers["Retry-After"] == "3"
    store.down = False
    service.now += 1
    leave(service, path, token)
    service.ask(token, 401)

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp

from jwt_middleware import errors
from jwt_middleware.core.issuer import IssuedToken
from jwt_middleware.sessions import Grant
from jwt_middleware.wsgi.responses import Responses, preferred_language

from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ERRORS = [
    pytest.param(errors.MissingTokenError(), 401, 1005, None, id="missing"),
    pytest.param(errors.BadCredentialsError(), 401, 1005, None, id="credentials"),
    pytest.param(errors.InvalidRequestError(), 400, 1000, "invalid_request", id="request"),
    pytest.param(
        errors.InvalidFormError({"account": ["No."]}), 400, 1000, "invalid_request", id="form"
    ),
    pytest.param(errors.MalformedTokenError(), 401, 1002, "invalid_token", id="malformed"),
    pytest.param(errors.UnknownKeyError(kid="k"), 401, 1002, "invalid_token", id="key"),
    pytest.param(errors.ExpiredTokenError(claim="exp"), 401, 1003, "invalid_token", id="expired"),
    pytest.param(
        errors.InsufficientScopeError(scope=["a"]), 403, 1004, "insufficient_scope", id="scope"
    ),
    pytest.param(errors.MethodNotAllowedError(allowed=["POST"]), 405, 1007, None, id="method"),
    pytest.param(errors.BodyTooLargeError(), 413, 1008, None, id="large"),
    pytest.param(errors.UnsupportedMediaTypeError(), 415, 1009, None, id="media-type"),
    pytest.param(errors.UnavailableError(retry_after_seconds=3), 503, 999, None, id="down"),
    pytest.param(
        errors.TooManyAttemptsError(retry_after_seconds=3), 429, 1011, None, id="too-many"
    ),
]


def answering(error: Any, **settings: Any) -> TestApp:
    responses = Responses(**settings)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return responses.refuse(error, environ, start_response)

    return TestApp(app)


@table(("error", "status", "number", "oauth_error"), ERRORS)
@table("language", ["en", "zh"])
def test_both_styles_differ_in_nothing_but_the_body(
    error: errors.AuthError, status: int, number: int, oauth_error: str | None, language: str
) -> None:
    headers = {"Accept-Language": language}
    problem = answering(error).get("/a/b", headers=headers, status=status)
    envelope = answering(error, style="envelope").get("/a/b", headers=headers, status=status)
    sentence = error.sentence if language == "en" else error.sentence_zh
    assert problem.json["code"] == error.code
    assert problem.json["status"] == status
    assert problem.json["detail"] == sentence
    assert envelope.json["error_code"] == number
    assert envelope.json["request"] == "GET /a/b"
    assert set(envelope.json) == {"error_code", "msg", "request"}
    fields = getattr(error, "fields", None)
    assert problem.json.get("errors") == fields
    assert envelope.json["msg"] == (fields or sentence)
    assert problem.content_type == "application/problem+json"
    assert envelope.content_type == "application/json"
    for answer in (problem, envelope):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Language"] == language
        assert answer.headers["Vary"] == "Accept-Language"
    different = {"content-type", "content-length"}
    assert [
        {name: value for name, value in answer.headers.items() if name.lower() not in different}
        for answer in (problem,)
    ] == [
        {name: value for name, value in envelope.headers.items() if name.lower() not in different}
    ]
    challenge = problem.headers.get("WWW-Authenticate", "")
    assert bool(challenge) == (status in {400, 401, 403})
    assert challenge.isascii()
    assert ("error=" in challenge) == (oauth_error is not None)
    if oauth_error:
        assert f'error="{oauth_error}"' in challenge
        assert f'error_description="{error.sentence}"' in challenge


def test_405_names_the_methods_and_503_and_429_the_wait() -> None:
    method = answering(errors.MethodNotAllowedError(allowed=["POST"])).get("/", status=405)
    assert method.headers["Allow"] == "POST"
    down = answering(errors.UnavailableError(retry_after_seconds=3)).get("/", status=503)
    assert down.headers["Retry-After"] == "3"
    busy = answering(errors.TooManyAttemptsError(retry_after_seconds=4)).get("/", status=429)
    assert busy.headers["Retry-After"] == "4"


def test_error_of_an_app_s_own_is_answered_as_its_base() -> None:
    class TokenFromTheWrongTenantError(errors.InvalidTokenError):
        code = "wrong_tenant"

    answer = answering(TokenFromTheWrongTenantError()).get("/", status=401)
    assert answer.json["code"] == "wrong_tenant"


@table("error", [param.values[0] for param in ERRORS], ids=lambda e: e.code)
def test_public_sentence_can_stand_in_a_challenge(error: errors.AuthError) -> None:
    assert error.sentence.isascii()
    assert not set(error.sentence) & {'"', "\\"}


def test_grant_has_the_members_and_headers_of_rfc_6749() -> None:
    grant = Grant(IssuedToken("a.b.c", 7200, "id"), "read")

    def answer(**settings: Any) -> Any:
        responses = Responses(**settings)
        return TestApp(lambda e, s: responses.grant(grant, e, s)).post("/token")

    assert answer().json == {
        "access_token": "a.b.c",
        "token_type": "Bearer",
        "expires_in": 7200,
        "scope": "read",
    }
    assert answer(style="envelope").json == {
        "error_code": 0,
        "msg": "a.b.c",
        "request": "POST /token",
    }
    for each in (answer(), answer(style="envelope")):
        assert each.headers["Cache-Control"] == "no-store"
        assert each.headers["Pragma"] == "no-cache"


def test_a_refresh_token_stands_beside_the_access_token_in_both_styles() -> None:
    grant = Grant(IssuedToken("a.b.c", 7200, "id"), "read", "r")
    for style in ("problem", "envelope"):
        responses = Responses(style=style)
        answer = TestApp(lambda e, s, r=responses: r.grant(grant, e, s)).post("/token")
        assert answer.json["refresh_token"] == "r"


@table(
    ("accepted", "language"),
    [
        pytest.param(None, "en", id="absent"),
        pytest.param("", "en", id="empty"),
        pytest.param("zh", "zh", id="zh"),
        pytest.param("zh-CN,zh;q=0.9,en;q=0.8", "zh", id="browser-in-china"),
        pytest.param("ZH-hans", "zh", id="any-case"),
        pytest.param("en-GB,en;q=0.9,zh;q=0.1", "en", id="english-first"),
        pytest.param("fr,de", "en", id="neither"),
        pytest.param("zh;q=0", "en", id="refused"),
        pytest.param("*", "en", id="any"),
    ],
)
def test_language_is_english_unless_chinese_is_preferred(
    accepted: str | None, language: str
) -> None:
    environ = {} if accepted is None else {"HTTP_ACCEPT_LANGUAGE": accepted}
    assert preferred_language(environ) == language


@given(st.text(st.characters(max_codepoint=255)).map(lambda text: f"zh{text}"))
def test_any_accept_language_gets_one_of_ours(accepted: str) -> None:
    assert preferred_language({"HTTP_ACCEPT_LANGUAGE": accepted}) in {"en", "zh"}


@pytest.mark.parametrize("path", ["/caf\xe9", "/caf\xc3\xa9", "/\xff\0\n", "/\u4e2d"])
def test_envelope_shows_any_path_as_text(path: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "/mount"}
    body = Responses(style="envelope").refuse(
        errors.MissingTokenError(), environ, lambda *_: lambda _: None
    )
    assert json.loads(b"".join(body))["request"].startswith("GET /mount/")


def test_an_empty_scope_is_left_out() -> None:
    grant = Grant(IssuedToken("a.b.c", 7200, "id"), "")
    for responses in (Responses(), Responses().for_oauth()):
        answer = TestApp(lambda e, s, r=responses: r.grant(grant, e, s)).post("/token")
        assert "scope" not in answer.json


@table(
    ("error", "name"),
    [
        (errors.BadCredentialsError(), "invalid_client"),
        (errors.InvalidFormError({"account": ["No."]}), "invalid_request"),
        (errors.ExpiredTokenError(claim="exp"), "invalid_token"),
        (errors.InsufficientScopeError(), "insufficient_scope"),
        (errors.MissingTokenError(), "missing_token"),
        (errors.UnavailableError(), "temporarily_unavailable"),
    ],
)
def test_a_problem_is_an_error_to_clients_of_oauth(error: Any, name: str) -> None:
    assert answering(error).get("/", expect_errors=True).json["error"] == name


def test_a_problem_names_the_parameter() -> None:
    error = errors.InvalidRequestError("token is missing", parameter="token")
    assert answering(error).get("/", status=400).json["detail"] == (
        "The request is malformed: token is missing."
    )
    headers = {"Accept-Language": "zh"}
    assert answering(error).get("/", headers=headers, status=400).json["detail"] == (
        "请求格式错误：token"
    )


RECIPE = {
    "invalid_request": 1002,
    "bad_credentials": 1004,
    "invalid_token": 1005,
    "missing_token": 1005,
    "insufficient_scope": 1006,
}


@table(
    ("error", "number"),
    [
        (errors.InvalidFormError({"account": ["No."]}), 1002),
        (errors.BadCredentialsError(), 1004),
        (errors.ExpiredTokenError(claim="exp"), 1005),
        (errors.MissingTokenError(), 1005),
        (errors.InsufficientScopeError(), 1006),
        (errors.TooManyAttemptsError(), 1011),
    ],
    ids=lambda one: getattr(one, "code", one),
)
def test_numbers_of_the_envelope_can_be_others(error: Any, number: int) -> None:
    app = answering(error, style="envelope", error_codes=RECIPE)
    assert app.get("/", expect_errors=True).json["error_code"] == number


def test_the_nearest_number_counts() -> None:
    codes = {"invalid_token": 5, "expired_token": 6}
    for error, number in (
        (errors.ExpiredTokenError(claim="exp"), 6),
        (errors.MalformedTokenError(), 5),
    ):
        app = answering(error, style="envelope", error_codes=codes)
        assert app.get("/", status=401).json["error_code"] == number


@table(
    ("codes", "text"),
    [
        ({"invalid_tokens": 1}, "did you mean invalid_token"),
        ({"configuration_error": 1}, "unknown error code"),
        ({"invalid_token": 0}, "other than 0"),
        ({"invalid_token": "5"}, "whole number"),
        ({"invalid_token": True}, "whole number"),
    ],
)
def test_wrong_numbers_are_a_configuration_error(codes: Any, text: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=text):
        Responses(error_codes=codes)


@pytest.mark.parametrize(
    "settings", [{"style": "xml"}, {"realm": 'a"'}, {"realm": None}, {"realm": "a\nb"}]
)
def test_wrong_setting_is_a_configuration_error(settings: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError, match=next(iter(settings))):
        Responses(**settings)


def test_unknown_kid_is_logged_escaped_and_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answering(errors.UnknownKeyError(kid="\nforged line " + "x" * 100)).get("/", status=401)
    (message,) = caplog.messages
    assert "\n" not in message
    assert r"\nforged line" in message
    assert len(message) < 250


def test_unavailability_is_logged_as_an_error_with_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = errors.UnavailableError("accounts unavailable")
    error.__cause__ = TimeoutError("password in here")
    answering(error).get("/", status=503)
    [(name, level, message)] = caplog.record_tuples
    assert (name, level) == ("jwt_middleware", logging.ERROR)
    assert message == (
        "request.unavailable reason=temporarily_unavailable method=GET path=/"
        ' detail="accounts unavailable (TimeoutError)"'
    )

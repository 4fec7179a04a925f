from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webtest import TestApp

from jwt_middleware import JWTMiddleware, Key, KeySet, Responses, TokenVerifier, TrustedIssuer
from jwt_middleware.errors import InvalidRequestError
from jwt_middleware.wsgi.bearer import challenge, parse_authorization

from ..service import show_identity
from ..strategies import CHARACTERS
from ..table import table

KEYS = KeySet([Key.from_secret(b"k" * 32, kid="k")])


@table(
    ("value", "token"),
    [
        pytest.param("Bearer a.b.c", "a.b.c", id="usual"),
        pytest.param("bearer a.b.c", "a.b.c", id="lower-case"),
        pytest.param("BEARER a.b.c", "a.b.c", id="upper-case"),
        pytest.param("bEarer a.b.c", "a.b.c", id="any-case"),
        pytest.param("Bearer token=a", "token=a", id="equals"),
        pytest.param('Bearer "a.b.c"', '"a.b.c"', id="quoted"),
        pytest.param("Bearer   a.b.c", "a.b.c", id="several-spaces"),
        pytest.param("Bearer a-._~+/b==", "a-._~+/b==", id="whole-b64token-alphabet"),
        pytest.param("Bearer a?b", "a?b", id="alphabet-is-the-verifiers-to-judge"),
        pytest.param("Bearer Bearer", "Bearer", id="token-named-bearer"),
        pytest.param("Bearer a.b.c\t", "a.b.c", id="tab-after-token"),
        pytest.param("Bearer a.b.c ", "a.b.c", id="space-after-token"),
        pytest.param(" \tbearer  a.b.c", "a.b.c", id="white-space-before-the-scheme"),
    ],
)
def test_returns_the_one_token(value: str, token: str) -> None:
    assert parse_authorization(value) == token


@table(
    "value",
    [
        pytest.param(None, id="no-header"),
        pytest.param("Basic dXNlcjpzZWNyZXQ=", id="basic"),
        pytest.param("Basic", id="scheme-alone"),
        pytest.param("Negotiate abc", id="negotiate"),
        pytest.param("xBearer t", id="longer-name"),
        pytest.param('Digest username="bearer", realm="x"', id="digest-with-commas"),
        pytest.param("AWS4-HMAC-SHA256 Credential=a/b, Signature=c", id="aws"),
    ],
)
def test_leaves_other_schemes_alone(value: str | None) -> None:
    assert parse_authorization(value) is None


@table(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("  \t", id="white-space"),
        pytest.param("Bearer", id="no-token"),
        pytest.param("Bearer ", id="empty-token"),
        pytest.param("Bearer\ta.b.c", id="tab-before-token"),
        pytest.param("Bearer a.b.c extra", id="extra-word"),
        pytest.param("Bearera.b.c", id="no-space"),
        pytest.param("Bearertok a.b.c", id="longer-scheme"),
        pytest.param("Bearer: a.b.c", id="colon"),
        pytest.param("Bearer Bearer a.b.c", id="scheme-twice"),
        pytest.param("Bearer  \t ", id="blank-token"),
        pytest.param("Bearer\n a.b.c", id="newline"),
        pytest.param("Bearer\xa0a.b.c", id="no-break-space"),
        pytest.param("Bearer a.b.c, a=b", id="parameter"),
        pytest.param(",Bearer a.b.c", id="comma-before"),
        pytest.param("Bearer ,a.b.c", id="comma-inside"),
        pytest.param("Digest a=b,\tBEARER a.b.c", id="two-headers-digest"),
        pytest.param("Bearer a.b.c,Bearer d.e.f", id="two-headers"),
        pytest.param("Bearer a.b.c, Basic eA==", id="two-headers-bearer-first"),
        pytest.param("Basic eA==,Bearer a.b.c", id="two-headers-bearer-second"),
        pytest.param("Basic eA== ,\tbearer a.b.c", id="two-headers-odd-space"),
    ],
)
def test_rejects_what_is_not_exactly_one_token(value: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_authorization(value)


@given(
    st.text(CHARACTERS) | st.from_regex(r"(?i)\A(bearer|basic)?[ ,\t]*.*\Z", alphabet=CHARACTERS)
)
@example("Bearer \x00")
def test_answers_any_header_with_a_token_none_or_our_error(value: str) -> None:
    try:
        token = parse_authorization(value)
    except InvalidRequestError:
        return
    if token is not None:
        assert token
        assert not set(token) & set(" \t,")
        assert value.lower().lstrip(" \t").startswith("bearer ")
        assert value.rstrip(" \t").endswith(token)


def test_challenge_is_bare_without_an_error() -> None:
    assert challenge("api") == 'Bearer realm="api"'


def test_challenge_quotes_every_parameter() -> None:
    value = challenge("api", error="insufficient_scope", description="No.", scope=["a", "b"])
    assert value == (
        'Bearer realm="api", error="insufficient_scope", error_description="No.", scope="a b"'
    )


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"
MISTAKES = [
    pytest.param(f"Bearer: {JWT}", "a colon or equals sign", 400, id="colon"),
    pytest.param(f"Bearer={JWT}", "a colon or equals sign", 400, id="equals sign"),
    pytest.param(f"Bearer Bearer {JWT}", "is repeated", 400, id="scheme twice"),
    pytest.param(f"Bearer bearer:{JWT}", "is repeated", 401, id="scheme in the token"),
    pytest.param(f'Bearer "{JWT}"', "in quotes", 401, id="quotes"),
    pytest.param(f"Bearer '{JWT}'", "in quotes", 401, id="single quotes"),
    pytest.param(f'Bearer {JWT}"', "in quotes", 401, id="closing quote"),
    pytest.param(f"Bearer \xe2\x80\x9c{JWT}\xe2\x80\x9d", "in quotes", 401, id="curly quotes"),
    pytest.param(f'Bearer {{"access_token": "{JWT}"}}', "its access_token", 400, id="JSON"),
    pytest.param(f'Bearer {{"access_token":"{JWT}"}}', "its access_token", 401, id="dense JSON"),
    pytest.param(f'Bearer ["{JWT}"]', "its access_token", 401, id="array"),
    pytest.param("Bearer null", "null value", 401, id="null"),
    pytest.param("Bearer undefined", "null value", 401, id="undefined"),
    pytest.param("Bearer [object Object]", "null value", 400, id="object"),
    pytest.param("Bearer $TOKEN", "placeholder", 401, id="variable"),
    pytest.param("Bearer <token>", "placeholder", 401, id="brackets"),
    pytest.param("Bearer {{token}}", "placeholder", 401, id="braces"),
    pytest.param(f"Bearer {JWT}\n", "line break", 401, id="line break"),
    pytest.param(f"Bearer {JWT}\\n", "line break", 401, id="escaped line break"),
    pytest.param(f"Bearer {JWT}%0A", "line break", 401, id="encoded line break"),
    pytest.param(f"Bearer {JWT.replace('.', '%2E')}", "percent-encoded", 401, id="percent"),
    pytest.param(f"Bearer {JWT},", "comma", 400, id="comma"),
    pytest.param(f"Bearer {JWT};", "semicolon", 401, id="semicolon"),
    pytest.param(f"Bearer {JWT[:20]} {JWT[20:]}", "white space", 400, id="space"),
    pytest.param(f"Bearer {JWT[:20]}\n{JWT[20:]}", "white space", 401, id="wrapped"),
    pytest.param(f"Bearer {JWT}, Bearer {JWT}", "two values", 400, id="twice"),
    pytest.param(f"Bearer {JWT}=", "padding", 401, id="padding"),
    pytest.param(f"Bearer {JWT[:20]}...", "abbreviated", 401, id="cut"),
    pytest.param("Bearer opaque", "three parts", 401, id="opaque"),
    pytest.param("Bearer a.b.c.d.e", "encrypted", 401, id="JWE"),
    pytest.param("Bearer ", "the token is missing", 400, id="nothing"),
    pytest.param(f"JWT {JWT}", "the scheme is not Bearer", 401, id="JWT"),
    pytest.param(f"Token {JWT}", "the scheme is not Bearer", 401, id="Token"),
    pytest.param(JWT, "the scheme is missing", 401, id="no scheme"),
    pytest.param(f'"Bearer {JWT}"', "the value is in quotes", 401, id="quoted value"),
]


@pytest.mark.parametrize(("value", "part", "status"), MISTAKES)
def test_client_and_log_are_told_what_is_wrong_and_where(
    wrapped: Callable[..., TestApp],
    caplog: pytest.LogCaptureFixture,
    value: str,
    part: str,
    status: int,
) -> None:
    caplog.set_level(logging.INFO)
    for responses, member in ((Responses(), "detail"), (Responses(style="envelope"), "msg")):
        app = wrapped(responses=responses)
        for language in ("en", "zh"):
            answer = app.get(
                "/", extra_environ={"HTTP_AUTHORIZATION": value, "HTTP_ACCEPT_LANGUAGE": language},
                status=status,
            )  # fmt: skip
            assert "Authorization: " in answer.json[member]
            assert part in answer.json[member]
            challenge = answer.headers["WWW-Authenticate"]
            if "error=" in challenge:  # the scheme was another: then it is bare
                description = re.search('error_description="([^"]*)"', challenge)
                assert description
                assert part in description[1]
                # RFC 6750 §3
                assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", description[1])
            assert JWT[:20] not in answer.text + challenge + caplog.text
    assert part in caplog.text


def test_nothing_is_said_of_a_token_that_only_is_not_good(wrapped: Callable[..., TestApp]) -> None:
    answer = wrapped().get("/", headers={"Authorization": "Bearer a.b.c"}, status=401)
    assert answer.json["detail"] == "The token is malformed."


def test_other_headers_are_named() -> None:
    own, other = (
        TrustedIssuer(issuer=name, audience="api", keys=KEYS, header=header)
        for name, header in (("a", None), ("b", "X-Other-Token"))
    )
    app = TestApp(JWTMiddleware(show_identity, verifier=TokenVerifier(trusted=[own, other])))
    answer = app.get("/", headers={"X-Other-Token": f"Bearer {JWT}"}, status=401)
    assert answer.json["detail"].endswith(": X-Other-Token: Bearer is repeated.")
    answer = app.get("/", headers={"Authorization": f"JWT {JWT}"}, status=401)
    assert "the scheme is not Bearer" in answer.json["detail"]
    app = TestApp(JWTMiddleware(show_identity, verifier=TokenVerifier(trusted=[other])))
    answer = app.get("/", headers={"Authorization": f"JWT {JWT}"}, status=401)
    assert answer.json["detail"] == "A bearer token is required."

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_middleware.errors import InvalidRequestError
from jwt_middleware.wsgi.bearer import challenge, parse_authorization


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@given(st.text() | st.from_regex(r"(?i)\A(bearer|basic)?[ ,\t]*.*\Z"))
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


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("Bearer: abc.def.ghi", "a colon follows the scheme"),
        ("Bearer Bearer abc.def.ghi", "the scheme is there twice"),
        ('Bearer {"access_token": "abc.def.ghi"}', "send its access_token"),
        ("Bearer ", "the token is missing"),
        ("Bearer abc def", "exactly one"),
    ],
)
def test_says_what_is_wrong_and_quotes_nothing(value: str, part: str) -> None:
    with pytest.raises(InvalidRequestError, match=part) as refused:
        parse_authorization(value)
    assert "abc" not in str(refused.value)

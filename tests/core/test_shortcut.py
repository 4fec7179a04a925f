from __future__ import annotations

from typing import Any

import jwt
import pytest

from jwt_middleware.core.issuer import TokenIssuer
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.payload import JWTPayload
from jwt_middleware.core.shortcut import PARTY, generate_payload, generate_token, verify_token
from jwt_middleware.core.verifier import TokenVerifier
from jwt_middleware.errors import (
    ConfigurationError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    InvalidTokenError,
)

from ..table import table

SECRET = "the one secret, of 32 bytes or so"


def test_goes_round() -> None:
    payload = generate_payload(42, "red", ["read", "write"], "mobile")
    claims = verify_token(generate_token(payload, 60, SECRET), SECRET)
    assert claims["sub"] == "42"
    assert (claims["uid"], claims["auth"]) == (42, "red")
    assert (claims["scope"], claims["ac_type"]) == ("read write", "mobile")
    assert claims["exp"] - claims["iat"] == 60


def test_the_usual_lifetime_is_two_hours() -> None:
    claims = verify_token(generate_token(generate_payload(42), 7200, SECRET), SECRET)
    assert claims["exp"] - claims["iat"] == 7200


@table(
    ("scope", "text"),
    [("", ""), ("read write", "read write"), ([], ""), (("a",), "a"), (iter("ab"), "a b")],
)
def test_takes_scopes_as_one_string_or_several(scope: Any, text: str) -> None:
    assert generate_payload(1, scope=scope) == JWTPayload(1, scope=text)


@pytest.mark.parametrize("scope", [5.0, [1], ["read", None], b"read"])
def test_refuses_a_scope_of_another_type(scope: Any) -> None:
    with pytest.raises(ValueError, match="scope"):
        generate_payload(1, scope=scope)


@pytest.mark.parametrize("expiry", [0, -1])
def test_an_expired_token_says_so_in_chinese(expiry: int) -> None:
    token = generate_token(generate_payload(42), expiry, SECRET)
    with pytest.raises(ExpiredTokenError) as caught:
        verify_token(token, SECRET)
    assert str(caught.value) == "当前jwt已经过期了"
    assert caught.value.claim == "exp"


@table("secret", ["", b"", "s" * 31, None, 32])
def test_refuses_a_short_secret(secret: Any) -> None:
    token = generate_token(generate_payload(42), 60, SECRET)
    with pytest.raises(ConfigurationError, match="secret"):
        generate_token(generate_payload(42), 60, secret)
    with pytest.raises(ConfigurationError, match="secret"):
        verify_token(token, secret)


def test_a_secret_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="secret is empty"):
        generate_token(generate_payload(42), 7200, b"")


def test_refuses_the_token_of_another_secret() -> None:
    with pytest.raises(InvalidSignatureError):
        verify_token(generate_token(generate_payload(42), 60, SECRET), SECRET + "!")


@table("token", ["", "a.b.c", None, 5, b"a.b.c"])
def test_refuses_what_is_no_token(token: Any) -> None:
    with pytest.raises(InvalidTokenError):
        verify_token(token, SECRET)


def test_keeps_to_itself() -> None:
    keys = KeySet([Key.from_secret(SECRET)])
    token = generate_token(generate_payload(42), 60, SECRET)
    with pytest.raises(InvalidClaimError):
        TokenVerifier(keys=keys, issuer="me", audience=PARTY).verify(token)
    foreign = jwt.encode({"iss": "me", "aud": PARTY, "sub": "42", "exp": 9e9}, SECRET)
    with pytest.raises(InvalidClaimError):
        verify_token(foreign, SECRET)


def test_accepts_a_token_without_kid() -> None:
    claims = {"iss": PARTY, "aud": PARTY, "sub": "42", "exp": 9e9}
    assert verify_token(jwt.encode(claims, SECRET), SECRET) == claims


@pytest.mark.parametrize("kid", [None, "2026-11"])
def test_both_verify_where_issuer_and_audience_agree(kid: str | None) -> None:
    key = Key.from_secret(SECRET, kid=kid)
    same: dict[str, Any] = {"issuer": "https://auth", "audience": "api"}
    verifier = TokenVerifier(keys=KeySet([key]), **same)
    issuer = TokenIssuer(keys=KeySet([key]), **same)
    token = generate_token(generate_payload(42), 60, key, **same)
    assert verifier.verify(token).claims["uid"] == 42
    issued = issuer.issue(JWTPayload(43)).token
    for secret in (SECRET, SECRET.encode(), key):
        assert verify_token(issued, secret, **same)["uid"] == 43


def test_takes_the_recipe_s_lines() -> None:
    payload = generate_payload(uid=1, ac_type=100, scope=None)
    assert payload == JWTPayload(1)
    members = {"uid": 1, "ac_type": 100, "scope": None, "nickname": "Ann"}
    claims = verify_token(generate_token(members, 7200, SECRET), SECRET)
    assert (claims["uid"], claims["scope"], claims["ac_type"]) == (1, "", "email")
    assert claims["nickname"] == "Ann"
    more = generate_token(generate_payload(1, claims={"a": 1}), 60, SECRET, claims={"b": 2})
    assert verify_token(more, SECRET).items() >= {"a": 1, "b": 2}.items()


def test_a_kid_that_no_key_can_have_is_an_invalid_token() -> None:
    claims = {"iss": PARTY, "aud": PARTY, "sub": "42", "exp": 9e9}
    token = jwt.encode(claims, SECRET, headers={"kid": "\x00"})
    with pytest.raises(InvalidTokenError):
        verify_token(token, SECRET)

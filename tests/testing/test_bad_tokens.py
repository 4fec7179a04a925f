from __future__ import annotations

import pytest

from jwt_middleware import ConfigurationError, JWTMiddleware, TokenIssuer
from jwt_middleware.errors import AuthError
from jwt_middleware.testing import BadToken, TestApp, Tokens


@pytest.mark.parametrize("bad", BadToken)
def test_is_refused_for_the_reason_it_is_named_after(bad: BadToken, app: JWTMiddleware) -> None:
    client = TestApp(app)
    answer = client.with_token(bad, scope="read").get("/reports", status=bad.status)
    bad.check(answer)
    assert answer.json["code"] == bad.error.code
    assert answer.json["error"] == bad.bearer_error


def test_every_other_check_finds_the_difference(app: JWTMiddleware) -> None:
    client = TestApp(app)
    answers = {
        bad: client.with_token(bad, scope="read").get("/reports", expect_errors=True)
        for bad in BadToken
    }
    good = client.as_account(42, scope="read").get("/reports")
    for bad in BadToken:
        with pytest.raises(AssertionError, match=f"{bad.name}: expected {bad.status}"):
            bad.check(good)
        for other, answer in answers.items():
            if other.error is not bad.error:
                with pytest.raises(AssertionError):
                    bad.check(answer)


def test_an_issuer_alone_makes_all_but_a_revoked_one(app: JWTMiddleware) -> None:
    issuer: TokenIssuer = Tokens(app).issuer
    for bad in set(BadToken) - {BadToken.REVOKED, BadToken.UNDER_SCOPED}:
        with pytest.raises(AuthError) as caught:
            app.verifier.verify(bad.token(issuer))
        assert type(caught.value) is bad.error
    with pytest.raises(ConfigurationError, match="Tokens"):
        BadToken.REVOKED.token(issuer)


def test_tokens_are_otherwise_as_good_as_any(app: JWTMiddleware) -> None:
    token = BadToken.UNDER_SCOPED.token(Tokens(app).issuer, uid=7)
    assert app.verifier.verify(token).claims["uid"] == 7

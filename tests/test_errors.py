from __future__ import annotations

import inspect

import pytest

from jwt_middleware import errors
from jwt_middleware.errors import (
    AuthError,
    ConfigurationError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidClaimError,
    InvalidFormError,
    InvalidTokenError,
    JWTMiddlewareError,
    MethodNotAllowedError,
    UnavailableError,
    UnknownKeyError,
)

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, JWTMiddlewareError)
]


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawing = errors.__doc__ or ""
    assert len(CLASSES) == 27
    for found in CLASSES:
        assert found.__name__ in drawing


def test_each_class_has_a_code_and_sentences_of_its_own() -> None:
    for name in ("code", "sentence", "sentence_zh"):
        values = [vars(found)[name] for found in CLASSES]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("found", CLASSES)
def test_texts_are_fit_for_a_challenge_and_for_a_page(found: type[JWTMiddlewareError]) -> None:
    # RFC 6750 §3: error_description is %x20-21 / %x23-5B / %x5D-7E.
    assert found.sentence.isascii()
    assert found.sentence.isprintable()
    assert not {'"', "\\"} & set(found.sentence)
    assert found.code.replace("_", "").isalpha()
    assert found.code == found.code.lower()
    assert not found.sentence_zh.isascii()


def test_the_text_is_the_detail_or_else_the_sentence() -> None:
    assert str(InvalidTokenError("detail")) == "detail"
    assert str(InvalidTokenError()) == InvalidTokenError.sentence


def test_an_expired_token_is_told_in_chinese_as_of_old() -> None:
    assert ExpiredTokenError.sentence_zh == "当前jwt已经过期了"


def test_errors_carry_their_data() -> None:
    assert UnavailableError(retry_after_seconds=5).retry_after_seconds == 5
    assert UnavailableError().retry_after_seconds == 1
    assert InsufficientScopeError(scope=["a"]).scope == ["a"]
    assert InsufficientScopeError().scope == ()
    assert UnknownKeyError(kid="k").kid == "k"
    assert UnknownKeyError().kid is None
    assert InvalidClaimError(claim="exp").claim == "exp"
    assert InvalidFormError({"type": ["unknown"]}).fields == {"type": ["unknown"]}
    assert MethodNotAllowedError(allowed=["POST"]).allowed == ["POST"]


def test_a_configuration_error_is_a_value_error_and_no_refusal() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert not issubclass(ConfigurationError, AuthError)
    assert not issubclass(UnavailableError, AuthError)


def test_the_module_imports_nothing_of_ours() -> None:
    assert "from ." not in inspect.getsource(errors)

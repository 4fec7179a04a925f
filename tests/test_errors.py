from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any

import pytest
from redis import RedisError

import jwt_middleware
from jwt_middleware import errors, generate_payload, generate_token, verify_token
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

from .table import table

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, JWTMiddlewareError)
]


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawing = errors.__doc__ or ""
    assert len(CLASSES) == 39
    for found in CLASSES:
        assert found.__name__ in drawing


def test_each_class_has_a_code_and_sentences_of_its_own() -> None:
    for name in ("code", "sentence", "sentence_zh"):
        values = [vars(found)[name] for found in CLASSES]
        assert len(set(values)) == len(values)


@table("found", CLASSES)
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


@table("char", ["\n", "\r", "\0", "\x1b", "\x85", "\u2028", "\u202e", "\ud800"])
def test_the_text_is_one_printable_line(char: str) -> None:
    for found in (ConfigurationError, InvalidTokenError, UnavailableError):
        text = str(found(f"é{char}forged"))
        assert text == f"é{ascii(char)[1:-1]}forged"
        assert text.isprintable()


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


# What a class cannot be made without.
REQUIRED: dict[str, dict[str, Any]] = {
    "InvalidFormError": {"fields": {"type": ["unknown"]}},
    "MethodNotAllowedError": {"allowed": ("POST",)},
}


class OfAnAppError(InvalidClaimError):
    """A subclass whose constructor takes something else."""

    code = "of_an_app"

    def __init__(self, number: int, *, why: str) -> None:
        super().__init__(f"number {number}", claim="exp")
        self.why = why


def make(found: type[JWTMiddlewareError]) -> JWTMiddlewareError:
    if found is OfAnAppError:
        return OfAnAppError(5, why="because")
    if issubclass(found, InvalidClaimError):
        return found(claim="exp")
    return found(**REQUIRED.get(found.__name__, {}))


@table("found", [*CLASSES, OfAnAppError])
def test_errors_can_be_copied_and_pickled(found: type[JWTMiddlewareError]) -> None:
    error = make(found)
    error.add_note("a note")
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(6)]  # noqa: S301
    for other in (*copies, copy.copy(error), copy.deepcopy(error)):
        assert type(other) is found
        assert str(other) == str(error)
        assert other.args == error.args
        assert vars(other) == vars(error)
        assert other.__notes__ == ["a note"]


def test_the_package_has_no_other_error() -> None:
    for module in pkgutil.walk_packages(jwt_middleware.__path__, "jwt_middleware."):
        # They start something, or need a Django project.
        if module.name.rpartition(".")[2] not in {"__main__", "django", "serve"}:
            import_module(module.name)
    ours = {
        found
        for found in subclasses(Exception)
        if found.__module__.startswith("jwt_middleware.") and not issubclass(found, RedisError)
    }
    assert {found for found in ours if found.__module__ != "jwt_middleware.errors"} == set()
    assert ours == set(CLASSES)


def subclasses(found: type[Exception]) -> Iterator[type[Exception]]:
    for child in type.__subclasses__(found):
        yield child
        yield from subclasses(child)


def test_an_error_comes_back_from_a_process_pool() -> None:
    secret = "s" * 32
    expired = generate_token(generate_payload(1), 0, secret)
    good = generate_token(generate_payload(1), 60, secret)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(ExpiredTokenError) as caught:
            pool.submit(verify_token, expired, secret).result()
        assert caught.value.claim == "exp"
        assert pool.submit(verify_token, good, secret).result()["uid"] == 1

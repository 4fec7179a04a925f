from __future__ import annotations

from collections.abc import Callable

import pytest

from jwt_middleware import TokenVerifier
from jwt_middleware.wsgi.environ import (
    IDENTITY_KEYS,
    clear_identity,
    get_claims,
    get_scopes,
    publish,
)

Bearer = Callable[..., dict[str, str]]
FORGED = dict.fromkeys(IDENTITY_KEYS, "forged")


def test_clears_only_identity_keys() -> None:
    environ = {**FORGED, "PATH_INFO": "/"}
    clear_identity(environ)
    assert environ == {"PATH_INFO": "/"}


def test_publishes_claims_subject_and_scheme(verifier: TokenVerifier, bearer: Bearer) -> None:
    token = bearer("read write")["Authorization"].removeprefix("Bearer ")
    environ: dict[str, object] = {}
    publish(environ, verifier.verify(token))
    assert environ["REMOTE_USER"] == "42"
    assert environ["AUTH_TYPE"] == "Bearer"
    claims = get_claims(environ)
    assert claims is not None
    assert claims["uid"] == 42
    assert get_scopes(environ) == {"read", "write"}


def test_claims_of_one_request_are_not_those_of_the_next(
    verifier: TokenVerifier, bearer: Bearer
) -> None:
    token = bearer()["Authorization"].removeprefix("Bearer ")
    first: dict[str, object] = {}
    second: dict[str, object] = {}
    publish(first, verifier.verify(token))
    claims = get_claims(first)
    assert claims is not None
    claims["uid"] = 1
    publish(second, verifier.verify(token))
    assert get_claims(second) == {**claims, "uid": 42}


@pytest.mark.parametrize("environ", [{}, {"jwt_middleware.claims": {"scope": {"admin": 1}}}])
def test_no_scope_string_grants_nothing(environ: dict[str, object]) -> None:
    assert get_scopes(environ) == frozenset()

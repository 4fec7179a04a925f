from __future__ import annotations

from typing import Any

import pytest

from jwt_middleware.core.payload import JWTPayload
from jwt_middleware.errors import ConfigurationError


def test_has_the_documented_defaults() -> None:
    payload = JWTPayload(uid=42)
    assert (payload.auth, payload.scope, payload.ac_type) == ("blue", "", "email")


@pytest.mark.parametrize("uid", [0, -1, 2**64, "a", "Zoë 漢字", "https://a/b"])
def test_accepts_a_uid(uid: int | str) -> None:
    assert JWTPayload(uid=uid).uid == uid


@pytest.mark.parametrize(
    "uid",
    [*("", "a\nb", "\x00", "\u2028", "\ud800"), *(None, True, False, 4.2, b"a", [])],
    ids=ascii,
)
def test_refuses_a_uid(uid: Any) -> None:
    with pytest.raises(ConfigurationError, match="uid"):
        JWTPayload(uid=uid)


def test_refuses_a_uid_that_has_no_text() -> None:
    with pytest.raises(ConfigurationError, match="too many digits"):
        JWTPayload(uid=10**5000)


@pytest.mark.parametrize("name", ["auth", "scope", "ac_type"])
@pytest.mark.parametrize(
    "value", [None, 5, ["read"], b"read", "a\nb", "a\x00", "\ud800"], ids=ascii
)
def test_refuses_a_text(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        JWTPayload(42, **{name: value})


def test_is_frozen() -> None:
    with pytest.raises(AttributeError):
        JWTPayload(42).uid = 1  # type: ignore[misc]

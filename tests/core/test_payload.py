from __future__ import annotations

from typing import Any

import pytest

from jwt_middleware.core.payload import MAX_CLAIMS_BYTES, RESERVED_CLAIMS, ClientType, JWTPayload
from jwt_middleware.errors import ConfigurationError

from ..table import table


def test_has_the_documented_defaults() -> None:
    payload = JWTPayload(uid=42)
    assert (payload.auth, payload.scope, payload.ac_type) == ("blue", "", "email")


@table("uid", [0, -1, 2**64, "a", "Zoë 漢字", "https://a/b"])
def test_accepts_a_uid(uid: int | str) -> None:
    assert JWTPayload(uid=uid).uid == uid


@table(
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


@table("name", ["auth", "scope", "ac_type"])
@table("value", [True, 5.0, ["read"], b"read", "a\nb", "a\x00", "\ud800"], ids=ascii)
def test_refuses_a_text(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        JWTPayload(42, **{name: value})


def test_is_frozen() -> None:
    with pytest.raises(AttributeError):
        JWTPayload(42).uid = 1  # type: ignore[misc]


def test_none_is_the_default() -> None:
    nothing: Any = None
    assert JWTPayload(42, nothing, nothing, nothing) == JWTPayload(42)


@pytest.mark.parametrize("ac_type", [100, ClientType.EMAIL, ClientType.USER_EMAIL, "email"])
def test_takes_a_scope_in_digits_and_the_code_of_a_client_type(ac_type: Any) -> None:
    payload = JWTPayload(42, "blue", 1, ac_type)  # type: ignore[arg-type]
    assert (payload.uid, payload.scope, payload.ac_type) == (42, "1", "email")
    assert type(payload.ac_type) is str


@pytest.mark.parametrize("code", [0, 1, 300, -100])
def test_a_code_that_is_no_client_type_s_is_refused(code: Any) -> None:
    with pytest.raises(ValueError, match="write its name"):
        JWTPayload(42, ac_type=code)


CLAIMS: dict[str, Any] = {
    "tenant": "acme",
    "roles": ["a", "b"],
    "plan": {"name": "gold", "seats": 5, "beta": True, "price": 9.5, "until": None},
}


def test_claims_are_a_copy_of_json_values() -> None:
    given = {**CLAIMS, "roles": ("a", "b")}
    payload = JWTPayload(42, claims=given)
    given["plan"]["name"] = "changed"
    assert payload.claims["plan"]["name"] == "gold"
    assert payload.claims["roles"] == ["a", "b"]
    CLAIMS["plan"]["name"] = "gold"


@table("name", sorted(RESERVED_CLAIMS))
def test_claims_have_no_reserved_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}': the name is reserved"):
        JWTPayload(42, claims={name: "x"})


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels else 1


@table(
    "claims",
    [
        pytest.param(["a"], id="list"),
        pytest.param("a", id="text"),
        pytest.param({1: "a"}, id="int-name"),
        pytest.param({"a": {1: "a"}}, id="int-name-within"),
        pytest.param({"": "a"}, id="empty-name"),
        pytest.param({"a\n": "a"}, id="control-name"),
        pytest.param({"a": b"x"}, id="bytes"),
        pytest.param({"a": {"x"}}, id="set"),
        pytest.param({"a": object()}, id="object"),
        pytest.param({"a": float("nan")}, id="nan"),
        pytest.param({"a": float("inf")}, id="infinity"),
        pytest.param({"a": 10**5000}, id="huge"),
        pytest.param({"a": "\ud800"}, id="surrogate"),
        pytest.param({"a": "x" * MAX_CLAIMS_BYTES}, id="long"),
        pytest.param(nested(9), id="deep"),
        pytest.param({"type": "refresh"}, id="another-kind-of-token"),
    ],
)
def test_claims_are_bounded_json(claims: Any) -> None:
    with pytest.raises(ValueError, match="claims"):
        JWTPayload(42, claims=claims)


def test_a_cycle_ends() -> None:
    claims: dict[str, Any] = {}
    claims["a"] = claims
    with pytest.raises(ValueError, match="too deeply"):
        JWTPayload(42, claims=claims)


def test_a_mapping_is_a_payload_whose_further_members_are_claims() -> None:
    payload = JWTPayload.of({"uid": 1, "ac_type": 101, "scope": None, "tenant": "acme"})
    assert payload == JWTPayload(1, ac_type="mobile", claims={"tenant": "acme"})
    assert JWTPayload.of(payload) is payload
    both = JWTPayload.of({"uid": 1, "claims": {"a": 1}, "b": 2})
    assert both.claims == {"a": 1, "b": 2}


@table("value", [None, {}, {"scope": "a"}, [("uid", 1)], "uid"], ids=repr)
def test_anything_else_is_no_payload(value: Any) -> None:
    with pytest.raises(ValueError, match="payload must be"):
        JWTPayload.of(value)


def test_json_holds_what_was_said_and_no_more() -> None:
    assert JWTPayload(1).to_json() == {"uid": 1, "auth": "blue", "scope": "", "ac_type": "email"}
    whole = JWTPayload(1, claims=CLAIMS, client_id="web", audience=("a", "b"), lifetime_seconds=60)
    assert JWTPayload(**whole.to_json()) == whole


@table("name", ["lifetime_seconds", "refresh_lifetime_seconds"])
@table("value", [0, -1, 1.5, True, "60", 2**40])
def test_a_lifetime_is_whole_seconds(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        JWTPayload(1, **{name: value})


def test_a_client_type_equals_its_name_and_has_its_code() -> None:
    assert ClientType(100) is ClientType("email") is ClientType.USER_EMAIL
    label: Any = "email"
    assert label == ClientType.EMAIL
    assert {ClientType.EMAIL: 1}[label] == 1
    assert (ClientType.EMAIL.value, int(ClientType.SERVICE)) == (100, 200)
    for unknown in (True, 1, "root", None, 100.5):
        with pytest.raises(ValueError, match="not a valid ClientType"):
            ClientType(unknown)  # type: ignore[arg-type]


def test_a_client_type_is_named_by_its_label() -> None:
    assert [ClientType.named(member.label) for member in ClientType] == [*ClientType]
    with pytest.raises(ValueError, match=r"client types are .*email"):
        ClientType.named("100")

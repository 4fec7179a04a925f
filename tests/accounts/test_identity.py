from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from types import MappingProxyType, SimpleNamespace

import pytest

from jwt_middleware.accounts import Identity

from ..table import table


@dataclass
class User:
    uid: int
    scope: str | None


@table(
    ("returned", "identity"),
    [
        pytest.param({"uid": 1, "scope": "read"}, Identity(1, "read"), id="dict"),
        pytest.param(MappingProxyType({"uid": 1, "scope": ""}), Identity(1), id="mapping"),
        pytest.param({"uid": 1, "claims": {"a": [1]}}, Identity(1, claims={"a": [1]}), id="claims"),
        pytest.param({"uid": 1, "claims": None}, Identity(1), id="claims-none"),
        pytest.param(
            {"uid": 1, "lifetime_seconds": 60, "refresh_lifetime_seconds": 600},
            Identity(1, lifetime_seconds=60, refresh_lifetime_seconds=600),
            id="lifetimes",
        ),
        pytest.param({"uid": "a-1", "scope": ""}, Identity("a-1"), id="str-uid"),
        pytest.param({"uid": 0, "scope": ""}, Identity(0), id="zero"),
        pytest.param({"uid": 1, "scope": None}, Identity(1), id="scope-none"),
        pytest.param({"uid": 1}, Identity(1), id="no-scope"),
        pytest.param({"uid": 1, "scope": "", "auth": None}, Identity(1), id="auth-none"),
        pytest.param(
            {"uid": 1, "scope": "", "auth": "red"}, Identity(1, auth="red"), id="auth-given"
        ),
        pytest.param({"uid": 1, "credential": "2"}, Identity(1, credential="2"), id="credential"),
        pytest.param({"uid": 1, "credential": None}, Identity(1), id="credential-none"),
        pytest.param(User(uid=7, scope="a b"), Identity(7, "a b"), id="object"),
        pytest.param(User(uid=7, scope=None), Identity(7), id="object-scope-none"),
        pytest.param(
            SimpleNamespace(uid=7, scope="", auth="red"), Identity(7, "", "red"), id="object-auth"
        ),
    ],
)
def test_reads_what_a_verifier_returned(returned: object, identity: Identity) -> None:
    assert Identity.of(returned) == identity


def test_an_identity_stays_itself() -> None:
    identity = Identity(1, "read", "red")
    assert Identity.of(identity) is identity


@table(
    ("returned", "found"),
    [
        pytest.param(None, "type NoneType has no uid", id="none"),
        pytest.param(True, "type bool has no uid", id="bool"),
        pytest.param({}, "type dict has no uid", id="empty"),
        pytest.param(SimpleNamespace(scope=""), "type SimpleNamespace has no uid", id="no-uid"),
        pytest.param(("uid", "scope"), "type tuple has no uid", id="tuple"),
        pytest.param({"uid": None, "scope": ""}, "uid is of type NoneType", id="uid-none"),
        pytest.param({"uid": True, "scope": ""}, "uid is of type bool", id="uid-bool"),
        pytest.param({"uid": 1.0, "scope": ""}, "uid is of type float", id="uid-float"),
        pytest.param({"uid": 1, "credential": 2}, "credential is of type int", id="credential"),
        pytest.param({"uid": b"1", "scope": ""}, "uid is of type bytes", id="uid-bytes"),
        pytest.param({"uid": "", "scope": ""}, "uid is an empty str", id="uid-empty"),
        pytest.param({"uid": 1, "scope": ["a"]}, "scope is of type list", id="scope-list"),
        pytest.param({"uid": 1, "scope": 1}, "scope is of type int", id="scope-int"),
        pytest.param({"uid": 1, "scope": "", "auth": 1}, "auth is of type int", id="auth-int"),
        pytest.param({"uid": 1, "name": "x"}, "key 'name' is unknown: custom claims", id="unknown"),
        pytest.param({"uid": 1, "scopes": "x"}, "did you mean scope", id="misspelt"),
        pytest.param({"uid": 1, 5: "x"}, "key '5' is unknown", id="key-int"),
        pytest.param({"uid": 1, "claims": ["a"]}, "claims must be a mapping", id="claims-list"),
        pytest.param({"uid": 1, "claims": {"exp": 1}}, "'exp': the name is reserved", id="exp"),
        pytest.param({"uid": 1, "lifetime_seconds": 0}, "lifetime_seconds must", id="lifetime"),
    ],
)
def test_says_what_a_verifier_must_return(returned: object, found: str) -> None:
    with pytest.raises(TypeError, match=f"an account verifier must return .*{found}"):
        Identity.of(returned)


def test_does_not_show_values_of_the_wrong_type() -> None:
    with pytest.raises(TypeError) as raised:
        Identity.of({"uid": ["hunter2"], "scope": ""})
    assert "hunter2" not in str(raised.value)


def test_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        Identity(1).uid = 2  # type: ignore[misc]  # what is tried


def test_importing_the_room_imports_no_optional_package() -> None:
    script = (
        "import sys, jwt_middleware.accounts;"
        "print(sorted({'argon2', 'psycopg'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]"

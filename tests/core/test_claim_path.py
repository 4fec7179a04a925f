from __future__ import annotations

from typing import Any

import pytest

from jwt_middleware.core.claim_path import (
    MISSING,
    claim_conditions,
    find_claim,
    parse_path,
    parse_scopes_from,
    scopes_of,
    shown_path,
)
from jwt_middleware.errors import ConfigurationError

from ..table import table

CLAIMS: dict[str, Any] = {
    "sub": "repo:octo-org/app:ref:main",
    "roles": ["staff", "ops lead"],
    "realm_access": {"roles": ["admin", "user"], "none": None},
    "kubernetes.io": {"namespace": "shop"},
    "https://example.com/groups": "one",
    "level": 3,
    "flag": True,
    "nothing": None,
}


@table(
    ("path", "value"),
    [
        (["roles"], ["staff", "ops lead"]),
        (["realm_access", "roles"], ["admin", "user"]),
        (["kubernetes.io", "namespace"], "shop"),
        (["realm_access", "none"], None),
        (["absent"], MISSING),
        (["realm_access", "absent"], MISSING),
        (["realm_access", "roles", "admin"], MISSING),
        (["sub", "x"], MISSING),
        (["nothing", "x"], MISSING),
        (["roles", "0"], MISSING),
    ],
)
def test_finds_a_claim_by_its_path(path: list[str], value: object) -> None:
    assert find_claim(CLAIMS, tuple(path)) == value


def test_a_string_is_one_name_whatever_dots_it_has() -> None:
    assert parse_path("realm_access.roles", "x") == ("realm_access.roles",)
    assert parse_path(["realm_access", "roles"], "x") == ("realm_access", "roles")
    assert shown_path(("kubernetes.io", "namespace")) == '"kubernetes.io".namespace'


@table("path", ["", [], [""], ["a", 1], None, 5, {"a": 1}, ["a", ["b"]]])
def test_refuses_a_path(path: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^x must be"):
        parse_path(path, "x")


class TestScopes:
    @table(
        ("claims", "scopes"),
        [
            ({"scope": "a b"}, {"a", "b"}),
            ({"scp": "a b"}, {"a", "b"}),
            ({"scp": ["a", "b c"]}, {"a", "b c"}),
            ({"scope": "a", "scp": "b"}, {"a"}),
            ({"scope": "", "scp": "b"}, set()),
            ({"scope": None, "scp": "b"}, set()),
            ({"scope": {"a": 1}}, set()),
            ({"scope": ["read", "x admin", 5, None, ["y"], ""]}, {"read", "x admin"}),
            ({"roles": ["admin"]}, set()),
        ],
    )
    def test_are_by_default_the_first_of_scope_and_scp(
        self, claims: dict[str, Any], scopes: set[str]
    ) -> None:
        assert scopes_of(claims) == scopes

    def test_are_the_union_of_the_places_that_are_named(self) -> None:
        places = parse_scopes_from(
            ["scope", ["realm_access", "roles"], {"claim": "projects", "keys": True}, "absent"]
        )
        claims = CLAIMS | {"scope": "a b", "projects": {"owner": {"1": "x"}, "": 1}}
        assert scopes_of(claims, places) == {"a", "b", "admin", "user", "owner"}

    @pytest.mark.parametrize("value", ["owner", ["owner"], None, 5])
    def test_as_keys_are_only_those_of_an_object(self, value: object) -> None:
        places = parse_scopes_from([{"claim": "projects", "keys": True}])
        assert scopes_of({"projects": value}, places) == set()

    def test_are_never_the_keys_of_an_object_that_was_not_asked_for_them(self) -> None:
        assert scopes_of({"a": {"admin": 1}}, parse_scopes_from(["a", {"claim": "a"}])) == set()

    @table(
        "value",
        ["scope", [], [[]], [""], [{}], [{"claim": "a", "key": True}], [{"claim": "a", "keys": 1}]],
    )
    def test_places_that_make_no_sense_are_refused(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"^scopes_from"):
            parse_scopes_from(value)


def holds(**settings: object) -> bool:
    return all(one.holds(CLAIMS) for one in claim_conditions(**settings))


@table(
    "settings",
    [
        {"claims": {"realm_access": {"roles": "admin"}}},
        {"claims": {("realm_access", "roles"): ["root", "admin"]}},
        {"claims": {"kubernetes.io": {"namespace": "shop"}}},
        {"claims": {"level": 3, "flag": True, "nothing": None}},
        {"claims_all": {"realm_access": {"roles": ["admin", "user"]}}},
        {"claims_all": {"level": 3}},
        {"claims_prefix": {"sub": "repo:octo-org/"}},
        {"claims_prefix": {"sub": ["x", "repo:"], "roles": "ops "}},
        {"claims_absent": ["absent", ["realm_access", "absent"], ["sub", "x"]]},
        {"claims": {}, "claims_prefix": {"https://example.com/groups": "o"}},
    ],
    ids=str,
)
def test_holds(settings: dict[str, object]) -> None:
    assert holds(**settings)


@table(
    "settings",
    [
        {"claims": {"realm_access": {"roles": "root"}}},
        {"claims": {"realm_access.roles": "admin"}},
        {"claims": {"level": True, "flag": 1}},
        {"claims": {"flag": 1}},
        {"claims": {"level": "3"}},
        {"claims": {"absent": None}},
        {"claims_all": {"realm_access": {"roles": ["admin", "root"]}}},
        {"claims_all": {"roles": ["staff", "lead"]}},
        {"claims_prefix": {"sub": "octo-org/"}},
        {"claims_prefix": {"sub": "REPO:"}},
        {"claims_prefix": {"level": "3"}},
        {"claims_absent": ["nothing"]},
        {"claims_absent": [["realm_access", "none"]]},
        {"claims_absent": ["realm_access"]},
    ],
    ids=str,
)
def test_does_not_hold(settings: dict[str, object]) -> None:
    assert not holds(**settings)


@table(
    ("settings", "reason"),
    [
        ({"claims": ["a"]}, "claims must map"),
        ({"claims": {"a": []}}, "the list for a is empty"),
        ({"claims": {"a": {}}}, "the table a is empty"),
        ({"claims": {"a": {"b": {}}}}, "the table a.b is empty"),
        ({"claims": {"": "x"}}, "non-empty names"),
        ({"claims": {"a": [{"b": 1}]}}, "a must be a string, number"),
        ({"claims": {"a": [["b"]]}}, "a must be a string, number"),
        ({"claims": {"a": float("nan")}}, "a can never be nan"),
        ({"claims_all": {"a": [float("inf")]}}, "a can never be inf"),
        ({"claims_all": {"a": []}}, "the list for a is empty"),
        ({"claims_prefix": {"a": ""}}, "a must be a non-empty string"),
        ({"claims_prefix": {"a": ["b", ""]}}, "a must be a non-empty string"),
        ({"claims_prefix": {"a": []}}, "the list for a is empty"),
        ({"claims_prefix": {"a": 5}}, "a must be a non-empty string"),
        ({"claims_absent": []}, "claims_absent must be a list"),
        ({"claims_absent": "act"}, "claims_absent must be a list"),
        ({"claims_absent": [[]]}, "claims_absent must be the name"),
        ({"claims_absent": ["exp"]}, "every token has exp"),
        ({"claims": {"a": 1}, "claims_absent": ["a"]}, "forbids a, which the rule asks for"),
        ({"claims_all": {"a": {"b": 1}}, "claims_absent": ["a"]}, "forbids a.b"),
        ({"claims_prefix": {"a": "b"}, "claims_absent": [["a"]]}, "forbids a"),
        ({"claims": {"iss": 5}}, "iss is always a string"),
        ({"claims": {"sub": {"x": "y"}}}, "sub is always a string"),
        ({"claims": {"exp": "soon"}}, "exp is always a number"),
        ({"claims": {"exp": True}}, "exp is always a number"),
        ({"claims_prefix": {"iat": "1"}}, "iat is always a number"),
        ({"claims_all": {"iss": ["a", "b"]}}, "iss has one value"),
    ],
    ids=str,
)
def test_refuses_what_is_misspelled_or_can_never_match(
    settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        claim_conditions(**settings)


def test_may_forbid_what_is_beside_what_it_asks_for() -> None:
    asked: dict[str, object] = {"realm_access": {"roles": "admin"}}
    assert holds(claims=asked, claims_absent=[["realm_access", "absent"]])

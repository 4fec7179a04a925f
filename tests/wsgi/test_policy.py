from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jwt_middleware import JWTPayload, KeySet, Policy, Rule, TokenIssuer, TokenVerifier
from jwt_middleware.core.claim_path import AnyOf
from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.core.verifier import VerifiedToken
from jwt_middleware.errors import ConfigurationError, InsufficientScopeError
from jwt_middleware.wsgi.policy import Requirement

Token = Callable[..., VerifiedToken]


def requirement(policy: Policy, path: str, method: str = "GET", **headers: str) -> Requirement:
    return policy.requirement({"REQUEST_METHOD": method, "PATH_INFO": path, **headers})


def needs(policy: Policy, path: str, method: str = "GET", **headers: str) -> object:
    """Return the scopes that a request needs, or the access if it needs no token."""
    required = requirement(policy, path, method, **headers)
    return set(required.scopes) if required.access == "required" else required.access


def test_every_request_needs_a_token_by_default() -> None:
    assert needs(Policy(), "/anything") == set()


def test_path_that_no_rule_names_needs_a_token() -> None:
    assert needs(Policy([Rule("/health", access="public")]), "/other") == set()


def test_first_match_decides() -> None:
    policy = Policy(
        [
            Rule("/admin/login", access="public"),
            Rule("/admin/*", scopes=["admin"]),
            Rule("/*", access="optional"),
        ]
    )
    assert needs(policy, "/admin/login") == "public"
    assert needs(policy, "/admin/users") == {"admin"}
    assert needs(policy, "/") == "optional"


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GET", "public"), ("HEAD", "public"), ("POST", set()), ("get", set()), ("FOO", set())],
)
def test_get_covers_head_and_nothing_else(method: str, expected: object) -> None:
    policy = Policy([Rule("/news", methods=["GET"], access="public")])
    assert needs(policy, "/news", method) == expected


@pytest.mark.parametrize("method", ["GET", "HEAD", "get", "Head"])
def test_restricting_rule_for_get_covers_head_in_any_case(method: str) -> None:
    policy = Policy([Rule("/a", methods=["GET"], scopes=["s"]), Rule("/a", access="public")])
    assert needs(policy, "/a", method) == {"s"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        pytest.param("/health/", id="trailing-slash"),
        pytest.param("//health", id="two-slashes"),
        pytest.param("/./health", id="dot"),
        pytest.param("/x/../health", id="dot-dot"),
        pytest.param("/HEALTH", id="other-case"),
        pytest.param("/health;x", id="parameter"),
        pytest.param("/health\0", id="nul"),
        pytest.param("/health\n", id="newline"),
        pytest.param("/he%61lth", id="escape"),
        pytest.param("\\health", id="backslash"),
        pytest.param("http://x/health", id="absolute-form"),
    ],
)
def test_relaxing_rule_only_names_the_canonical_path(path: str) -> None:
    assert needs(Policy([Rule("/health", access="public")]), path) == set()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/admin", id="itself"),
        pytest.param("/admin/", id="trailing-slash"),
        pytest.param("/admin/users", id="below"),
        pytest.param("//admin/users", id="two-slashes"),
        pytest.param("/x/../admin", id="dot-dot"),
        pytest.param("/public/..;/admin", id="parameter"),
        pytest.param("/x\\..\\admin", id="backslash"),
        pytest.param("/%2561dmin", id="escape"),
        pytest.param("/admin\0.png", id="nul"),
        pytest.param("/admin\n", id="newline"),
        pytest.param("http://x//admin", id="absolute-form"),
        pytest.param("/admin\xff", id="invalid-utf-8"),
        pytest.param("/ADMIN/users", id="other-case"),
        pytest.param("//x/../ADMIN/users", id="other-case-and-dots"),
        pytest.param("/ａdmin".encode().decode("latin-1"), id="full-width"),
    ],
)
def test_restricting_rule_covers_every_reading_before_a_public_rest(path: str) -> None:
    policy = Policy([Rule("/admin/*", scopes=["admin"]), Rule("/*", access="public")])
    assert needs(policy, path) == {"admin"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/caf\xe9", id="latin-1"),
        pytest.param("/café".encode().decode("latin-1"), id="utf-8"),
        pytest.param("/cafe\u0301".encode().decode("latin-1"), id="utf-8-decomposed"),
        pytest.param("/cafe\u0301", id="decoded-by-the-server"),
    ],
)
def test_rule_outside_ascii_covers_every_encoding(path: str) -> None:
    policy = Policy([Rule("/café", scopes=["s"]), Rule("/*", access="public")])
    assert needs(policy, path) == {"s"}


def test_exact_spelling_decides_between_restricting_rules() -> None:
    policy = Policy([Rule("/Bob", scopes=["b"]), Rule("/bob", scopes=["a"])])
    assert needs(policy, "/bob") == {"a"}


def test_two_readings_under_different_rules_must_both_be_satisfied() -> None:
    policy = Policy(
        [
            Rule("/a/*", scopes=["a"], claims={"auth": "blue"}),
            Rule("/b/*", scopes=["b"], claims={"auth": "red"}),
        ]
    )
    required = requirement(policy, "/a/../b/c")
    assert required.scopes == ("a", "b")
    assert required.claims == (AnyOf(("auth",), ("blue",)), AnyOf(("auth",), ("red",)))


@pytest.mark.parametrize(
    "header",
    ["HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"],
)
def test_overridden_method_must_be_allowed_too(header: str) -> None:
    policy = Policy(
        [
            Rule("/a", methods=["DELETE"], scopes=["admin"]),
            Rule("/a", methods=["POST"], scopes=["write"]),
            Rule("/a", methods=["GET"], access="public"),
        ]
    )
    assert needs(policy, "/a", "POST", **{header: "delete "}) == {"admin", "write"}
    assert needs(policy, "/a", "GET", **{header: "PATCH"}) == set()
    assert needs(policy, "/a", "GET", **{header: "GET"}) == "public"


PREFLIGHT = {"HTTP_ORIGIN": "https://spa", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        pytest.param("OPTIONS", "/api/x", PREFLIGHT, "public", id="real"),
        pytest.param("OPTIONS", "/api/x", {}, set(), id="plain-options"),
        pytest.param("OPTIONS", "/api/x", {"HTTP_ORIGIN": "https://spa"}, set(), id="no-method"),
        pytest.param(
            *("OPTIONS", "/api/x"),
            {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"},
            set(),
            id="no-origin",
        ),
        pytest.param("POST", "/api/x", PREFLIGHT, {"write"}, id="not-options"),
        pytest.param("options", "/api/x", PREFLIGHT, set(), id="lower-case"),
        pytest.param("OPTIONS", "/other", PREFLIGHT, set(), id="rule-does-not-allow-it"),
        pytest.param("OPTIONS", "//api/x", PREFLIGHT, set(), id="not-canonical"),
        pytest.param(
            *("OPTIONS", "/api/x"),
            {**PREFLIGHT, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "DELETE"},
            set(),
            id="other-method",
        ),
    ],
)
def test_only_real_preflights_that_the_rule_allows_need_no_token(
    method: str, path: str, headers: dict[str, str], expected: object
) -> None:
    policy = Policy([Rule("/api/*", methods=["POST"], scopes=["write"], preflight=True)])
    assert needs(policy, path, method, **headers) == expected


@pytest.fixture
def token(issuer: TokenIssuer, verifier: TokenVerifier) -> Token:
    def make(scope: str = "", auth: str = "blue") -> VerifiedToken:
        payload = JWTPayload(uid=1, scope=scope, auth=auth)
        return verifier.verify(issuer.issue(payload).token)

    return make


def check(rule: Rule, token: VerifiedToken) -> None:
    requirement(Policy([rule]), rule.path).check(token)


@pytest.mark.parametrize("scope", ["a b", "b a c"])
def test_accepts_a_token_with_all_scopes(token: Token, scope: str) -> None:
    check(Rule("/", scopes=["a", "b"]), token(scope))


@pytest.mark.parametrize("scope", ["", "a", "ab", "a,b", "A B"])
def test_rejects_a_token_without_one_of_the_scopes(token: Token, scope: str) -> None:
    with pytest.raises(InsufficientScopeError) as caught:
        check(Rule("/", scopes=["b", "a"]), token(scope))
    assert caught.value.scope == ("a", "b")


@pytest.mark.parametrize("value", ["blue", ["red", "blue"], {"blue"}])
def test_accepts_a_token_whose_claim_fits(token: Token, value: Any) -> None:
    check(Rule("/", claims={"auth": value}), token())


@pytest.mark.parametrize(
    "claims",
    [{"auth": "red"}, {"auth": ["red", "b"]}, {"absent": "blue"}, {"uid": True}],
)
def test_rejects_a_token_whose_claim_does_not_fit(token: Token, claims: dict[str, Any]) -> None:
    with pytest.raises(InsufficientScopeError):
        check(Rule("/", claims=claims), token())


def test_one_member_of_a_claim_that_is_an_array_is_enough(
    token: Token, keys: KeySet, verifier: TokenVerifier
) -> None:
    (key,) = keys
    claims = token().claims | {"roles": ["staff", "admin"]}
    header = encode_object({"alg": key.alg, "kid": key.kid})
    verified = verifier.verify(serialize(header, encode_object(claims), key.sign))
    check(Rule("/", claims={"roles": "admin"}), verified)
    with pytest.raises(InsufficientScopeError):
        check(Rule("/", claims={"roles": "root"}), verified)


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        pytest.param({"access": "open"}, "access must be", id="access"),
        pytest.param({"scopes": "admin"}, "scopes must be a list", id="scopes-as-text"),
        pytest.param({"scopes": ["a b"]}, "scopes must be a list of words", id="two-in-one"),
        pytest.param({"scopes": ['a"']}, "scopes must be a list of words", id="quote"),
        pytest.param({"methods": "GET"}, "methods must be a list", id="methods-as-text"),
        pytest.param({"methods": []}, "methods is empty", id="no-methods"),
        pytest.param({"methods": ["get"]}, "upper case", id="lower-case-method"),
        pytest.param({"methods": [1]}, "methods must be a list of words", id="number"),
        pytest.param({"claims": ["a"]}, "claims must map", id="claims-as-list"),
        pytest.param({"access": "public", "scopes": ["a"]}, "needs no token", id="public-scope"),
        pytest.param({"access": "optional", "claims": {"a": 1}}, "needs no token", id="optional"),
        *(
            pytest.param({"access": "public", name: value}, "needs no token", id=f"public-{name}")
            for name, value in (
                ("scopes_any", ["a"]),
                ("claims_all", {"a": [1]}),
                ("claims_prefix", {"a": "b"}),
                ("claims_absent", ["a"]),
            )
        ),
        pytest.param({"scopes_any": []}, "scopes_any is empty", id="no-scopes-any"),
        pytest.param({"scopes_any": "ab"}, "scopes_any must be a list", id="scopes-any-as-text"),
        pytest.param({"claims": {"a": []}}, "rule '/a': claims: the list for a", id="claims-empty"),
    ],
)
def test_rule_that_contradicts_itself_is_a_configuration_error(
    settings: dict[str, Any], mend: str
) -> None:
    with pytest.raises(ConfigurationError, match=mend):
        Rule("/a", **settings)


def test_policy_of_anything_but_rules_is_a_configuration_error() -> None:
    paths: Any = ["/x"]
    with pytest.raises(ConfigurationError, match="must be Rule objects"):
        Policy(paths)

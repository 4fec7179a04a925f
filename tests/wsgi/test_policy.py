from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jwt_middleware import JWTPayload, KeySet, Policy, Rule, TokenIssuer, TokenVerifier
from jwt_middleware.core.claim_path import AnyOf
from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.core.verifier import VerifiedToken
from jwt_middleware.errors import ConfigurationError, InsufficientScopeError, InvalidRequestError
from jwt_middleware.wsgi.request import METHOD_KEYS, PATH_KEYS, PREFIX_KEYS
from jwt_middleware.wsgi.rule import Requirement

from ..table import table

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


@table(
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


@table(
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


@table(
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


@table(
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


@table(
    ("settings", "fix"),
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
    settings: dict[str, Any], fix: str
) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        Rule("/a", **settings)


def test_policy_of_anything_but_rules_is_a_configuration_error() -> None:
    paths: Any = ["/x"]
    with pytest.raises(ConfigurationError, match="must be Rule objects"):
        Policy(paths)


@table("path", ["/ADMIN/x", "/@@admin", "/admin.json", "/admin/index", "/admin "])
def test_restricting_rule_folds_before_a_rest_that_needs_a_token(path: str) -> None:
    policy = Policy([Rule("/admin/*", scopes=["admin"]), Rule("/*")])
    assert needs(policy, path) == {"admin"}


def test_rule_may_be_for_all_that_begins_with_its_path() -> None:
    policy = Policy([Rule("/admin*", scopes=["admin"]), Rule("/pub*", access="public")])
    assert needs(policy, "/adminx/y") == {"admin"}
    assert needs(policy, "/AdminX") == {"admin"}
    assert needs(policy, "/public/x") == "public"
    assert needs(policy, "/PUBLIC") == set()


def test_passthrough_relaxes_and_needs_a_single_reading() -> None:
    policy = Policy([Rule("/git/*", access="passthrough")])
    assert needs(policy, "/git/x") == "passthrough"
    assert needs(policy, "//git/x") == set()
    assert needs(policy, "/git/x", HTTP_X_SCRIPT_NAME="/git") == set()


SALARIES = Policy(
    [Rule("/health", access="public"), Rule("/salaries/*", scopes=["hr"]), Rule("/*")]
)


@pytest.mark.parametrize("keys", [PREFIX_KEYS, PATH_KEYS], ids=["prefix", "path"])
def test_no_header_moves_a_path_past_its_rule(keys: frozenset[str]) -> None:
    for key in sorted(keys - {"HTTP_SCRIPT_NAME"}):
        assert needs(SALARIES, "/health", **{key: "/salaries"}) == {"hr"}, key
        assert needs(SALARIES, "/x/salaries/1", **{key: "/x"}) == {"hr"}, key
        assert needs(SALARIES, "/health", **{key: "/elsewhere"}) == set(), key
        empty = "public" if keys is PREFIX_KEYS else set()  # a path of its own: the root
        assert needs(SALARIES, "/health", **{key: ""}) == empty, key


def test_header_that_says_the_path_again_changes_nothing() -> None:
    for key in sorted(PATH_KEYS):
        same = {"SCRIPT_NAME": "/mnt", key: "https://h/mnt/health?x=1"}
        assert needs(SALARIES, "/health", **same) == "public", key
        assert needs(SALARIES, "/health", **{key: "/%68ealth"}) == "public", key


@table(
    ("path", "headers"),
    [
        pytest.param("/health", {"HTTP_X_MATCHED_PATH": "/salaries?x"}, id="vercel"),
        pytest.param("/health", {"HTTP_X_VERCEL_FORWARDED_PATH": "/salaries"}, id="vercel-2"),
        pytest.param("/health", {"HTTP_X_INVOKE_PATH": "/salaries"}, id="next"),
        pytest.param("/health", {"HTTP_X_RC_PATH_INFO": "/salaries"}, id="rhodecode"),
        pytest.param("/health", {"HTTP_X_ORIGINAL_URL": "http:/salaries"}, id="without-a-host"),
        pytest.param("/health", {"HTTP_X_ORIGINAL_URL": "x:salaries/1"}, id="any-scheme"),
        pytest.param("/health", {"HTTP_X_ORIGINAL_URL": "http://h\\salaries"}, id="backslash"),
        pytest.param("/health", {"HTTP_X_VHM_HOST": "http://h/salaries"}, id="repoze.vhm"),
        pytest.param("/sal/wagaries", {"HTTP_X_SCRIPT_NAME": "/wag"}, id="cut-in-the-middle"),
        pytest.param(
            "/x/salaries", {"HTTP_X_ORIGINAL_REQUEST_URI": "/x/1?y"}, id="first-segment-is-a-prefix"
        ),
    ],
)
def test_headers_that_apps_move_a_path_by(path: str, headers: dict[str, str]) -> None:
    assert needs(SALARIES, path, **headers) == {"hr"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("x/salaries", {}, id="by-the-server"),
        pytest.param("/x/salaries", {"HTTP_X_SCRIPT_NAME": "/"}, id="slash"),
        pytest.param("/a/x/salaries/1", {"HTTP_X_FORWARDED_PREFIX": "/a/"}, id="prefix"),
    ],
)
def test_first_segment_of_a_path_without_a_slash_may_be_no_part_of_it(
    path: str, headers: dict[str, str]
) -> None:
    assert needs(SALARIES, path, **headers) == {"hr"}
    assert needs(SALARIES, "/health", HTTP_X_SCRIPT_NAME="/") == "public"


@pytest.mark.parametrize(
    "path",
    [
        "/VirtualHostBase/http/h:80/VirtualHostRoot/salaries",
        "//VirtualHostBase/https/h//VirtualHostRoot/_vh_x/_vh_y/salaries/1",
        "/VirtualHostRoot/salaries",
        "/VirtualHostBase/http/h/salaries/VirtualHostRoot",
    ],
)
def test_names_of_a_virtual_host_move_no_path_past_its_rule(path: str) -> None:
    policy = Policy([Rule("/salaries/*", scopes=["hr"]), Rule("/*", access="public")])
    assert needs(policy, path) == {"hr"}
    assert needs(policy, path.replace("Host", "Hosts")) != {"hr"}


def test_headers_may_move_a_path_together() -> None:
    both = {"HTTP_X_SCRIPT_NAME": "/x", "HTTP_X_VHM_ROOT": "/salaries"}
    assert needs(SALARIES, "/x/health", **both) == {"hr"}
    both = {"HTTP_X_SCRIPT_NAME": "/x", "HTTP_X_REWRITE_URL": "/x/salaries"}
    assert needs(SALARIES, "/health", **both) == {"hr"}
    assert needs(SALARIES, "/health", HTTP_X_FORWARDED_PREFIX="/a, /salaries") == {"hr"}


@pytest.mark.parametrize("key", ["HTTP_X_FORWARDED_PREFIX", "HTTP_X_SCRIPT_NAME"])
def test_declared_prefix_takes_nothing_from_the_public_rules(key: str) -> None:
    policy = Policy(SALARIES.rules, prefix="/api")
    assert needs(policy, "/health", **{key: "/api"}) == "public"
    assert needs(policy, "/salaries", **{key: "/api"}) == {"hr"}
    assert needs(policy, "/api/salaries/1", **{key: "/api"}) == {"hr"}  # if the app cuts it again
    assert needs(policy, "/health", **{key: "/api, /salaries"}) == {"hr"}
    assert needs(policy, "/health", HTTP_X_ORIGINAL_URI="/api/health?x") == "public"
    preflight = Policy([Rule("/x", preflight=True)], prefix="/api")
    assert needs(preflight, "/x", "OPTIONS", **PREFLIGHT, **{key: "/api"}) == "public"


def test_declared_prefix_is_no_path() -> None:
    policy = Policy([Rule("/health", access="public"), Rule("/api", scopes=["api"])], prefix="/api")
    assert needs(policy, "/health", HTTP_X_REWRITE_URL="/api") == {"api"}


def test_comma_in_a_prefix_may_be_part_of_it() -> None:
    assert needs(SALARIES, "/x,y/salaries", HTTP_X_SCRIPT_NAME="/x,y") == {"hr"}
    assert needs(SALARIES, "/health", HTTP_X_VHM_ROOT="/salaries/,") == {"hr"}


@pytest.mark.parametrize("policy", [Policy(), SALARIES], ids=["no-rules", "rules"])
def test_script_name_as_a_header_must_be_the_declared_prefix(policy: Policy) -> None:
    for name in ("/salaries", "/"):
        with pytest.raises(InvalidRequestError):
            requirement(policy, "/", HTTP_SCRIPT_NAME=name, SCRIPT_NAME=name)
    declared = Policy(policy.rules, prefix="/api")
    assert requirement(declared, "/", HTTP_SCRIPT_NAME="/api", SCRIPT_NAME="/api")
    with pytest.raises(InvalidRequestError):
        requirement(declared, "/", HTTP_SCRIPT_NAME="/api,/x")


def test_server_may_mount_the_app_anywhere() -> None:
    for script_name in ("", "/mnt", "/salaries"):
        assert needs(SALARIES, "/health", SCRIPT_NAME=script_name) == "public"


def test_escaped_slash_that_the_server_decoded_is_still_one_segment_to_some() -> None:
    policy = Policy([Rule("/*/keys", scopes=["keys"]), Rule("/public/*", access="public")])
    assert needs(policy, "/public/x/keys", RAW_URI="/public%2Fx/keys?y") == {"keys"}
    assert needs(policy, "/public/x", RAW_URI="/public%2fx") == set()
    assert needs(policy, "/public/a/b", RAW_URI="/public/a%2Fb") == "public"
    cafe, wire = Policy([Rule("/café/*", access="public")]), "/café/a/b".encode().decode("latin-1")
    assert needs(cafe, wire, RAW_URI="/caf%C3%A9/a%2Fb") == "public"
    assert (
        needs(policy, "/public/é".encode().decode("latin-1"), RAW_URI="/public/%C3%A9") == "public"
    )


DAV = Policy(
    [
        Rule("/a/secret/*", scopes=["secret"]),
        Rule("/a/drop/*", methods=["PUT"], scopes=["drop"]),
        Rule("/*", scopes=["dav"]),
    ]
)


@table(
    ("method", "path", "headers", "expected"),
    [
        pytest.param("DELETE", "/a", {}, {"dav", "secret"}, id="delete-parent"),
        pytest.param("delete", "/A/", {}, {"dav", "secret"}, id="delete-parent-folded"),
        pytest.param("DELETE", "/", {}, {"dav", "secret"}, id="delete-root"),
        pytest.param("DELETE", "/a", {"HTTP_DEPTH": "0"}, {"dav", "secret"}, id="no-depth"),
        pytest.param("DELETE", "/b", {}, {"dav"}, id="delete-elsewhere"),
        pytest.param("PROPFIND", "/", {}, {"dav", "secret"}, id="propfind"),
        pytest.param("PROPFIND", "/", {"HTTP_DEPTH": "1"}, {"dav"}, id="propfind-children"),
        pytest.param("PROPFIND", "/a", {"HTTP_DEPTH": "1"}, {"dav", "secret"}, id="propfind-child"),
        pytest.param("PROPFIND", "/a", {"HTTP_DEPTH": "0"}, {"dav"}, id="propfind-alone"),
        pytest.param("PROPFIND", "/a", {"HTTP_DEPTH": "2"}, {"dav", "secret"}, id="depth-2"),
        pytest.param("LOCK", "/a", {}, {"dav", "drop", "secret"}, id="lock"),
        pytest.param("LOCK", "/a", {"HTTP_DEPTH": "0"}, {"dav"}, id="lock-alone"),
        pytest.param("LOCK", "/a", {"HTTP_DEPTH": "0 "}, {"dav", "drop", "secret"}, id="odd-depth"),
        pytest.param("LOCK", "/a/drop/new", {}, {"dav", "drop"}, id="lock-makes-a-file"),
        pytest.param("REPORT", "/a", {"HTTP_DEPTH": "0"}, {"dav", "secret"}, id="report"),
        pytest.param("SEARCH", "/", {"HTTP_DEPTH": "0"}, {"dav", "secret"}, id="search"),
        pytest.param("REBIND", "/a", {}, {"dav", "secret"}, id="unknown-method"),
        pytest.param("GET", "/a", {}, {"dav"}, id="get"),
        pytest.param("PUT", "/a", {}, {"dav"}, id="put"),
        pytest.param("COPY", "/b", {"HTTP_DESTINATION": "/c"}, {"dav"}, id="copy"),
        pytest.param(
            *("COPY", "/b", {"HTTP_DESTINATION": "http://h/a/secret/x"}),
            {"dav", "secret"},
            id="into",
        ),
        pytest.param(
            *("MOVE", "/b", {"HTTP_DESTINATION": "/A/Secret"}), {"dav", "secret"}, id="into-folded"
        ),
        pytest.param(
            *("COPY", "/b", {"HTTP_DESTINATION": "/%61/%2573ecret/x"}),
            {"dav", "secret"},
            id="escapes",
        ),
        pytest.param(
            "COPY", "/b", {"HTTP_DESTINATION": "/a"}, {"dav", "drop", "secret"}, id="onto-parent"
        ),
        pytest.param(
            *("COPY", "/b", {"HTTP_DESTINATION": "/a", "HTTP_DEPTH": "0"}),
            {"dav", "drop", "secret"},
            id="in-place-of-the-parent",
        ),
        pytest.param(
            *("COPY", "/b"),
            {"HTTP_DESTINATION": "/a", "HTTP_DEPTH": "0", "HTTP_OVERWRITE": "F"},
            {"dav"},
            id="beside",
        ),
        pytest.param(
            *("COPY", "/b", {"HTTP_DESTINATION": "/a/drop/x"}), {"dav", "drop"}, id="as-a-put"
        ),
        pytest.param(
            "PUT", "/b", {"HTTP_X_COPY_FROM": "a/secret/x"}, {"dav", "secret"}, id="source"
        ),
        pytest.param(
            *("POST", "/b", {"HTTP_X_HTTP_METHOD": "MOVE", "HTTP_DESTINATION": "/a/secret"}),
            {"dav", "secret"},
            id="overridden",
        ),
    ],
)
def test_other_resources_that_a_request_names_count(
    method: str, path: str, headers: dict[str, str], expected: object
) -> None:
    assert needs(DAV, path, method, HTTP_HOST="h", **headers) == expected


def test_mounted_destination_is_read_below_the_mount() -> None:
    mounted = {"SCRIPT_NAME": "/dav", "HTTP_HOST": "h:80"}
    policy = Policy([Rule("/secret/*", scopes=["s"]), Rule("/*", access="public")])
    into, beside = ("http://h/dav/secret/x", "http://h/dav/b")
    assert needs(policy, "/a", "COPY", HTTP_DESTINATION=into, **mounted) == {"s"}
    assert needs(policy, "/a", "COPY", HTTP_DESTINATION=beside, **mounted) == "public"


@table("destination", ["", "x", "*", "ftp://h/a", "http://other/a", "http:/a", "mailto:a@h", "h/a"])
def test_destination_that_is_no_url_of_this_host_is_an_invalid_request(destination: str) -> None:
    with pytest.raises(InvalidRequestError):
        requirement(DAV, "/b", "COPY", HTTP_HOST="h", HTTP_DESTINATION=destination)


def test_recursion_can_be_switched_off() -> None:
    policy = Policy(DAV.rules, recursive_methods=False)
    assert needs(policy, "/a", "DELETE") == {"dav"}
    assert needs(policy, "/b", "COPY", HTTP_DESTINATION="/a/secret/x") == {"dav", "secret"}


def test_rule_below_counts_only_where_it_would_decide() -> None:
    shadowed = Policy([Rule("/*", scopes=["all"]), Rule("/a/b", scopes=["b"])])
    assert needs(shadowed, "/a", "DELETE") == {"all"}
    open_below = Policy([Rule("/a/*", access="public"), Rule("/a/b", scopes=["b"])])
    assert needs(open_below, "/a", "DELETE") == "public"
    assert needs(Policy([Rule("/a", access="public"), Rule("/a/b")]), "/a", "DELETE") == set()
    get_only = Policy([Rule("/a/b", methods=["GET"], scopes=["b"]), Rule("/*", access="public")])
    assert needs(get_only, "/a", "DELETE") == "public"
    assert needs(get_only, "/a", "COPY") == {"b"}  # which reads it
    assert needs(get_only, "/a/b", "REPORT") == {"b"}


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_what_is_replaced_is_deleted(method: str) -> None:
    kept = Rule("/a/*", methods=["DELETE"], scopes=["delete"])
    policy = Policy([kept, Rule("/*", access="public")])
    into = {"HTTP_DESTINATION": "/a/b"}
    assert needs(policy, "/b", method, **into) == {"delete"}
    assert needs(policy, "/b", method, **into, HTTP_OVERWRITE="T") == {"delete"}
    assert needs(policy, "/b", method, **into, HTTP_OVERWRITE="f") == {"delete"}
    assert needs(policy, "/b", method, **into, HTTP_OVERWRITE="F") == "public"


BY_METHOD = Policy(
    [
        Rule("/a", methods=["DELETE"], scopes=["admin"]),
        Rule("/a", methods=["GET", "POST"], access="public"),
    ]
)


def test_method_in_a_header_counts() -> None:
    further = {"HTTP_X_METHODOVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_WOPI_OVERRIDE"}
    for key in sorted(METHOD_KEYS | further):
        assert needs(BY_METHOD, "/a", "POST", **{key: "Delete"}) == {"admin"}, key
        assert needs(BY_METHOD, "/a", "POST", **{key: "GET, DELETE"}) == {"admin"}, key
        assert needs(BY_METHOD, "/a", "GET", **{key: "GET"}) == "public", key


@table(
    "query",
    ["_method=delete", "x=1&_method=DELETE", "_METHOD=Delete", "_%6dethod=delete",
     "%5Fmethod=delete",
     "_method=%64elete", "a;_method=delete", "_method=GET&_method=delete",
     "x-http-method-override=DELETE", "__METHOD_OVERRIDE__=DELETE", "_method_override=DELETE",
     "__method=delete", "method_override=delete", "http_method=DELETE", "X-HTTP-Method=DELETE",
     "x_http_method_override=delete", "_httpMethod=delete", "%5f%5FMETHOD%5fOVERRIDE__=delete"],
)  # fmt: skip
def test_method_in_the_query_counts(query: str) -> None:
    assert needs(BY_METHOD, "/a", "POST", QUERY_STRING=query) == {"admin"}


@table(
    "query",
    ["", "method=delete", "x_method=delete", "_methods=delete", "a=_method", "methods=delete"],
)
def test_other_queries_change_nothing(query: str) -> None:
    assert needs(BY_METHOD, "/a", "POST", QUERY_STRING=query) == "public"


@table(
    ("media_type", "method", "length", "expected"),
    [
        ("application/x-www-form-urlencoded", "POST", "", {"admin"}),
        ("Multipart/Form-Data; boundary=x", "POST", "9", {"admin"}),
        ("multipart/mixed; boundary=x", "POST", "9", {"admin"}),
        ("", "POST", "", {"admin"}),
        ("application/json", "POST", "9", "public"),
        ("application/x-www-form-urlencoded", "GET", "9", {"admin"}),
        ("application/x-www-form-urlencoded", "GET", "0", "public"),
        ("application/x-www-form-urlencoded", "GET", "", "public"),
        ("application/json", "GET", "9", "public"),
        ("", "GET", "", "public"),
    ],
)
def test_form_may_hold_any_method_that_the_rules_name(
    media_type: str, method: str, length: str, expected: object
) -> None:
    policy = Policy(BY_METHOD.rules, form_method_override=True)
    sent = {"CONTENT_TYPE": media_type, "CONTENT_LENGTH": length}
    assert needs(policy, "/a", method, **sent) == expected
    assert needs(BY_METHOD, "/a", method, **sent) == "public"
    chunked = {"CONTENT_TYPE": media_type, "HTTP_TRANSFER_ENCODING": "chunked"}
    is_form = expected == {"admin"} or media_type.startswith("application/x-www-form")
    assert needs(policy, "/a", method, **chunked) == ({"admin"} if is_form else "public")


def test_form_may_hold_a_method_that_no_rule_names() -> None:
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    reads = Rule("/a", methods=["GET", "POST"], access="public")
    policy = Policy([reads, Rule("/open", access="public")], form_method_override=True)
    assert needs(policy, "/a", "POST", **form) == set()
    assert needs(policy, "/open", "POST", **form) == "public"
    assert needs(Policy([reads]), "/a", "POST", **form) == "public"


def test_method_that_is_said_again_reaches_what_is_below_though_no_rule_names_it() -> None:
    rules = [Rule("/a/secret/*", scopes=["secret"]), Rule("/*", scopes=["dav"])]
    both = {"dav", "secret"}
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    assert needs(Policy(rules), "/a", "POST", QUERY_STRING="_method=DELETE") == both
    assert needs(Policy(rules), "/a", "POST", HTTP_X_HTTP_METHOD="DELETE") == both
    assert needs(Policy(rules, form_method_override=True), "/a", "POST", **form) == both
    plain = Policy(rules, form_method_override=True, recursive_methods=False)
    assert needs(plain, "/a", "POST", QUERY_STRING="_method=DELETE", **form) == {"dav"}


@table(
    "headers",
    [
        pytest.param({f"HTTP_X_{n}": "/a" for n in ("PREFIX", "URI", "URL", "PATH")}, id="moves"),
        pytest.param({"HTTP_X_SCRIPT_NAME": ",".join(f"/{n}" for n in range(99))}, id="values"),
        pytest.param({"HTTP_X_SCRIPT_NAME": "/" + "a" * 3000}, id="length"),
        pytest.param({"HTTP_DESTINATION": "/" + "%61" * 1000}, id="escapes"),
        pytest.param({"QUERY_STRING": "&".join(f"_method={n}" for n in range(99))}, id="methods"),
    ],
)
def test_more_than_can_be_checked_in_time_is_an_invalid_request(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        requirement(DAV, "/b", "COPY", **headers)


@table("prefix", ["api", "/api/", "/", "/a*", "/a//b", "/a?b"])
def test_prefix_that_no_proxy_sends_is_a_configuration_error(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix must be"):
        Policy(prefix=prefix)


def test_a_path_is_read_up_to_its_bound() -> None:
    policy = Policy([Rule("/x")])
    assert needs(policy, f"/{'a' * 8191}") == set()
    with pytest.raises(InvalidRequestError):
        requirement(policy, f"/{'a' * 8192}")


def test_one_value_may_be_asked_of_a_claim_that_has_one() -> None:
    assert Rule("/x", claims_all={"sub": ["42"]}).claims_all == {"sub": ["42"]}
    with pytest.raises(ConfigurationError, match="claims_all can never match"):
        Rule("/x", claims_all={"sub": ["42", "43"]})


def test_a_requirement_tells_what_a_token_lacks(token: Token) -> None:
    rule = Rule("/*", scopes=["read", "write"], scopes_any=["a", "b"], claims={"auth": "red"})
    required = requirement(Policy([rule]), "/")
    scope, scopes, claim = required.lacks(token("read"))
    assert (scope, scopes) == ("scope write", "one of the scopes a, b")
    assert claim.startswith("claim auth: ")
    assert required.lacks(token("read write b", auth="red")) == []

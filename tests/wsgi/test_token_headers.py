"""Tokens that come in other headers than Authorization."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, Key, KeySet, Policy, Rule, TokenVerifier, TrustedIssuer
from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.errors import InvalidRequestError
from jwt_middleware.wsgi.bearer import TokenHeaders
from jwt_middleware.wsgi.environ import get_scopes

from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOW = 1_800_000_000
KEYS = {name: Key.generate("ES256", kid="k") for name in ("plain", "iap", "access")}
HEADERS = {"plain": None, "iap": "X-Goog-IAP-JWT-Assertion", "access": "Cf-Access-Jwt-Assertion"}

Ask = Callable[..., Any]


def token(issuer: str, **claims: object) -> str:
    complete = {"iss": f"https://{issuer}", "aud": "api", "sub": issuer, "exp": NOW + 60} | claims
    key = KEYS[issuer]
    header = encode_object({"alg": "ES256", "kid": "k"})
    return serialize(header, encode_object(complete), key.sign)


def show(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {
        "user": environ.get("REMOTE_USER"),
        "authorization": environ.get("HTTP_AUTHORIZATION"),
        "scopes": sorted(get_scopes(environ)),
    }
    return [json.dumps(seen).encode()]


def app_for(*names: str, **terms: Any) -> TestApp:
    trusted = [
        TrustedIssuer(
            issuer=f"https://{name}",
            audience="api",
            keys=KeySet([KEYS[name]]),
            header=HEADERS[name],
            remote_user="{sub}",
            **terms,
        )
        for name in names
    ]
    verifier = TokenVerifier(trusted=trusted, clock=lambda: NOW)
    policy = Policy([Rule("/open", access="public"), Rule("/admin", scopes=["admin"])])
    return TestApp(JWTMiddleware(show, verifier=verifier, policy=policy))


@pytest.fixture
def ask() -> Ask:
    app = app_for(*HEADERS)

    def ask(path: str = "/", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return app.get(path, headers=named, expect_errors=True)

    return ask


def test_each_issuers_tokens_come_in_its_own_header(ask: Ask) -> None:
    assert ask(Authorization=f"Bearer {token('plain')}").json["user"] == "plain"
    assert ask(X_Goog_IAP_JWT_Assertion=token("iap")).json["user"] == "iap"
    assert ask(Cf_Access_Jwt_Assertion=f" {token('access')} ").json["user"] == "access"


@pytest.mark.parametrize("issuer", HEADERS)
def test_no_header_stands_in_for_another(issuer: str, ask: Ask) -> None:
    sent = token(issuer)
    ways = {
        "plain": {"Authorization": f"Bearer {sent}"},
        "iap": {"X_Goog_IAP_JWT_Assertion": sent},
        "access": {"Cf_Access_Jwt_Assertion": sent},
    }
    for other, headers in ways.items():
        answer = ask(**headers)
        if other == issuer:
            assert answer.status_int == 200
        else:
            assert answer.status_int == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {plain}", "Cf_Access_Jwt_Assertion": "{access}"},
        {"Authorization": "Bearer {plain}", "Cf_Access_Jwt_Assertion": "garbage"},
        {"Authorization": "Bearer garbage", "X_Goog_IAP_JWT_Assertion": "garbage"},
        {"X_Goog_IAP_JWT_Assertion": "{iap}", "Cf_Access_Jwt_Assertion": "{access}"},
        {"Cf_Access_Jwt_Assertion": "{access},{access}"},
        {"Cf_Access_Jwt_Assertion": "{access}, garbage"},
        {"Cf_Access_Jwt_Assertion": ",{access}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/open"])
def test_two_tokens_are_a_bad_request(headers: dict[str, str], path: str, ask: Ask) -> None:
    tokens = {name: token(name) for name in HEADERS}
    sent = {name: value.format(**tokens) for name, value in headers.items()}
    assert ask(path, **sent).status_int == 400


@pytest.mark.parametrize("value", ["garbage", "a b", "Bearer {access}", "{access}="])
def test_anything_else_there_is_a_bad_token(value: str, ask: Ask) -> None:
    sent = value.format(access=token("access"))
    for path in ("/", "/open"):
        assert ask(path, Cf_Access_Jwt_Assertion=sent).status_int == 401


def test_an_empty_header_carries_no_token(ask: Ask) -> None:
    assert ask(Cf_Access_Jwt_Assertion=" ").status_int == 401
    assert ask("/open", Cf_Access_Jwt_Assertion="").json["user"] is None
    sent = {"Authorization": f"Bearer {token('plain')}", "Cf_Access_Jwt_Assertion": ""}
    assert ask(**sent).json["user"] == "plain"


def test_another_scheme_is_no_second_token(ask: Ask) -> None:
    answer = ask(Authorization="Basic eDp5", Cf_Access_Jwt_Assertion=token("access"))
    assert answer.json["user"] == "access"
    assert answer.json["authorization"] == "Basic eDp5"


@table("authorization", ["Bearer", "Bearer a b", "Bearer {}", "Basic eDp5", ""])
def test_authorization_is_the_apps_where_no_issuer_uses_it(authorization: str) -> None:
    app, sent = app_for("access"), authorization.format(token("access"))
    headers = {"Authorization": sent}
    assert app.get("/", headers=headers, status=401)
    headers["Cf-Access-Jwt-Assertion"] = token("access")
    answer = app.get("/", headers=headers)
    assert (answer.json["user"], answer.json["authorization"]) == ("access", sent)


def test_scopes_are_what_rules_see() -> None:
    app = app_for("access", scopes_from=["groups"])
    headers = {"Cf-Access-Jwt-Assertion": token("access", groups=["admin", "b c"], scope="x")}
    assert app.get("/admin", headers=headers).json["scopes"] == ["admin", "b c"]
    headers = {"Cf-Access-Jwt-Assertion": token("access", groups=["x admin"], scope="admin")}
    app.get("/admin", headers=headers, status=403)


def test_a_forged_list_of_scopes_is_removed() -> None:
    app = app_for("plain")
    forged = {"jwt_middleware.scopes": ["admin"]}
    headers = {"Authorization": f"Bearer {token('plain', scope='read')}"}
    assert app.get("/", headers=headers, extra_environ=forged).json["scopes"] == ["read"]
    assert app.get("/open", extra_environ=forged).json["scopes"] == []


@pytest.mark.parametrize("environ", [{}, {"HTTP_AUTHORIZATION": "Bearer x"}, {"HTTP_X_B": "x"}])
def test_reads_no_header_that_is_not_named(environ: dict[str, str]) -> None:
    assert TokenHeaders(["X-A"]).find(environ) is None


def test_names_of_headers_have_no_case() -> None:
    headers = TokenHeaders(["X-a", "x-A", None])
    assert headers.find({"HTTP_X_A": "t"}) == ("HTTP_X_A", "t")
    with pytest.raises(InvalidRequestError):
        headers.find({"HTTP_X_A": "t", "HTTP_AUTHORIZATION": "Bearer t"})


@table(
    ("settings", "allowed"),
    [
        ({"scopes_any": ["b", "c"]}, True),
        ({"scopes_any": ["x", "y"]}, False),
        ({"scopes": ["a"], "scopes_any": ["x", "y"]}, False),
        ({"scopes": ["a"], "scopes_any": ["b"]}, True),
        ({"claims_all": {"o": {"r": ["p", "q"]}}}, True),
        ({"claims_absent": [["o", "s"]], "claims_prefix": {"sub": "pl"}}, True),
        ({"claims_absent": [["o", "r"]]}, False),
    ],
    ids=str,
)
def test_rules_ask_for_what_they_say(settings: dict[str, Any], allowed: bool) -> None:  # noqa: FBT001
    verifier = TokenVerifier(
        keys=KeySet([KEYS["plain"]]), issuer="https://plain", audience="api", clock=lambda: NOW
    )
    app = TestApp(JWTMiddleware(show, verifier=verifier, policy=Policy([Rule("/x", **settings)])))
    headers = {"Authorization": f"Bearer {token('plain', scope='a b', o={'r': ['p', 'q']})}"}
    answer = app.get("/x", headers=headers, expect_errors=True)
    assert answer.status_int == (200 if allowed else 403)
    if settings.get("scopes_any") == ["x", "y"]:
        asked = "a x y" if "scopes" in settings else "x y"
        assert f'scope="{asked}"' in answer.headers["WWW-Authenticate"]

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ...site import SECRET, forge, good_claims

Invoke = Callable[..., Result]

RULES = """
[[rules]]
path = "/health"
access = "public"
[[rules]]
path = "/admin/*"
methods = ["GET", "DELETE"]
scopes = ["admin"]
claims = { ac_type = ["email"] }
[[rules]]
path = "/trial/*"
scopes = ["trial"]
mode = "report"
[[rules]]
path = "/simple/*"
basic = true
preflight = true
[cors]
origins = ["https://app.example.com"]
"""


@pytest.fixture(autouse=True)
def _rules(folder_with_endpoint: Path) -> None:
    with (folder_with_endpoint / "jwt.toml").open("a") as config:
        config.write(RULES)


@pytest.fixture
def token(invoke: Invoke) -> str:
    issued = invoke("token", "issue", "--uid", "42", "--scope", "read", "--type", "email")
    return issued.stdout.strip()


@pytest.fixture
def explain(invoke: Invoke) -> Callable[..., dict[str, Any]]:
    def explain(*arguments: str, token: str = "") -> dict[str, Any]:
        given = ["--token", "-"] if token else []
        result = invoke("explain", *arguments, *given, "--json", stdin=token)
        assert result.exit_code == 0, result.stderr
        members: dict[str, Any] = json.loads(result.stdout)
        return members

    return explain


Explain = Callable[..., dict[str, Any]]


class TestExplain:
    def test_an_allowed_request(self, explain: Explain, token: str) -> None:
        found = explain("GET", "/me", token=token)
        assert found["answered_by"] == "the app is called"
        assert "rules" not in found
        assert found["token"]["sub"] == "42"
        assert found["token"]["scopes"] == ["read"]
        assert found["headers"] == {"REMOTE_USER": "42"}

    def test_shows_each_reading_once(self, explain: Explain) -> None:
        readings = explain("GET", "/a/..%2fb//x;y")["targets"][0]["readings"]
        assert sorted(set(readings)) == sorted(readings)
        assert len(readings) > 3

    def test_a_token_that_comes_in_another_header(self, explain: Explain, folder: Path) -> None:
        with (folder / "jwt.toml").open("a") as config:
            config.write(
                "[[trusted]]\nissuer = 'https://partner.test'\naudience = 'api'\n"
                "secret_file = 'partner'\nheader = 'X-Partner-Token'\n"
            )
        (folder / "partner").write_bytes(SECRET)
        claims = good_claims(iss="https://partner.test", exp=time.time() + 60, iat=1, nbf=1)
        found = explain("GET", "/me", token=forge({"alg": "HS256"}, claims))
        assert found["answered_by"] == "the app is called"
        assert found["token"]["header"] == "X-Partner-Token"
        found = explain("GET", "/me", token="opaque")
        assert found["detail"] == "Authorization: a JWT has three parts, joined by dots"

    def test_a_rule_that_takes_basic_and_where_it_does_not(self, explain: Explain) -> None:
        found = explain("GET", "/simple/x")
        assert found["rules"][0]["basic"] is True
        assert found["asks"] == {"access": "required", "basic": True}
        challenge = 'Basic realm="api", charset="UTF-8", Bearer realm="api"'
        assert found["headers"]["WWW-Authenticate"] == challenge
        found = explain("GET", "/SIMPLE/x")
        assert found["asks"]["basic"] is False
        assert found["headers"]["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_a_preflight_that_cors_answers(self, explain: Explain) -> None:
        asked = ("Origin: https://app.example.com", "Access-Control-Request-Method: PUT")
        headers = [part for one in asked for part in ("--header", one)]
        found = explain("OPTIONS", "/simple/x", *headers)
        assert found["answered_by"] == "the middleware"
        assert found["status"] == "204 No Content"
        assert found["headers"]["Access-Control-Allow-Origin"] == "https://app.example.com"

    def test_a_token_that_lacks_a_scope(self, explain: Explain, token: str) -> None:
        found = explain("DELETE", "/admin/users?x=1", token=token)
        assert [rule["path"] for rule in found["rules"]] == ["/admin/*"]
        assert found["asks"]["scopes"] == ["admin"]
        assert found["lacks"] == ["scope admin"]
        assert found["reason"] == "insufficient_scope"
        assert found["status"] == "403 Forbidden"
        assert 'scope="admin"' in found["headers"]["WWW-Authenticate"]
        assert json.loads(found["body"])["code"] == "insufficient_scope"

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            pytest.param("//x/..//ADMIN%2fusers;a", [], id="spelled oddly"),
            pytest.param("/health/..%2fadmin", [], id="up"),
            pytest.param("/health", ["X-Original-URL: /admin"], id="moved"),
            pytest.param("/admin/x?_method=DELETE", [], id="method in the query"),
        ],
    )
    def test_a_request_that_is_spelled_oddly(
        self, explain: Explain, token: str, path: str, headers: list[str]
    ) -> None:
        given = [part for header in headers for part in ("--header", header)]
        found = explain("GET", path, *given, token=token)
        assert "/admin/*" in [rule["path"] for rule in found["rules"]]
        assert any("admin" in text.lower() for one in found["targets"] for text in one["readings"])
        assert found["status"].startswith("403")

    def test_a_rule_that_only_reports(self, explain: Explain) -> None:
        found = explain("GET", "/trial/x")
        assert found["rules"][0]["mode"] == "report"
        assert found["answered_by"] == "the app is called"
        assert found["would_be"] == "missing_token"

    def test_a_token_that_is_not_accepted(self, explain: Explain, token: str) -> None:
        found = explain("GET", "/me", token=token[:-3])
        assert found["reason"] in {"invalid_signature", "malformed_token"}
        assert found["status"].startswith("401")

    def test_a_body_that_would_come_in_parts(self, explain: Explain) -> None:
        given = ["--header", "Transfer-Encoding: chunked"]
        assert explain("POST", "/", *given)["status"].startswith("401")

    def test_a_path_that_is_no_text(self, explain: Explain) -> None:
        assert explain("GET", "/\udcff")["status"].startswith("401")

    def test_a_path_of_the_endpoint_tries_no_login(self, explain: Explain) -> None:
        assert explain("POST", "/token")["answered_by"].startswith("the middleware itself")

    def test_prints_lines(self, invoke: Invoke, token: str) -> None:
        result = invoke("explain", "GET", "/admin/\x1b[31m", "--token", "-", stdin=token)
        lines = result.stdout.splitlines()
        assert {line[:10].strip() for line in lines} >= {"request", "rule", "lacks", "answer"}
        assert "\x1b" not in result.stdout
        assert token not in result.stdout


class TestSecrets:
    @pytest.mark.parametrize(
        "header",
        ["Authorization: Bearer {}", "authorization:x", "Cookie: a", "X-Token: {}", "X: Bearer {}"],
    )
    def test_are_refused_as_arguments(self, invoke: Invoke, token: str, header: str) -> None:
        result = invoke("explain", "GET", "/", "--header", header.format(token))
        assert result.exit_code == 2
        assert "process list" in result.stderr
        assert token not in result.stderr

    def test_a_token_is_no_part_of_the_path(self, invoke: Invoke, token: str) -> None:
        result = invoke("explain", "GET", f"/?access_token={token.strip()}")
        assert result.exit_code == 2
        assert token.strip() not in result.stderr

    def test_a_token_is_no_argument(self, invoke: Invoke, token: str) -> None:
        result = invoke("explain", "GET", "/", "--token", token)
        assert result.exit_code == 2
        assert "process list" in result.stderr
        assert token not in result.stderr

    @pytest.mark.parametrize(
        "arguments", [("G T", "/"), ("GET", "/", "--header", "no colon")], ids=["method", "header"]
    )
    def test_wrong_usage(self, invoke: Invoke, arguments: tuple[str, ...]) -> None:
        assert invoke("explain", *arguments).exit_code == 2

"""The recipe that this package began as: its app, behind the product, with other imports."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

import jwt_middleware
from jwt_middleware import TokenIssuer, verify_token, wrap
from jwt_middleware.errors import ConfigurationError, InvalidTokenError

SECRET = "a secret of thirty-two bytes or more"
CONFIG = """\
issuer = "https://auth.example.com"
audience = "api"
[keys]
secret_file = "secret"
kid = "2026-11"
[endpoint]
path = "/v1/login/"
verifiers = { email = "recipe_app:verify" }
[[rules]]
path = "/v1/token/*"
access = "public"
[[rules]]
path = "/v1/token"
access = "public"
[responses]
style = "envelope"
error_codes = { invalid_request = 1002, bad_credentials = 1004, invalid_token = 1005 }
"""
LOGIN = {"account": "ann@example.com", "secret": "123456", "type": 100}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "jwt.toml").write_text(CONFIG.replace("recipe_app:verify", "recipe_app:login"))
    monkeypatch.setenv("JWT_MIDDLEWARE_CONFIG", str(tmp_path / "jwt.toml"))
    return tmp_path


@pytest.fixture
def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TestApp:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "recipe_app", raising=False)
    recipe_app: Any = import_module("recipe_app")

    def login(account: str, secret: str) -> dict[str, Any]:
        identity: dict[str, Any] = recipe_app.User.verify(account, secret)
        return {**identity, "scope": str(identity["scope"])}

    monkeypatch.setattr(recipe_app, "login", login, raising=False)
    return TestApp(wrap(folder / "jwt.toml", recipe_app.app))


def test_the_app_of_the_recipe_runs(site: TestApp) -> None:
    answer = site.post_json("/v1/token", LOGIN, status=201).json
    assert (answer["error_code"], answer["request"]) == (0, "POST /v1/token")
    token = answer["msg"]
    info = site.post_json("/v1/token/secret", {"token": token}).json
    assert info == {"scope": "1", "uid": 1, "ac_type": "email"}
    headers = {"Authorization": f"Bearer {token}"}
    assert site.get("/v1/user", headers=headers).json == {"uid": 1}
    for made in site.post_json("/v1/token/by-hand", {}).json.values():
        assert site.get("/v1/user", headers={"Authorization": f"Bearer {made}"}).json["uid"] == 1


def test_its_errors_are_its_own(site: TestApp) -> None:
    wrong = {**LOGIN, "secret": "x"}
    for body, status, number in (({}, 400, 1002), ([], 400, 1002), (wrong, 401, 1004)):
        answer = site.post_json("/v1/token", body, status=status)
        assert answer.json["error_code"] == number
    answer = site.post_json("/v1/token/secret", {"token": "a.b.c"}, status=401)
    assert answer.json["error_code"] == 1005


@pytest.mark.parametrize("path", ["/v1/login/", "/v1/login"])
def test_tokens_of_the_endpoint_are_verified_by_the_shortcut(path: str, site: TestApp) -> None:
    token = site.post_json(path, LOGIN).json["msg"]
    for secret in (None, SECRET, SECRET.encode()):
        assert verify_token(token, secret)["uid"] == 1
    assert site.post_json(path, {**LOGIN, "type": 5}, status=400).json["error_code"] == 1002
    assert site.post_json(path, {**LOGIN, "secret": "x"}, status=401).json["error_code"] == 1004
    headers = {"Authorization": "Bearer a.b.c"}
    assert site.get("/v1/user", headers=headers, status=401).json["error_code"] == 1005


def test_tokens_of_the_shortcut_are_verified_by_the_middleware(site: TestApp) -> None:
    for secret in (None, SECRET):
        token = jwt_middleware.generate_token({"uid": 7, "nickname": "Ann"}, 60, secret)
        headers = {"Authorization": f"Bearer {token}"}
        assert site.get("/v1/user", headers=headers).json == {"uid": 7}
        assert verify_token(token)["nickname"] == "Ann"


@pytest.mark.usefixtures("folder")
def test_issuer_and_audience_can_be_given() -> None:
    token = jwt_middleware.generate_token({"uid": 7}, 60, issuer="me", audience=["a", "b"])
    assert verify_token(token, issuer="me", audience="b")["aud"] == ["a", "b"]
    with pytest.raises(InvalidTokenError):
        verify_token(token)


def test_without_a_configuration_a_secret_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_MIDDLEWARE_CONFIG", raising=False)
    with pytest.raises(ConfigurationError, match="secret is missing: give one, or set JWT_"):
        jwt_middleware.generate_token({"uid": 7}, 60)
    with pytest.raises(ConfigurationError, match="secret is missing"):
        verify_token("a.b.c")
    token = jwt_middleware.generate_token({"uid": 7}, 60, SECRET)
    assert verify_token(token, SECRET)["iss"] == "urn:jwt-middleware:shortcut"


def test_a_configuration_without_keys_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "jwt.toml"
    monkeypatch.setenv("JWT_MIDDLEWARE_CONFIG", str(config))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        verify_token("a.b.c")
    config.write_text('[[trusted]]\nissuer = "https://a"\naudience = "b"\njwks_file = "k.json"\n')
    with pytest.raises(ConfigurationError, match=r"has no \[keys\]: give a secret"):
        jwt_middleware.generate_token({"uid": 7}, 60)


def test_the_configuration_is_read_again_when_it_changes(folder: Path) -> None:
    token = jwt_middleware.generate_token({"uid": 7}, 60)
    config = folder / "jwt.toml"
    config.write_text(config.read_text().replace('audience = "api"', 'audience = "other"'))
    with pytest.raises(InvalidTokenError):
        verify_token(token)


def test_the_core_reads_no_environment() -> None:
    for module in ("shortcut", "issuer", "payload"):
        source = Path(jwt_middleware.__file__).parent / "core" / f"{module}.py"
        assert "environ" not in source.read_text()
    assert TokenIssuer.__module__ == "jwt_middleware.core.issuer"

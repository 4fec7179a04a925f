"""What docs/frameworks says of factories, verifiers, mounts and proxies, under a jwt.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import webtest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from jwt_middleware import wrap
from jwt_middleware.config.loading import from_environment
from jwt_middleware.testing import TestApp

from .pages import FLASK, FRAMEWORKS, by_heading, run

LOGIN = {"account": "ann@example.com", "secret": "correct horse", "type": "email"}
VERIFIERS = '\n[endpoint]\nverifiers = { email = "shop:verify" }\n'


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a jwt.toml that protects every path the working directory."""
    monkeypatch.chdir(folder)
    return folder


def imported(monkeypatch: pytest.MonkeyPatch, heading: str) -> Any:
    module = run(FLASK, heading)
    vars(module).setdefault("find", lambda uid: {"uid": uid})
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


@pytest.mark.usefixtures("here")
def test_a_factory_is_called_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(monkeypatch, "Factories")
    for call, name in (("create_app()", "shop"), ("create_app('north')", "north")):
        ann = TestApp(wrap("jwt.toml", f"shop:{call}")).as_account(42)
        assert ann.get("/me").json == {"shop": name, "sub": "42"}
    app = from_environment(
        {"JWT_MIDDLEWARE_CONFIG": "jwt.toml", "JWT_MIDDLEWARE_APP": "shop:create_app()"}
    )
    assert TestApp(app).as_account(42).get("/me").json["shop"] == "shop"


def test_a_verifier_of_a_file_has_the_context_of_its_app(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(monkeypatch, "Account verifiers in the app's context")
    with (here / "jwt.toml").open("a") as file:
        file.write(VERIFIERS)
    client = TestApp(wrap("jwt.toml", "shop:app"))
    client.log_in("ann@example.com", "correct horse").get("/", status=404)
    client.post_json("/token", LOGIN | {"secret": "wrong"}, status=401)


@pytest.fixture
def with_logins(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    imported(monkeypatch, "Account verifiers in the app's context")
    with (here / "jwt.toml").open("a") as file:
        file.write(VERIFIERS)
    return here


@pytest.mark.usefixtures("with_logins")
def test_a_mount_is_protected_inside_and_around() -> None:
    made = run(FRAMEWORKS, "Mounted below a prefix")
    around = wrap("jwt.toml", DispatcherMiddleware(made.site, {"/shop": made.shop}))
    for app, endpoint in ((made.app, "/shop/token"), (around, "/token")):
        client = TestApp(app)
        client.get("/shop/me", status=401)
        token = client.post_json(endpoint, LOGIN).json["access_token"]
        assert client.with_token(token).get("/shop/me").json["sub"] == "42"
        client.check_refuses("/shop/me")
    TestApp(made.app).get("/elsewhere", status=404)
    TestApp(around).get("/elsewhere", status=401)


def test_a_proxy_is_told_on_either_side(with_logins: Path) -> None:
    settings = by_heading(FRAMEWORKS)["Behind a proxy", "toml"].text
    more = 'lookups = { email = "shop:find" }\n[sessions]\nurl = "memory://"\n'
    rule = '[[rules]]\npath = "/me"\nscopes = ["me"]\n'
    with (with_logins / "jwt.toml").open("a") as file:
        file.write(more + settings + rule)
    inside = run(FRAMEWORKS, "Behind a proxy")
    bare = run(FRAMEWORKS, "Behind a proxy").shop
    outside = ProxyFix(
        wrap("jwt.toml", bare.wsgi_app.app), x_for=1, x_proto=1, x_host=1, x_prefix=1
    )
    sent = {
        "X-Forwarded-For": "1.2.3.4, 203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
        "X-Forwarded-Prefix": "/shop",
    }
    for app in (inside.app, outside):
        client = TestApp(app)
        ann = client.as_account(42, scope="me")
        seen = {"url": "https://shop.example/shop/me", "client": "203.0.113.7"}
        assert ann.get("/me", headers=sent).json == seen
        client.as_account(42).get("/me", headers=sent, status=403)
        client.get("/me", headers=sent, status=401)
        client.post_json("/token", LOGIN, headers=sent, status=200)


@pytest.mark.usefixtures("here")
def test_a_middleware_in_the_apps_own_module_is_there_for_its_test_client() -> None:
    app = run(FLASK, "Flask").app
    app.wsgi_app = wrap("jwt.toml", app.wsgi_app)
    assert app.test_client().get("/reports").status_code == 401
    assert isinstance(TestApp(app), webtest.TestApp)

"""
The recipes of docs/frameworks.md, run as they stand there.

Each is an app with the same three paths: the claims at ``/me``, a scope asked for at ``/reports``,
the name of the app's own user at ``/account``.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from jwt_middleware import Policy, Responses, Rule
from jwt_middleware.testing import BadToken, TestApp

from ..testing.conftest import protect
from .pages import FLASK, FRAMEWORKS, by_heading, run
from .test_views import FORGED

PAGES = {
    "Bottle": FRAMEWORKS,
    "Falcon": FRAMEWORKS,
    "Pyramid": FRAMEWORKS,
    "CherryPy": FRAMEWORKS,
    "web.py": FRAMEWORKS,
    "Any other": FRAMEWORKS,
    "Flask": FLASK,
    "Flask-Login": FLASK,
    "Flask-RESTX": FLASK,
    "Dash": FLASK,
}
PACKAGES = {"Flask-Login": "flask_login", "Flask-RESTX": "flask_restx", "Dash": "dash"}
POLICY = Policy([Rule("/rule", scopes=["reports:read"]), Rule("/*", access="public")])


@cache
def app_of(name: str) -> Any:
    return run(PAGES[name], name).app


@pytest.fixture(params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param in PACKAGES:
        pytest.importorskip(PACKAGES[request.param], reason="needs the extra 'everywhere'")
    return str(request.param)


@pytest.fixture
def client(name: str) -> TestApp:
    """Return a client of an app whose rules let everything in: the views are on their own."""
    return TestApp(protect(app_of(name), policy=POLICY, responses=Responses(realm="shop")))


def ask(client: TestApp, name: str, path: str, **options: Any) -> Any:
    """Ask for a path; in Dash, for what its callback answers."""
    if name != "Dash":
        return client.get(path, expect_errors=True, **options)
    callback = {
        "output": "shown.children",
        "outputs": {"id": "shown", "property": "children"},
        "inputs": [{"id": "page", "property": "value", "value": path[1:]}],
        "changedPropIds": ["page.value"],
    }
    return client.post_json("/_dash-update-component", callback, expect_errors=True, **options)


def shown(answer: Any, name: str) -> Any:
    document = json.loads(answer.body)
    return document["response"]["shown"]["children"] if name == "Dash" else document


def test_reads_the_claims(client: TestApp, name: str) -> None:
    for uid in ("42", "43"):
        answer = ask(client.as_account(uid, claims={"plan": "é"}), name, "/me")
        assert answer.status_int == 200
        assert (shown(answer, name)["sub"], shown(answer, name)["plan"]) == (uid, "é")


def test_asks_for_a_scope_as_a_rule_does(client: TestApp, name: str) -> None:
    answer = ask(client.as_account(42, scope="x reports:read"), name, "/reports")
    assert (answer.status_int, shown(answer, name)) == (200, {"reports": []})
    for scope in ("", "reports", "reports:reader x"):
        ann = client.as_account(42, scope=scope)
        answer, by_rule = ask(ann, name, "/reports"), ann.get("/rule", status=403)
        assert answer.status_int == 403
        for header in ("WWW-Authenticate", "Cache-Control", "Content-Language"):
            assert answer.headers[header] == by_rule.headers[header]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert json.loads(answer.body) == by_rule.json
        BadToken.UNDER_SCOPED.check(answer)


def test_knows_its_own_user(client: TestApp, name: str) -> None:
    answer = ask(client.as_account("42"), name, "/account")
    assert shown(answer, name) == {"name": "Ann"}
    for uid in ("43", "042", "Ann"):
        answer = ask(client.as_account(uid), name, "/account")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/me", "/reports", "/account"])
def test_needs_a_token(client: TestApp, name: str, path: str) -> None:
    answer = ask(client, name, path)
    assert answer.status_int == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="shop"'


@pytest.mark.parametrize("path", ["/me", "/reports", "/account"])
def test_lets_no_request_in_without_the_middleware(name: str, path: str) -> None:
    import webtest  # noqa: PLC0415  of which ours is a subclass that needs a middleware

    bare = webtest.TestApp(app_of(name), lint=False)
    assert ask(bare, name, path, extra_environ=FORGED).status_int == 401


def test_every_recipe_is_run() -> None:
    recipes = {
        heading
        for page in set(PAGES.values())
        for heading, language in by_heading(page)
        if language == "python"
    }
    assert recipes == {
        *PAGES,
        "Account verifiers in the app's context",
        "Behind a proxy",
        "Factories",
        "Mounted below a prefix",
    }

"""The README's examples, run as they stand there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import pytest
from django.conf import settings
from django.urls import path
from webtest import TestApp

from jwt_middleware import JWTMiddleware, JWTPayload, Key, KeySet, TokenIssuer, TokenVerifier

README = Path(__file__).parents[2] / "README.md"
EXAMPLES = re.findall(
    r"^(?P<before>[^\n]*)\n\n```python\n(?P<code>.*?)^```",
    README.read_text(),
    re.MULTILINE | re.DOTALL,
)
SECRET = "a secret of thirty-two bytes or more"


def example(starting: str) -> str:
    """Return the code after the line that begins so, be it text or heading."""
    (code,) = [code for before, code in EXAMPLES if before.startswith(starting)]
    return str(code)


def not_found(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b""]


def run(code: str, **given: Any) -> dict[str, Any]:
    namespace = {"secret": SECRET, "app": not_found, "__name__": __name__, **given}
    exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102  our own text
    return namespace


def token(**payload: Any) -> tuple[str, str]:
    keys = KeySet([Key.from_secret(SECRET, kid="2026-11")])
    issuer = TokenIssuer(keys=keys, issuer="https://auth.example.com", audience="api")
    return "Bearer", issuer.issue(JWTPayload(**{"uid": 42, **payload})).token


def test_five_lines_protect_every_path() -> None:
    app = TestApp(run(example("own."))["app"])
    app.get("/", status=401)
    app.authorization = token()
    app.get("/", status=404)


def test_app_of_ones_own_logs_in_and_checks_scopes() -> None:
    app = TestApp(run(example("## Around an app of your own"))["app"])
    login = {"account": "ann@example.com", "secret": "correct horse", "type": "email"}
    app.get("/health", status=404)
    app.get("/news/today", status=404)
    app.post("/news/today", status=401)
    app.post_json("/token", {**login, "secret": "battery staple"}, status=401)
    app.authorization = ("Bearer", app.post_json("/token", login).json["access_token"])
    app.get("/", status=404)
    app.get("/admin/users", status=403)


def test_core_works_without_http() -> None:
    setup = run(example("own."))
    code = example("The core knows nothing of HTTP")
    checked = re.sub(r"^(verif.*\[\"uid\"\])  # 42$", r"assert \1 == 42", code, flags=re.MULTILINE)
    assert checked.count("assert") == 2
    run(checked, keys=setup["keys"], verifier=setup["verifier"])


@pytest.fixture
def django_urls(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Configure Django round one view, as a project's settings and urls would."""
    urls: Any = ModuleType("readme_urls")
    monkeypatch.setitem(sys.modules, "readme_urls", urls)
    if not settings.configured:
        settings.configure(ROOT_URLCONF="readme_urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
        django.setup()

    def serve(view: Any) -> None:
        urls.urlpatterns = [path("me", view)]

    return serve


@pytest.mark.parametrize("framework", ["Flask", "Django", "Bottle", "Falcon", "Pyramid"])
def test_framework_reads_the_claims(framework: str, django_urls: Callable[[Any], None]) -> None:
    verifier = run(example("own."))["verifier"]
    namespace = run(example(framework), verifier=verifier, JWTMiddleware=JWTMiddleware)
    if framework == "Django":
        django_urls(namespace["me"])
    app = TestApp(namespace["application" if framework == "Django" else "app"])
    app.get("/me", status=401)
    app.authorization = token(scope="read")
    answer = app.get("/me")
    assert (answer.json["uid"], answer.json["scope"]) == (42, "read")


def test_every_python_example_is_run_here() -> None:
    befores = [before.split()[0] for before, _ in EXAMPLES]
    assert befores == ["own.", "##", "Flask:", "Django,", "Bottle:", "Falcon:", "Pyramid:", "The"]


def test_verifier_of_the_readme_is_a_token_verifier() -> None:
    assert isinstance(run(example("own."))["verifier"], TokenVerifier)

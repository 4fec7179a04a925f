"""The Python examples of docs/frameworks.md, run as they stand there."""

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

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
EXAMPLES = re.findall(
    r"^(\w+)[^\n]*:\n\n```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
)
NAMES: dict[str, Any] = {"issuer": "https://auth.example.com", "audience": "api"}
KEYS = KeySet([Key.from_secret("at least 32 bytes: read yours from a file")])


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


@pytest.mark.parametrize("framework", dict(EXAMPLES))
def test_framework_reads_the_claims(framework: str, django_urls: Callable[[Any], None]) -> None:
    verifier = TokenVerifier(keys=KEYS, **NAMES)
    namespace = {"__name__": __name__, "verifier": verifier, "JWTMiddleware": JWTMiddleware}
    exec(compile(dict(EXAMPLES)[framework], PAGE, "exec"), namespace)  # noqa: S102  our own text
    if framework == "Django":
        django_urls(namespace["me"])
    app: Any = TestApp(namespace["application" if framework == "Django" else "app"])
    app.get("/me", status=401)
    token = TokenIssuer(keys=KEYS, **NAMES).issue(JWTPayload(uid=42, scope="read")).token
    app.authorization = ("Bearer", token)
    answer = app.get("/me")
    assert (answer.json["uid"], answer.json["scope"]) == (42, "read")

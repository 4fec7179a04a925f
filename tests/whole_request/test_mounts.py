"""What real mounts do goes on: the rules see the path that the app sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpbin
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier

from ..site import AUD, ISS, KEYS, NOW, token_with
from ..table import table
from .apps import OPEN, SECRET, Site, call, cherrypy_site, django_site, flask_site
from .generator import Sent

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

FRAMEWORKS = {"flask": flask_site, "django": django_site, "cherrypy": cherrypy_site}
RIGHT = {"HTTP_AUTHORIZATION": f"Bearer {token_with('secret')}"}


def nowhere(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [])
    return []


def protect(app: WSGIApplication, rules: list[Rule], **settings: Any) -> JWTMiddleware:
    verifier = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
    return JWTMiddleware(app, verifier=verifier, policy=Policy(rules, **settings))


def ask(app: WSGIApplication, sent: Sent, **extra: str) -> tuple[int, str]:
    environ = sent.environ()
    assert environ is not None
    status, body = call(app, {**environ, **extra}, sent.body)
    return status, body.decode()


def check(app: WSGIApplication, mount: str = "", *headers: tuple[str, str]) -> None:
    """Assert that what is open is, and what is secret needs its scope."""
    health, admin = (Sent("GET", mount + path, headers) for path in ("/health", "/admin/"))
    assert ask(app, health) == (200, OPEN)
    assert ask(app, admin)[0] == 401
    assert ask(app, admin, **RIGHT) == (200, SECRET)


@pytest.fixture(params=FRAMEWORKS)
def site(request: pytest.FixtureRequest) -> Site:
    return FRAMEWORKS[request.param]()


def rules(site: Site, mount: str = "") -> list[Rule]:
    return [
        Rule(f"{mount}/health", access="public"),
        *(Rule(mount + rule.path, scopes=rule.scopes) for rule in site.secret),
    ]


def test_dispatcher_outside(site: Site) -> None:
    if site.app.__class__.__name__ == "Tree":
        pytest.skip("a tree of CherryPy joins SCRIPT_NAME again: it is mounted at the root")
    check(DispatcherMiddleware(nowhere, {"/api": protect(site.app, rules(site))}), "/api")


def test_dispatcher_outside_of_a_tree_that_knows_its_mount() -> None:
    site = cherrypy_site()
    tree: Any = site.app
    for mounted in [*tree.apps]:
        tree.apps["/api" + mounted] = tree.apps.pop(mounted)
        tree.apps["/api" + mounted].script_name = "/api" + mounted
    check(DispatcherMiddleware(nowhere, {"/api": protect(tree, rules(site))}), "/api")


def test_dispatcher_inside(site: Site) -> None:
    if site.app.__class__.__name__ == "Tree":
        pytest.skip("a tree of CherryPy joins SCRIPT_NAME again: it is mounted at the root")
    app = DispatcherMiddleware(nowhere, {"/api": site.app})
    check(protect(app, rules(site, "/api")), "/api")


@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
@pytest.mark.parametrize("make", [flask_site, django_site], ids=["flask", "django"])
def test_proxy_fix_with_a_declared_prefix(make: Callable[[], Site], outside: bool) -> None:  # noqa: FBT001
    site = make()
    if outside:
        app: Any = ProxyFix(protect(site.app, rules(site), prefix="/api"), x_prefix=1)
    else:
        app = protect(ProxyFix(site.app, x_prefix=1), rules(site), prefix="/api")
    check(app, "", ("X-Forwarded-Prefix", "/api"))


def test_server_sets_script_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    if site.app.__class__.__name__ == "Tree":
        pytest.skip("a tree of CherryPy joins SCRIPT_NAME again: it is mounted at the root")
    monkeypatch.setenv("SCRIPT_NAME", "/api")  # as gunicorn takes it
    check(protect(site.app, rules(site)), "/api")


def test_proxy_sends_script_name_that_is_declared(site: Site) -> None:
    sent = Sent("GET", "/api/health", (("SCRIPT_NAME", "/api"),))
    if site.app.__class__.__name__ != "Tree":
        assert ask(protect(site.app, rules(site), prefix="/api"), sent) == (200, OPEN)
    assert ask(protect(site.app, rules(site)), sent)[0] == 400


@table(
    "sent",
    [
        Sent("GET", "/get?a=b", (("X-Forwarded-Prefix", "/declared"),)),
        Sent("GET", "/basic-auth/u/p", (("Authorization", "Basic dTpw"),)),
        Sent("GET", "/hidden-basic-auth/u/p"),
        Sent("GET", "/bearer", (("Authorization", "Bearer of their own"),)),
        Sent("GET", "/bearer"),
        Sent("GET", "/digest-auth/auth/u/p"),
        Sent("POST", "/post", (("Content-Type", "application/json"),), b'{"a": 1}'),
        Sent("DELETE", "/delete"),
        Sent("PATCH", "/patch", (), b"x"),
        Sent(
            "OPTIONS", "/get", (("Origin", "https://x"), ("Access-Control-Request-Method", "PUT"))
        ),
        Sent("GET", "/status/418"),
        Sent("GET", "/anything/a%20b"),
    ],
    ids=lambda sent: f"{sent.method} {sent.target}",
)
def test_path_left_alone_answers_as_it_does_bare(sent: Sent) -> None:
    app = httpbin.app.wsgi_app
    wrapped = protect(app, [Rule("/*", access="passthrough")], prefix="/declared")
    (status, body), (wrapped_status, wrapped_body) = ask(app, sent), ask(wrapped, sent)
    assert wrapped_status == status
    assert len(wrapped_body) == len(body)

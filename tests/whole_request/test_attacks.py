"""Requests that got past rules once, each with the framework that it got through."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier

from ..site import AUD, ISS, KEYS, NOW, token_with
from .apps import SECRET, SITES, call
from .generator import Sent

PUBLIC_REST: Final = Rule("/*", access="public")
TOKEN_REST: Final = Rule("/*")
ROOT: Final = Rule("/", access="public")
HEALTH: Final = Rule("/health", access="public")


class Attack(NamedTuple):
    """A request, the rule for the rest of the app, and what it gets without and with a token."""

    site: str
    sent: Sent
    rest: Rule
    without: int
    with_other: int
    settings: dict[str, object] = {}  # noqa: RUF012


ATTACKS: Final = {
    "pyramid-vhm-root": Attack(
        "pyramid-traversal", Sent("GET", "/health", (("X-Vhm-Root", "/admin"),)), HEALTH, 401, 403
    ),
    "gunicorn-script-name": Attack(
        "cherrypy", Sent("GET", "/admin/", (("SCRIPT_NAME", "/admin"),)), ROOT,
        400, 400,
    ),
    "pecan-script-name": Attack(
        "pecan", Sent("GET", "/x/admin", (("SCRIPT_NAME", "/"),)), TOKEN_REST, 400, 400
    ),
    "radicale-script-name": Attack(
        "radicale",
        Sent("GET", "/x/1/cal/e.ics", (("X-Script-Name", "/x"), ("X-Forwarded-For", "1"))),
        TOKEN_REST, 401, 403,
    ),
    "reverse-proxied": Attack(
        "flask-reverse-proxied", Sent("GET", "/x/admin", (("X-Script-Name", "/x"),)), PUBLIC_REST,
        401, 403,
    ),
    "dav-copy-into": Attack(
        "wsgidav", Sent("COPY", "/shared/f", (("Destination", "http://localhost/area/secretdir/g"),)),
        TOKEN_REST, 401, 403,
    ),
    "dav-move-into": Attack(
        "wsgidav", Sent("MOVE", "/shared/f", (("Destination", "/area/secretdir/g"),)), TOKEN_REST,
        401, 403,
    ),
    "dav-delete-of-the-parent": Attack("wsgidav", Sent("DELETE", "/area"), TOKEN_REST, 401, 403),
    "dav-move-of-the-parent": Attack(
        "wsgidav", Sent("MOVE", "/area", (("Destination", "/new"),)), PUBLIC_REST, 401, 403
    ),
    "dav-copy-of-the-parent": Attack(
        "wsgidav", Sent("COPY", "/shared", (("Destination", "/area"),)), TOKEN_REST, 401, 403
    ),
    "dav-copy-in-place-of-the-parent": Attack(
        "wsgidav", Sent("COPY", "/shared", (("Destination", "/area"), ("Depth", "0"))), TOKEN_REST,
        401, 403,
    ),
    "dav-propfind-of-the-parent": Attack(
        "wsgidav", Sent("PROPFIND", "/", (("Depth", "infinity"),)), TOKEN_REST, 401, 403
    ),
    "pyramid-view": Attack("pyramid-traversal", Sent("GET", "/@@admin"), PUBLIC_REST, 401, 403),
    "cherrypy-dash": Attack("cherrypy", Sent("GET", "/admin-panel/"), PUBLIC_REST, 401, 403),
    "cherrypy-dot": Attack("cherrypy", Sent("GET", "/admin.panel/"), TOKEN_REST, 401, 403),
    "pecan-method-in-query": Attack(
        "pecan", Sent("POST", "/items/1?_method=delete"), PUBLIC_REST, 401, 403
    ),
    "pecan-method-in-query-escaped": Attack(
        "pecan", Sent("POST", "/items/1?a=b&%5fmetho%64=Delete"), PUBLIC_REST, 401, 403
    ),
    "pecan-method-in-form": Attack(
        "pecan",
        Sent(
            "POST", "/items/1", (("Content-Type", "application/x-www-form-urlencoded"),),
            b"_method=delete",
        ),
        PUBLIC_REST, 401, 403, {"form_method_override": True},
    ),
    "pecan-extension": Attack("pecan", Sent("GET", "/admin.html"), PUBLIC_REST, 401, 403),
    "django-case": Attack("django", Sent("GET", "/ADMIN/x"), TOKEN_REST, 401, 403),
    "falcon-begins-with": Attack("falcon", Sent("GET", "/adminx"), PUBLIC_REST, 401, 403),
    "falcon-extension": Attack("falcon", Sent("GET", "/admin.json"), PUBLIC_REST, 401, 403),
    "method-override": Attack(
        "flask-methods", Sent("POST", "/items/1", (("X-HTTP-Method-Override", "delete"),)),
        PUBLIC_REST, 401, 403,
    ),
    "iis-original-url": Attack(
        "flask-rewritten", Sent("GET", "/health", (("X-Original-URL", "/admin?x"),)), HEALTH,
        401, 403,
    ),
    "two-layers": Attack(
        "flask-rewritten",
        Sent("GET", "/health", (("X-Rewrite-URL", "/x/admin"), ("X-Script-Name", "/x"))), HEALTH,
        401, 403,
    ),
    "tree-behind-proxy-fix": Attack(
        "mounted", Sent("GET", "/", (("X-Forwarded-Prefix", "/admin"),)),
        ROOT, 401, 403,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attack", [pytest.param(one, id=name) for name, one in ATTACKS.items()])
def test_rules_hold(attack: Attack) -> None:
    site = SITES[attack.site]()
    environ = attack.sent.environ()
    assert environ is not None
    before = site.state()
    alone = call(site.app, environ, attack.sent.body)
    named = SECRET.encode() in alone[1] or alone[0] == 207
    assert named or site.state() != before, f"the attack needs another app: {alone}"
    site.reset()
    policy = Policy([*site.secret, attack.rest], **attack.settings)  # type: ignore[arg-type]
    verifier = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
    app = JWTMiddleware(site.app, verifier=verifier, policy=policy)

    def ask(scope: str | None) -> tuple[int, bytes]:
        extra = {} if scope is None else {"HTTP_AUTHORIZATION": f"Bearer {token_with(scope)}"}
        return call(app, {**environ, **extra}, attack.sent.body)

    before = site.state()
    assert ask(None)[0] == attack.without
    assert ask("other")[0] == attack.with_other
    assert site.state() == before
    if attack.with_other != 400:
        assert ask("secret")[0] == alone[0]

"""
A small WSGI app that knows nothing of tokens.

It has a public page for browsers, one for logged-in users and one for admins; the configuration
file says which is which.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from .steps import Step

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_URLS: Final = Map(
    [
        Rule("/", endpoint="home", methods=["GET"]),
        Rule("/me", endpoint="me", methods=["GET"]),
        Rule("/admin", endpoint="admin", methods=["GET"]),
    ]
)

_PAGE: Final = Path(__file__).with_name("page.html").read_text("utf-8")


def _hashes(element: str) -> str:
    """Return the sources of a policy that allow what *element* has in the page, and no more."""
    found = re.findall(f"<{element}>(.*?)</{element}>", _PAGE, re.DOTALL)
    digests = (b64encode(sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


_HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        [
            *("default-src 'none'", "connect-src 'self'", "img-src data:"),
            *(f"script-src {_hashes('script')}", f"style-src {_hashes('style')}"),
            *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
            "require-trusted-types-for 'script'",
        ]
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STEP: Final = Markup('<h3 data-zh="{title_zh}">{title}</h3>\n<pre>{command}</pre>\n')


def make_app(steps: Sequence[Step] = ()) -> WSGIApplication:
    """
    Return the app.

    Args:
        steps: Commands for the public page to show.
    """
    shown = Markup().join(_STEP.format(**step._asdict()) for step in steps)
    page = _PAGE.replace("{steps}", shown)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _answer(Request(environ), page)(environ, start_response)

    return app


def _answer(request: Request, page: str) -> Response | HTTPException:
    try:
        endpoint, _ = _URLS.bind_to_environ(request.environ).match()
    except HTTPException as error:
        return error
    if endpoint == "home":
        return Response(page, mimetype="text/html", headers=_HEADERS)
    if endpoint == "me":
        return _json({"user": request.remote_user, "claims": claims_of(request)})
    return _json({"message": f"Welcome, admin {claims_of(request)['uid']}."})


def claims_of(request: Request) -> dict[str, object]:
    """Return the claims that the middleware left in the environ."""
    claims: dict[str, object] = request.environ["jwt_middleware.claims"]
    return claims


def _json(value: object) -> Response:
    return Response(json.dumps(value, indent=2) + "\n", mimetype="application/json")

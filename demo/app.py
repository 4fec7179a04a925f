"""
A small WSGI app that knows nothing of tokens.

It has a public page, one for logged-in users and one for admins; the configuration file says which
is which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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

_HOME: Final = Markup("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>JWTMiddleware demo</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto;
         padding: 0 1rem }}
  h1 {{ font-size: 1.5rem }}
  h2 {{ font-size: 1rem; margin: 1.5rem 0 .25rem }}
  pre {{ background: #8881; border: 1px solid #8883; border-radius: .4rem; margin: 0;
        padding: .7rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere }}
</style>
<h1>An ordinary WSGI app behind JWTMiddleware</h1>
<p>This page is public. <code>/me</code> needs a token and shows the claims that the app
received; <code>/admin</code> needs one with the scope <code>admin</code>. The app itself checks
nothing: a configuration file says it. Try it in a shell, from top to bottom:</p>
{steps}
</html>
""")

_STEP: Final = Markup("<h2>{title}</h2>\n<pre>{command}</pre>\n")


def make_app(steps: Sequence[Step] = ()) -> WSGIApplication:
    """
    Return the app.

    Args:
        steps: Commands for the public page to show.
    """
    page = _HOME.format(steps=Markup().join(_STEP.format(**step._asdict()) for step in steps))

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _answer(Request(environ), page)(environ, start_response)

    return app


def _answer(request: Request, page: str) -> Response | HTTPException:
    try:
        endpoint, _ = _URLS.bind_to_environ(request.environ).match()
    except HTTPException as error:
        return error
    if endpoint == "home":
        return Response(page, mimetype="text/html")
    if endpoint == "me":
        return _json({"user": request.remote_user, "claims": claims_of(request)})
    return _json({"message": f"Welcome, admin {claims_of(request)['uid']}."})


def claims_of(request: Request) -> dict[str, object]:
    """Return the claims that the middleware left in the environ."""
    claims: dict[str, object] = request.environ["jwt_middleware.claims"]
    return claims


def _json(value: object) -> Response:
    return Response(json.dumps(value, indent=2) + "\n", mimetype="application/json")

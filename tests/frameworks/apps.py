"""
Small apps in real frameworks: each answers with the name of the view that its routing chose.

Restricted views are ADMIN (``/admin`` and all below), CAFE (``/café``), REPORT
(``/reports/2026``) and KEYS (``/users/…/keys``); OPEN is ``/health`` and all below
``/public``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import bottle
import falcon
import flask
from django.core.handlers.wsgi import get_path_info
from django.urls import Resolver404, URLResolver, re_path
from django.urls import path as django_path
from django.urls.resolvers import RegexPattern
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import Map
from werkzeug.routing import Rule as Route
from werkzeug.wrappers import Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Pyramid 2.1 imports pkg_resources, which is deprecated
    from pyramid.config import Configurator
    from pyramid.response import Response as PyramidResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROUTES: Final = {
    "/admin": "ADMIN",
    "/admin/": "ADMIN",
    "/admin/{rest}": "ADMIN",
    "/café": "CAFE",
    "/reports/2026": "REPORT",
    "/users/{id}/keys": "KEYS",
    "/health": "OPEN",
    "/public/{rest}": "OPEN",
}


def _nowhere(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [])
    return []


def _angled(path: str) -> str:
    return path.replace("{rest}", "<path:rest>").replace("{id}", "<id>")


def flask_app() -> WSGIApplication:
    app = flask.Flask("oracle")
    app.url_map.strict_slashes = False
    for index, (path, view) in enumerate(ROUTES.items()):
        app.add_url_rule(_angled(path), str(index), lambda view=view, **_: view)
    return app


def werkzeug_app() -> WSGIApplication:
    routes = Map(
        [Route(_angled(path), endpoint=view) for path, view in ROUTES.items()],
        merge_slashes=False,
    )

    def app(environ: Any, start_response: Any) -> Any:
        try:
            view, _ = routes.bind_to_environ(environ).match()
        except HTTPException as error:
            return error(environ, start_response)
        return Response(view)(environ, start_response)

    return app


def bottle_app() -> WSGIApplication:
    app = bottle.Bottle()
    for path, view in ROUTES.items():
        app.route(
            path.replace("{rest}", "<rest:path>").replace("{id}", "<id>"),
            callback=lambda view=view, **_: view,
        )
    return app  # type: ignore[no-any-return]


class FalconView:
    def __init__(self, view: str) -> None:
        self._view = view

    def on_get(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        resp.text = self._view


def falcon_app() -> WSGIApplication:
    app = falcon.App()
    app.req_options.strip_url_path_trailing_slash = True
    for path, view in ROUTES.items():
        if path != "/admin/":  # stripped before the routing
            app.add_route(path.replace("{rest}", "{rest:path}"), FalconView(view))
    return app


def django_app(*, ignore_case: bool = False) -> WSGIApplication:
    """Django's reading and routing of a path, without settings: they are one a process."""

    def view(name: str) -> Callable[[], str]:
        return lambda: name

    # "$" where "\Z" is meant is what one finds in real projects.
    routes = (
        [
            re_path(r"(?i)^admin(?:/.*)?$", view("ADMIN")),
            re_path(r"(?i)^café/?$", view("CAFE")),
            re_path(r"(?i)^reports/2026/?$", view("REPORT")),
            re_path(r"(?i)^users/[^/]*/keys/?$", view("KEYS")),
        ]
        if ignore_case
        else [django_path(_angled(path)[1:], view(name)) for path, name in ROUTES.items()]
    )
    resolver = URLResolver(RegexPattern("^/"), routes)

    def app(environ: Any, start_response: Any) -> Any:
        try:
            match = resolver.resolve(get_path_info(environ) or "/")
        except Resolver404:
            return _nowhere(environ, start_response)
        return Response(match.func())(environ, start_response)

    return app


def pyramid_app() -> WSGIApplication:
    with Configurator() as config:
        for index, (path, view) in enumerate(ROUTES.items()):
            config.add_route(str(index), path.replace("{rest}", "*rest"))
            config.add_view(
                lambda context, request, view=view: PyramidResponse(view), route_name=str(index)
            )
        return config.make_wsgi_app()  # type: ignore[no-any-return]


def mounted_app() -> WSGIApplication:
    """Flask below ``/api``."""
    return DispatcherMiddleware(_nowhere, {"/api": flask_app()})


FRAMEWORKS: Final[Mapping[str, Callable[[], WSGIApplication]]] = {
    "flask": flask_app,
    "werkzeug": werkzeug_app,
    "bottle": bottle_app,
    "falcon": falcon_app,
    "django": django_app,
    "pyramid": pyramid_app,
}

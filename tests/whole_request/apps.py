"""
Apps in real frameworks, each with something open and something secret, and the rules for it.

What reaches the secret is told by what comes out, or by what has changed: a view answers
what no path says, a store of files shows or loses what is in it.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import bottle
import cherrypy
import falcon
import flask
import radicale.app
import radicale.config
from cherrypy._cptree import Tree
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse
from django.urls import re_path
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

from jwt_middleware import Rule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # several import what is deprecated
    import pecan
    import pypiserver
    import web
    from pecan.rest import RestController
    from pyramid.config import Configurator
    from pyramid.response import Response as PyramidResponse

# The bottle in pypiserver leaves an import hook of Python 2 behind.
sys.meta_path[:] = [one for one in sys.meta_path if hasattr(one, "find_spec")]

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

SECRET: Final = "secret-7f3a91c4"
OPEN: Final = "open"


@dataclass(frozen=True, kw_only=True)
class Site:
    """
    An app, and what is secret in it.

    Attributes:
        app: The app alone.
        secret: Rules that ask for the scope ``secret``, for all of what is secret.
        words: Of its paths, methods and headers, for requests to be composed of.
        opens: Paths that anyone may GET.
        state: Returns what a request must not change; ``None`` where views say it all.
        reset: Makes it what it was.
        settings: Of the policy, that the app needs.
    """

    app: WSGIApplication
    secret: Sequence[Rule]
    words: Sequence[str]
    opens: Sequence[str] = ("/", "/health")
    state: Callable[[], object] = lambda: None
    reset: Callable[[], None] = lambda: None
    settings: Mapping[str, Any] = field(default_factory=dict)


ADMIN: Final = (Rule("/admin*", scopes=["secret"]),)
WORDS: Final = ("/admin", "/admin/x", "/adminx", "/admin.json", "/health", "/x", "/@@admin")


def flask_site() -> Site:
    app = flask.Flask("site")
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
    app.add_url_rule("/health", "health", lambda: OPEN, methods=methods, strict_slashes=False)
    app.add_url_rule("/", "root", lambda: OPEN, methods=methods)
    app.add_url_rule("/admin", "one", lambda: SECRET, methods=methods, strict_slashes=False)
    app.add_url_rule("/admin/<path:rest>", "more", lambda rest: SECRET, methods=methods)
    return Site(app=app, secret=[Rule("/admin/*", scopes=["secret"])], words=WORDS)


class ReverseProxied:
    """The wrapper that many Flask projects carry: it cuts what X-Script-Name says."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        script_name = environ.get("HTTP_X_SCRIPT_NAME", "")
        if script_name:
            environ["SCRIPT_NAME"] = script_name
            path = environ["PATH_INFO"]
            if path.startswith(script_name):
                environ["PATH_INFO"] = path[len(script_name) :]
        return self.app(environ, start_response)


class Overridden:
    """What frameworks' documents suggest for clients that can only GET and POST."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").upper()
        if method in {"GET", "POST", "PUT", "DELETE", "PATCH"}:
            environ["REQUEST_METHOD"] = method
        return self.app(environ, start_response)


class Rewritten:
    """What apps that moved from IIS do: the path is what the header says."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        for key in ("HTTP_X_ORIGINAL_URL", "HTTP_X_REWRITE_URL", "HTTP_X_FORWARDED_URI"):
            if environ.get(key):
                environ["PATH_INFO"] = environ[key].partition("?")[0]
        return self.app(environ, start_response)


def reverse_proxied_site() -> Site:
    flask_ = flask_site()
    return Site(app=ReverseProxied(flask_.app), secret=flask_.secret, words=WORDS)


def rewritten_site() -> Site:
    flask_ = flask_site()
    app = Rewritten(ReverseProxied(flask_.app))
    return Site(app=app, secret=flask_.secret, words=WORDS)


def methods_site() -> Site:
    """Only DELETE is secret."""
    app = flask.Flask("methods")
    app.add_url_rule("/items/<path:name>", "get", lambda name: OPEN, methods=["GET", "POST"])
    app.add_url_rule("/items/<path:name>", "delete", lambda name: SECRET, methods=["DELETE"])
    return Site(
        app=Overridden(app),
        secret=[Rule("/items/*", methods=["DELETE"], scopes=["secret"])],
        words=("/items/1", "/items/x/y", "/ITEMS/1"),
        opens=("/items/1",),
    )


def django_site() -> Site:
    if not settings.configured:  # once in a process: as the test of the README does
        settings.configure(ROOT_URLCONF="readme_urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
    urls = ModuleType("urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        re_path(r"(?i)^admin(?:/.*)?$", lambda _: HttpResponse(SECRET)),
        re_path(r"", lambda _: HttpResponse(OPEN)),
    ]

    class Request(WSGIRequest):  # type: ignore[misc]
        urlconf = urls

    class Handler(WSGIHandler):  # type: ignore[misc]
        request_class = Request

    return Site(app=Handler(), secret=[Rule("/admin/*", scopes=["secret"])], words=WORDS)


def pyramid_traversal_site() -> Site:
    with Configurator() as config:
        config.add_view(lambda *_: PyramidResponse(OPEN))
        config.add_view(lambda *_: PyramidResponse(OPEN), name="health")
        config.add_view(lambda *_: PyramidResponse(SECRET), name="admin")
        app = config.make_wsgi_app()
    return Site(app=app, secret=[Rule("/admin/*", scopes=["secret"])], words=WORDS)


def pyramid_routes_site() -> Site:
    with Configurator() as config:
        for name, (path, text) in {
            "one": ("/admin", SECRET),
            "more": ("/admin/*rest", SECRET),
            "health": ("/health", OPEN),
            "root": ("/", OPEN),
        }.items():
            config.add_route(name, path)
            config.add_view(
                lambda *_, text=text: PyramidResponse(text),
                route_name=name,
            )
        app = config.make_wsgi_app()
    return Site(app=app, secret=[Rule("/admin/*", scopes=["secret"])], words=WORDS)


def falcon_site() -> Site:
    class Open:
        def on_get(self, _: falcon.Request, response: falcon.Response) -> None:
            response.text = OPEN

    def sink(req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        resp.text = SECRET

    app = falcon.App()
    app.add_route("/health", Open())
    app.add_sink(sink, prefix="/admin")
    return Site(app=app, secret=ADMIN, words=WORDS)


def bottle_site() -> Site:
    app = bottle.Bottle()
    app.route("/health", ["GET", "POST", "PUT", "DELETE"], lambda: OPEN)
    app.route("/admin", "ANY", lambda: SECRET)
    app.route("/admin/<rest:path>", "ANY", lambda rest: SECRET)
    return Site(app=app, secret=[Rule("/admin/*", scopes=["secret"])], words=WORDS)


class CherryAdmin:
    @cherrypy.expose  # type: ignore[untyped-decorator]
    def index(self, **_: object) -> str:
        return SECRET

    @cherrypy.expose  # type: ignore[untyped-decorator]
    def default(self, *_: object, **__: object) -> str:
        return SECRET


class CherryRoot:
    admin_panel = CherryAdmin()

    @cherrypy.expose  # type: ignore[untyped-decorator]
    def index(self, **_: object) -> str:
        return OPEN

    @cherrypy.expose  # type: ignore[untyped-decorator]
    def health(self, *_: object, **__: object) -> str:
        return OPEN


def cherrypy_site() -> Site:
    """A tree with the administration mounted in it, and a handler with an underscore."""
    cherrypy.config.update(
        {"environment": "embedded", "log.screen": False, "request.show_tracebacks": False}
    )
    tree = Tree()
    tree.mount(CherryRoot(), "")
    tree.mount(CherryAdmin(), "/admin")
    return Site(
        app=tree,
        secret=[Rule("/admin/*", scopes=["secret"]), Rule("/admin_panel/*", scopes=["secret"])],
        words=(*WORDS, "/admin_panel", "/admin-panel/", "/admin.panel/x", "/admin panel/"),
    )


class WebAdmin:
    def GET(self, *_: object) -> str:  # noqa: N802
        return SECRET

    POST = PUT = DELETE = GET


class WebOpen:
    def GET(self, *_: object) -> str:  # noqa: N802
        return OPEN

    POST = GET


def webpy_site() -> Site:
    web.config.debug = False  # it would look for changed modules at each request
    urls = ("/admin(?:/.*)?", "admin", "/.*", "open")
    views = {"admin": WebAdmin, "open": WebOpen}
    app = web.application(urls, views, autoreload=False).wsgifunc()
    return Site(app=app, secret=[Rule("/admin/*", scopes=["secret"])], words=WORDS)


class PecanItems(RestController):  # type: ignore[misc]
    @pecan.expose()  # type: ignore[untyped-decorator]
    def get_one(self, *_: object, **__: object) -> str:
        return OPEN

    @pecan.expose()  # type: ignore[untyped-decorator]
    def post(self, *_: object, **__: object) -> str:
        return OPEN

    @pecan.expose()  # type: ignore[untyped-decorator]
    def delete(self, *_: object, **__: object) -> str:
        return SECRET


class PecanAdmin:
    @pecan.expose()  # type: ignore[untyped-decorator]
    def index(self, **_: object) -> str:
        return SECRET


class PecanRoot:
    items = PecanItems()
    admin = PecanAdmin()

    @pecan.expose()  # type: ignore[untyped-decorator]
    def index(self, **_: object) -> str:
        return OPEN


def pecan_site() -> Site:
    return Site(
        app=pecan.make_app(PecanRoot(), force_canonical=False),
        secret=[
            Rule("/admin/*", scopes=["secret"]),
            Rule("/items/*", methods=["DELETE"], scopes=["secret"]),
        ],
        words=(*WORDS, "/items/1", "/items/1.json", "/admin.html/"),
        opens=("/", "/items/1"),
        settings={"form_method_override": True},
    )


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def wsgidav_site() -> Site:
    folder = Path(tempfile.mkdtemp(prefix="dav-"))

    def reset() -> None:
        for old in folder.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        for name, text in (("area/secretdir", SECRET), ("shared", OPEN)):
            (folder / name).mkdir(parents=True)
            (folder / name / "f").write_text(text)

    def state() -> object:
        secret = folder / "area/secretdir"
        return _files(secret) if secret.exists() else {}

    reset()
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": FilesystemProvider(str(folder))},
            "simple_dc": {"user_mapping": {"*": True}},
            "verbose": 0,
            "logging": {"enable": False, "enable_loggers": []},
            "lock_storage": False,
        }
    )
    return Site(
        app=app,
        secret=[Rule("/area/secretdir/*", scopes=["secret"])],
        words=("/area/secretdir/f", "/area/secretdir/", "/area", "/shared/f", "/shared/", "/new"),
        opens=("/shared/f",),
        state=state,
        reset=reset,
    )


def radicale_site() -> Site:
    """A calendar of user 1 that needs a scope, one of user 2 that needs none."""
    folder = Path(tempfile.mkdtemp(prefix="radicale-"))
    root = folder / "collection-root"

    def reset() -> None:
        shutil.rmtree(root, ignore_errors=True)
        for user, text in (("1", SECRET), ("2", OPEN)):
            calendar = root / user / "cal"
            calendar.mkdir(parents=True)
            (calendar / ".Radicale.props").write_text('{"tag": "VCALENDAR"}')
            (calendar / "e.ics").write_text(
                "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:e\r\n"
                f"DTSTART:20260101T000000Z\r\nSUMMARY:{text}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
            )

    def state() -> object:
        shown = _files(root / "1") if (root / "1").exists() else {}
        return {name: text for name, text in shown.items() if ".Radicale.cache" not in name}

    configuration = radicale.config.load()
    configuration.update(
        {
            "storage": {"filesystem_folder": str(folder)},
            "auth": {"type": "none"},
            "rights": {"type": "authenticated", "permit_overwrite_collection": "True"},
            "logging": {"level": "critical"},
        },
        "the tests",
        privileged=True,
    )
    configuration.update({"rights": {"type": "from_file", "file": _rights(folder)}}, "the tests")
    reset()
    return Site(
        app=radicale.app.Application(configuration),
        secret=[Rule("/1/*", scopes=["secret"])],
        words=("/1/cal/e.ics", "/1/cal/", "/2/cal/e.ics", "/2/cal/", "/x/1/cal/e.ics", "/x", "/2"),
        opens=("/2/cal/e.ics",),
        state=state,
        reset=reset,
    )


def _rights(folder: Path) -> str:
    """Return the file of rights by which anyone may do anything, but replace the root itself."""
    path = folder / "rights"
    path.write_text(
        "[root]\nuser: .*\ncollection:\npermissions: R\n"
        "[all]\nuser: .*\ncollection: .+\npermissions: RrWwDOT\n"
    )
    return str(path)


def pypiserver_site() -> Site:
    folder = Path(tempfile.mkdtemp(prefix="pypi-"))
    (folder / "secret-1.0.tar.gz").write_text(SECRET)
    (folder / "open-1.0.tar.gz").write_text(OPEN)
    app = pypiserver.app(roots=[folder], authenticate=[], password_file=".")
    path = "/packages/secret-1.0.tar.gz"
    return Site(
        app=app,
        secret=[Rule(path, scopes=["secret"])],
        words=(
            path,
            "/packages/open-1.0.tar.gz",
            "/packages",
            "/simple/",
            "/packages/Secret-1.0.tar.gz",
        ),
        opens=("/packages/open-1.0.tar.gz", "/simple/"),
    )


def mounted_site() -> Site:
    """Flask below a dispatcher, behind what trusts X-Forwarded-Prefix, beside CherryPy's tree."""
    tree = cherrypy_site().app
    app = ProxyFix(DispatcherMiddleware(tree, {"/flask": flask_site().app}), x_prefix=1)
    return Site(
        app=app,
        secret=[
            Rule("/admin/*", scopes=["secret"]),
            Rule("/admin_panel/*", scopes=["secret"]),
            Rule("/flask/admin/*", scopes=["secret"]),
        ],
        words=(*WORDS, "/flask", "/flask/admin", "/FLASK/admin", "/flask//admin", "/admin-panel/"),
        opens=("/", "/flask/health"),
    )


SITES: Final[Mapping[str, Callable[[], Site]]] = {
    "flask": flask_site,
    "flask-reverse-proxied": reverse_proxied_site,
    "flask-rewritten": rewritten_site,
    "flask-methods": methods_site,
    "django": django_site,
    "pyramid-traversal": pyramid_traversal_site,
    "pyramid-routes": pyramid_routes_site,
    "falcon": falcon_site,
    "bottle": bottle_site,
    "cherrypy": cherrypy_site,
    "web.py": webpy_site,
    "pecan": pecan_site,
    "wsgidav": wsgidav_site,
    "radicale": radicale_site,
    "pypiserver": pypiserver_site,
    "mounted": mounted_site,
}


def call(app: WSGIApplication, environ: WSGIEnvironment, body: bytes = b"") -> tuple[int, bytes]:
    """Return status and body; an app that fails answers 500 and nothing."""
    statuses: list[str] = [""]
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)
        return written.append

    copy = {**environ, "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO()}
    try:
        answer = app(copy, start_response)
        try:
            octets = b"".join([*written, *answer])
        finally:
            if hasattr(answer, "close"):
                answer.close()
    except Exception:  # noqa: BLE001  a framework that fails shows nothing
        return 500, b""
    return int(statuses[-1][:3]), octets

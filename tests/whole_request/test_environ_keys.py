"""
What each framework's routing reads of the environ, and that the policy reads it as well.

The table names file and line of the versions that it was made from; the test looks for any key in
the sources installed, so that a framework that learns to heed another header is noticed.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from jwt_middleware.wsgi.request import WATCHED_KEYS

from ..table import table

PLAIN: Final = {"REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME", "QUERY_STRING"}
ROUTING: Final = {
    # framework: (key, file:line)
    "flask": [("REQUEST_METHOD", "werkzeug/routing/map.py:356")],
    "werkzeug": [
        ("SCRIPT_NAME", "werkzeug/routing/map.py:347"),
        ("PATH_INFO", "werkzeug/routing/map.py:348"),
        ("HTTP_X_FORWARDED_PREFIX", "werkzeug/middleware/proxy_fix.py:178"),
        ("PATH_INFO", "werkzeug/middleware/dispatcher.py:65"),
    ],
    "django": [
        ("REQUEST_METHOD", "django/core/handlers/wsgi.py:71"),
        ("PATH_INFO", "django/core/handlers/wsgi.py:149"),
        ("SCRIPT_NAME", "django/core/handlers/wsgi.py:182"),
        ("SCRIPT_URL", "django/core/handlers/wsgi.py:170"),
        ("REDIRECT_URL", "django/core/handlers/wsgi.py:171"),
    ],
    "bottle": [
        ("PATH_INFO", "bottle.py:1193"),
        ("REQUEST_METHOD", "bottle.py:1198"),
        ("SCRIPT_NAME", "bottle.py:1468"),
    ],
    "falcon": [
        ("REQUEST_METHOD", "falcon/request.py:254"),
        ("PATH_INFO", "falcon/request.py:262"),
        ("SCRIPT_NAME", "falcon/request.py:649"),
    ],
    "pyramid": [("HTTP_X_VHM_ROOT", "pyramid/interfaces.py:1091")],
    "webob": [
        ("REQUEST_METHOD", "webob/request.py:307"),
        ("SCRIPT_NAME", "webob/request.py:321"),
        ("PATH_INFO", "webob/request.py:322"),
    ],
    "cherrypy": [
        ("SCRIPT_NAME", "cherrypy/_cptree.py:301"),
        ("PATH_INFO", "cherrypy/_cptree.py:302"),
    ],
    "web": [
        ("REQUEST_METHOD", "web/application.py:447"),
        ("PATH_INFO", "web/application.py:449"),
        ("REQUEST_URI", "web/application.py:455"),  # only where the server says it is nginx
    ],
    "pecan": [("PATH_INFO", "pecan/middleware/recursive.py:26")],
    "radicale": [
        ("REQUEST_METHOD", "radicale/app/__init__.py:278"),
        ("PATH_INFO", "radicale/app/__init__.py:279"),
        ("HTTP_X_SCRIPT_NAME", "radicale/app/__init__.py:495"),
        ("SCRIPT_NAME", "radicale/app/__init__.py:496"),
        ("HTTP_DESTINATION", "radicale/app/move.py:39"),
        ("HTTP_DEPTH", "radicale/app/propfind.py:627"),
    ],
    "wsgidav": [
        ("PATH_INFO", "wsgidav/wsgidav_app.py:423"),
        ("SCRIPT_NAME", "wsgidav/wsgidav_app.py:472"),
        ("HTTP_DESTINATION", "wsgidav/request_server.py"),
        ("HTTP_DEPTH", "wsgidav/request_server.py:98"),
    ],
    "pypiserver": [
        ("PATH_INFO", "pypiserver/bottle_wrapper/bottle.py"),
        ("REQUEST_METHOD", "pypiserver/bottle_wrapper/bottle.py"),
    ],
}
# What is not routed on: who is asked for, from where, what the client accepts and already has.
HARMLESS: Final = re.compile(
    r"HTTP_(?:ACCEPT|ACCESS_CONTROL|AUTH|CACHE_CONTROL|CONNECTION|CONTENT|COOKIE|EXPECT|FORWARDED\Z"
    r"|HOST|IF|LAST_EVENT_ID|LOCK_TOKEN|ORIGIN|OVERWRITE|PRAGMA|RANGE|REFERER|REMOTE|TIMEOUT"
    r"|TRANSFER_ENCODING|UPGRADE|USER_AGENT|X_FORWARDED_(?:FOR|HOST|PORT|PROTO|SERVER|SSL)|X_LITMUS|X_OC_MTIME|X_REAL_IP"
    r"|X_REMOTE|X_REQUESTED_WITH)[A-Z_]*"
)
# Of the environ, and not a status of HTTP that is called so in a module of constants.
READ: Final = re.compile(
    r"""(?:environ|env|META|self|headers?)(?:\.get\(|\.pop\(|\[|\.setdefault\(|_get\()\s*["'](HTTP_[A-Z_]+)["']"""
    r"""|_KEY\s*=\s*["'](HTTP_[A-Z_]+)["']|["'](HTTP_[A-Z_]+)["']\s+(?:not\s+)?in\s+(?:environ|env|self)"""
)


def sources(framework: str) -> list[Path]:
    spec = find_spec(framework)
    assert spec is not None
    assert spec.origin is not None
    if not spec.submodule_search_locations:
        return [Path(spec.origin)]
    folder = Path(spec.origin).parent
    return [
        path
        for path in folder.rglob("*.py")
        if not {"test", "tests", "bench", "scaffolds"} & set(path.relative_to(folder).parts)
    ]


@table("framework", ROUTING)
def test_the_policy_reads_what_the_routing_reads(framework: str) -> None:
    folder = sources(framework)[0]
    while folder.name != "site-packages":
        folder = folder.parent
    for key, place in ROUTING[framework]:
        assert key in (folder / place.partition(":")[0]).read_text(), f"{key} is not in {place}"
        assert key in PLAIN | WATCHED_KEYS | {"REQUEST_URI", "SCRIPT_URL", "REDIRECT_URL"}


@table("framework", ROUTING)
def test_no_framework_reads_a_header_that_is_not_known(framework: str) -> None:
    read = {
        next(filter(None, match))
        for path in sources(framework)
        for match in READ.findall(path.read_text(errors="replace"))
    }
    assert {key for key in read if key not in WATCHED_KEYS and not HARMLESS.fullmatch(key)} == set()

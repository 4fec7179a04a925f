"""A service whose issuer is its own URL, with metadata, an account and a client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

from jwt_middleware.config import load
from jwt_middleware.core.keys import Key

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PASSWORD = "correct horse battery"
CLIENT_ID, CLIENT_SECRET = "billing", "a+b/c%20d=e:f&g h?"
CLAIMS = {"tenant": "acme", "plan": {"seats": 5}}
CONFIG = """\
issuer = "{url}"
audience = "api"
[keys]
jwk_file = "key.json"
[endpoint]
[accounts]
url = "sqlite:///accounts.db"
[accounts.hasher]
time_cost = 1
memory_cost_kib = 8
[sessions]
url = "memory://"
max_delay_seconds = 0
[metadata]
resource = "{url}/"
[[rules]]
path = "/vip"
claims = {{ tenant = "acme" }}
"""


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  Werkzeug's name
        pass


def whoami(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode()]


@contextmanager
def serving(folder: Path, config: str = CONFIG, app: WSGIApplication = whoami) -> Iterator[str]:
    """Serve, and return the URL."""
    (folder / "key.json").touch(mode=0o600)
    (folder / "key.json").write_text(json.dumps(Key.generate("ES256").private_jwk()))
    server = make_server("127.0.0.1", 0, whoami, threaded=True, request_handler=Quiet)
    url = f"http://127.0.0.1:{server.server_port}"
    (folder / "jwt.toml").write_text(config.format(url=url))
    settings = load(folder / "jwt.toml")
    accounts = settings.build_accounts()
    accounts.create_schema()
    accounts.add("email", "ann@example.com", PASSWORD, scope="read write", claims=CLAIMS)
    accounts.add("service", CLIENT_ID, CLIENT_SECRET, scope="read write")
    accounts.close()
    server.app = settings.protect(app)  # its URL is known only now
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()

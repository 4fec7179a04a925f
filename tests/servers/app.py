"""What every server of this suite serves: an app that shows what reached it, behind a jwt.toml."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jwt_middleware import wrap

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CHUNK: Final = 64 * 1024
STREAMED: Final = [bytes([65 + number]) * CHUNK for number in range(16)]
FILE: Final = b"a line of the file\n" * 50_000
ENDLESS: Final = 1000  # times CHUNK: more than lies in buffers
SHOWN: Final[Sequence[str]] = (
    "REQUEST_METHOD",
    "PATH_INFO",
    "QUERY_STRING",
    "REMOTE_USER",
    "HTTP_X_ORIGINAL_URL",
)
CORS: Final = [
    ("Access-Control-Allow-Origin", "https://spa.example.com"),
    ("Access-Control-Allow-Headers", "authorization"),
]


class Told:
    """An answer that tells the test, by a datagram, when it is closed."""

    def __init__(self, folder: Path, name: str, parts: Iterable[bytes]) -> None:
        self._folder = folder
        self._name = name
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        self._name += " to its end"

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as signals:
            signals.sendto(self._name.encode(), str(self._folder / "signals"))


class File(io.BytesIO):
    """A file that tells the test when it is closed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FILE)
        self._told = Told(folder, "file", [])

    def close(self) -> None:
        if not self.closed:
            self._told.close()
        super().close()


def make_app(folder: Path) -> WSGIApplication:
    """Return the app alone; what it shares with the test is in *folder*."""

    def show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = _read(environ)
        shown: dict[str, object] = {key: environ[key] for key in SHOWN if key in environ}
        shown |= {key: str(value) for key, value in environ.items() if "REMOTE_USER" in key}
        shown |= {"length": len(body), "sha256": sha256(body).hexdigest(), "pid": os.getpid()}
        start_response("200 OK", [("Content-Type", "application/json"), ("X-App", "called"), *CORS])
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [json.dumps(shown).encode()]

    def stream(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-App", "called")])

        def parts() -> Iterator[bytes]:
            yield from STREAMED[:-1]
            (folder / "gate").open("rb").close()  # waits until the test opens it, too
            yield STREAMED[-1]

        return Told(folder, "stream", parts())

    def endless(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-App", "called")])
        return Told(folder, "endless", (STREAMED[0] for _ in range(ENDLESS)))

    def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        wrapper = environ.get("wsgi.file_wrapper")
        start_response(
            "200 OK",
            [
                ("Content-Type", "text/plain"),
                ("Content-Length", str(len(FILE))),
                ("X-App", "called"),
                ("X-File-Wrapper", "no" if wrapper is None else "yes"),
            ],
        )
        opened = File(folder)
        return Told(folder, "file", [FILE]) if wrapper is None else wrapper(opened, CHUNK)

    views: dict[str, Callable[..., Iterable[bytes]]] = {
        "/stream": stream,
        "/endless": endless,
        "/file": file,
    }

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return views.get(environ["PATH_INFO"], show)(environ, start_response)

    return app


def _read(environ: WSGIEnvironment) -> bytes:
    """Read the body as frameworks do, as far as its framing can be read."""
    body, parts = environ["wsgi.input"], []
    try:
        if environ.get("CONTENT_LENGTH"):
            parts.append(body.read(int(environ["CONTENT_LENGTH"])))
        elif environ.get("wsgi.input_terminated"):
            parts += iter(lambda: body.read(CHUNK), b"")
    except Exception:  # noqa: BLE001  servers raise classes of their own
        return b""
    return b"".join(parts)


if "SERVERS_FOLDER" in os.environ:
    _folder = Path(os.environ["SERVERS_FOLDER"])
    app = make_app(_folder)
    application = wrap(_folder / "jwt.toml", app)

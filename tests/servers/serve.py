"""Run a server that has no command of its own: ``python -m tests.servers.serve NAME PORT``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Each imports what it serves with: not all of them are there.
# ruff: noqa: PLC0415

HOST = "127.0.0.1"


def wsgiref(app: WSGIApplication, port: int) -> None:
    class ThreadingWSGIServer(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server(HOST, port, app, ThreadingWSGIServer).serve_forever()


def werkzeug(app: WSGIApplication, port: int) -> None:
    from werkzeug.serving import run_simple

    run_simple(HOST, port, app, threaded=True)


def waitress(app: WSGIApplication, port: int) -> None:
    from waitress import serve

    serve(app, host=HOST, port=port, threads=4)


def cheroot(app: WSGIApplication, port: int) -> None:
    from cheroot.wsgi import Server

    Server((HOST, port), app, numthreads=4).safe_start()


def gevent(app: WSGIApplication, port: int) -> None:
    from gevent.pywsgi import WSGIServer as GeventServer

    GeventServer((HOST, port), app).serve_forever()


def tornado(app: WSGIApplication, port: int) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from tornado.httpserver import HTTPServer
    from tornado.wsgi import WSGIContainer

    async def serve() -> None:
        HTTPServer(WSGIContainer(app, ThreadPoolExecutor(4))).listen(port, HOST)
        await asyncio.Event().wait()

    asyncio.run(serve())


SERVERS: dict[str, Callable[[WSGIApplication, int], None]] = {
    one.__name__: one for one in (wsgiref, werkzeug, waitress, cheroot, gevent, tornado)
}


def main(name: str, port: int) -> None:
    if name == "gevent":
        from gevent.monkey import patch_all

        patch_all()
    from .app import application

    SERVERS[name](application, port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

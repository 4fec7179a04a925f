"""The servers, each as processes of its own on a free port, and where they differ."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts

from ..docs.pages import ROOT, blocks

START_SECONDS = 60
STOP_SECONDS = 30
APP = "tests.servers.app:application"

SECRET = "a secret of thirty-two bytes or more"
ISSUER = "https://auth.example.com"
AUDIENCE = "api"
PASSWORD = "correct horse battery"
CONFIG = f"""\
issuer = "{ISSUER}"
audience = "{AUDIENCE}"

[keys]
secret_file = "secret"

[[rules]]
path = "/public"
access = "public"

[[rules]]
path = "/admin/*"
scopes = ["admin"]

[[rules]]
path = "/spa/*"
preflight = true

[[rules]]
path = "/*"

[metadata]

[endpoint]

[accounts]
url = "sqlite:///accounts.db"

[accounts.hasher]
time_cost = 1
memory_cost_kib = 8

[sessions]
url = "sqlite:///sessions.db"
"""


BOTH = frozenset({"length", "chunked"})


class Server:
    """
    One server.

    Attributes:
        name: Of the row in the documentation.
        needs: Modules and programs without which it cannot run.
        install: What brings them.
        streams: The first part of an answer is sent before its last is made.
        waits_for_bodies: Framings of which it reads a whole body before it answers, though the app
            does not.
        reads_chunks: The app can read a chunked body; else it finds none.
        notices_clients_that_leave: An answer is closed when its client has left.
        concurrent: It answers other requests while one waits.
        loses_requests: Some may lose their connection while it reloads.
        file_wrapper: There is a ``wsgi.file_wrapper``.
        port: Of 127.0.0.1, once it is started.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    install: ClassVar[str] = "the extra 'test'"
    streams: ClassVar[bool] = True
    waits_for_bodies: ClassVar[frozenset[str]] = frozenset()
    reads_chunks: ClassVar[bool] = True
    notices_clients_that_leave: ClassVar[bool] = True
    concurrent: ClassVar[bool] = True
    loses_requests: ClassVar[bool] = False
    file_wrapper: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot run here; empty if it can."""
        lacking = [one for one in cls.needs if not (find_spec(one) or _program(one))]
        return f"{cls.name}: install {cls.install}" if lacking else ""

    def command(self) -> Sequence[str | Path]:
        """Return the command that runs it in the foreground, once its files are written."""
        raise NotImplementedError

    def reload(self) -> None:
        """Have it load the app again, without losing a request."""
        raise NotImplementedError

    @classmethod
    def reloads(cls) -> bool:
        """Tell whether it can."""
        return cls.reload is not Server.reload

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.port = free_port()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env={**os.environ, **self.environ()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def environ(self) -> Mapping[str, str]:
        """Return the variables of its processes."""
        return {"SERVERS_FOLDER": str(self.folder)}

    def stop(self) -> None:
        """End it, and what it has started."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def watched(self) -> Path:
        """The file at whose change some load the app again."""
        return self.folder / "watched"

    def touch(self) -> None:
        """Change it."""
        os.utime(self.watched, (time.time() + 60,) * 2)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with (
                suppress(OSError, HTTPException),
                closing(HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)) as client,
            ):
                client.request("GET", "/public")
                if client.getresponse().status == 200:
                    return
            time.sleep(0.02)
        raise TimeoutError(f"{self.name} did not start:\n{self.log}")


class Wsgiref(Server):
    name = "wsgiref"
    reads_chunks = False

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "tests.servers.serve", self.name.lower(), str(self.port)]


class Werkzeug(Wsgiref):
    name = "Werkzeug"
    reads_chunks = True
    file_wrapper = False


class Waitress(Wsgiref):
    name = "waitress"
    needs = ("waitress",)
    waits_for_bodies = BOTH
    reads_chunks = True


class Cheroot(Wsgiref):
    name = "cheroot"
    needs = ("cheroot",)
    waits_for_bodies = frozenset({"length"})
    reads_chunks = True
    file_wrapper = False


class Gevent(Wsgiref):
    name = "gevent"
    needs = ("gevent",)
    install = "gevent"
    reads_chunks = True
    file_wrapper = False


class Tornado(Wsgiref):
    name = "Tornado"
    needs = ("tornado",)
    install = "the extra 'everywhere'"
    streams = False
    waits_for_bodies = BOTH
    notices_clients_that_leave = False
    file_wrapper = False


class Gunicorn(Server):
    name = "gunicorn sync"
    needs: ClassVar[tuple[str, ...]] = ("gunicorn",)
    concurrent = False
    settings: ClassVar[str] = ""

    def command(self) -> Sequence[str | Path]:
        settings = self.folder / "gunicorn.py"
        settings.write_text(f"control_socket_disable = True\nerrorlog = '-'\n{self.settings}")
        bind = f"127.0.0.1:{self.port}"
        return [sys.executable, "-m", "gunicorn", "-c", settings, "-b", bind, APP]

    def reload(self) -> None:
        self.signal(signal.SIGHUP)


class GunicornThreads(Gunicorn):
    name = "gunicorn gthread"
    concurrent = True
    settings = "worker_class = 'gthread'\nthreads = 4\n"


class GunicornGevent(Gunicorn):
    name = "gunicorn gevent"
    concurrent = True
    needs = ("gunicorn", "gevent")
    install = "gevent"
    settings = "worker_class = 'gevent'\n"


class GunicornPreload(Gunicorn):
    name = "gunicorn preload"
    concurrent = True
    settings = "worker_class = 'gthread'\nthreads = 4\nworkers = 2\npreload_app = True\n"


class GunicornMaxRequests(Gunicorn):
    name = "gunicorn max_requests"
    settings = "workers = 2\nmax_requests = 20\nmax_requests_jitter = 10\n"


class GunicornReload(Gunicorn):
    """It loads the app again when a file changes."""

    name = "gunicorn reload"

    @property
    def settings(self) -> str:  # type: ignore[override]  # it names a file of the folder
        files = [str(self.watched)]
        return f"reload = True\nreload_engine = 'poll'\nreload_extra_files = {files}\n"

    def reload(self) -> None:
        self.touch()


class Granian(Server):
    name = "granian"
    needs = ("granian",)
    loses_requests = True
    install = "the extra 'everywhere'"
    file_wrapper = False

    def command(self) -> Sequence[str | Path]:
        program = Path(sys.executable).with_name("granian")
        return [
            *(program, "--interface", "wsgi", "--port", str(self.port), "--no-ws"),
            *("--blocking-threads", "4", "--workers-kill-timeout", "5", APP),
        ]

    def reload(self) -> None:
        self.signal(signal.SIGHUP)


class UWSGI(Server):
    name = "uWSGI"
    needs = ("pyuwsgi",)
    install = "the extra 'everywhere'"
    reads_chunks = False

    def command(self) -> Sequence[str | Path]:
        program = Path(sys.executable).with_name("pyuwsgi")
        return [
            program,
            *self.listen(),
            *("--module", APP),
            *("--master", "--threads", "4", "--processes", "2", "--lazy-apps", "--need-app"),
            *("--die-on-term", "--touch-chain-reload", self.watched),
            *("--virtualenv", sys.prefix, "--pythonpath", ROOT),
        ]

    def listen(self) -> Sequence[str]:
        """Return the options that say where it listens, and how."""
        return ["--http-socket", f"127.0.0.1:{self.port}"]

    def reload(self) -> None:
        self.touch()


class UWSGIRouter(UWSGI):
    """uWSGI behind its own HTTP router, which keeps connections."""

    name = "uWSGI router"

    def listen(self) -> Sequence[str]:
        return ["--http", f"127.0.0.1:{self.port}", "--http-keepalive=60"]


class ModWSGI(Server):
    """Apache with mod_wsgi of Debian, which runs Debian's Python with our packages."""

    name = "Apache mod_wsgi"
    needs = ("apache2",)
    waits_for_bodies = BOTH
    install = "Debian's apache2 and libapache2-mod-wsgi-py3"
    modules: ClassVar[Path] = Path("/usr/lib/apache2/modules")

    @classmethod
    def missing(cls) -> str:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        if not (cls.modules / f"mod_wsgi.so-{version}").exists():
            return f"{cls.name}: install {cls.install} for Python {version}"
        return super().missing()

    def command(self) -> Sequence[str | Path]:
        page = {block.language: block.text for block in blocks("docs/servers.md")}
        app = page["python"].replace("/srv/myapp/", f"{self.folder}/")
        app = app.replace("myapp:app", "tests.servers.app:app")
        self.watched.write_text(
            f"import os\nos.environ['SERVERS_FOLDER'] = {str(self.folder)!r}\n{app}"
        )
        config = self.folder / "apache2.conf"
        config.write_text(self._config(page["apache"]))
        return [_program("apache2") or "", "-f", config, "-D", "FOREGROUND"]

    def reload(self) -> None:
        self.touch()

    def _config(self, site: str) -> str:
        """Return the configuration of the documentation, and what it takes for granted."""
        entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        user, group = f"#{entry.pw_uid}", f"#{entry.pw_gid}"
        packages = sysconfig.get_path("purelib")
        for there, here in (
            # Debian's own Python finds our packages without the home of another.
            ("python-home=/srv/myapp/.venv ", f"user={user} group={group} "),
            ("python-path=/srv/myapp", f"python-path={ROOT}:{packages}"),
            ("/srv/myapp/app.wsgi", str(self.watched)),
        ):
            assert there in site
            site = site.replace(there, here)
        loaded = ("mpm_event", "authz_core", "wsgi")
        return "\n".join(
            [
                *(f"LoadModule {one}_module {self.modules}/mod_{one}.so" for one in loaded),
                f'ServerRoot "{self.folder}"',
                "ServerName localhost",
                f"Listen 127.0.0.1:{self.port}",
                f'PidFile "{self.folder}/apache2.pid"',
                f'ErrorLog "{self.folder}/log"',
                f"User {user}",
                f"Group {group}",
                f"WSGISocketPrefix {self.folder}/wsgi",
                "<Directory />\nRequire all granted\n</Directory>",
                site,
            ]
        )


class Nginx(Server):
    """nginx in front of gunicorn."""

    name = "nginx before gunicorn"
    needs = ("nginx",)
    install = "Debian's nginx"
    waits_for_bodies = BOTH

    def command(self) -> Sequence[str | Path]:
        config = self.folder / "nginx.conf"
        config.write_text(f"""\
daemon off;
pid {self.folder}/nginx.pid;
error_log stderr;
{"user nobody nogroup;" if os.geteuid() == 0 else ""}
events {{}}
http {{
    access_log off;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    upstream app {{ server unix:{self.folder}/gunicorn; }}
    server {{
        listen 127.0.0.1:{self.port};
        client_max_body_size 20m;
        location / {{
            proxy_pass http://app;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
""")
        return [_program("nginx") or "", "-c", config, "-e", "stderr", "-p", self.folder]

    def start(self) -> None:
        self._behind = _Behind(self.folder)
        self._behind.start()
        super().start()

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self._behind.stop()

    def reload(self) -> None:
        self.signal(signal.SIGHUP)
        self._behind.reload()


class _Behind(GunicornThreads):
    def command(self) -> Sequence[str | Path]:
        *words, _, _, app = super().command()
        return [*words, "-b", f"unix:{self.folder}/gunicorn", app]

    def _wait(self) -> None:
        """Leave it to who asks nginx."""


SERVERS: dict[str, type[Server]] = {
    one.name: one
    for one in (
        *(Wsgiref, Werkzeug, Waitress, Cheroot, Tornado, Gevent, Granian, UWSGI, UWSGIRouter),
        *(Gunicorn, GunicornThreads, GunicornGevent, GunicornPreload, GunicornMaxRequests),
        *(GunicornReload, ModWSGI, Nginx),
    )
}


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server, with its configuration and accounts."""
    prepare(server.folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def prepare(folder: Path) -> None:
    """Write what the app is protected by; any user may use it, as Apache runs as another."""
    (folder / "jwt.toml").write_text(CONFIG)
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    accounts = SQLAccounts(
        f"sqlite:///{folder / 'accounts.db'}", hasher=SecretHasher(time_cost=1, memory_cost_kib=8)
    )
    accounts.create_schema()
    for name in ("ann", "bob"):
        accounts.add("email", name, PASSWORD, scope="read")
    accounts.close()
    os.mkfifo(folder / "gate")
    (folder / "watched").touch()
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, entry.pw_uid, entry.pw_gid)


def free_port() -> int:
    """Return a port below those that the kernel gives to clients, which another could get."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311  no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

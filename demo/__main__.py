"""
Serve a protected app under gunicorn, with accounts and sessions in SQLite.

Everything lies in a folder that is removed again.

Run from a checkout with the extra ``demo`` installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

try:
    from jwt_middleware import wrap
    from jwt_middleware.accounts.sql import SQLAccounts
    from jwt_middleware.cli.serve.gunicorn_server import end_on_hangup, run
    from jwt_middleware.sessions.stores.sql.store import SQLSessions
except ModuleNotFoundError as error:
    package = str(error.name).partition(".")[0]
    sys.exit(f"demo: {package} is missing: pip install -e '.[demo]'")

from .app import make_app
from .steps import ADMIN, READER, Step, steps

_HOST: Final = "127.0.0.1"

_CONFIG: Final = """\
issuer = "https://demo.example.com"
audience = "demo"

[keys]
secret_file = "secret"

[endpoint]
lifetime_seconds = {lifetime_seconds}

[accounts]
url = "sqlite:///accounts.db"

[sessions]
url = "sqlite:///sessions.db"
max_delay_seconds = 0    # a logout takes effect at once in both workers

[[rules]]
path = "/"
access = "public"

[[rules]]
path = "/admin/*"
scopes = ["admin"]

[responses]
realm = "demo"
"""


def main() -> None:
    """Set everything up, say what to try, and serve until Ctrl-C or SIGTERM."""
    options = _parse_arguments()
    # Until gunicorn has its own: a SIGTERM, too, must not leave the folder behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        listener = socket.create_server((_HOST, options.port))
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else error
        sys.exit(f"demo: port {options.port} cannot be used ({reason}): name another with --port")
    port = listener.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="jwt-middleware-demo-"))
    owner = os.getpid()
    try:
        config = set_up(folder, lifetime_seconds=options.lifetime_seconds)
        to_try = steps(f"http://{_HOST}:{port}", config)
        _say(folder, to_try)
        run(
            lambda: wrap(config, make_app(to_try)),
            bind=f"fd://{listener.detach()}",  # gunicorn's to close from here on
            workers=options.workers,
            accesslog="-",
            preload_app=True,
            when_ready=end_on_hangup,
            loglevel="warning",
        )
    except KeyboardInterrupt:
        sys.exit(0)
    finally:
        # A worker that ends comes by here as well.
        if os.getpid() == owner:
            shutil.rmtree(folder)


def set_up(folder: Path, *, lifetime_seconds: int) -> Path:
    """Write a configuration, a secret and two databases to *folder*; return the configuration."""
    config = folder / "jwt.toml"
    config.write_text(_CONFIG.format(lifetime_seconds=lifetime_seconds), encoding="utf-8")
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(os.urandom(32).hex() + "\n", encoding="ascii")
    with closing(SQLAccounts(f"sqlite:///{folder / 'accounts.db'}")) as accounts:
        accounts.create_schema()
        accounts.add("email", *READER, scope="read")
        accounts.add("email", *ADMIN, scope="read admin")
    with closing(SQLSessions(f"sqlite:///{folder / 'sessions.db'}")) as sessions:
        sessions.create_schema()
    return config


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free one")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lifetime-seconds", type=int, default=7200, help="of the tokens issued")
    options = parser.parse_args()
    if options.workers < 1 or options.lifetime_seconds < 1:
        parser.error("--workers and --lifetime-seconds must be at least 1")
    return options


def _say(folder: Path, to_try: list[Step]) -> None:
    print(f"Everything lies in {folder} until you press Ctrl-C.")
    print("Demo accounts:")
    for (account, secret), scope in ((READER, "read"), (ADMIN, "read admin")):
        print(f"  {account}, secret {secret}, scope {scope!r}")
    print("Try in another shell:")
    for step in to_try:
        print(f"\n# {step.title}\n{step.command}")
    print(flush=True)


if __name__ == "__main__":
    main()

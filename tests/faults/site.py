"""A protected app under gunicorn whose sessions are in a given store, and clients of it."""

from __future__ import annotations

import http.client
import json
import os
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts

from ..integration.gunicorns import Gunicorn, gunicorn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ACCOUNTS = "accounts.db"
ACCOUNT, SECRET = "ann@example.com", "correct horse battery"
PATIENCE_SECONDS = 30

CONFIG = """\
issuer = "https://auth.example.com"
audience = "api"

[keys]
secret_file = "secret"

[endpoint]

[accounts]
url = "sqlite:///{accounts}"
hasher = {{ time_cost = 1, memory_cost_kib = 8, max_waiting = 64 }}

[sessions]
url = "{url}"
grace_seconds = {grace_seconds}
max_delay_seconds = {max_delay_seconds}

[login]
max_per_account = 0
max_per_address = 0
"""
SETTINGS = """
workers = {workers}
worker_class = "gthread"
threads = 8
keepalive = 60
preload_app = True
control_socket_disable = True
errorlog = "-"
"""


def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


@contextmanager
def site(
    folder: Path,
    url: str,
    *,
    workers: int = 2,
    grace_seconds: float = 10,
    max_delay_seconds: float = 1,
    accounts: Path | None = None,
    environ: Mapping[str, str] | None = None,
    settings: str = "",
) -> Iterator[Gunicorn]:
    """
    Serve the app from *folder*, with sessions at *url*.

    Those that share sessions share *accounts* as well: to an account made a second later, a session
    of the other one is of an earlier secret.
    """
    config = folder / "jwt.toml"
    accounts = accounts or folder / ACCOUNTS
    config.write_text(
        CONFIG.format(
            url=url,
            accounts=accounts,
            grace_seconds=grace_seconds,
            max_delay_seconds=max_delay_seconds,
        )
    )
    (folder / "secret").write_text("faults need a secret of 32 bytes")
    (folder / "secret").chmod(0o600)
    add_account(accounts)
    served = f"jwt_middleware:wrap({str(config)!r}, 'tests.faults.site:app')"
    settings = SETTINGS.format(workers=workers) + settings
    with gunicorn(served, folder=folder, settings=settings, environ=environ) as server:
        yield server


def add_account(database: Path) -> None:
    if not database.exists():
        accounts = SQLAccounts(
            f"sqlite:///{database}", hasher=SecretHasher(time_cost=1, memory_cost_kib=8)
        )
        accounts.create_schema()
        accounts.add("email", ACCOUNT, SECRET, scope="read")
        accounts.close()


class Answer(NamedTuple):
    """What came back; *status* is 0 where the connection broke."""

    status: int
    body: bytes
    seconds: float

    def token(self) -> str:
        """Return the access token in it."""
        return str(json.loads(self.body)["access_token"])

    def refresh_token(self) -> str:
        """Return the refresh token in it."""
        return str(json.loads(self.body)["refresh_token"])


class Client:
    """One client, which connects anew for each request, as behind a balancer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def log_in(self) -> Answer:
        return self.post("/token", {"account": ACCOUNT, "secret": SECRET, "type": "email"})

    def refresh(self, text: str) -> Answer:
        return self.post("/token", {"grant_type": "refresh_token", "refresh_token": text})

    def log_out(self, token: str) -> Answer:
        return self._send("POST", "/token/logout", token=token)

    def log_out_all(self, token: str) -> Answer:
        return self._send("POST", "/token/logout-all", token=token)

    def ask(self, token: str) -> Answer:
        return self._send("GET", "/", token=token)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        return self._send("POST", path, body=json.dumps(body).encode())

    def _send(
        self, method: str, path: str, *, token: str | None = None, body: bytes = b""
    ) -> Answer:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        started = time.perf_counter()
        connection = http.client.HTTPConnection(*self._address, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            status, content = 0, b""
        finally:
            connection.close()
        return Answer(status, content, time.perf_counter() - started)


def sid_of(token: str) -> str:
    """Return the claim *sid* of an access token, unverified."""
    claims = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return str(claims["sid"])

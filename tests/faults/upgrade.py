"""A rolling upgrade: the last version and this one on one store, under load."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..integration.gunicorns import ROOT, Gunicorn
from .site import ACCOUNTS, Answer, Client, site

LAST_VERSION: Final = "6cbcb32"
"""The commit that is upgraded from."""

_SETTINGS: Final = """
chdir = {source!r}

def when_ready(_):
    import jwt_middleware
    assert jwt_middleware.__file__.startswith({source!r})
"""

CLIENTS: Final = 3
KEPT: Final = 10
KNOWN_SECONDS: Final = 4.0  # a revocation, at the other server; the promise is one


def last_version(folder: Path) -> Path | None:
    """Unpack the package as it was into *folder*; return ``None`` where there is no history."""
    packed = subprocess.run(
        ["git", "archive", LAST_VERSION, "jwt_middleware"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@contextmanager
def old_site(folder: Path, source: Path, url: str, accounts: Path) -> Iterator[Gunicorn]:
    """Serve the app by the version in *source*; accounts and tables are made by that as well."""
    environ = {"PYTHONPATH": f"{source}:{ROOT}", "PYTHONSAFEPATH": "1"}
    adding = (
        "import pathlib, sys; from tests.faults.site import add_account;"
        " add_account(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", adding, str(accounts)],
        cwd=source,
        env={**os.environ, **environ},
        check=True,
    )
    with site(
        folder,
        url,
        workers=1,
        accounts=accounts,
        environ=environ,
        settings=_SETTINGS.format(source=str(source)),
    ) as server:
        yield server


@dataclass
class Upgrade:
    """
    What was counted.

    Attributes:
        requests: All, by phase.
        unavailable: Those that were answered 503, as a loaded machine does now and then.
        wrong: Those that were not answered as they should be, by what was asked.
    """

    requests: Counter[str] = field(default_factory=Counter)
    unavailable: int = 0
    wrong: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    phase: str = "old"
    servers: list[Client] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the line of a report."""
        requests = ", ".join(f"{count} {phase}" for phase, count in self.requests.items())
        wrong = dict(self.wrong) or "none"
        return f"{requests}; wrong: {wrong}; {self.unavailable} answered 503"

    def expect(self, what: str, status: int, answer: Answer) -> Answer:
        """Count an answer."""
        self.requests[self.phase] += 1
        if answer.status == 503:
            self.unavailable += 1
        elif answer.status != status:
            self.wrong[self.phase, what, answer.status] += 1
        return answer

    def expect_refused(self, client: Client, token: str) -> None:
        """Count as one answer how a token is refused, as soon as that is promised."""
        until = time.monotonic() + KNOWN_SECONDS
        while (answer := client.ask(token)).status == 200 and time.monotonic() < until:
            time.sleep(0.1)
        self.expect("revoked token", 401, answer)

    def use(self, one: Client, other: Client) -> None:
        """Log in at one server, go on at the other, and log out."""
        login = self.expect("login", 200, one.log_in())
        if login.status != 200:
            return
        self.expect("use", 200, other.ask(login.token()))
        refreshed = self.expect("refresh", 200, other.refresh(login.refresh_token()))
        self.expect("retry", 200, one.refresh(login.refresh_token()))
        if refreshed.status != 200:
            return
        self.expect("use again", 200, one.ask(refreshed.token()))
        self.expect("logout", 204, one.log_out(refreshed.token()))
        for client in (one, other):
            self.expect_refused(client, refreshed.token())
        self.expect("refresh after logout", 400, other.refresh(refreshed.refresh_token()))


def upgrade(url: str, folder: Path, source: Path, *, seconds: float) -> Upgrade:
    """
    Start this version beside the last one, and then stop that, while clients use both.

    Args:
        url: Of the store.
        folder: For what the servers need.
        source: Where the last version is.
        seconds: How long each of the three phases lasts.
    """
    found, stop = Upgrade(), threading.Event()

    def load() -> None:
        while not stop.is_set():
            found.use(random.choice(found.servers), random.choice(found.servers))  # noqa: S311

    for name in ("old site", "new site"):
        (folder / name).mkdir()
    accounts = folder / ACCOUNTS
    with ExitStack() as servers, ThreadPoolExecutor(CLIENTS) as pool:
        servers.callback(stop.set)
        old = ExitStack()
        with old:
            address = old.enter_context(
                old_site(folder / "old site", source, url, accounts)
            ).address
            old_client = Client(address)
            found.servers = [old_client]
            kept = [old_client.log_in() for _ in range(KEPT)]
            ended = [old_client.log_in().token() for _ in range(KEPT)]
            for token in ended:
                old_client.log_out(token)
            loading = [pool.submit(load) for _ in range(CLIENTS)]
            time.sleep(seconds)
            found.phase = "both"
            server = servers.enter_context(
                site(folder / "new site", url, workers=1, accounts=accounts)
            )
            client = Client(server.address)
            for token in ended:
                found.expect("token that the old one revoked", 401, client.ask(token))
            found.servers = [old_client, client]
            time.sleep(seconds)
            found.servers = [client]
            stop.set()
            for one in loading:
                one.result()
            stop.clear()
        found.phase = "new"
        loading = [pool.submit(load) for _ in range(CLIENTS)]
        time.sleep(seconds)
        stop.set()
        for one in loading:
            one.result()
        for login in kept:
            found.expect("token of the old one", 200, client.ask(login.token()))
            refreshed = found.expect("its refresh", 200, client.refresh(login.refresh_token()))
            found.expect("its retry", 200, client.refresh(login.refresh_token()))
            client.log_out(refreshed.token())
            found.expect_refused(client, login.token())
    return found

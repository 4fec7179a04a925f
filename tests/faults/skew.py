"""Hosts whose clocks are apart, on one store."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

from jwt_middleware import (
    JWTPayload,
    Key,
    KeySet,
    LoginThrottle,
    Sessions,
    TokenIssuer,
    TokenVerifier,
)
from jwt_middleware.config.reading import Place
from jwt_middleware.config.sessions import build_store
from jwt_middleware.errors import (
    InvalidGrantError,
    InvalidTokenError,
    TooManyAttemptsError,
    UnavailableError,
)

from ..integration.gunicorns import Gunicorn
from ..sessions.contender import patiently
from .site import ACCOUNTS, Client, site

DAY: Final = 86_400
SKEWS: Final = tuple(sign * skew for skew in (2, 30, 600, 3_600, DAY) for sign in (1, -1))
JUMP_SECONDS: Final = 6.0
GRACE_SECONDS: Final = 4.0
SESSION_SECONDS: Final = 7_200
ROUNDS: Final = 5
YES, NO = True, False

_KEYS: Final = KeySet([Key.from_secret(b"k" * 32)])


class Host:
    """
    A host with a clock of its own.

    Args:
        url: Of the store.
        issuer: Keeps one test from others in the same store.
        skew: How far its clock is ahead, in seconds.
    """

    def __init__(self, url: str, issuer: str, skew: float = 0) -> None:
        self.skew = skew
        self.store = build_store(url, Place(Path(), "sessions.url"))
        self._issuer = TokenIssuer(keys=_KEYS, issuer=issuer, audience="api", clock=self.clock)
        self.sessions = Sessions(
            store=self.store,
            issuer=self._issuer,
            grace_seconds=GRACE_SECONDS,
            refresh_lifetime_seconds=SESSION_SECONDS,
            max_lifetime_seconds=SESSION_SECONDS,
            max_delay_seconds=0,
            clock=self.clock,
        )
        self._verifier = TokenVerifier(
            keys=_KEYS,
            issuer=issuer,
            audience="api",
            is_revoked=self.sessions.revocations,
            clock=self.clock,
        )
        self._alone = TokenVerifier(keys=_KEYS, issuer=issuer, audience="api", clock=self.clock)
        self.throttle = LoginThrottle(self.store, clock=self.clock)

    def clock(self) -> float:
        return time.time() + self.skew

    def log_in(self, uid: str, *, lifetime_seconds: int = SESSION_SECONDS) -> tuple[str, str]:
        """Return an access token and a refresh token."""
        grant = self.sessions.start(JWTPayload(uid, lifetime_seconds=lifetime_seconds))
        assert grant.refresh_token is not None
        return grant.issued.token, grant.refresh_token

    def accepts(self, token: str) -> bool:
        return _accepts(self._verifier, token)

    def accepts_alone(self, token: str) -> bool:
        """Tell whether it accepts a token without any store."""
        return _accepts(self._alone, token)

    def fail(self, account: str) -> int:
        """Fail a login; return how long to wait where that is limited."""
        account = f"{self.sessions.issuer.issuer}{account}"
        address = ip_address(crc32(account.encode()))  # one that no other test has
        try:
            attempt = self.throttle.attempt("email", account, address=address)
        except TooManyAttemptsError as error:
            return error.retry_after_seconds or 0
        self.throttle.fail(attempt)
        return 0

    def refresh(self, text: str) -> str | None:
        """Return the next refresh token."""
        try:
            return self.sessions.refresh(text).refresh_token
        except InvalidGrantError:
            return None

    def prune(self) -> None:
        """Do so as often as a hundred logins do."""
        for _ in range(100):
            self.sessions._pruning.count_use()


def _accepts(verifier: TokenVerifier, token: str) -> bool:
    try:
        verifier.verify(token)
    except InvalidTokenError:
        return False
    return True


class Skewed:
    """
    Two hosts, one of which is right, and what they got wrong.

    Attributes:
        wrong: How many decisions, by what was decided.
        decided: How many there were.
        unavailable: How many were 503.
    """

    def __init__(self, url: str, skew: float) -> None:
        self._url = url
        self._issuer = f"https://{skew:+.0f}"
        self._is_small = abs(skew) < 60
        self._hosts = Host(url, self._issuer, skew), Host(url, self._issuer)
        self.wrong: Counter[str] = Counter()
        self.decided = self.unavailable = 0

    def __str__(self) -> str:
        """Return the line of a report."""
        wrong = ", ".join(f"{what} {count}" for what, count in self.wrong.items()) or "none"
        return f"{self.decided} decisions, wrong: {wrong}; {self.unavailable} answered 503"

    def run(self) -> Skewed:
        """Try everything, either host first."""
        running = [
            check(one, other, f"{check.__name__}{one.skew}")
            for check in (self._use, self._refresh, self._end_all, self._limit, self._prune)
            for one, other in (self._hosts, self._hosts[::-1])
        ]
        for wait in (GRACE_SECONDS + 0.5, 0):
            for check in running:
                try:
                    next(check, None)
                except UnavailableError:  # before anything could be decided
                    self.unavailable += 1
            time.sleep(wait)
        for host in self._hosts:
            host.store.close()
        return self

    def _expect(self, what: str, expected: object, decide: Callable[..., object], *of: Any) -> None:
        self.decided += 1
        try:
            self.wrong[what] += decide(*of) != expected
        except UnavailableError:
            self.unavailable += 1
        self.wrong = +self.wrong

    def _use(self, one: Host, other: Host, uid: str) -> Iterator[None]:
        for _ in range(ROUNDS):
            token, _ = one.log_in(uid)
            self._expect("new token", YES, other.accepts, token)
            if self._is_small:
                self._expect("new token, no store", YES, other.accepts_alone, token)
        token, _ = one.log_in(uid, lifetime_seconds=2)
        yield
        for host in (one, other):
            self._expect("expired token", NO, host.accepts, token)

    def _refresh(self, one: Host, other: Host, uid: str) -> Iterator[None]:
        used = []
        for _ in range(ROUNDS):
            _, first = one.log_in(uid)
            second = one.refresh(first)
            self._expect("retry in grace", second, other.refresh, first)
            used.append(first)
        yield
        for first in used:
            self._expect("replay", None, other.refresh, first)

    def _end_all(self, one: Host, other: Host, uid: str) -> Iterator[None]:
        hosts = [one, other]
        before = [host.log_in(uid)[0] for host in hosts * ROUNDS]
        one.sessions.end_all(uid)
        after = [host.log_in(uid)[0] for host in hosts * ROUNDS]
        for what, tokens, expected in (("ended", before, NO), ("later login", after, YES)):
            for token in tokens:
                for host in hosts:
                    self._expect(what, expected, host.accepts, token)
        yield

    def _limit(self, one: Host, other: Host, uid: str) -> Iterator[None]:
        for _ in range(5):
            self._expect("attempt", 0, one.fail, uid)
        for host in (one, other):
            self._expect("wait", YES, lambda host=host: 150 <= host.fail(uid) <= 180)
        yield

    def _prune(self, one: Host, other: Host, uid: str) -> Iterator[None]:
        tokens = []
        for number in range(ROUNDS):
            tokens.append(other.log_in(f"{uid}{number}")[0])
            other.sessions.end_all(f"{uid}{number}")
        one.prune()
        reloaded = Host(self._url, self._issuer)
        for token in tokens:
            for host in (one, other, reloaded):
                self._expect("pruned", NO, host.accepts, token)
        reloaded.store.close()
        yield


def compare(url: str) -> dict[float, Skewed]:
    """Try all skews, some at the same time."""
    with closing(Host(url, "https://first").store) as store:
        patiently(store.create_schema)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(Skewed(url, skew).run) for skew in SKEWS]
        return {skew: one.result() for skew, one in zip(SKEWS, found, strict=True)}


class Jump(NamedTuple):
    """
    What became of revoked tokens when one host's clock was a day ahead for a moment.

    Attributes:
        accepted: By that host, of *revoked*.
        after_reload: By a process that read all revocations anew.
    """

    accepted: int
    after_reload: int
    revoked: int


def jump(url: str, *, seconds: float = JUMP_SECONDS, revoked: int = 100) -> Jump:
    """Have the clock of one host be a day ahead for some seconds, while it prunes and forgets."""
    host, other = hosts = Host(url, "https://jump"), Host(url, "https://jump")
    patiently(host.store.create_schema)
    tokens = [other.log_in(f"u{number}") for number in range(revoked)]
    for number, (_, refresh_token) in enumerate(tokens):
        if number % 2:
            other.sessions.end_all(f"u{number}")
        else:
            other.sessions.end_by_refresh_token(refresh_token)
    assert not any(host.accepts(token) for token, _ in tokens)
    host.skew = DAY
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        host.sessions.revocations.current()
        host.prune()
        time.sleep(0.05)
    host.skew = 0
    reloaded = Host(url, "https://jump")
    accepted, after_reload = (
        sum(one.accepts(token) for token, _ in tokens) for one in (host, reloaded)
    )
    for one in (*hosts, reloaded):
        one.store.close()
    return Jump(accepted, after_reload, revoked)


# Python imports this at its start: every clock of the process is the one of a host that is off.
_SITE = """
import pathlib, time
_time, _skew = time.time, pathlib.Path(__file__).with_name("skew")
time.time = lambda: _time() + float(_skew.read_text())
"""


@contextmanager
def skewed_site(folder: Path, url: str, skew: float, accounts: Path) -> Iterator[Gunicorn]:
    """Serve the app from *folder* on a host whose clock is ahead; see :func:`site`."""
    (folder / "skew").write_text(str(skew))
    (folder / "sitecustomize.py").write_text(_SITE)
    path = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    with site(folder, url, workers=1, accounts=accounts, environ={"PYTHONPATH": path}) as server:
        yield server


class Served(NamedTuple):
    """
    What two servers got wrong whose hosts' clocks are apart.

    Attributes:
        wrong: Answers that are not what they should be.
        answers: All.
        logged: The lines of the one that is off that say so.
    """

    wrong: int
    answers: int
    logged: list[str]


def serve(url: str, folder: Path, skew: float) -> Served:
    """Log in, use, refresh, retry and log out at two gunicorns, each in the place of the other."""
    here, there = folder / "off", folder / "right"
    here.mkdir()
    there.mkdir()
    statuses: list[tuple[int, int]] = []
    with (
        site(there, url, workers=1, accounts=folder / ACCOUNTS) as right,
        skewed_site(here, url, skew, folder / ACCOUNTS) as off,
    ):
        clients = Client(right.address), Client(off.address)
        for one, other in (clients, clients[::-1]) * 3:
            login = one.log_in()
            refreshed = one.refresh(login.refresh_token())
            retried = other.refresh(login.refresh_token())
            statuses += [(login.status, 200), (refreshed.status, 200), (retried.status, 200)]
            statuses += [(other.ask(answer.token()).status, 200) for answer in (login, retried)]
            statuses.append((one.log_out_all(login.token()).status, 204))
            later = other.log_in()
            time.sleep(1.5)  # how late a revocation may be learnt of
            for client in clients:
                statuses += [
                    (client.ask(login.token()).status, 401),
                    (client.ask(later.token()).status, 200),
                ]
    logged = [line for line in (here / "log").read_text().splitlines() if "clock.skew" in line]
    return Served(sum(one != other for one, other in statuses), len(statuses), logged)

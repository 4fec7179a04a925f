"""Issuing tokens, by hand and at the endpoint."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import jwt

from jwt_middleware import LoginThrottle, MemorySessions, Sessions, TokenEndpoint
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from .statements import Statements
from .subject import PAYLOAD, SECRET, ignore, issuer_for, new_tokens, request_with, verifier_for
from .table import Row
from .timing import Batch, Case, Timings, interleaved, over_all

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ISSUED: Final = range(200)
LOGINS: Final = 20

# Times what the driver and PyJWT take alone, so that they hold on a machine of any speed: 0.9, 0.6
# and 0.4 ms on the one that they were set for.
_LOGIN_TARGET: Final = 4
_REFRESH_TARGET: Final = 6
_INTROSPECTION_TARGET: Final = 5

_FORM: Final = "application/x-www-form-urlencoded"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  a file system in memory, where Linux has it


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure the issuer, and the endpoint around it."""
    yield _issuer_row(rounds)
    yield _introspection_row(rounds)
    # On a disk the commits would be all that is measured: one takes from 0.1 to 10 ms.
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield from _endpoint_rows(rounds, Path(folder))


def _issuer_row(rounds: int) -> Row:
    issuer = issuer_for()
    claims = jwt.decode(new_tokens(1)[0], options={"verify_signature": False})
    headers = {"typ": "at+jwt", "kid": "2026-11"}
    timings = interleaved(
        {
            "ours": over_all(lambda _: issuer.issue(PAYLOAD), ISSUED),
            "PyJWT": over_all(lambda _: jwt.encode(claims, SECRET, headers=headers), ISSUED),
        },
        rounds=rounds,
    )
    return Row(
        "issuing a token, HS256",
        "jwt.encode of the same claims",
        timings.ratio("ours", "PyJWT"),
        target=0.8,
        detail=f"{timings.median('ours'):.1f} / {timings.median('PyJWT'):.1f} µs",
    )


def _introspection_row(rounds: int) -> Row:
    """Measure a client that has shown its secret a moment ago, Argon2 with its usual parameters."""
    sessions = Sessions(store=MemorySessions(), issuer=issuer_for())
    with (
        TemporaryDirectory() as folder,
        closing(SQLAccounts(f"sqlite:///{folder}/accounts.db")) as accounts,
        closing(Statements(Path(folder) / "least.db")) as least,
    ):
        accounts.create_schema()
        accounts.add("service", "billing", "a secret of a service")
        endpoint = TokenEndpoint(
            issuer=sessions.issuer,
            verifiers={"service": partial(accounts.verify, "service")},
            lookups={"service": accounts.lookup("service")},
            sessions=sessions,
            verifier=verifier_for(is_revoked=sessions.revocations),
        )
        cases = {"ours": _introspections(endpoint), "least": over_all(least.introspect, ISSUED)}
        timings = interleaved(cases, rounds=min(rounds, 10))
    measured = "introspection by a client that proved itself lately"
    return _row(measured, timings, "ours", to="least", target=_INTROSPECTION_TARGET)


def _row(
    measured: str, timings: Timings, case: str, *, to: str, target: float | None = None
) -> Row:
    return Row(
        measured,
        "SQLite's driver and PyJWT alone",
        timings.ratio(case, to),
        target=target,
        detail=f"{timings.median(case) / 1000:.2f} / {timings.median(to) / 1000:.3f} ms",
    )


def _introspections(endpoint: TokenEndpoint) -> Case:
    basic = b64encode(b"billing:a secret of a service").decode()
    body = urlencode({"token": new_tokens(1)[0]})

    def ready() -> Batch:
        environs = [
            _post("/token/introspect", _FORM, body) | {"HTTP_AUTHORIZATION": f"Basic {basic}"}
            for _ in range(5)
        ]

        def batch() -> int:
            for environ in environs:
                answer = b"".join(endpoint(environ, ignore))
                if b'"active": true' not in answer:
                    raise AssertionError(answer)
            return len(environs)

        return batch

    return ready


def _endpoint_rows(rounds: int, folder: Path) -> Iterator[Row]:
    with (
        closing(SQLSessions(f"sqlite:///{folder}/sessions.db")) as store,
        closing(Statements(folder / "least.db")) as least,
    ):
        sessions = Sessions(store=store, issuer=issuer_for())
        counting = _endpoint(sessions, LoginThrottle(store))
        cases = {
            "least login": over_all(least.log_in, range(LOGINS)),
            "least refresh": over_all(least.refresh, range(LOGINS)),
            "login": _logins(_endpoint(sessions, LoginThrottle(MemorySessions()))),
            "counted login": _logins(counting),
            "refresh": _refreshes(counting),
        }
        timings = interleaved(cases, rounds=rounds)
    refresh = "POST /token with a refresh token without disk, SQLite"
    yield _row(refresh, timings, "refresh", to="least refresh", target=_REFRESH_TARGET)
    login = "POST /token without Argon2 and disk, session in SQLite"
    yield _row(login, timings, "login", to="least login")
    counted = "POST /token without Argon2 and disk, session and login attempts in SQLite"
    yield _row(counted, timings, "counted login", to="least login", target=_LOGIN_TARGET)


def _endpoint(sessions: Sessions, throttle: LoginThrottle) -> TokenEndpoint:
    return TokenEndpoint(
        issuer=sessions.issuer,
        # Argon2 would take twenty times as long as all the rest.
        verifiers={"email": lambda account, _secret: {"uid": account, "scope": "read write"}},
        lookups={"email": None},
        sessions=sessions,
        throttle=throttle,
        verifier=verifier_for(is_revoked=sessions.revocations),
    )


def _logins(endpoint: TokenEndpoint) -> Case:
    def ready() -> Batch:
        environs = [_login(number) for number in range(LOGINS)]

        def batch() -> int:
            for environ in environs:
                answer = b"".join(endpoint(environ, ignore))
                if b"access_token" not in answer:
                    raise AssertionError(answer)
            return len(environs)

        return batch

    return ready


def _refreshes(endpoint: TokenEndpoint) -> Case:
    def ready() -> Batch:
        answers = [json.loads(b"".join(endpoint(_login(n), ignore))) for n in range(LOGINS)]
        environs = [_form(one["refresh_token"]) for one in answers]

        def batch() -> int:
            for environ in environs:
                answer = b"".join(endpoint(environ, ignore))
                if b"access_token" not in answer:
                    raise AssertionError(answer)
            return len(environs)

        return batch

    return ready


def _login(number: int) -> WSGIEnvironment:
    account = f"ann{number}@example.com"
    body = json.dumps({"account": account, "secret": "correct horse", "type": "email"})
    return _post("/token", "application/json", body)


def _form(refresh_token: str) -> WSGIEnvironment:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _post("/token", _FORM, urlencode(form))


def _post(path: str, content_type: str, body: str) -> WSGIEnvironment:
    environ = request_with("", path)
    # Not of a proxy: the endpoint warns of one that it was not told of.
    del environ["HTTP_AUTHORIZATION"], environ["HTTP_X_FORWARDED_FOR"]
    return environ | {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": BytesIO(body.encode()),
    }

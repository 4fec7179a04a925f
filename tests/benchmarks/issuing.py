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
from jwt_middleware.sessions import SessionStore
from jwt_middleware.sessions.stores.sql.store import SQLSessions

from .subject import PAYLOAD, SECRET, ignore, issuer_for, new_tokens, request_with, verifier_for
from .table import Row
from .timing import Batch, Case, interleaved, over_all

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ISSUED: Final = range(200)
LOGINS: Final = 20
_FORM: Final = "application/x-www-form-urlencoded"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  a file system in memory, where Linux has it


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure the issuer, and the endpoint around it."""
    yield _issuer_row(rounds)
    yield _introspection_row(rounds)
    # On a disk the commits would be all that is measured: one takes from 0.1 to 10 ms.
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield from _endpoint_rows(rounds, Path(folder) / "sessions.db")


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
        timings = interleaved({"asked": _introspections(endpoint)}, rounds=min(rounds, 10))
    return Row(
        "introspection by a client that proved itself lately",
        "the clock",
        timings.least("asked") / 1000,
        unit="ms",
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


def _endpoint_rows(rounds: int, file: Path) -> Iterator[Row]:
    with closing(SQLSessions(f"sqlite:///{file}")) as store:
        store.create_schema()
        sessions = Sessions(store=store, issuer=issuer_for())
        stores: dict[str, SessionStore] = {
            "session": MemorySessions(),
            "session and login attempts": store,
        }
        cases = {
            recorded: _logins(_endpoint(sessions, LoginThrottle(attempts)))
            for recorded, attempts in stores.items()
        }
        cases["refresh"] = _refreshes(_endpoint(sessions, LoginThrottle(store)))
        timings = interleaved(cases, rounds=rounds)
    yield Row(
        "POST /token with a refresh token without disk, SQLite",
        "the clock",
        timings.least("refresh") / 1000,
        target=0.6,
        unit="ms",
    )
    for recorded, target in (("session", None), ("session and login attempts", 0.9)):
        yield Row(
            f"POST /token without Argon2 and disk, {recorded} in SQLite",
            "the clock",
            timings.least(recorded) / 1000,
            target=target,
            unit="ms",
        )


def _endpoint(sessions: Sessions, throttle: LoginThrottle) -> TokenEndpoint:
    return TokenEndpoint(
        issuer=sessions.issuer,
        # Argon2 would take twenty times as long as all the rest.
        verifiers={"email": lambda _account, _secret: {"uid": 42, "scope": "read write"}},
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
    del environ["HTTP_AUTHORIZATION"]
    return environ | {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": BytesIO(body.encode()),
    }

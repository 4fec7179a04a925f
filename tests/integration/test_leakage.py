"""At DEBUG, over requests of every kind, nothing secret is logged, answered or shown."""

from __future__ import annotations

import json
import logging
import re
import traceback
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from webtest import TestResponse

from jwt_middleware import (
    JWTPayload,
    Key,
    KeySet,
    LoginThrottle,
    Policy,
    Responses,
    Rule,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
    events,
)
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import ConfigurationError, JWTMiddlewareError
from jwt_middleware.sessions import MemorySessions, Sessions
from jwt_middleware.sessions.store import Outcome, Use

from ..site import (
    AUD,
    ISS,
    KEYS,
    MARKER,
    NOW,
    PASSWORD,
    SECRET,
    Site,
    b64,
    forge,
    good_claims,
    good_token,
    token_endpoint,
    token_with,
)
from ..table import table

# What an operator finds a token by: events have it of any token, escaped and cut.
CLAIMED = re.compile(r' (?:issuer|kid|jti|sub)=(?:"[^"]*"|\S*)')


class Everything(logging.Handler):
    """Keeps all that a log could show: the text, the arguments and the exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""
        self.records = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        self.text += CLAIMED.sub("", f"{record.getMessage()}\n{record.args!r}\n")
        if record.exc_info:
            self.text += "".join(traceback.format_exception(*record.exc_info))


@pytest.fixture
def everything() -> Iterator[Everything]:
    events.limit(100_000)  # that none is left out
    handler = Everything()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


HOSTILE_PASSWORD = "pass-d3adb33f-word"
DISTINCTIVE = (
    MARKER,
    PASSWORD,
    HOSTILE_PASSWORD,
    SECRET.decode(),
    b64(SECRET),
    SECRET.hex(),
    "evil-secret-of-more-than-32-bytes",
)


def hostile_tokens() -> list[str]:
    good = good_token()
    header, payload, signature = good.split(".")
    return [
        good_token(exp=NOW),
        good_token(nbf=NOW + 9),
        good_token(iss=MARKER),
        good_token(aud=[MARKER]),
        good_token(sub=""),
        good_token(sub=f"{MARKER}\n"),
        good_token(jti=1),
        good_token(token_use=MARKER),
        good_token(exp=MARKER),
        good_token(exp=...),
        forge({"alg": "none"}),
        forge({"alg": MARKER}),
        forge({"alg": "HS256", "kid": "unknown"}),
        forge({"alg": "HS256", "kid": "k1", "crit": [MARKER]}),
        forge({"alg": "HS256", "kid": "k1", "typ": MARKER}),
        forge(sign=lambda _: b"evil-secret-of-more-than-32-bytes"),
        forge(payload=json.dumps(good_claims()).encode() + b"x"),
        forge(payload=b'{"' + MARKER.encode()),
        forge(payload=b"\xff" + MARKER.encode()),
        forge(payload=b"[" * 2000 + MARKER.encode()),
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature[:-2]}",
        good + "\n" + MARKER,
        good + "\u00e9",
        good * 100,
        payload,
        MARKER,
    ]


def hostile_bodies() -> list[tuple[bytes, str]]:
    login = {"account": "ann", "secret": HOSTILE_PASSWORD, "type": "email"}
    as_json = "application/json"
    text = json.dumps(login).encode()
    return [
        *((json.dumps({**login, "secret": value}).encode(), as_json)
          for value in (HOSTILE_PASSWORD, [HOSTILE_PASSWORD], {HOSTILE_PASSWORD: 1}, None, True,
                        HOSTILE_PASSWORD + "\0", HOSTILE_PASSWORD + "\ud800", PASSWORD + "x",
                        HOSTILE_PASSWORD * 70, HOSTILE_PASSWORD * 9_000)),
        (json.dumps({**login, "type": HOSTILE_PASSWORD}).encode(), as_json),
        (json.dumps({**login, "account": [HOSTILE_PASSWORD]}).encode(), as_json),
        (text[:-1], as_json),
        (text + b"x", as_json),
        (text, "text/plain"),
        (text, as_json + "; charset=utf-16"),
        (text.decode().encode("utf-16"), as_json),
        (b"account=ann&type=email&secret=" + HOSTILE_PASSWORD.encode(),
         "application/x-www-form-urlencoded"),
        (b"secret=%ff" + HOSTILE_PASSWORD.encode(), "application/x-www-form-urlencoded"),
        (b"secret=a&secret=" + HOSTILE_PASSWORD.encode(), "application/x-www-form-urlencoded"),
    ]  # fmt: skip


def assert_silent(text: str, tokens: list[str]) -> None:
    for word in DISTINCTIVE:
        assert word not in text
    for token in tokens:
        for segment in token.split("."):
            assert len(segment) < 12 or segment[:40] not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("style", ["problem", "envelope"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_requests_of_every_kind(
    style: str, language: str, everything: Everything, tmp_path: Path
) -> None:
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8)
    accounts = SQLAccounts(f"sqlite:///{tmp_path / 'a.db'}", hasher=hasher, min_secret_chars=1)
    accounts.create_schema()
    accounts.add("email", "ann", PASSWORD, scope="read")
    responses = Responses(style=style)  # type: ignore[arg-type]
    endpoint = token_endpoint(verifiers={"email": accounts.verifier("email")}, responses=responses)
    site = Site(policy=Policy([Rule("/admin/*", scopes=["admin"])]), endpoint=endpoint, lint=False)
    site.middleware.responses = responses
    said: list[str] = []
    good = [good_token(), token_with("read"), token_with("admin")]
    tokens = hostile_tokens()
    for token in [*good, *tokens]:
        for path in ("/", "/admin/x"):
            for authorization in (f"Bearer {token}", f"Bearer {token}, Bearer x", f"Basic {token}"):
                answer = site.web.get(
                    path,
                    extra_environ={"HTTP_AUTHORIZATION": authorization},
                    headers={"Accept-Language": language},
                    expect_errors=True,
                )
                said.append(str(answer.headers) + answer.text)
        said.append(site.web.get("/", params={"access_token": token}, status=401).text)
    for body, content_type in hostile_bodies():
        headers = {"Content-Type": content_type, "Accept-Language": language}
        answer = site.web.post("/token", body, headers=headers, expect_errors=True)
        assert answer.status_int in {400, 401, 413, 415}
        said.append(str(answer.headers) + answer.text)
    login = {"account": "ann", "secret": PASSWORD, "type": "email"}
    answer = site.web.post_json("/token", login, status=200)
    issued = answer.json["msg" if style == "envelope" else "access_token"]
    accounts.close()
    assert everything.records > 100, "nothing was logged, so nothing was tested"
    assert_silent(everything.text, [*good, *tokens, issued])
    assert_silent("\n".join(said), [*good, *tokens])


CLIENT = f"billing:{HOSTILE_PASSWORD}"


def hostile_oauth(refresh_token: str) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Yield paths below the endpoint's, fields and headers, none of them good."""
    basic = b64encode(CLIENT.encode()).decode()
    for authorization in (
        *(f"Basic {basic}", f"basic  {basic}", f"Basic {basic[:-1]}", f"Basic {basic}, Basic x"),
        *(f"Basic {basic[4:]}", f"Bearer {basic}", f"Digest {basic}", basic, "Basic"),
    ):
        headers = {"Authorization": authorization}
        for fields in (
            {"grant_type": "client_credentials"},
            {"grant_type": "client_credentials", "client_secret": HOSTILE_PASSWORD},
            {"grant_type": "refresh_token", "refresh_token": refresh_token + "x"},
            {"grant_type": HOSTILE_PASSWORD, "client_secret": HOSTILE_PASSWORD},
            {"grant_type": "refresh_token", "scope": HOSTILE_PASSWORD},
            {"token": refresh_token[::-1], "token_type_hint": HOSTILE_PASSWORD},
            {"token": MARKER, "client_id": MARKER, "client_secret": HOSTILE_PASSWORD},
        ):
            for path in ("", "/revoke", "/introspect", "/logout", "/logout-all"):
                yield path, fields, headers


@pytest.mark.parametrize("style", ["problem", "envelope"])
def test_sessions_from_login_to_logout(style: str, everything: Everything, tmp_path: Path) -> None:
    hasher = SecretHasher(time_cost=1, memory_cost_kib=8)
    accounts = SQLAccounts(f"sqlite:///{tmp_path / 'a.db'}", hasher=hasher, min_secret_chars=1)
    accounts.create_schema()
    accounts.add("email", "ann", PASSWORD, scope="read")
    accounts.add("service", "billing", PASSWORD, scope="read")
    clock = partial(float, NOW)
    issuer = TokenIssuer(keys=KEYS, issuer=ISS, audience=AUD, clock=clock)
    sessions = Sessions(store=MemorySessions(), issuer=issuer, max_delay_seconds=0, clock=clock)
    verifier = Site(is_revoked=sessions.revocations).verifier
    endpoint = TokenEndpoint(
        issuer=issuer,
        verifiers={one: accounts.verifier(one) for one in ("email", "service")},
        lookups={one: accounts.lookup(one) for one in ("email", "service")},
        responses=Responses(style=style),  # type: ignore[arg-type]
        sessions=sessions,
        verifier=verifier,
        throttle=LoginThrottle(sessions.store, max_per_address=0, clock=clock),
    )
    web = Site(endpoint=endpoint, is_revoked=sessions.revocations).web
    login = {"account": "ann", "secret": PASSWORD, "type": "email"}
    secrets: list[str] = []

    def keep(answer: TestResponse) -> dict[str, str]:
        members = answer.json
        tokens = (members.get(name) for name in ("access_token", "msg", "refresh_token"))
        secrets.extend(token for token in tokens if token)
        kept: dict[str, str] = members
        return kept

    def post(path: str, fields: dict[str, str], **headers: str) -> TestResponse:
        return web.post(f"/token{path}", fields, headers=headers, expect_errors=True)

    said: list[str] = []
    first = keep(web.post_json("/token", login, status=200))["refresh_token"]
    for path, fields, headers in hostile_oauth(first):
        answer = post(path, fields, **headers)
        assert answer.status_int < 500
        said.append(str(answer.headers) + answer.text)
    second = keep(post("", {"grant_type": "refresh_token", "refresh_token": first}))
    own = {"Authorization": f"Bearer {second['access_token']}"}
    said.append(post("/logout", {}, **own).text)
    said.append(post("/logout-all", {}, **own).text)
    said.append(post("", {"grant_type": "refresh_token", "refresh_token": first}).text)
    third = keep(web.post_json("/token", login, status=200))["refresh_token"]
    fourth = keep(post("", {"grant_type": "refresh_token", "refresh_token": third}))
    sessions.store.rotate = _replayed  # type: ignore[method-assign]
    replayed = post("", {"grant_type": "refresh_token", "refresh_token": third})
    said.append(replayed.text + post("/revoke", {"token": fourth["refresh_token"]}).text)
    shown = [repr(one) for one in (sessions.store, *sessions.store.list(), sessions, endpoint)]
    accounts.close()
    assert "token.replayed" in everything.text
    assert "login.limited" in everything.text
    assert_silent(everything.text, secrets)
    assert_silent("\n".join([*said, *shown]), secrets)
    encoded = b64encode(CLIENT.encode()).decode()
    for text in (everything.text, *said):
        assert encoded[:20] not in text
        assert first[::-1][:40] not in text


def _replayed(rotation: object) -> Use:
    return Use(Outcome.REPLAYED)


def test_a_store_that_fails(everything: Everything) -> None:
    def fail(claims: object) -> bool:
        raise OSError(f"cannot reach redis://:{HOSTILE_PASSWORD}@h with {claims}")

    site = Site(is_revoked=fail)
    token = good_token()
    answer = site.ask(token)
    assert answer.status_int == 503
    assert_silent(everything.text + answer.text, [token])


def test_errors_do_not_quote_tokens() -> None:
    verifier = TokenVerifier(keys=KEYS, issuer=ISS, audience=AUD, clock=lambda: NOW)
    for token in hostile_tokens():
        with pytest.raises(JWTMiddlewareError) as caught:
            verifier.verify(token)
        # With all its causes, as an application's own error report would have it.
        shown = "".join(traceback.format_exception(caught.value)).replace("Traceback", "")
        lines = [line for line in shown.splitlines() if not line.startswith(("  ", "    "))]
        assert_silent("\n".join(lines) + repr(caught.value), [token])


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_no_repr_shows_a_key(alg: str) -> None:
    key = Key.from_secret(SECRET) if alg == "HS256" else Key.generate(alg)
    issuer = TokenIssuer(keys=KeySet([key]), issuer=ISS, audience=AUD, clock=lambda: NOW)
    issued = issuer.issue(JWTPayload(uid=1))
    verifier = TokenVerifier(keys=KeySet([key]), issuer=ISS, audience=AUD, clock=lambda: NOW)
    verified = verifier.verify(issued.token)
    parts = (key, KeySet([key]), issuer, issued, verifier, verified)
    shown = "".join(map(repr, parts)) + "".join(map(str, parts)) + f"{vars(issuer)}{vars(verifier)}"
    assert "PRIVATE" not in shown
    assert SECRET.decode() not in shown
    assert issued.token not in repr(issued)
    assert issued.token.split(".")[2] not in repr((issuer, verifier, verified))


@table(
    "make",
    [
        pytest.param(lambda: Key.from_secret("short-" + HOSTILE_PASSWORD[:9]), id="short"),
        pytest.param(
            lambda: Key.from_secret(
                f"-----BEGIN PUBLIC KEY-----\n{HOSTILE_PASSWORD}\n-----END PUBLIC KEY-----\n"
            ),
            id="pem",
        ),
        pytest.param(lambda: Key.from_pem(HOSTILE_PASSWORD, alg="RS256"), id="no-pem"),
        pytest.param(
            lambda: Key.from_jwk({"kty": "oct", "alg": "HS256", "k": HOSTILE_PASSWORD + "="}),
            id="jwk",
        ),
        pytest.param(lambda: Key.from_jwk('{"kty":"oct","k":"' + HOSTILE_PASSWORD), id="json"),
        pytest.param(lambda: Key.from_secret("\ud800" + HOSTILE_PASSWORD * 3), id="surrogate"),
    ],
)
def test_configuration_errors_do_not_quote_secrets(make: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()  # type: ignore[operator]
    error: BaseException | None = caught.value
    while error is not None:
        assert HOSTILE_PASSWORD[:9] not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

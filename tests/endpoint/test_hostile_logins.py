"""Hostile logins: who guesses, and whatever a body can hold."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp, TestResponse

from jwt_middleware import LoginThrottle, TokenEndpoint
from jwt_middleware.accounts.hashing import SecretHasher
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.errors import BadCredentialsError
from jwt_middleware.sessions import MemorySessions

from ..site import (
    NOW,
    PASSWORD,
    VECTORS,
    Site,
    json_vectors,
    token_endpoint,
    verify_account,
)
from ..strategies import CHARACTERS

LOGIN = {"account": "ann", "secret": PASSWORD, "type": "email"}
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture
def web() -> TestApp:
    return Site(endpoint=token_endpoint()).web


def log_in(web: TestApp, **fields: Any) -> TestResponse:
    return web.post_json("/token", {**LOGIN, **fields}, status="*")


def post(web: TestApp, body: bytes, content_type: str, **environ: Any) -> TestResponse:
    headers = {"Content-Type": content_type}
    return web.post("/token", body, headers=headers, extra_environ=environ, status="*")


class CountingHasher(SecretHasher):
    """Counts Argon2 verifications by the parameters that decide what each costs."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost_kib=8)
        self.work: list[str] = []
        verify = self._argon2.verify

        def counted(encoded: str, material: bytes) -> bool:
            self.work.append(encoded.split("$")[3])
            return verify(encoded, material)

        self._argon2 = _Counted(self._argon2, counted)  # type: ignore[assignment]


class _Counted:
    def __init__(self, hasher: object, verify: Callable[[str, bytes], bool]) -> None:
        self._hasher = hasher
        self.verify = verify

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hasher, name)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def accounts(tmp_path: Path, hasher: CountingHasher) -> Iterator[SQLAccounts]:
    accounts = SQLAccounts(f"sqlite:///{tmp_path / 'accounts.db'}", hasher=hasher)
    accounts.create_schema()
    accounts.add("email", "ann@example.com", PASSWORD, scope="read")
    accounts.add("email", "off@example.com", PASSWORD)
    accounts.disable("email", "off@example.com")
    yield accounts
    accounts.close()


REFUSED_LOGINS = {
    "wrong-secret": {"account": "ann@example.com", "secret": "wrong"},
    "unknown": {"account": "bob@example.com"},
    "unknown-and-wrong": {"account": "bob@example.com", "secret": "wrong"},
    "disabled": {"account": "off@example.com"},
    "name-that-none-can-have": {"account": "a\u200bnn@example.com"},
    "injection": {"account": "' OR 1=1 --", "secret": "' OR 1=1 --"},
    "account-of-another-type": {"account": "ann@example.com", "type": "username"},
    "longest-secret": {"account": "ann@example.com", "secret": "x" * 1024},
}


def test_unknown_account_and_wrong_secret_cannot_be_told_apart(
    accounts: SQLAccounts, hasher: CountingHasher
) -> None:
    verifiers = {name: accounts.verifier(name) for name in ("email", "username")}
    web = Site(endpoint=token_endpoint(verifiers=verifiers)).web
    assert log_in(web, account="ann@example.com").status_int == 200
    seen = {}
    for name, fields in REFUSED_LOGINS.items():
        hasher.work.clear()
        answer = log_in(web, **fields)
        seen[name] = (answer.status, sorted(answer.headers.items()), answer.body, (*hasher.work,))
    expected = seen["wrong-secret"]
    assert expected[0] == "401 Unauthorized"
    assert len(expected[3]) == 1
    assert {name: one for name, one in seen.items() if one != expected} == {}


def test_spellings_of_one_account_are_one(accounts: SQLAccounts) -> None:
    web = Site(endpoint=token_endpoint(verifiers={"email": accounts.verifier("email")})).web
    for account in ("ann@example.com", "ANN@Example.com", " ann@example.com ", "ａnn@example.com"):
        assert log_in(web, account=account).status_int == 200


GUESSES = {
    "known": {"account": "ann@example.com", "secret": "wrong"},
    "unknown": {"account": "bob@example.com", "secret": "wrong"},
    "disabled": {"account": "off@example.com", "secret": PASSWORD},
    "name-that-none-can-have": {"account": "a\u200bnn@example.com", "secret": "wrong"},
}


def test_limits_do_not_tell_them_apart_either(
    accounts: SQLAccounts, hasher: CountingHasher
) -> None:
    seen = {}
    for name, fields in GUESSES.items():
        throttle = LoginThrottle(MemorySessions(), clock=lambda: NOW)
        verifiers = {"email": accounts.verifier("email")}
        web = Site(endpoint=token_endpoint(verifiers=verifiers, throttle=throttle)).web
        hasher.work.clear()
        answers = [log_in(web, **fields) for _ in range(7)]
        seen[name] = [(one.status, sorted(one.headers.items()), one.body) for one in answers]
        seen[name].append(((*hasher.work,), [], b""))
    assert [one[0] for one in seen["known"]][:-1] == ["401 Unauthorized"] * 5 + [
        "429 Too Many Requests"
    ] * 2
    assert len(seen["known"][-1][0]) == 5
    assert {name: one for name, one in seen.items() if one != seen["known"]} == {}


class Two:
    """Two workers, or two hosts, that limit logins in one store."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.asked = 0
        store = MemorySessions()
        self.webs = [
            Site(
                endpoint=token_endpoint(
                    verifiers={"email": self.verify, "mobile": self.verify},
                    throttle=LoginThrottle(store, clock=lambda: self.now),
                )
            ).web
            for _ in range(2)
        ]

    def verify(self, account: str, secret: str) -> object:
        self.asked += 1
        if secret != PASSWORD:
            raise BadCredentialsError
        return {"uid": 42, "scope": "read"}

    def guess(self, number: int = 0, **fields: Any) -> TestResponse:
        environ = {"REMOTE_ADDR": fields.pop("address", "192.0.2.1")}
        body = {**LOGIN, "secret": "wrong", **fields}
        web = self.webs[number % 2]
        return web.post_json("/token", body, extra_environ=environ, status="*")


@pytest.fixture
def two() -> Two:
    return Two()


def test_over_the_limit_of_an_account_over_two_workers(two: Two) -> None:
    assert [two.guess(number).status_int for number in range(8)] == [401] * 5 + [429] * 3
    assert two.asked == 5
    refused = two.guess(secret=PASSWORD)
    assert (refused.status_int, refused.headers["Retry-After"]) == (429, "180")
    assert refused.json["code"] == "too_many_attempts"
    assert refused.headers["Cache-Control"] == "no-store"
    assert "WWW-Authenticate" not in refused.headers
    # Other accounts are unaffected, from the same address too.
    assert two.guess(account="bob", secret=PASSWORD).status_int == 200
    assert two.guess(type="mobile", secret=PASSWORD).status_int == 200
    two.now += 179.9
    assert two.guess(secret=PASSWORD).headers["Retry-After"] == "1"
    two.now += 0.1
    assert two.guess(secret=PASSWORD).status_int == 200


def test_over_the_limit_of_an_address_over_two_workers(two: Two) -> None:
    statuses = [two.guess(n, account=f"account-{n}").status_int for n in range(33)]
    assert statuses == [401] * 30 + [429] * 3
    assert two.guess(account="new", secret=PASSWORD).status_int == 429
    assert two.guess(account="new", secret=PASSWORD, address="192.0.2.2").status_int == 200
    for number in range(30):
        assert (
            two.guess(number, account="x" * (number + 1), address=f"2001:db8::{number}").status_int
            == 401
        )
    assert two.guess(account="new", secret=PASSWORD, address="2001:db8::ffff").status_int == 429
    assert two.guess(account="new", secret=PASSWORD, address="2001:db8:0:1::1").status_int == 200


def test_success_takes_back_its_own_and_makes_its_address_known(two: Two) -> None:
    assert two.guess(secret=PASSWORD).status_int == 200
    for round_ in range(2):
        assert [two.guess(number).status_int for number in range(4)] == [401] * 4
        assert two.guess(round_, secret=PASSWORD).status_int == 200
    assert [two.guess(number).status_int for number in range(4)] == [401] * 2 + [429] * 2
    # Nor does what succeeds from there help with guesses at another account.
    assert [two.guess(account="b").status_int for _ in range(6)] == [401] * 5 + [429]


def test_spellings_and_forged_headers_do_not_help(two: Two) -> None:
    for account in ("ann@x", "ANN@x", " ann@x", "ａnn@x", "ann@X "):
        assert two.guess(account=account).status_int == 401
    assert two.guess(account="aNN@x").status_int == 429
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP"):
        answer = two.webs[0].post_json(
            "/token",
            {**LOGIN, "account": "ann@x"},
            headers={header: "9.9.9.9"},
            extra_environ={"REMOTE_ADDR": "192.0.2.1"},
            status="*",
        )
        assert answer.status_int == 429


def post_raw(endpoint: TokenEndpoint, body: object, **environ: Any) -> tuple[str, bytes]:
    """Call the endpoint as a server would, without anything that corrects the request."""
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    asked = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/token",
        "SERVER_NAME": "h",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": body,
        **environ,
    }
    octets = b"".join(endpoint(asked, start_response))
    return statuses[0], octets


@pytest.mark.parametrize("size", [65, 72, 73, 128, 1023])
def test_long_secrets_are_not_truncated(size: int, accounts: SQLAccounts) -> None:
    secret = "é" * size
    accounts.add("email", "long@example.com", secret)
    web = Site(endpoint=token_endpoint(verifiers={"email": accounts.verifier("email")})).web
    assert log_in(web, account="long@example.com", secret=secret).status_int == 200
    for other in (secret[:-1], secret + "x", secret[:-1] + "e", secret[:64], secret[: size // 2]):
        assert log_in(web, account="long@example.com", secret=other).status_int == 401


EXTRA = {
    "sub": "1", "uid": 1, "scope": "admin", "role": "admin", "exp": 9_999_999_999, "aud": "other",
    "iss": "evil", "jti": "x", "auth": "root", "ac_type": "service", "expires_in": 10**9,
    "lifetime_seconds": 10**9, "client_types": ["x"], "formdata": {"a": 1}, "obj": 1, "prefix": "x",
    "data": {}, "meta": {"csrf": True}, "__class__": "x", "__init__": 1, "kid": "x", "alg": "none",
    "validate": 1, "errors": {}, "_fields": {}, "extra_validators": 1, "language": "zz",
}  # fmt: skip


def test_extra_fields_have_no_effect() -> None:
    site = Site(endpoint=token_endpoint())
    plain = site.verifier.verify(log_in(site.web).json["access_token"]).claims
    for extra in (EXTRA, *({name: value} for name, value in EXTRA.items())):
        answer = log_in(site.web, **extra)
        assert answer.json["expires_in"] == 7200
        assert answer.json["scope"] == "read"
        claims = site.verifier.verify(answer.json["access_token"]).claims
        assert {**claims, "jti": ""} == {**plain, "jti": ""}


# Whatever is sent


@pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/vectors is not there")
def test_json_test_suite_as_bodies(web: TestApp) -> None:
    seen = 0
    for name, document, _ in json_vectors():
        seen += 1
        status = post(web, document, "application/json").status_int
        assert status == (413 if len(document) > 65_536 else 400), name
    assert seen == 283


@pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/vectors is not there")
def test_json_test_suite_as_members_of_a_body(web: TestApp) -> None:
    login = json.dumps(LOGIN).encode()[:-1] + b',"x":'
    accepted, refused = [], []
    for name, document, valid in json_vectors():
        status = post(web, login + document + b"}", "application/json").status_int
        assert status in {200, 400, 413}, name
        if valid and status != 200:
            refused.append(name)
        elif not valid and status == 200:
            accepted.append(name)
    # Not valid alone, and valid where something follows; or the value ends the object itself.
    assert [name for name in accepted if not name.startswith("i_")] == []
    assert [name for name in refused if "duplicated" not in name and "surrogate" not in name
            and "noncharacter" not in name] == []  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(CHARACTERS, max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(["account", "secret", "type", "x", "formdata", "data", "meta"]), JSON
)
CONTENT_TYPES = st.one_of(
    st.sampled_from(["application/json", URLENCODED, "multipart/form-data; boundary=x", ""]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
    st.lists(
        st.sampled_from(
            ["application/json", ";", "charset", "=", "*", "*0", "*0*", "''", "%", "utf-8", '"',
             "\\", " "]
        )
    ).map("".join),
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=200),
    FIELDS.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.dictionaries(
        st.sampled_from(["account", "secret", "type"]), st.text(CHARACTERS, max_size=9)
    ).map(lambda fields: urlencode(fields, errors="surrogatepass").encode()),
)
BARE = token_endpoint(verifiers={"email": verify_account, "service": verify_account})


@given(BODIES, CONTENT_TYPES, st.booleans(), st.sampled_from(["en", "zh-CN,zh;q=0.9"]))
def test_any_body_is_answered(
    body: bytes,
    content_type: str,
    chunked: bool,  # noqa: FBT001
    language: str,
) -> None:
    environ: dict[str, Any] = {"CONTENT_TYPE": content_type, "HTTP_ACCEPT_LANGUAGE": language}
    environ |= {"wsgi.input_terminated": True} if chunked else {"CONTENT_LENGTH": str(len(body))}
    status, octets = post_raw(BARE, io.BytesIO(body), **environ)
    assert int(status[:3]) in {200, 400, 401, 413, 415}
    assert json.loads(octets)


def test_hostile_bodies_cost_little(web: TestApp) -> None:
    # Each is as long as a body may be; the bound is wide, the work is some milliseconds.
    for body, content_type in (
        (b"[" * 65_000, "application/json"),
        (b'{"a":' * 13_000, "application/json"),
        (b'"' + b"\\" * 65_000, "application/json"),
        (b'"' + b'\\"' * 32_000, "application/json"),
        (b"9" * 65_000, "application/json"),
        (b'{"x":' + b"9" * 4_300 + b"}", "application/json"),
        (b"&" * 65_000, URLENCODED),
        (b"a=1&" * 16_000, URLENCODED),
        (b"%" * 65_000, URLENCODED),
        (json.dumps({**LOGIN, "account": "\u0301\u0323" * 120}).encode(), "application/json"),
        (b"{}", "application/json" + ";a=b" * 2_000),
        (b"{}", 'application/json; a="' + "\\" * 8_000),
        (b"{}", "application/json" + " " * 8_000 + "x"),
        (b"{}", "application/json;" + "a*0" * 2_500),
    ):
        began = time.process_time()
        assert post(web, body, content_type).status_int in {400, 401, 415}
        assert time.process_time() - began < 1

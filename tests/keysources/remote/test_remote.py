from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.trust import TrustedIssuer
from jwt_middleware.core.verifier import TokenVerifier
from jwt_middleware.errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    InvalidTokenError,
    UnavailableError,
    UnknownKeyError,
)
from jwt_middleware.keysources.remote.fetching import Fetched
from jwt_middleware.keysources.remote.remote import RemoteJWKS

from ...table import table

if TYPE_CHECKING:
    from jwt_middleware.testing import FrozenClock
    from tests.keysources.conftest import Background, KeyServer

ISSUER = "https://login.example.org"


def claims() -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": "api", "sub": "42", "exp": now + 60, "jti": "x", "iat": now}


def sign(key: Key, **header: Any) -> str:
    members = {"alg": key.alg, "kid": key.kid} | header
    return serialize(encode_object(members), encode_object(claims()), key.sign)


def trusting(keys: RemoteJWKS, **parts: Any) -> TokenVerifier:
    return TokenVerifier(trusted=[TrustedIssuer(issuer=ISSUER, audience="api", keys=keys, **parts)])


@pytest.fixture
def make(
    server: KeyServer, clock: FrozenClock, background: Background
) -> Callable[..., RemoteJWKS]:
    """Return a function that makes a source over the server, with clock and background to set."""

    def make(**parts: Any) -> RemoteJWKS:
        defaults: dict[str, Any] = {"clock": clock, "spawn": background}
        return RemoteJWKS(server.url(), **(defaults | parts))

    return make


@pytest.mark.parametrize(
    ("alg", "make_key"),
    [
        ("RS256", lambda: RSAKey.generate_key(2048)),
        ("PS256", lambda: RSAKey.generate_key(2048)),
        ("ES256", lambda: ECKey.generate_key("P-256")),
        ("ES512", lambda: ECKey.generate_key("P-521")),
        ("EdDSA", lambda: OKPKey.generate_key("Ed25519")),
        ("Ed25519", lambda: OKPKey.generate_key("Ed25519")),  # RFC 9864
    ],
)
def test_verifies_tokens_of_joserfc(
    server: KeyServer, make: Callable[..., RemoteJWKS], alg: str, make_key: Callable[[], Any]
) -> None:
    key = make_key()
    public = key.as_dict(private=False) | {"kid": "theirs"}
    server.answer({"keys": [public]})
    keys = make(algorithms=[alg])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA is to be called Ed25519: RFC 9864
        token = joserfc_jwt.encode({"alg": alg, "kid": "theirs"}, claims(), key, algorithms=[alg])
    assert trusting(keys).verify(token).claims["sub"] == "42"


@pytest.mark.parametrize("alg", ["RS256", "ES384", "EdDSA"])
def test_verifies_tokens_of_authlib(
    server: KeyServer, make: Callable[..., RemoteJWKS], alg: str
) -> None:
    with warnings.catch_warnings(record=True, action="always"):  # it recommends joserfc
        authlib = importlib.import_module("authlib.jose")
        # Not generated there: it drops leading zeros of a coordinate, against RFC 7518 §6.2.1.2.
        key = authlib.JsonWebKey.import_key(Key.generate(alg, kid="theirs").private_jwk())
        server.answer(authlib.KeySet([key]).as_dict(is_private=False))
        header = {"alg": alg, "kid": "theirs"}
        token = authlib.JsonWebToken([alg]).encode(header, claims(), key).decode()
    verifier = trusting(make())
    assert verifier.verify(token).claims["sub"] == "42"
    with pytest.raises(InvalidTokenError):
        verifier.verify(token[:-8] + "AAAAAAAA")


def test_verifies_with_its_own_thread_and_clock(server: KeyServer, key_a: Key, key_b: Key) -> None:
    server.publish(key_a)
    keys = RemoteJWKS(server.url(), wait_seconds=60)
    verifier = trusting(keys)
    assert verifier.verify(sign(key_a)).subject == "42"
    server.publish(key_a, key_b)
    assert verifier.verify(sign(key_b)).subject == "42"
    assert verifier.verify(sign(key_a)).keys is keys.current()
    assert server.hits == ["/jwks"] * 2


def test_fetches_once_for_a_thousand_unknown_kids(
    server: KeyServer, make: Callable[..., RemoteJWKS], clock: FrozenClock, key_a: Key, key_b: Key
) -> None:
    server.publish(key_a)
    verifier = trusting(make())
    verifier.verify(sign(key_a))
    for period in (1, 2):
        for number in range(1000):
            with pytest.raises(UnknownKeyError):
                verifier.verify(sign(key_b, kid=str(number)))
        assert len(server.hits) == 1 + period
        clock.now += 30


def test_fetches_once_for_unknown_kids_of_a_server_that_is_down(
    server: KeyServer, make: Callable[..., RemoteJWKS], key_a: Key, key_b: Key
) -> None:
    server.publish(key_a)
    verifier = trusting(make())
    verifier.verify(sign(key_a))
    server.answer(b"", status=500)
    for number in range(100):
        with pytest.raises(UnknownKeyError):
            verifier.verify(sign(key_b, kid=str(number)))
    assert len(server.hits) == 2
    assert verifier.verify(sign(key_a)).subject == "42"


def test_contacts_nobody_whom_a_token_names(
    server: KeyServer, other_server: KeyServer, make: Callable[..., RemoteJWKS], key_a: Key
) -> None:
    mallory = Key.generate("ES256", kid="mallory")
    server.publish(key_a)
    other_server.publish(mallory)
    verifier = trusting(make())
    for number in range(10):
        header = {"jku": other_server.url(), "x5u": other_server.url(), "kid": f"m{number}"}
        with pytest.raises(UnknownKeyError):
            verifier.verify(sign(mallory, **header))
    with pytest.raises(InvalidTokenError):
        verifier.verify(sign(mallory, kid="a", jwk=mallory.public_jwk()))
    assert other_server.hits == []
    assert set(server.hits) == {"/jwks"}


def test_lives_through_an_outage_up_to_the_stated_age(
    server: KeyServer, make: Callable[..., RemoteJWKS], clock: FrozenClock, key_a: Key
) -> None:
    server.publish(key_a, Cache_Control="max-age=300")
    keys = make(max_stale_seconds=3600)
    verifier, token = trusting(keys), sign(key_a)
    verifier.verify(token)
    server.answer(b"", status=503)
    for _ in range(35):
        clock.now += 100
        assert verifier.verify(token).subject == "42"
    clock.now += 100
    with pytest.raises(UnavailableError, match="status 503"):
        verifier.verify(token)
    server.publish(key_a)
    clock.now += 75
    assert verifier.verify(token).subject == "42"


def test_forgets_tokens_whose_key_is_no_longer_published(
    server: KeyServer, make: Callable[..., RemoteJWKS], clock: FrozenClock, key_a: Key, key_b: Key
) -> None:
    server.publish(key_a, Cache_Control="max-age=60")
    verifier, token = trusting(make()), sign(key_a)
    verifier.verify(token)
    server.publish(key_b)
    clock.now += 60
    with pytest.raises(UnknownKeyError):
        verifier.verify(token)


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda server: server.answer(b"<html>"), id="garbage"),
        pytest.param(lambda server: server.answer(b""), id="nothing"),
        pytest.param(lambda server: server.answer({"keys": []}), id="empty"),
        pytest.param(lambda server: server.answer(b" " * 1_048_577), id="huge"),
        pytest.param(lambda server: server.answer(b"", status=304), id="not modified"),
        pytest.param(lambda server: server.answer(b"", status=500), id="server error"),
        pytest.param(
            lambda server: server.answer(b"", status=302, Location="https://b.example/jwks"),
            id="redirect to another origin",
        ),
        pytest.param(lambda server: server.answer_raw(b"garbage"), id="no HTTP"),
    ],
)
def test_keeps_the_last_good_keys(
    server: KeyServer,
    make: Callable[..., RemoteJWKS],
    clock: FrozenClock,
    key_a: Key,
    break_it: Callable[[KeyServer], None],
) -> None:
    server.publish(key_a)
    keys = make()
    first = keys.current()
    break_it(server)
    clock.now += 601
    assert keys.current() is first
    assert len(server.hits) == 2
    server.publish(key_a, Content_Type="text/plain")
    clock.now += 2
    assert keys.current() is first
    assert len(server.hits) == 3


def test_a_known_key_never_waits_for_a_server_that_hangs(
    server: KeyServer, clock: FrozenClock, key_a: Key
) -> None:
    server.publish(key_a)
    verifier = trusting(RemoteJWKS(server.url(), clock=clock, wait_seconds=60))
    tokens = [sign(key_a) for _ in range(50)]
    verifier.verify(tokens[0])
    server.hang()
    clock.now += 601
    verifier.verify(tokens[0])
    assert server.arrived.wait(60)
    for token in tokens:
        assert verifier.verify(token).subject == "42"
    assert not server.release.is_set()
    assert len(server.hits) == 2


def test_a_request_without_keys_waits_no_longer_than_it_is_told(server: KeyServer) -> None:
    server.hang()
    keys = RemoteJWKS(server.url(), wait_seconds=0.05)
    with pytest.raises(UnavailableError, match="not fetched yet"):
        keys.current()
    assert not server.release.is_set()


def test_threads_that_come_first_share_one_fetch(server: KeyServer, key_a: Key) -> None:
    server.publish(key_a)
    verifier = trusting(RemoteJWKS(server.url(), wait_seconds=60))
    token, start, subjects = sign(key_a), threading.Barrier(8), []

    def run() -> None:
        start.wait()
        subjects.append(verifier.verify(token).subject)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert subjects == ["42"] * 8
    assert server.hits == ["/jwks"]


FORK = """
import json, os, sys, threading
from jwt_middleware.core.keys import Key
from jwt_middleware.keysources.remote.fetching import KeyURL, choose_fetch
from jwt_middleware.keysources.remote.remote import RemoteJWKS

parent, now, in_flight = os.getpid(), [1000.0], threading.Event()
over_http = choose_fetch(None, KeyURL.parse(sys.argv[1]), allow_http=False, ca_file=None)

def fetch(url):
    if os.getpid() == parent and now[0] > 1000.0:
        in_flight.set()
        threading.Event().wait()
    return over_http(url)

keys = RemoteJWKS(sys.argv[1], clock=lambda: now[0], fetch=fetch, wait_seconds=60)
first = keys.current()
print("fetched", flush=True)
sys.stdin.readline()
now[0] += 601
assert keys.current() is first
assert in_flight.wait(60)
children = []
for number in range(2):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            same = keys.current() is first
            kids = [key.kid for key in keys.refreshed("b")]
            status = 0 if same and kids == ["b"] else 2
        finally:
            os._exit(status)
    children.append(pid)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]))
"""


def test_forked_children_keep_the_keys_and_fetch_for_themselves(
    server: KeyServer, key_a: Key, key_b: Key
) -> None:
    server.publish(key_a)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORK, server.url()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "fetched\n"
        server.publish(key_b)
        output, _ = parent.communicate("\n", timeout=60)
    assert json.loads(output) == [0, 0]
    assert server.hits == ["/jwks"] * 3


def test_keeps_no_process_from_ending(server: KeyServer) -> None:
    server.hang()
    code = (
        "import sys; from jwt_middleware.keysources.remote.remote import RemoteJWKS\n"
        "try: RemoteJWKS(sys.argv[1], wait_seconds=0.05).current()\n"
        "except Exception as error: print(type(error).__name__)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, server.url()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("UnavailableError\n", "")
    assert not server.release.is_set()


def test_starts_no_thread_and_opens_no_connection_when_it_is_made(server: KeyServer) -> None:
    threads = threading.active_count()
    RemoteJWKS(server.url())
    assert threading.active_count() == threads
    assert server.hits == []


def test_fetches_with_what_it_is_given(key_a: Key) -> None:
    asked: list[str] = []

    def fetch(url: str, /) -> Fetched:
        asked.append(url)
        return Fetched(json.dumps({"keys": [key_a.public_jwk()]}).encode(), None, url)

    keys = RemoteJWKS("https://a.example/jwks?tenant=1", fetch=fetch, wait_seconds=60)
    assert isinstance(keys.current(), KeySet)
    assert asked == ["https://a.example/jwks?tenant=1"]
    assert repr(keys) == "<RemoteJWKS https://a.example/jwks>"


def test_a_key_of_an_alg_that_is_not_accepted_is_not_there(
    server: KeyServer, make: Callable[..., RemoteJWKS], key_a: Key
) -> None:
    ed = Key.generate("EdDSA", kid="ed")
    server.publish(key_a, ed)
    verifier = trusting(make(algorithms="EdDSA"))
    assert verifier.verify(sign(ed)).subject == "42"
    with pytest.raises(UnknownKeyError):
        verifier.verify(sign(key_a))
    with pytest.raises(AlgorithmNotAllowedError):
        verifier.verify(sign(key_a, kid="ed"))


@table(
    ("url", "parts", "reason"),
    [
        pytest.param("http://a.example/", {}, "https", id="plain HTTP"),
        pytest.param("https://a.example/", {"algorithms": ["none"]}, "algorithms", id="algorithms"),
        pytest.param("https://a.example/", {"algorithms": []}, "algorithms", id="no algorithms"),
        pytest.param("https://a.example/", {"ca_file": "/none"}, "ca_file", id="no CA file"),
        pytest.param("https://a.example/", {"wait_seconds": -1}, "wait_seconds", id="timing"),
        pytest.param(
            "https://a.example/", {"ca_file": "x", "fetch": id}, "ca_file is for", id="CA and fetch"
        ),
    ],
)
def test_refuses_parts_that_are_unusable(url: str, parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        RemoteJWKS(url, **parts)


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt_middleware.keysources.remote.http", None)
    monkeypatch.delattr("jwt_middleware.keysources.remote.http", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'wsgi-jwt-middleware\[remote\]'"):
        RemoteJWKS("https://a.example/")


def test_is_imported_without_urllib3() -> None:
    code = (
        "import sys; from jwt_middleware.keysources.remote import discovery, remote\n"
        "assert 'urllib3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

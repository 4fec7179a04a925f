from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestApp

from jwt_middleware import Key
from jwt_middleware.config import load
from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.core.trust import TrustedIssuer
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.remote.discovery import DiscoveredJWKS
from jwt_middleware.wsgi.environ import get_scopes

from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

KEY = Key.generate("ES256", kid="k")
RSA = Key.generate("RS256", kid="r")
SECRET = "a secret of their own, of thirty-two bytes"
ISSUER = "https://login.example.org"
HEAD = f"[[trusted]]\nissuer = '{ISSUER}'\naudience = 'api'\n"
FILE = HEAD + "jwks_file = 'keys.json'\n"

Write = Callable[[str], Path]
Build = Callable[[str], TrustedIssuer]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a configuration, beside a file of keys."""
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [KEY.public_jwk()]}))

    def write(text: str) -> Path:
        (tmp_path / "jwt.toml").write_text(text, encoding="utf-8")
        return tmp_path / "jwt.toml"

    return write


@pytest.fixture
def build(write: Write) -> Build:
    def build(text: str) -> TrustedIssuer:
        verifier = load(write(text)).build_verifier(None)
        return next(iter(verifier.trusted.values()))

    return build


def token(key: Key = KEY, alg: str | None = None, **claims: Any) -> str:
    complete = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": int(time.time()) + 60} | claims
    present = {name: value for name, value in complete.items() if value is not None}
    header = encode_object({"alg": alg or key.alg, "kid": key.kid})
    return serialize(header, encode_object(present), key.sign)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {"user": environ.get("REMOTE_USER"), "scopes": sorted(get_scopes(environ))}
    return [json.dumps(seen).encode()]


def test_every_term_is_that_of_the_issuer(build: Build) -> None:
    one = build(
        HEAD.replace(f"'{ISSUER}'", "'https://a.example/{tid}/'")
        + """
        jwks_file = "keys.json"
        tenants = ["t1", "t2"]
        algorithms = ["Ed25519", "ES256"]
        kind = "id"
        audience_claim = ["a", "b.c"]
        subject_from = ["sub", { claim = "azp", prefix = "client:" }]
        scopes_from = ["scope", ["x", "y"], { claim = "z", keys = true }]
        require_any = [["scp"], "roles"]
        max_token_lifetime_seconds = 900
        header = "X-Token"
        """
    )
    assert one.issuers == ("https://a.example/t1/", "https://a.example/t2/")
    assert one.algorithms == frozenset({"EdDSA", "ES256"})
    assert (one.kind, one.header, one.leeway_seconds) == ("id", "X-Token", 30)
    assert one.audience_claim == ("a", "b.c")
    assert one.subject_from == ((("sub",), ""), (("azp",), "client:"))
    assert one.scopes_from == ((("scope",), False), (("x", "y"), False), (("z",), True))
    assert one.require_any == (("scp",), ("roles",))
    assert one.max_token_lifetime_seconds == 900


def test_the_own_issuer_has_the_same_terms_at_the_top_level(write: Write) -> None:
    (write("").parent / "key.jwk").write_text(json.dumps(KEY.public_jwk()))
    config = write(
        f"""
        issuer = "{ISSUER}"
        audience = "api"
        audience_claim = "client_id"
        subject_from = [{{ claim = "client_id", prefix = "c:" }}]
        scopes_from = [["realm_access", "roles"]]
        require_any = ["jti"]
        max_token_lifetime_seconds = 600
        kind = "access"
        header = "X-Token"
        [keys]
        jwk_file = "key.jwk"
        """
    )
    site = TestApp(load(config).protect(app))
    claims: dict[str, Any] = {
        "aud": None,
        "sub": None,
        "client_id": "api",
        "jti": "x",
        "iat": int(time.time()),
        "realm_access": {"roles": ["admin"]},
    }
    answer = site.get("/", headers={"X-Token": token(**claims)})
    assert answer.json == {"user": "c:api", "scopes": ["admin"]}
    site.get("/", headers={"Authorization": f"Bearer {token(**claims)}"}, status=401)
    for wrong in ({"jti": ""}, {"exp": int(time.time()) + 900}, {"client_id": "other"}):
        site.get("/", headers={"X-Token": token(**claims | wrong)}, status=401)


@table(
    ("text", "error"),
    [
        (FILE + "scopes_from = []", "trusted[1].scopes_from must be a list"),
        (FILE + "scopes_from = 'scope'", "trusted[1].scopes_from: must be a list"),
        (FILE + "subject_from = ['azp']", "trusted[1].subject_from: azp needs a prefix"),
        (FILE + "audience_claim = []", "trusted[1].audience_claim must be the name"),
        (FILE + "require_any = []", "trusted[1].require_any must be a list"),
        (FILE + "kind = 'refresh'", 'trusted[1].kind: must be "access" or "id"'),
        (FILE + "header = 'X_A'", "trusted[1].header must be the name"),
        (FILE + "max_token_lifetime_seconds = 0", "trusted[1].max_token_lifetime_seconds must"),
        (FILE + "tenants = ['t']", "trusted[1].tenants: issuer must contain {tid}"),
        (FILE + "kid = 'x'", "trusted[1].jwks_file: "),
        (FILE + "discovery_url = 'https://a.example'", "jwks_file and discovery_url exclude"),
        (FILE + "secret_env = 'X'", "jwks_file and secret_env exclude each other"),
        (FILE + "bearer_token_file = 'x'", "trusted[1].bearer_token_file: is for fetched keys"),
        (HEAD + "discovery = true\nkid = 'x'", "trusted[1].kid: is for the key of a PEM"),
        (HEAD + "discovery_url = 'ftp://x'", "trusted[1].discovery_url: a URL must be https"),
        (HEAD + "secret_env = 'ABSENT_SECRET'", "trusted[1].secret_env: the environment variable"),
        (HEAD + "secret_file = 'absent'", "trusted[1].secret_file: "),
        (HEAD + "secret_file = 'jwt.toml'\nalgorithms = ['RS256']", "trusted[1].secret_file: alg"),
        (
            HEAD.replace(ISSUER, "https://a/{tid}") + "discovery = true\ntenants = ['t']",
            "trusted[1].discovery: an issuer with {tid} has no metadata of its own",
        ),
        (
            HEAD + "discovery = true\nbearer_token_file = 'absent'",
            "trusted[1].discovery: bearer_token_file ",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_that_names_it(write: Write, text: str, error: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(text)).build_verifier(None, environ={})
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alg", ["HS256", "HS384"])
@pytest.mark.parametrize("source", ["secret_env = 'THEIR_SECRET'", "secret_file = 'theirs'"])
def test_a_secret_can_be_shared_with_an_issuer(write: Write, source: str, alg: str) -> None:
    secret = SECRET * 2
    algorithms = "" if alg == "HS256" else f"algorithms = ['{alg}']\n"
    config = write(HEAD + source + f"\nkid = 'theirs'\n{algorithms}")
    (config.parent / "theirs").write_text(secret + "\n")
    environ = {"THEIR_SECRET": secret}
    site = TestApp(load(config).protect(app, environ))
    key = Key.from_secret(secret, alg=alg, kid="theirs")
    assert site.get("/", headers={"Authorization": f"Bearer {token(key)}"}).json["user"] == "ann"
    other = Key.from_secret(SECRET * 3, alg=alg, kid="theirs")
    site.get("/", headers={"Authorization": f"Bearer {token(other)}"}, status=401)


def test_discovery_url_is_apart_from_the_issuer(build: Build) -> None:
    one = build(HEAD + "discovery_url = 'https://b.example/x/openid-configuration'")
    assert isinstance(one.keys, DiscoveredJWKS)
    assert repr(one.keys) == "<DiscoveredJWKS https://b.example/x/openid-configuration>"


class Counting(HTTPServer):
    hits = 0


@pytest.fixture
def published() -> Iterator[Counting]:
    """A server of keys: one for ES256, and one for RSA that names no alg."""
    rsa = {name: value for name, value in RSA.public_jwk().items() if name != "alg"}
    document = json.dumps({"keys": [KEY.public_jwk(), rsa]}).encode()

    class Handler(BaseHTTPRequestHandler):
        server: Counting

        def do_GET(self) -> None:
            self.server.hits += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None: ...

    with Counting(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_one_url_of_several_issuers_is_fetched_once(write: Write, published: Counting) -> None:
    url = f"jwks_url = 'http://127.0.0.1:{published.server_port}/'\n"
    algorithms = (["ES256"], ["RS256", "ES256"], ["PS256"], None)
    text = ""
    for number, accepted in enumerate(algorithms):
        text += HEAD.replace(ISSUER, f"https://{number}.example") + url
        text += "" if accepted is None else f"algorithms = {accepted}\n"
    site = TestApp(load(write(text)).protect(app))
    pss = Key.from_jwk({**RSA.private_jwk(), "alg": "PS256"})

    def status(number: int, key: Key) -> int:
        signed = token(key, iss=f"https://{number}.example")
        headers = {"Authorization": f"Bearer {signed}"}
        return int(site.get("/", headers=headers, expect_errors=True).status_int)

    # Each accepts what it is configured for, and no more for what the others are.
    assert [status(number, KEY) for number in range(4)] == [200, 200, 401, 200]
    assert [status(number, RSA) for number in range(4)] == [401, 200, 401, 200]
    assert status(2, pss) == 200
    assert [status(number, pss) for number in (0, 1)] == [401, 401]
    # The 401 for another alg than any key's were looks, of which there is one in half a minute.
    assert published.hits <= 2


class TestRules:
    @pytest.fixture
    def site(self, write: Write) -> Callable[[str], TestApp]:
        def site(rule: str) -> TestApp:
            return TestApp(load(write(f"{FILE}[[rules]]\npath = '/a'\n{rule}\n")).protect(app))

        return site

    @pytest.mark.parametrize(
        ("rule", "status"),
        [
            ("claims = { realm_access.roles = 'admin' }", 200),
            ("claims = { realm_access = { roles = ['x', 'admin'] } }", 200),
            ("claims = { 'realm_access.roles' = 'admin' }", 403),
            ("claims_all = { realm_access.roles = ['admin', 'user'] }", 200),
            ("claims_all = { realm_access.roles = ['admin', 'x'] }", 403),
            ("claims_prefix = { sub = 'repo:octo-org/' }", 200),
            ("claims_prefix = { sub = ['x', 'repo:octo'] }", 200),
            ("claims_prefix = { sub = 'octo-org/' }", 403),
            ("claims_absent = ['act', ['realm_access', 'x']]", 200),
            ("claims_absent = [['realm_access', 'roles']]", 403),
            ("scopes_any = ['x', 'read']", 200),
            ("scopes_any = ['x', 'y']", 403),
            ("scopes = ['write']", 403),
        ],
    )
    def test_ask_for_claims(self, site: Callable[[str], TestApp], rule: str, status: int) -> None:
        claims: dict[str, Any] = {
            "sub": "repo:octo-org/app",
            "realm_access": {"roles": ["admin", "user"]},
            "scope": ["read", "x write"],
        }
        headers = {"Authorization": f"Bearer {token(**claims)}"}
        assert site(rule).get("/a", headers=headers, expect_errors=True).status_int == status

    @pytest.mark.parametrize(
        "rule",
        [
            "claims = { a = [] }",
            "claims = { a = {} }",
            "claims_all = { a = [] }",
            "claims_prefix = { a = '' }",
            "claims_prefix = { a = [] }",
            "claims_absent = []",
            "claims_absent = 'a'",
            "claims = { a = 1 }\nclaims_absent = ['a']",
            "claims_absent = ['iss']",
            "claims = { iss = 5 }",
            "claims = { a = nan }",
            "scopes_any = []",
            "access = 'public'\nclaims_absent = ['a']",
        ],
    )
    def test_that_can_never_match_are_refused(
        self, site: Callable[[str], TestApp], rule: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"jwt.toml: rules\[1\]") as caught:
            site(rule)
        assert "\n" not in str(caught.value)

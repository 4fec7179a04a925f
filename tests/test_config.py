from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from webtest import TestApp

import jwt_middleware
from jwt_middleware import JWTMiddleware, JWTPayload, Key, KeySet, TokenIssuer, wrap
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.config import Settings, from_environment, load
from jwt_middleware.config.reading import Section
from jwt_middleware.errors import ConfigurationError, InvalidTokenError
from jwt_middleware.keysources.file.keyfile import KeyFile
from jwt_middleware.keysources.remote.discovery import DiscoveredJWKS
from jwt_middleware.keysources.remote.remote import RemoteJWKS
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.ring import KeyRing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECRET = "a secret of thirty-two bytes or more"
PAYLOAD = JWTPayload(uid=42, scope="read", ac_type="email")
EC_KEY = ec.generate_private_key(ec.SECP256R1())
NO_ENCRYPTION = serialization.NoEncryption()

HEAD = 'issuer = "https://auth.example.com"\naudience = "api"\n'
KEYS = '[keys]\nsecret_file = "secret"\n'
LOGIN_ISSUER = "https://login.example.org"
TRUSTED = f"[[trusted]]\nissuer = '{LOGIN_ISSUER}'\naudience = 'api'\n"
ACCOUNTS = '[accounts]\nurl = "sqlite:///accounts.db"\n'
LOGIN = {"account": "ann@example.com", "secret": "right", "type": "email"}

Serving = Callable[..., Any]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def private_pem(encryption: serialization.KeySerializationEncryption = NO_ENCRYPTION) -> bytes:
    return EC_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def public_pem() -> bytes:
    return EC_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def write(folder: Path, text: str) -> Path:
    """Write a configuration; without issuer and audience or [keys] of its own it gets ours."""
    file = folder / "jwt.toml"
    top = re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    head = "" if re.search(r"\b(issuer|audience) ?=", top) else HEAD
    keys = "" if re.search(r"\[keys\]|^\s*keys =", text, re.MULTILINE) else KEYS
    file.write_text(f"{head}{text}\n{keys}", encoding="utf-8")
    return file


def write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def issuer_of(key: Key) -> TokenIssuer:
    return TokenIssuer(keys=KeySet([key]), issuer="https://auth.example.com", audience="api")


def token(secret: str | bytes = SECRET) -> str:
    return issuer_of(Key.from_secret(secret)).issue(PAYLOAD).token


def keys_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> KeySet:
    own = settings.build_own(environ)
    assert own is not None
    return own.keys.current()


def get(url: str, bearer: str | None = None) -> int:
    request = urllib.request.Request(url)  # noqa: S310  a URL of our own
    if bearer is not None:
        request.add_header("Authorization", f"Bearer {bearer}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class TestWrap:
    def test_protects_an_app(self, folder: Path) -> None:
        protected = TestApp(wrap(folder / "jwt.toml", app))
        protected.get("/", status=401)
        protected.get("/", headers={"Authorization": f"Bearer {token()}"}, status=200)

    def test_takes_a_path_as_text(self, folder: Path) -> None:
        assert isinstance(wrap(str(folder / "jwt.toml"), app), JWTMiddleware)

    def test_takes_the_name_of_an_app(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "named_app.py").write_text(
            "class site:\n    @staticmethod\n    def app(environ, start_response): ...\n"
        )
        monkeypatch.syspath_prepend(folder)
        protected = wrap(folder / "jwt.toml", "named_app:site.app")
        assert protected.app is sys.modules["named_app"].site.app

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            pytest.param("json", ['"module:attr"'], id="no attribute"),
            pytest.param("json:", ['"module:attr"'], id="empty attribute"),
            pytest.param("json:loads()", ['"module:attr"'], id="a call"),
            pytest.param("no_such_app:app", ["no module 'no_such_app'", "PYTHONPATH"], id="module"),
            pytest.param("json.nothing:app", ["no module 'json.nothing'"], id="submodule"),
            pytest.param("no_such.app:app", ["no module 'no_such'"], id="package"),
            pytest.param("json:loader", ["no 'loader' in 'json'", "behind the colon"], id="attr"),
            pytest.param("json:decoder.nope", ["no 'nope' in 'json'"], id="dotted attribute"),
            pytest.param("json:__doc__", ["is not callable"], id="not callable"),
        ],
    )
    def test_names_an_app_that_is_not_there(
        self, folder: Path, name: str, parts: list[str]
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(folder / "jwt.toml", name)
        assert_one_line(caught.value, [repr(name), *parts])

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            pytest.param("import no_such_dependency", ModuleNotFoundError, id="module"),
            pytest.param("from json import no_such_name", ImportError, id="name"),
            pytest.param("1 / 0", ZeroDivisionError, id="anything else"),
            pytest.param("raise ModuleNotFoundError", ModuleNotFoundError, id="nameless"),
        ],
    )
    def test_leaves_the_errors_of_the_app_alone(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        source: str,
        error: type[Exception],
    ) -> None:
        (folder / "broken_app.py").write_text(source + "\n")
        monkeypatch.syspath_prepend(folder)
        with pytest.raises(error) as caught:
            wrap(folder / "jwt.toml", "broken_app:app")
        assert not isinstance(caught.value, ConfigurationError)

    def test_creates_and_connects_nothing(self, folder_with_endpoint: Path) -> None:
        before = sorted(folder_with_endpoint.iterdir())
        wrap(folder_with_endpoint / "jwt.toml", app)
        assert sorted(folder_with_endpoint.iterdir()) == before

    def test_checks_tokens_while_the_database_is_away(self, folder_with_endpoint: Path) -> None:
        protected = TestApp(wrap(folder_with_endpoint / "jwt.toml", app))
        protected.get("/", headers={"Authorization": f"Bearer {token()}"}, status=200)
        answer = protected.post_json("/token", LOGIN, status=503)
        assert "Retry-After" in answer.headers


class TestEverySetting:
    def test_reaches_what_it_is_for(self, folder: Path) -> None:
        file = write(
            folder,
            """
            issuer = "https://auth.example.com"
            audience = ["first", "second"]
            leeway_seconds = 1.5
            token_type = "at+jwt"
            cache_size = 0
            keys = { secret_file = "secret", alg = "HS256", kid = "2026-11" }
            [endpoint]
            path = "/auth/token"
            lifetime_seconds = 60
            client_types = ["email", "blue-app"]
            max_body_bytes = 100
            [accounts]
            url = "sqlite:///accounts.db"
            [accounts.hasher]
            time_cost = 3
            memory_cost_kib = 64
            parallelism = 2
            max_concurrent = 1
            max_wait_seconds = 0.5
            [responses]
            style = "envelope"
            realm = "shop"
            """,
        )
        protected = wrap(file, app)
        verifier, endpoint = protected.verifier, protected.endpoint
        assert isinstance(endpoint, jwt_middleware.TokenEndpoint)
        assert endpoint.issuer.issuer == "https://auth.example.com"
        own = verifier.trusted[endpoint.issuer.issuer]
        assert own.audiences == {"first", "second"}
        assert endpoint.issuer.audience == "first"
        assert own.leeway_seconds == 1.5
        assert own.token_type == "at+jwt"
        assert [key.kid for key in verifier.keys.current()] == ["2026-11"]
        assert endpoint.path == "/auth/token"
        assert endpoint.issuer.lifetime_seconds == 60
        assert set(endpoint.verifiers) == {"email", "blue-app"}
        assert endpoint.max_body_bytes == 100
        hasher = load(file).build_accounts()._hasher
        assert hasher.decoy.startswith("$argon2id$v=19$m=64,t=3,p=2$")
        assert hasher._max_wait_seconds == 0.5
        assert protected.responses is endpoint.responses
        assert (protected.responses.style, protected.responses.realm) == ("envelope", "shop")

    def test_has_the_default_of_python_code(self, folder: Path) -> None:
        file = write(folder, "[endpoint]\n" + ACCOUNTS + "[accounts.hasher]\n[responses]\n")
        protected = wrap(file, app)
        keys = protected.verifier.keys
        plain = jwt_middleware.TokenVerifier(keys=keys, issuer="i", audience="a")
        endpoint = protected.endpoint
        assert isinstance(endpoint, jwt_middleware.TokenEndpoint)
        bare = jwt_middleware.TokenEndpoint(
            issuer=endpoint.issuer, verifiers={"email": lambda account, secret: None}
        )
        issuer = TokenIssuer(keys=keys, issuer="i", audience="a")
        (own,), (other,) = protected.verifier.trusted.values(), plain.trusted.values()
        assert own.leeway_seconds == other.leeway_seconds
        assert own.token_type == other.token_type
        assert protected.verifier._cache._size == plain._cache._size
        assert (endpoint.path, endpoint.max_body_bytes) == (bare.path, bare.max_body_bytes)
        assert endpoint.issuer.lifetime_seconds == issuer.lifetime_seconds
        assert set(endpoint.verifiers) == {"email", "mobile", "username", "service"}
        assert (protected.responses.style, protected.responses.realm) == (
            bare.responses.style,
            bare.responses.realm,
        )
        from_file, default = load(file).build_accounts()._hasher, SQLAccounts("sqlite:///x")._hasher
        assert from_file.decoy.split("$")[:4] == default.decoy.split("$")[:4]
        assert from_file._max_wait_seconds == default._max_wait_seconds

    def test_of_a_rule_reaches_the_policy(self, folder: Path) -> None:
        file = write(
            folder,
            """
            [[rules]]
            path = "/health"
            access = "public"
            [[rules]]
            path = "/maybe"
            access = "optional"
            [[rules]]
            path = "/posts/*"
            methods = ["POST"]
            scopes = ["write"]
            preflight = true
            [[rules]]
            path = "/mail"
            claims = { ac_type = ["email"], uid = 42 }
            [[rules]]
            path = "/phone"
            claims = { ac_type = "mobile", deep = { list = [true, 1.5] } }
            """,
        )
        protected = TestApp(wrap(file, app))
        bearer = {"Authorization": f"Bearer {token()}"}
        protected.get("/health", status=200)
        protected.get("/maybe", status=200)
        protected.get("/posts/1", headers=bearer, status=200)
        protected.post("/posts/1", headers=bearer, status=403)
        cors = {"Origin": "https://shop", "Access-Control-Request-Method": "POST"}
        protected.options("/posts/1", headers=cors, status=200)
        protected.options("/mail", headers=cors, status=401)
        protected.get("/mail", headers=bearer, status=200)
        protected.get("/phone", headers=bearer, status=403)


class TestKeys:
    @pytest.mark.parametrize(
        ("content", "meant"),
        [
            pytest.param(SECRET, SECRET, id="as it is"),
            pytest.param(SECRET + "\n", SECRET, id="newline"),
            pytest.param(SECRET + "\r\n", SECRET, id="carriage return and newline"),
            pytest.param(SECRET + "\n\n", SECRET + "\n", id="only one newline"),
            pytest.param(SECRET + " ", SECRET + " ", id="space"),
        ],
    )
    def test_strips_the_last_newline_of_a_secret_file(
        self, folder: Path, content: str, meant: str
    ) -> None:
        (folder / "secret").write_bytes(content.encode())
        settings = load(folder / "jwt.toml")
        assert settings.build_verifier(settings.build_own()).verify(token(meant))

    def test_takes_bytes_that_are_no_text(self, folder: Path) -> None:
        secret = bytes(range(128, 192))
        (folder / "secret").write_bytes(secret)
        settings = load(folder / "jwt.toml")
        assert settings.build_verifier(settings.build_own()).verify(token(secret))

    def test_takes_a_secret_from_the_environment(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = write(folder, '[keys]\nsecret_env = "JWT_SECRET"\nalg = "HS512"\n')
        monkeypatch.setenv("JWT_SECRET", SECRET * 2)
        (key,) = keys_of(load(file))
        assert key.kid == Key.from_secret(SECRET * 2, alg="HS512").kid
        assert key.alg == "HS512"

    def test_takes_an_environment_that_is_given(self, folder: Path) -> None:
        file = write(folder, '[keys]\nsecret_env = "JWT_SECRET"\n')
        assert len([*keys_of(load(file), {"JWT_SECRET": SECRET})]) == 1

    def test_takes_a_private_key(self, folder: Path) -> None:
        write_private(folder / "private.pem", private_pem())
        file = write(
            folder, '[keys]\nprivate_key_file = "private.pem"\nalg = "ES256"\nkid = "one"\n'
        )
        settings = load(file)
        own = settings.build_own()
        issued = settings.build_issuer(own).issue(PAYLOAD)
        assert settings.build_verifier(own).verify(issued.token).header == (
            "ES256",
            "one",
            "at+jwt",
        )

    def test_takes_an_encrypted_private_key(self, folder: Path) -> None:
        encryption = serialization.BestAvailableEncryption(b"open sesame")
        write_private(folder / "private.pem", private_pem(encryption))
        file = write(
            folder,
            '[keys]\nprivate_key_file = "private.pem"\nalg = "ES256"\npassword_env = "PW"\n',
        )
        (key,) = keys_of(load(file), {"PW": "open sesame"})
        assert key.can_sign

    def test_takes_a_public_key_to_verify_only(self, folder: Path) -> None:
        (folder / "public.pem").write_bytes(public_pem())
        file = write(folder, '[keys]\npublic_key_file = "public.pem"\nalg = "ES256"\n')
        bearer = issuer_of(Key.from_pem(private_pem(), alg="ES256")).issue(PAYLOAD).token
        protected = TestApp(wrap(file, app))
        protected.get("/", headers={"Authorization": f"Bearer {bearer}"}, status=200)

    def test_takes_a_jwk(self, folder: Path) -> None:
        write_private(
            folder / "key.json", b'{"kty":"oct","alg":"HS256","kid":"j","k":"' + b"A" * 43 + b'"}'
        )
        (key,) = keys_of(load(write(folder, '[keys]\njwk_file = "key.json"\n')))
        assert (key.kid, key.alg, key.can_sign) == ("j", "HS256", True)

    def test_accepts_previous_keys_and_signs_with_none_of_them(self, folder: Path) -> None:
        write_private(folder / "new", SECRET.upper().encode())
        file = write(
            folder,
            """
            [keys]
            secret_file = "new"
            [[keys.previous]]
            secret_file = "secret"
            [[keys.previous]]
            secret_env = "OLD"
            kid = "oldest"
            """,
        )
        settings = load(file)
        own = settings.build_own({"OLD": "x" * 40})
        verifier = settings.build_verifier(own)
        assert own is not None
        assert [key.can_sign for key in own.keys.current()] == [True, False, False]
        assert verifier.verify(token())
        issued = settings.build_issuer(own).issue(PAYLOAD)
        assert verifier.verify(issued.token).header.kid == Key.from_secret(SECRET.upper()).kid
        with pytest.raises(InvalidTokenError):
            verifier.verify(token(SECRET * 2))

    def test_does_not_sign_with_a_previous_key_where_the_current_one_cannot(
        self, folder: Path
    ) -> None:
        (folder / "public.pem").write_bytes(public_pem())
        file = write(
            folder,
            """
            [keys]
            public_key_file = "public.pem"
            alg = "ES256"
            previous = [{ secret_file = "secret" }]
            """,
        )
        settings = load(file)
        with pytest.raises(ConfigurationError, match="keys: holds a key that only verifies"):
            settings.build_issuer(settings.build_own())

    @pytest.mark.parametrize("mode", [0o644, 0o604])
    def test_warns_of_a_secret_that_every_user_can_read(
        self, folder: Path, caplog: pytest.LogCaptureFixture, mode: int
    ) -> None:
        (folder / "secret").chmod(mode)
        load(folder / "jwt.toml").build_own()
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        for part in ("jwt.toml: keys.secret_file", str(folder / "secret"), "chmod 600"):
            assert part in record.getMessage()

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
    def test_is_silent_about_one_that_the_owner_or_a_group_can_read(
        self, folder: Path, caplog: pytest.LogCaptureFixture, mode: int
    ) -> None:
        (folder / "secret").chmod(mode)
        load(folder / "jwt.toml").build_own()
        assert not caplog.records

    def test_is_silent_about_a_public_key(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / "public.pem").write_bytes(public_pem())
        (folder / "public.pem").chmod(0o644)
        load(write(folder, '[keys]\npublic_key_file = "public.pem"\nalg = "ES256"\n')).build_own()
        assert not caplog.records


class TestPaths:
    def test_are_relative_to_the_file(
        self, folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = folder_with_endpoint / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        settings = load("../jwt.toml")
        settings.protect(app)
        accounts = settings.build_accounts()
        accounts.create_schema()
        accounts.close()
        assert (folder_with_endpoint / "accounts.db").is_file()

    def test_that_are_absolute_stay(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        write_private(other / "secret", SECRET.encode())
        file = write(
            folder,
            f'[keys]\nsecret_file = "{other}/secret"\n[accounts]\nurl = "sqlite:///{other}/a.db"\n',
        )
        settings = load(file)
        settings.build_own()
        accounts = settings.build_accounts()
        accounts.create_schema()
        accounts.close()
        assert (other / "a.db").is_file()

    def test_of_postgresql_are_left_alone(self, folder: Path) -> None:
        file = write(folder, '[accounts]\nurl = "postgresql://user@db.example.com/accounts"\n')
        assert "user@db.example.com/accounts" in repr(load(file).build_accounts())


def assert_one_line(error: ConfigurationError, parts: Iterable[str]) -> None:
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert part in message


RULE = '[[rules]]\npath = "/first"\n[[rules]]\n'

MISTAKES = [
    # what is no setting
    pytest.param("isuer = 1", ["isuer: ", "mean issuer?"], id="unknown"),
    pytest.param("[x]", ["x: this version knows no such", "it knows issuer, aud"], id="table"),
    pytest.param('"a\\nb" = 1', [r'"a\nb": this version'], id="unknown odd key"),
    pytest.param("[keys]\nsecretfile = 's'", ["keys.secretfile: ", "secret_file?"], id="in keys"),
    pytest.param("[keys]\ndirectory = 'k'", ["keys.directory: ", "is no key ring"], id="no ring"),
    pytest.param(
        "[keys]\ndirectory = 'k'\nsecret_file = 's'",
        ["keys.directory: and secret_file exclude each other: keep one"],
        id="ring and secret",
    ),
    pytest.param("[[trusted]]\nissuer = 's'", ["trusted[1].audience: is missing"], id="trusted"),
    pytest.param(
        TRUSTED, ["trusted[1]: names no keys: add discovery = true, jwks_url"], id="no source"
    ),
    pytest.param(
        TRUSTED + "discovery = true\njwks_file = 'f'",
        ["trusted[1]: discovery and jwks_file exclude each other"],
        id="two sources",
    ),
    pytest.param(
        TRUSTED + "jwks_url = 'http://login.example.org/jwks'",
        ["trusted[1].jwks_url: ", "https"],
        id="plain http",
    ),
    pytest.param(
        TRUSTED + "jwks_file = 'absent.json'",
        ["trusted[1].jwks_file: ", "absent.json", "cannot be read"],
        id="no key file",
    ),
    pytest.param(
        TRUSTED + "discovery = true\nalgorithms = ['none']",
        ["trusted[1].discovery: algorithms must be"],
        id="algorithms",
    ),
    pytest.param(
        TRUSTED + "discovery = true\nleeway_seconds = 301",
        ["trusted[1].leeway_seconds must be 0 to 300"],
        id="trusted leeway",
    ),
    pytest.param(
        (TRUSTED + "discovery = true\n") * 2, ["an issuer is trusted twice"], id="trusted twice"
    ),
    pytest.param(
        "issuer = 'me'\naudience = 'api'\n[keys]\nsecret_file = 'secret'\n[metadata]",
        ["metadata.authorization_server: issuer must be an https URL", "the metadata off"],
        id="issuer is no URL",
    ),
    pytest.param(
        "[metadata]\nresource = 'api'", ["resource must be an https URL"], id="resource is no URL"
    ),
    pytest.param(
        "[metadata]\nresource = 'https://[a'", ["metadata.resource must be"], id="open bracket"
    ),
    pytest.param(
        "[metadata]\nresource = 'https://a/\u00fc'", ["metadata.resource must be"], id="not ASCII"
    ),
    pytest.param(
        "[metadata]\nmax_age_seconds = -1",
        ["metadata.max_age_seconds must be a whole number, at least 0"],
        id="max age",
    ),
    *(
        pytest.param(
            f"{TRUSTED}jwks_file = 'f'\n{name} = {value}",
            [f"trusted[1].{name}: is for keys that are fetched, not for jwks_file"],
            id=f"{name} of a file",
        )
        for name, value in (
            ("ca_file", "'ca.pem'"),
            ("allow_http", "true"),
            ("max_stale_seconds", "60"),
        )
    ),
    pytest.param("[endpoint]\npaht = '/'", ["endpoint.paht: ", "mean path?"], id="in endpoint"),
    pytest.param("[accounts]\nuri = 'x'", ["accounts.uri: ", "mean url?"], id="in accounts"),
    pytest.param("[accounts.hasher]\nt = 1", ["accounts.url: is missing"], id="hasher only"),
    pytest.param(
        ACCOUNTS + "[accounts.hasher]\ntimecost = 1",
        ["accounts.hasher.timecost: ", "mean time_cost?"],
        id="in hasher",
    ),
    pytest.param(RULE + "pathh = '/'", ["rules[2].pathh: ", "mean path?"], id="in a rule"),
    pytest.param("[responses]\nstil = 'x'", ["responses.stil: ", "mean style?"], id="in responses"),
    pytest.param(
        "[keys]\nsecret_file='secret'\n[[keys.previous]]\nkyd = 'x'",
        ["keys.previous[1].kyd: ", "mean kid?"],
        id="in a previous key",
    ),
    # what is missing
    pytest.param("audience = 'issuer'", ["issuer: is missing: add issuer = "], id="no issuer"),
    pytest.param("issuer = 'i'", ["audience: is missing: add audience = "], id="no audience"),
    pytest.param(
        "issuer='i'\naudience='a'  # [keys]", ["keys: is missing: add a [keys]"], id="no keys"
    ),
    pytest.param("[keys]", ["keys: names no key: add one of secret_env, "], id="empty keys"),
    pytest.param("[accounts]", ['accounts.url: is missing: add url = "sqlite'], id="no url"),
    pytest.param("[[rules]]\naccess='public'", ["rules[1].path: is missing: add"], id="no path"),
    # wrong types and values
    pytest.param("issuer = 1\naudience = 'a'", ["issuer: must be a non-empty string"], id="issuer"),
    pytest.param("issuer = ''\naudience = 'a'", ["issuer: must be a non-empty"], id="empty issuer"),
    pytest.param("issuer='i'\naudience = 1", ["audience: must be a list of str"], id="audience"),
    pytest.param("issuer='i'\naudience=''", ["audience: must be a non-empty str"], id="empty aud"),
    pytest.param("issuer='i'\naudience=[]", ["audience: must be a list of str"], id="no audiences"),
    pytest.param("issuer='i'\naudience=['']", ["audience: must be a list of"], id="empty in list"),
    pytest.param("leeway_seconds = true", ["leeway_seconds: must be a number"], id="bool leeway"),
    pytest.param("leeway_seconds = 301", ["toml: leeway_seconds must be 0 to 300"], id="leeway"),
    pytest.param("leeway_seconds = nan", ["toml: leeway_seconds must be 0 to 300"], id="nan"),
    pytest.param("token_type = 'JWT'", ['token_type: must be "at+jwt"'], id="token type"),
    pytest.param("cache_size = 1.0", ["cache_size: must be a whole number"], id="float size"),
    pytest.param("cache_size = true", ["cache_size: must be a whole number"], id="bool size"),
    pytest.param("cache_size = -1", ["toml: cache_size must be"], id="negative size"),
    pytest.param("keys = 'secret'", ["keys: must be a table"], id="keys"),
    pytest.param("[keys]\nsecret_file = 1", ["keys.secret_file: must be a non-empty"], id="file"),
    pytest.param("[keys]\nsecret_file = 's'\nalg = 'none'", ["keys.alg: must be "], id="alg"),
    pytest.param("[endpoint]\npath = 'token'\n" + ACCOUNTS, ["endpoint.path 'token'"], id="path"),
    pytest.param(
        "[endpoint]\nlifetime_seconds = 0\n" + ACCOUNTS,
        ["endpoint.lifetime_seconds must be at least 1"],
        id="lifetime",
    ),
    pytest.param(
        "[endpoint]\nmax_body_bytes = 0\n" + ACCOUNTS,
        ["endpoint.max_body_bytes must be a whole number, at least 1"],
        id="body size",
    ),
    pytest.param(
        "[endpoint]\nclient_types = []\n" + ACCOUNTS,
        ["endpoint.client_types: is empty: name one"],
        id="no client types",
    ),
    pytest.param(
        "[endpoint]\nclient_types = ['Email']\n" + ACCOUNTS,
        ["endpoint.client_types: a client type is", "not 'Email'"],
        id="client type",
    ),
    pytest.param(
        "[endpoint]\n" + ACCOUNTS + "[accounts.hasher]\ntime_cost = 0",
        ["accounts.hasher.time_cost is 0; set it to a whole number"],
        id="hasher",
    ),
    pytest.param(
        "[endpoint]\n[accounts]\nurl = 'mysql://u:pw@h/d'",
        ["accounts.url: the database url is for mysql; write"],
        id="other database",
    ),
    pytest.param(
        "[endpoint]\n[accounts]\nurl = 'sqlite://'",
        ["accounts.url: the database url names no SQLite file"],
        id="database in memory",
    ),
    pytest.param("rules = 1", ["rules: must be an array of tables: write [[rules]]"], id="rules"),
    pytest.param("[rules]\npath='/'", ["rules: must be an array of tables"], id="one bracket"),
    pytest.param("rules = [1]", ["rules[1]: must be a table"], id="rule"),
    pytest.param(RULE + "path = 2", ["rules[2].path: must be a non-empty"], id="rule path type"),
    pytest.param(RULE + "path = 'a'", ["rules[2].path: ", "begin with one slash"], id="rule path"),
    pytest.param(
        RULE + "path = '/a'\nmethods = 'GET'",
        ["rules[2].methods: must be a list of strings"],
        id="one method",
    ),
    pytest.param(
        RULE + "path = '/a'\nmethods = []", ["rules[2].methods: ", "leave it out"], id="no methods"
    ),
    pytest.param(
        RULE + "path = '/a'\nmethods = ['get']",
        ["rules[2].methods: ", "'get' in upper case"],
        id="method in lower case",
    ),
    pytest.param(
        RULE + "path = '/a'\nscopes = ['a b']", ["rules[2].scopes: ", "list of words"], id="scopes"
    ),
    pytest.param(
        RULE + "path = '/a'\naccess = 'open'",
        ['rules[2].access: must be "required" or "optional" or "public"'],
        id="access",
    ),
    pytest.param(
        RULE + "path = '/a'\naccess = 'public'\nscopes = ['a']",
        ["rules[2]: ", "'public' needs no token"],
        id="public with scopes",
    ),
    pytest.param(
        RULE + "path = '/a'\nclaims = ['a']", ["rules[2].claims: must be a table of"], id="claims"
    ),
    pytest.param(
        RULE + "path = '/a'\nclaims = { born = 2000-01-01 }",
        ["rules[2].claims.born: must not hold a date"],
        id="date in claims",
    ),
    pytest.param(
        RULE + "path = '/a'\npreflight = 1", ["rules[2].preflight: must be true"], id="preflight"
    ),
    pytest.param(
        "[responses]\nstyle = 'xml'",
        ['responses.style: must be "problem" or "envelope"'],
        id="style",
    ),
    pytest.param(
        "[responses]\nrealm = '\"'", ["responses.realm must be printable ASCII"], id="realm"
    ),
    # keys
    pytest.param(
        "[keys]\nsecret_file = 's'\nsecret_env = 'S'",
        ["keys: secret_env and secret_file exclude each other: keep one"],
        id="two sources",
    ),
    pytest.param(
        "[keys]\nsecret_env = 'JWT_TEST_UNSET'",
        ["keys.secret_env: ", "variable JWT_TEST_UNSET is not set: set it"],
        id="unset variable",
    ),
    pytest.param(
        f"[keys]\nsecret_env = '{SECRET}'",
        ["keys.secret_env: must be the name of an environment variable", "not its value"],
        id="secret for a variable",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'absent'",
        ["keys.secret_file: ", "absent' cannot be read (No such file", "relative to the conf"],
        id="no such file",
    ),
    pytest.param("[keys]\nsecret_file = '.'", ["keys.secret_file: ", "directory"], id="directory"),
    pytest.param('[keys]\nsecret_file = "\\u0000"', ["keys.secret_file: ", "not a f"], id="NUL"),
    pytest.param(
        "[keys]\nsecret_file = 'short'",
        ["keys.secret_file: secret has 12 bytes, HS256 needs at least 32", "init"],
        id="short secret",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nalg = 'HS512'",
        ["keys.secret_file: secret has 36 bytes, HS512 needs at least 64"],
        id="short for its alg",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nalg = 'RS256'",
        ["keys.secret_file: alg 'RS256' takes no secret"],
        id="secret with another alg",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\npassword_env = 'P'",
        ["keys.password_env: ", "not for secret_file: leave it out"],
        id="password of a secret",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'private.pem'",
        ["keys.alg: is missing: private_key_file needs it"],
        id="PEM without alg",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'secret'\nalg = 'ES256'",
        ["keys.private_key_file: the PEM cannot be read"],
        id="no PEM",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'private.pem'\nalg = 'RS256'",
        ["keys.private_key_file: RS256 needs an RSA key"],
        id="PEM of another kind",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'private.pem'\nalg = 'ES256'\npassword_env='JWT_TEST_UNSET'",
        ["keys.password_env: ", "JWT_TEST_UNSET is not set"],
        id="unset password",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'public.pem'\nalg = 'ES256'",
        ["keys.private_key_file: holds a public key: call it public_key_file"],
        id="public as private",
    ),
    pytest.param(
        "[keys]\npublic_key_file = 'private.pem'\nalg = 'ES256'",
        ["keys.public_key_file: holds a private key: call it private_key_file"],
        id="private as public",
    ),
    pytest.param(
        "[keys]\njwk_file = 'secret'", ["keys.jwk_file: the JWK is not strict JSON"], id="no JWK"
    ),
    pytest.param(
        "[keys]\njwk_file = 'encrypt.json'", ["keys.jwk_file: use or key_ops"], id="JWK to encrypt"
    ),
    pytest.param(
        "[keys]\njwk_file = 'sign.json'", ["toml: keys must be a KeySet with"], id="JWK to sign"
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nprevious = [{jwk_file = 'sign.json'}]",
        ["keys.previous[1]: use or key_ops allow"],
        id="previous key to sign",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nprevious = [{secret_file = 'secret'}]",
        ["toml: keys: two keys have the same kid"],
        id="same key twice",
    ),
    # contradictions
    pytest.param(
        "[endpoint]", ["accounts: is missing: add an [accounts] table"], id="endpoint alone"
    ),
    pytest.param(
        '[endpoint]\nclient_types = ["email"]\nverifiers = { ldap = "json:loads" }',
        ["endpoint.client_types: are those of [accounts]"],
        id="types without accounts",
    ),
    pytest.param(
        '[endpoint.verifiers]\nldap = "json"',
        ["endpoint.verifiers.ldap: 'json': write \"module:attr\""],
        id="verifier without colon",
    ),
    pytest.param(
        '[endpoint.verifiers]\nldap = "json:no"',
        ["endpoint.verifiers.ldap: 'json:no': there is no 'no'"],
        id="no such verifier",
    ),
    pytest.param(
        "[endpoint]\nverifiers = 1", ["endpoint.verifiers: must be a table"], id="verifiers"
    ),
    pytest.param(
        "[endpoint]\n" + ACCOUNTS + "[keys]\npublic_key_file = 'public.pem'\nalg = 'ES256'",
        ["keys: holds a key that only verifies", "leave [endpoint] out"],
        id="endpoint with a public key",
    ),
    # what is no TOML
    pytest.param("issuer = ", ["is not TOML: ", "line 1"], id="no TOML"),
    pytest.param("a = 1\na = 2", ["is not TOML: ", "line 4"], id="twice"),
]


class TestMistakes:
    @pytest.fixture(autouse=True)
    def files(self, folder: Path) -> None:
        write_private(folder / "private.pem", private_pem())
        write_private(folder / "public.pem", public_pem())
        write_private(folder / "short", b"only-a-dozen\n")
        jwk = '{"kty": "oct", "alg": "HS256", "k": "' + "Ab" * 22 + '", "%s}'
        write_private(folder / "encrypt.json", (jwk % 'use": "enc"').encode())
        write_private(folder / "sign.json", (jwk % 'key_ops": ["sign"]').encode())

    @pytest.mark.parametrize(("text", "parts"), MISTAKES)
    def test_are_one_line_that_names_the_setting_and_the_mend(
        self, folder: Path, text: str, parts: list[str]
    ) -> None:
        file = write(folder, text)
        with pytest.raises(ConfigurationError) as caught:
            wrap(file, app)
        assert_one_line(caught.value, [f"{file}: ", *parts])
        for secret in ("only-a-dozen", SECRET, "u:pw", "AbAb", private_pem().decode()[40:60]):
            assert secret not in str(caught.value)

    def test_in_the_name_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(tmp_path / "absent.toml", app)
        assert_one_line(caught.value, ["absent.toml: ", "No such file", "jwt-middleware init"])

    def test_in_its_encoding(self, folder: Path) -> None:
        (folder / "jwt.toml").write_bytes(b"issuer = '\xff'")
        with pytest.raises(ConfigurationError) as caught:
            load(folder / "jwt.toml")
        assert_one_line(caught.value, ["jwt.toml: is not UTF-8: save it"])
        assert caught.value.__cause__ is None

    def test_without_the_extra(
        self, folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "jwt_middleware.config.sql", raising=False)
        monkeypatch.delattr("jwt_middleware.config.sql", raising=False)
        monkeypatch.delitem(sys.modules, "jwt_middleware.accounts.hashing")
        monkeypatch.setitem(sys.modules, "argon2", None)
        with pytest.raises(ConfigurationError) as caught:
            wrap(folder_with_endpoint / "jwt.toml", app)
        assert_one_line(caught.value, ["accounts: argon2 is missing", "middleware[sql]"])


def verify_ldap(account: str, secret: str) -> object:
    return {"uid": account, "scope": ""}


def jwks(*keys: Key) -> str:
    return json.dumps({"keys": [key.public_jwk() for key in keys]})


def bearer_of(key: Key, issuer: str = LOGIN_ISSUER) -> dict[str, str]:
    issued = TokenIssuer(keys=KeySet([key]), issuer=issuer, audience="api").issue(PAYLOAD)
    return {"Authorization": f"Bearer {issued.token}"}


class TestTrusted:
    KEY = Key.generate("ES256", kid="first")
    NEXT = Key.generate("ES256", kid="next")
    FILE = TRUSTED + "jwks_file = 'jwks.json'\n"

    @pytest.fixture(autouse=True)
    def jwks_file(self, folder: Path) -> Path:
        file = folder / "jwks.json"
        file.write_text(jwks(self.KEY))
        return file

    def write_alone(self, folder: Path, text: str) -> Path:
        """Write a configuration that has only what *text* says."""
        file = folder / "jwt.toml"
        file.write_text(text)
        return file

    def test_alone_needs_no_keys_of_ones_own(self, folder: Path) -> None:
        site = TestApp(wrap(self.write_alone(folder, self.FILE), app))
        site.get("/", status=401)
        site.get("/", headers=bearer_of(self.KEY), status=200)
        site.get("/", headers=bearer_of(self.KEY, "https://auth.example.com"), status=401)
        site.get("/", headers={"Authorization": f"Bearer {token()}"}, status=401)

    def test_stands_beside_the_own_keys(self, folder: Path) -> None:
        site = TestApp(wrap(write(folder, self.FILE), app))
        site.get("/", headers=bearer_of(self.KEY), status=200)
        site.get("/", headers={"Authorization": f"Bearer {token()}"}, status=200)
        site.get("/", headers=bearer_of(self.KEY, "https://auth.example.com"), status=401)
        site.get("/", headers=bearer_of(Key.from_secret(SECRET)), status=401)

    def test_file_is_read_again(self, folder: Path, jwks_file: Path) -> None:
        protected = wrap(self.write_alone(folder, self.FILE), app)
        site, keys = TestApp(protected), protected.verifier.trusted[LOGIN_ISSUER].keys
        assert isinstance(keys, KeyFile)
        site.get("/", headers=bearer_of(self.NEXT), status=401)
        new = jwks_file.with_name("new")
        new.write_text(jwks(self.NEXT))
        new.replace(jwks_file)
        keys._check_at = 0  # as if a second had passed
        site.get("/", headers=bearer_of(self.NEXT), status=200)
        site.get("/", headers=bearer_of(self.KEY), status=401)

    def test_profile_and_algorithms_are_asked_for(self, folder: Path) -> None:
        for setting in ("profile = 'at+jwt'", "algorithms = ['RS256', 'ES256']"):
            site = TestApp(wrap(self.write_alone(folder, self.FILE + setting), app))
            # The tokens of this package have no client_id.
            status = 401 if "profile" in setting else 200
            site.get("/", headers=bearer_of(self.KEY), status=status)

    def test_settings_reach_what_they_are_for(self, folder: Path) -> None:
        more = (
            "leeway_seconds = 1.5\ntoken_type = 'at+jwt'\nprofile = 'at+jwt'\n"
            "algorithms = ['ES256']"
        )
        settings = load(self.write_alone(folder, self.FILE + more))
        assert settings.build_own() is None
        (trusted,) = settings.build_verifier(None).trusted.values()
        assert trusted.issuer == LOGIN_ISSUER
        assert trusted.audiences == frozenset({"api"})
        assert trusted.algorithms == frozenset({"ES256"})
        assert trusted.leeway_seconds == 1.5
        assert (trusted.token_type, trusted.profile) == ("at+jwt", "at+jwt")

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("jwks_url = 'https://login.example.org/jwks'", RemoteJWKS),
            ("jwks_url = 'http://login.example.org/jwks'\nallow_http = true", RemoteJWKS),
            ("discovery = true", DiscoveredJWKS),
            ("discovery = true\nmax_stale_seconds = 600", DiscoveredJWKS),
        ],
    )
    def test_sources_fetch_nothing_yet(self, folder: Path, source: str, kind: type) -> None:
        (one,) = load(self.write_alone(folder, TRUSTED + source)).trusted
        assert isinstance(one.build().keys, kind)

    def test_authorities_are_read_at_the_start(self, folder: Path) -> None:
        (folder / "ca.pem").write_text("no certificate")
        (one,) = load(
            self.write_alone(folder, TRUSTED + "discovery = true\nca_file = 'ca.pem'")
        ).trusted
        with pytest.raises(ConfigurationError) as caught:
            one.build()
        assert_one_line(caught.value, ["trusted[1].discovery: ca_file", "certificates"])

    @pytest.mark.parametrize("setting", ["leeway_seconds = 5", "token_type = 'at+jwt'"])
    def test_alone_leaves_nobody_to_ask_the_terms_of_ones_own(
        self, folder: Path, setting: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(self.write_alone(folder, f"{setting}\n{self.FILE}"), app)
        assert_one_line(caught.value, ["jwt.toml: leeway_seconds and token_type", "each trusted"])

    @pytest.mark.parametrize("table", ["[endpoint]", "[keys]\nsecret_file = 'secret'"])
    def test_does_not_stand_in_for_what_issues(self, folder: Path, table: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(self.write_alone(folder, f"{self.FILE}\n{table}"), app)
        assert_one_line(caught.value, ["jwt.toml: issuer: is missing"])

    def test_alone_issues_nothing(self, folder: Path) -> None:
        settings = load(self.write_alone(folder, self.FILE))
        assert settings.build_endpoint(None, settings.build_responses()) is None
        with pytest.raises(ConfigurationError, match="keys: is missing: add a"):
            settings.build_issuer(None)


class TestKeyRing:
    RING = HEAD + '[keys]\ndirectory = "ring"\n'
    LONG_AGO = 1_700_000_000.0

    @pytest.fixture
    def ring(self, folder: Path) -> Path:
        rotation.create(folder / "ring", alg="ES256", now=self.LONG_AGO)
        return folder / "ring"

    def test_verifies_and_picks_a_rotation_up(self, folder: Path, ring: Path) -> None:
        settings = load(write(folder, self.RING))
        protected = settings.protect(app)
        site, own = TestApp(protected), settings.build_own()
        keys = protected.verifier.keys
        assert isinstance(keys, KeyRing)
        assert own is not None
        before = settings.build_issuer(own).issue(PAYLOAD).token
        site.get("/", headers={"Authorization": f"Bearer {before}"}, status=200)
        rotation.rotate(ring, token_lifetime_seconds=7200, now=self.LONG_AGO + 60)
        keys._check_at = 0  # as if a second had passed
        active = RingDirectory(ring).read_manifest().active.kid
        signing = keys.current().signing_key
        assert signing is not None
        assert signing.kid == active
        fresh = load(write(folder, self.RING))
        after = fresh.build_issuer(fresh.build_own()).issue(PAYLOAD).token
        assert jwt.get_unverified_header(after)["kid"] == active
        site.get("/", headers={"Authorization": f"Bearer {after}"}, status=200)

    def test_signs_for_the_endpoint_with_the_active_key(self, folder: Path, ring: Path) -> None:
        named = f'[endpoint]\nverifiers = {{ ldap = "{__name__}:verify_ldap" }}\n'
        protected = wrap(write(folder, self.RING + named), app)
        keys, site = protected.verifier.keys, TestApp(protected)
        assert isinstance(keys, KeyRing)
        login = {"account": "ann", "secret": "x", "type": "ldap"}
        kids, tokens = [], []
        for _ in range(2):
            tokens.append(site.post_json("/token", login).json["access_token"])
            kids.append(jwt.get_unverified_header(tokens[-1])["kid"])
            assert kids[-1] == RingDirectory(ring).read_manifest().active.kid
            rotation.rotate(ring, token_lifetime_seconds=7200, now=time.time())
            keys._check_at = 0
        assert kids[0] != kids[1]
        for one in tokens:
            site.get("/", headers={"Authorization": f"Bearer {one}"}, status=200)

    def test_excludes_every_other_setting_of_a_key(self, folder: Path, ring: Path) -> None:
        for setting in ("kid = 'a'", "alg = 'ES256'", "[[keys.previous]]\nsecret_file = 'secret'"):
            with pytest.raises(ConfigurationError) as caught:
                wrap(write(folder, self.RING + setting), app)
            assert_one_line(caught.value, ["keys.directory: and ", "exclude each other"])


class TestMetadata:
    PATHS = (
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource/v1",
    )
    RESOURCE = "[metadata]\nresource = 'https://api.example.com/v1'\n"
    RULES = "[[rules]]\npath = '/*'\nscopes = ['b', 'a']\n"

    def test_is_not_published_without_its_table(self, folder: Path) -> None:
        site = TestApp(wrap(write(folder, ""), app))
        for path in self.PATHS:
            assert "resource_metadata" not in site.get(path, status=401).headers["WWW-Authenticate"]

    def test_is_public_under_any_rule(self, folder: Path) -> None:
        rotation.create(folder / "ring", alg="ES256", now=time.time())
        (folder / "jwks.json").write_text(jwks(TestTrusted.KEY))
        text = f"{TestKeyRing.RING}{self.RULES}{self.RESOURCE}{TestTrusted.FILE}"
        site = TestApp(wrap(write(folder, text), app))
        keys, server, openid, resource = (site.get(path).json for path in self.PATHS)
        assert [one["kid"] for one in keys["keys"]] == [
            key.kid for key in RingDirectory(folder / "ring").read_manifest().keys
        ]
        assert not any("d" in one for one in keys["keys"])
        assert server == openid
        assert server["issuer"] == "https://auth.example.com"
        assert server["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
        assert "token_endpoint" not in server
        assert resource == {
            "resource": "https://api.example.com/v1",
            "authorization_servers": ["https://auth.example.com", "https://login.example.org"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["a", "b"],
        }

    def test_of_the_resource_is_named_in_the_challenge(self, folder: Path) -> None:
        site = TestApp(wrap(write(folder, self.RESOURCE + "[responses]\nrealm = 'shop'"), app))
        assert site.get("/", status=401).headers["WWW-Authenticate"] == (
            'Bearer realm="shop", resource_metadata='
            '"https://api.example.com/.well-known/oauth-protected-resource/v1"'
        )

    def test_names_the_endpoint(self, folder: Path) -> None:
        named = f'[endpoint]\nverifiers = {{ ldap = "{__name__}:verify_ldap" }}\n[metadata]\n'
        site = TestApp(wrap(write(folder, named + "max_age_seconds = 60"), app))
        answer = site.get(self.PATHS[1])
        assert answer.json["token_endpoint"] == "https://auth.example.com/token"
        assert answer.headers["Cache-Control"] == "public, max-age=60"

    @pytest.mark.parametrize(
        ("switch", "off"),
        [("jwks", PATHS[:1]), ("authorization_server", PATHS[1:3]), ("", PATHS[3:])],
    )
    def test_can_be_switched_off(self, folder: Path, switch: str, off: tuple[str, ...]) -> None:
        text = f"{self.RESOURCE}{switch} = false" if switch else "[metadata]"
        site = TestApp(wrap(write(folder, text), app))
        for path in self.PATHS:
            site.get(path, status=401 if path in off else 200)

    def test_without_keys_of_ones_own_is_that_of_the_resource(self, folder: Path) -> None:
        (folder / "jwks.json").write_text(jwks(TestTrusted.KEY))
        file = folder / "jwt.toml"
        for text, status in ((self.RESOURCE, 200), ("[metadata]", 401)):
            file.write_text(TestTrusted.FILE + text)
            site = TestApp(wrap(file, app))
            for path in self.PATHS[:3]:
                site.get(path, status=401)
            site.get(self.PATHS[3], status=status)

    def test_of_a_secret_holds_no_key(self, folder: Path) -> None:
        site = TestApp(wrap(write(folder, "[metadata]"), app))
        assert site.get(self.PATHS[0]).json == {"keys": []}

    def test_of_an_issuer_that_is_no_url_can_be_switched_off(self, folder: Path) -> None:
        head = "issuer = 'me'\naudience = 'api'\n"
        site = TestApp(
            wrap(write(folder, f"{head}{KEYS}[metadata]\nauthorization_server = false"), app)
        )
        site.get(self.PATHS[0], status=200)


class TestVerifiersOfTheApp:
    @pytest.mark.parametrize("accounts", ["", ACCOUNTS])
    def test_log_their_client_type_in(self, folder: Path, accounts: str) -> None:
        named = f'[endpoint.verifiers]\nldap = "{__name__}:verify_ldap"\n'
        app = TestApp(wrap(write(folder, named + accounts), app=app_that_is_not_reached))
        answer = app.post_json("/token", {"account": "ann", "secret": "x", "type": "ldap"})
        assert answer.json["token_type"] == "Bearer"
        status = 503 if accounts else 400  # the database is not there; or no such client type
        app.post_json("/token", {"account": "a", "secret": "x", "type": "email"}, status=status)


def app_that_is_not_reached(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError("reached")


def test_settings_never_hold_a_secret(folder: Path) -> None:
    settings = load(folder / "jwt.toml")
    settings.build_own()
    assert isinstance(settings, Settings)
    assert isinstance(settings.keys, Section)
    assert SECRET not in repr(settings)


class TestFromEnvironment:
    def test_wraps_the_app(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "app_by_name.py").write_text("def app(environ, start_response): ...\n")
        monkeypatch.syspath_prepend(folder)
        protected = from_environment(
            {
                "JWT_MIDDLEWARE_CONFIG": str(folder / "jwt.toml"),
                "JWT_MIDDLEWARE_APP": "app_by_name:app",
            }
        )
        assert protected.app is sys.modules["app_by_name"].app

    @pytest.mark.parametrize(
        ("environ", "parts"),
        [
            pytest.param({}, ["JWT_MIDDLEWARE_CONFIG is not set: set it to the path"], id="none"),
            pytest.param(
                {"JWT_MIDDLEWARE_CONFIG": "", "JWT_MIDDLEWARE_APP": "a:b"},
                ["JWT_MIDDLEWARE_CONFIG is not set"],
                id="empty",
            ),
            pytest.param(
                {"JWT_MIDDLEWARE_CONFIG": "jwt.toml"},
                ["JWT_MIDDLEWARE_APP is not set: set it to the app", "myapp:app"],
                id="no app",
            ),
        ],
    )
    def test_names_the_variable(self, environ: dict[str, str], parts: list[str]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            from_environment(environ)
        assert_one_line(caught.value, parts)


class TestGunicorn:
    @pytest.fixture
    def site(self, folder_with_endpoint: Path) -> Path:
        (folder_with_endpoint / "myapp.py").write_text(
            "def app(environ, start_response):\n"
            "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
            "    return [environ['REMOTE_USER'].encode()]\n"
        )
        accounts = load(folder_with_endpoint / "jwt.toml").build_accounts()
        accounts.create_schema()
        accounts.add("email", LOGIN["account"], LOGIN["secret"])
        accounts.close()
        return folder_with_endpoint

    @pytest.mark.parametrize("option", ["--preload", "--no-control-socket"])
    def test_serves_what_wrap_returns(self, site: Path, serving: Serving, option: str) -> None:
        options = {"--no-control-socket", option, "--bind=127.0.0.1:0", "--workers=2"}
        options.add("--graceful-timeout=2")  # a worker told to end while it boots does not hear it
        name = "jwt_middleware:wrap('jwt.toml', 'myapp:app')"
        # The script and not -m, which would put the working directory on sys.path itself.
        gunicorn = Path(sys.executable).with_name("gunicorn")
        with serving([gunicorn, *options, name], cwd=site) as server:
            assert get(server.url) == 401
            assert get(server.url, token()) == 200
            for _ in range(4):  # so that both workers have one
                login = urllib.parse.urlencode(LOGIN).encode()
                with urllib.request.urlopen(f"{server.url}/token", login, timeout=10) as response:  # noqa: S310
                    assert response.status == 200
        assert server.process.returncode == 0

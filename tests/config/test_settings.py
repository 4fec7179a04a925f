from __future__ import annotations

from pathlib import Path

import pytest
from webtest import TestApp

import jwt_middleware
from jwt_middleware import TokenIssuer, wrap
from jwt_middleware.accounts.sql import SQLAccounts
from jwt_middleware.config import Settings, load
from jwt_middleware.config.reading import Section

from .writing import (
    ACCOUNTS,
    SECRET,
    app,
    token,
    write,
    write_private,
)


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


def test_settings_never_hold_a_secret(folder: Path) -> None:
    settings = load(folder / "jwt.toml")
    settings.build_own()
    assert isinstance(settings, Settings)
    assert isinstance(settings.keys, Section)
    assert SECRET not in repr(settings)

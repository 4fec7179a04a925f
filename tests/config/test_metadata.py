from __future__ import annotations

import time
from pathlib import Path

import pytest
from webtest import TestApp

from jwt_middleware import wrap
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory

from .writing import (
    KEYS,
    RING,
    TRUSTED_FILE,
    TRUSTED_KEY,
    app,
    jwks,
    write,
)


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
        (folder / "jwks.json").write_text(jwks(TRUSTED_KEY))
        text = f"{RING}{self.RULES}{self.RESOURCE}{TRUSTED_FILE}"
        site = TestApp(wrap(write(folder, text), app))
        keys, server, resource = (
            site.get(path).json for path in self.PATHS if "openid" not in path
        )
        assert site.get(self.PATHS[2], status=404).json["error"] == "invalid_request"
        assert [one["kid"] for one in keys["keys"]] == [
            key.kid for key in RingDirectory(folder / "ring").read_manifest().keys
        ]
        assert not any("d" in one for one in keys["keys"])
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
        named = (
            '[endpoint]\nverifiers = { ldap = "tests.config.writing:verify_ldap" }\n[metadata]\n'
        )
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
            site.get(path, status=401 if path in off else 404 if "openid" in path else 200)

    def test_is_at_the_path_of_openid_where_it_is_asked_for(self, folder: Path) -> None:
        site = TestApp(wrap(write(folder, "[metadata]\nopenid_configuration = true"), app))
        assert site.get(self.PATHS[1]).json == site.get(self.PATHS[2]).json

    def test_without_keys_of_ones_own_is_that_of_the_resource(self, folder: Path) -> None:
        (folder / "jwks.json").write_text(jwks(TRUSTED_KEY))
        file = folder / "jwt.toml"
        for text, status in ((self.RESOURCE, 200), ("[metadata]", 401)):
            file.write_text(TRUSTED_FILE + text)
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

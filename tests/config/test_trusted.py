from __future__ import annotations

from pathlib import Path

import pytest
from webtest import TestApp

from jwt_middleware import Key, wrap
from jwt_middleware.config import load
from jwt_middleware.config.trusted import TrustedSettings
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.file.keyfile import KeyFile
from jwt_middleware.keysources.remote.discovery import DiscoveredJWKS
from jwt_middleware.keysources.remote.refreshing import Timing
from jwt_middleware.keysources.remote.remote import RemoteJWKS

from .writing import (
    LOGIN_ISSUER,
    SECRET,
    TRUSTED,
    TRUSTED_FILE,
    TRUSTED_KEY,
    app,
    assert_one_line,
    bearer_of,
    jwks,
    token,
    write,
)


class TestTrusted:
    NEXT = Key.generate("ES256", kid="next")

    @pytest.fixture(autouse=True)
    def jwks_file(self, folder: Path) -> Path:
        file = folder / "jwks.json"
        file.write_text(jwks(TRUSTED_KEY))
        return file

    def write_alone(self, folder: Path, text: str) -> Path:
        """Write a configuration that has only what *text* says."""
        file = folder / "jwt.toml"
        file.write_text(text)
        return file

    def test_alone_needs_no_keys_of_ones_own(self, folder: Path) -> None:
        site = TestApp(wrap(self.write_alone(folder, TRUSTED_FILE), app))
        site.get("/", status=401)
        site.get("/", headers=bearer_of(TRUSTED_KEY), status=200)
        site.get("/", headers=bearer_of(TRUSTED_KEY, "https://auth.example.com"), status=401)
        site.get("/", headers={"Authorization": f"Bearer {token()}"}, status=401)

    def test_stands_beside_the_own_keys(self, folder: Path) -> None:
        site = TestApp(wrap(write(folder, TRUSTED_FILE), app))
        site.get("/", headers=bearer_of(TRUSTED_KEY), status=200)
        site.get("/", headers={"Authorization": f"Bearer {token()}"}, status=200)
        site.get("/", headers=bearer_of(TRUSTED_KEY, "https://auth.example.com"), status=401)
        site.get("/", headers=bearer_of(Key.from_secret(SECRET)), status=401)

    def test_file_is_read_again(self, folder: Path, jwks_file: Path) -> None:
        protected = wrap(self.write_alone(folder, TRUSTED_FILE), app)
        site, keys = TestApp(protected), protected.verifier.trusted[LOGIN_ISSUER].keys
        assert isinstance(keys, KeyFile)
        site.get("/", headers=bearer_of(self.NEXT), status=401)
        new = jwks_file.with_name("new")
        new.write_text(jwks(self.NEXT))
        new.replace(jwks_file)
        keys._check_at = 0  # as if a second had passed
        site.get("/", headers=bearer_of(self.NEXT), status=200)
        site.get("/", headers=bearer_of(TRUSTED_KEY), status=401)

    def test_profile_and_algorithms_are_asked_for(self, folder: Path) -> None:
        for setting in ("profile = 'at+jwt'", "algorithms = ['RS256', 'ES256']"):
            site = TestApp(wrap(self.write_alone(folder, TRUSTED_FILE + setting), app))
            # The tokens of this package have no client_id.
            status = 401 if "profile" in setting else 200
            site.get("/", headers=bearer_of(TRUSTED_KEY), status=status)

    def test_settings_reach_what_they_are_for(self, folder: Path) -> None:
        more = (
            "leeway_seconds = 1.5\ntoken_type = 'at+jwt'\nprofile = 'at+jwt'\n"
            "algorithms = ['ES256']"
        )
        settings = load(self.write_alone(folder, TRUSTED_FILE + more))
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

    def test_shows_the_default_of_keys_that_are_fetched(self) -> None:
        shown = TrustedSettings.settings["max_stale_seconds"].unset
        assert shown == Timing().max_stale_seconds

    def test_authorities_are_read_at_the_start(self, folder: Path) -> None:
        (folder / "ca.pem").write_text("no certificate")
        (one,) = load(
            self.write_alone(folder, TRUSTED + "discovery = true\nca_file = 'ca.pem'")
        ).trusted
        with pytest.raises(ConfigurationError) as caught:
            one.build()
        assert_one_line(caught.value, ["trusted[1].discovery: ca_file", "certificates"])

    @pytest.mark.parametrize("setting", ["leeway_seconds = 5", "token_type = 'at+jwt'"])
    def test_alone_has_no_use_for_terms_of_its_own(self, folder: Path, setting: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(self.write_alone(folder, f"{setting}\n{TRUSTED_FILE}"), app)
        assert_one_line(caught.value, ["jwt.toml: leeway_seconds and token_type", "each trusted"])

    @pytest.mark.parametrize("table", ["[endpoint]", "[keys]\nsecret_file = 'secret'"])
    def test_does_not_stand_in_for_what_issues(self, folder: Path, table: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(self.write_alone(folder, f"{TRUSTED_FILE}\n{table}"), app)
        assert_one_line(caught.value, ["jwt.toml: issuer: is missing"])

    def test_alone_issues_nothing(self, folder: Path) -> None:
        settings = load(self.write_alone(folder, TRUSTED_FILE))
        assert settings.build_endpoint(None, settings.build_responses()) is None
        with pytest.raises(ConfigurationError, match="keys: is missing: add a"):
            settings.build_issuer(None)

from __future__ import annotations

import logging
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from webtest import TestApp

from jwt_middleware import Key, wrap
from jwt_middleware.config import load
from jwt_middleware.errors import ConfigurationError, InvalidTokenError
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.ring import KeyRing

from .writing import (
    PAYLOAD,
    RING,
    SECRET,
    app,
    assert_one_line,
    issuer_of,
    keys_of,
    private_pem,
    public_pem,
    token,
    write,
    write_private,
)


class TestKeys:
    @pytest.mark.parametrize(
        ("content", "meant"),
        [
            pytest.param(SECRET, SECRET, id="as it is"),
            pytest.param(SECRET + "\n", SECRET, id="newline"),
            pytest.param(SECRET + "\r\n", SECRET, id="carriage return and newline"),
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
            "JWT",
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
        with pytest.raises(ConfigurationError, match="keys: has a key that only verifies"):
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


class TestKeyRing:
    LONG_AGO = 1_700_000_000.0

    @pytest.fixture
    def ring(self, folder: Path) -> Path:
        rotation.create(folder / "ring", alg="ES256", now=self.LONG_AGO)
        return folder / "ring"

    def test_verifies_and_picks_a_rotation_up(self, folder: Path, ring: Path) -> None:
        settings = load(write(folder, RING))
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
        fresh = load(write(folder, RING))
        after = fresh.build_issuer(fresh.build_own()).issue(PAYLOAD).token
        assert jwt.get_unverified_header(after)["kid"] == active
        site.get("/", headers={"Authorization": f"Bearer {after}"}, status=200)

    def test_signs_for_the_endpoint_with_the_active_key(self, folder: Path, ring: Path) -> None:
        named = '[endpoint]\nverifiers = { ldap = "tests.config.writing:verify_ldap" }\n'
        protected = wrap(write(folder, RING + named), app)
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
                wrap(write(folder, RING + setting), app)
            assert_one_line(caught.value, ["keys.directory: and ", "exclude each other"])

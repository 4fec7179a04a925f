from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwt_middleware import JWTPayload, Sessions
from jwt_middleware.config import load
from jwt_middleware.core.trust import MAX_LEEWAY_SECONDS
from jwt_middleware.sessions import Grant

Invoke = Callable[..., Result]


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged(claims: bytes, header: bytes = b'{"alg":"none"}') -> str:
    return f"{segment(header)}.{segment(claims)}."


class TestIssue:
    def test_prints_a_token_that_the_app_accepts(self, invoke: Invoke, folder: Path) -> None:
        result = invoke("token", "issue", "--uid", "42", "--scope", "read", "--scope", "write")
        assert (result.exit_code, result.stderr) == (0, "")
        settings = load(folder / "jwt.toml")
        verified = settings.build_verifier(settings.build_own()).verify(result.stdout.strip())
        claims = verified.claims
        assert claims["uid"] == 42
        assert claims["scope"] == "read write"
        assert (claims["auth"], claims["ac_type"]) == ("blue", "email")
        assert claims["exp"] - claims["iat"] == 7200

    @pytest.mark.parametrize(
        ("given_uid", "uid"),
        [
            pytest.param("7", 7, id="digits"),
            pytest.param("007", "007", id="leading zeros"),
            pytest.param("-7", "-7", id="sign"),
            pytest.param("ann", "ann", id="text"),
            pytest.param("٣", "٣", id="other digits"),
            pytest.param("9" * 5000, "9" * 5000, id="more digits than a number has"),
        ],
    )
    def test_takes_digits_for_a_number(
        self, invoke: Invoke, given_uid: str, uid: int | str
    ) -> None:
        token = invoke("token", "issue", "--uid", given_uid).stdout
        assert json.loads(invoke("token", "inspect", stdin=token).stdout)["claims"]["uid"] == uid

    def test_takes_the_lifetime_of_the_endpoint(self, invoke: Invoke, folder: Path) -> None:
        file = folder / "jwt.toml"
        file.write_text(file.read_text().replace("[endpoint]", "[endpoint]\nlifetime_seconds = 60"))
        token = invoke("token", "issue", "--uid", "1").stdout
        claims = json.loads(invoke("token", "verify", stdin=token).stdout)
        assert claims["exp"] - claims["iat"] == 60

    @pytest.mark.parametrize(
        "arguments", [["--uid", ""], ["--uid", "a\nb"], ["--uid=1", "--auth=\n"]]
    )
    def test_refuses_claims_that_cannot_be(self, invoke: Invoke, arguments: list[str]) -> None:
        result = invoke("token", "issue", *arguments)
        assert result.exit_code == 2
        assert "Error: " in result.stderr

    def test_needs_a_uid(self, invoke: Invoke) -> None:
        assert invoke("token", "issue").exit_code == 2

    def test_needs_a_key_that_signs(self, invoke: Invoke, folder: Path) -> None:
        file = folder / "jwt.toml"
        file.write_text(file.read_text().replace('secret_file = "secret"', 'jwk_file = "k"'))
        jwk = {"kty": "oct", "alg": "HS256", "k": "Ab" * 22, "key_ops": ["verify"]}
        (folder / "k").write_text(json.dumps(jwk))
        result = invoke("token", "issue", "--uid", "1")
        assert result.exit_code == 1
        assert "keys: has a key that only verifies" in result.stderr


class TestVerify:
    def test_prints_the_claims(self, invoke: Invoke) -> None:
        token = invoke("token", "issue", "--uid", "42").stdout
        result = invoke("token", "verify", stdin=f"  {token}\n")
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout)["sub"] == "42"

    def test_asks_at_a_terminal_without_showing(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = invoke("token", "issue", "--uid", "42").stdout
        monkeypatch.setattr("jwt_middleware.cli.terminal._is_terminal", lambda: True)
        result = invoke("token", "verify", stdin=token)
        assert result.exit_code == 0
        assert token.strip() not in result.output

    @pytest.mark.parametrize("seconds", ["-1", "0"])
    def test_refuses_an_expired_token(self, invoke: Invoke, seconds: str) -> None:
        token = invoke("token", "issue", "--uid", "42", "--lifetime-seconds", seconds).stdout
        result = invoke("token", "verify", stdin=token)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: expired_token: expired ")

    @pytest.mark.parametrize(
        ("token", "message"),
        [
            pytest.param("nonsense", "malformed_token: not three segments", id="nonsense"),
            pytest.param(forged(b"{}"), "algorithm_not_allowed: alg is missing", id="none"),
            pytest.param("ü.ü.ü", "malformed_token: ", id="no ASCII"),
            pytest.param(" ", "standard input is empty: write the token to it", id="empty"),
            pytest.param(b"\xff", "standard input is not UTF-8", id="no text"),
        ],
    )
    def test_refuses_in_one_line_without_the_token(
        self, invoke: Invoke, token: str | bytes, message: str
    ) -> None:
        result = invoke("token", "verify", stdin=token)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {message}")
        assert result.stderr.count("\n") == 1
        assert "nonsense" not in result.stderr

    def test_takes_no_token_as_an_argument(self, invoke: Invoke) -> None:
        assert invoke("token", "verify", "a.b.c").exit_code == 2


class TestRevoke:
    @pytest.fixture
    def grant(self, sessions: Sessions) -> Grant:
        return sessions.start(JWTPayload(uid=42))

    def test_ends_an_access_token_alone(
        self, invoke: Invoke, sessions: Sessions, grant: Grant
    ) -> None:
        result = invoke("token", "revoke", stdin=f" {grant.issued.token}\n")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(f"revoked token {grant.issued.jti!r}, until 20")
        assert invoke("token", "verify", stdin=grant.issued.token).exit_code == 1
        other = sessions.refresh(str(grant.refresh_token))
        assert invoke("token", "verify", stdin=other.issued.token).exit_code == 0

    def test_ends_the_session_of_a_refresh_token(
        self, invoke: Invoke, sessions: Sessions, grant: Grant
    ) -> None:
        token = str(grant.refresh_token)
        sessions.refresh(token)  # what is found in a log may be an old one
        result = invoke("token", "revoke", stdin=token)
        assert result.exit_code == 0
        assert re.fullmatch(r"ended session [A-Za-z0-9_-]{22}\n", result.stdout)
        assert invoke("token", "verify", stdin=grant.issued.token).exit_code == 1
        again = invoke("token", "revoke", stdin=token)
        assert again.exit_code == 1
        assert "has ended or never existed" in again.stderr
        assert token not in result.output + again.output

    def test_takes_a_jti(self, invoke: Invoke, grant: Grant) -> None:
        result = invoke("token", "revoke", "--jti", grant.issued.jti)
        assert result.exit_code == 0
        assert invoke("token", "verify", stdin=grant.issued.token).exit_code == 1

    @pytest.mark.parametrize(
        ("options", "seconds"), [([], 7_776_000), (["--lifetime-seconds", "60"], 60)]
    )
    def test_of_a_jti_lasts_as_long_as_the_token_could(
        self, invoke: Invoke, sessions: Sessions, options: list[str], seconds: int
    ) -> None:
        now = time.time()
        invoke("token", "revoke", "--jti=-a", *options)
        (revocation,) = sessions.store.changes(None, limit=2).revocations
        assert (revocation.kind, revocation.key) == (
            "token",
            "https://auth.example.com\n-a",
        )
        assert 0 <= revocation.expires_at - MAX_LEEWAY_SECONDS - seconds - now < 60

    def test_takes_the_jti_of_another_issuer(self, invoke: Invoke, sessions: Sessions) -> None:
        invoke("token", "revoke", "--jti", "a", "--issuer", "https://login.example.org")
        (revocation,) = sessions.store.changes(None, limit=2).revocations
        assert revocation.key == "https://login.example.org\na"

    def test_refuses_what_is_not_accepted_anyway(self, invoke: Invoke, sessions: Sessions) -> None:
        expired = invoke("token", "issue", "--uid", "1", "--lifetime-seconds", "-1").stdout
        for token in (expired, "nonsense"):
            result = invoke("token", "revoke", stdin=token)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "nonsense" not in result.stderr
        assert not sessions.store.changes(None, limit=1).revocations

    @pytest.mark.parametrize("option", ["--issuer=i", "--lifetime-seconds=1"])
    def test_of_a_token_that_is_read_takes_no_options(
        self, invoke: Invoke, sessions: Sessions, option: str
    ) -> None:
        assert invoke("token", "revoke", option).exit_code == 2


class TestInspect:
    def test_shows_an_unverified_token(self, invoke: Invoke) -> None:
        result = invoke("token", "inspect", stdin=forged(b'{"sub": "root"}'))
        assert result.exit_code == 0
        assert "Not verified" in result.stderr
        assert json.loads(result.stdout) == {
            "verified": False,
            "header": {"alg": "none"},
            "claims": {"sub": "root"},
        }

    def test_needs_no_configuration(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").unlink()
        assert invoke("token", "inspect", stdin=forged(b"{}")).exit_code == 0

    def test_prints_nothing_that_acts_on_a_terminal(self, invoke: Invoke) -> None:
        claims = json.dumps({"sub": "\x1b[2J\x7f\u202e\u2028"}).encode()
        result = invoke("token", "inspect", stdin=forged(claims))
        assert result.exit_code == 0
        assert result.stdout.replace("\n", "").isprintable()
        assert result.stdout.isascii()

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param("a.b", id="two segments"),
            pytest.param(forged(b"[1]"), id="no object"),
            pytest.param(forged(b"\xff"), id="no UTF-8"),
            pytest.param(forged(b'{"a":1,"a":2}'), id="duplicate members"),
            pytest.param(forged(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), id="deep"),
            pytest.param(forged(b'{"a":' + b"9" * 5000 + b"}"), id="huge number"),
            pytest.param(forged(b'{"a":"\\ud800"}'), id="lone surrogate"),
            pytest.param("." * 50_000, id="long"),
        ],
    )
    def test_refuses_what_is_no_token(self, invoke: Invoke, token: str) -> None:
        result = invoke("token", "inspect", stdin=token)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: malformed_token: ")

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda b: forged(b).encode()))
    def test_fails_with_one_line_whatever_it_reads(self, invoke: Invoke, stdin: bytes) -> None:
        result = invoke("token", "inspect", stdin=stdin)
        assert result.exit_code in {0, 1}
        assert result.exit_code == 0 or result.stderr.count("\n") == 1

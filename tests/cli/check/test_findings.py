from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from jwt_middleware import Rule
from jwt_middleware.cli.check.findings import _covers, _of_earlier, weakness
from jwt_middleware.sessions.clock import StoreClock

from ...table import table

Invoke = Callable[..., Result]

HEAD = """\
issuer = "https://auth.acme.test"
audience = "api"
"""
KEYS = '[keys]\nsecret_file = "secret"\n'
ENDPOINT = '[endpoint]\n[accounts]\nurl = "sqlite:///accounts.db"\n'
GOOD = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture(autouse=True)
def _secret(folder_with_endpoint: Path) -> None:
    (folder_with_endpoint / "secret").write_text(GOOD)


def rules(*paths: str) -> str:
    return "".join(f"[[rules]]\n{path}\n" for path in paths)


FAULTS = [
    pytest.param("mode = 'report'\n" + KEYS, 'mode: is "report": no request', id="report"),
    pytest.param(
        KEYS + rules("path = '/x'\nmode = 'report'"), "rules[1]: mode is", id="rule reports"
    ),
    pytest.param(
        KEYS + rules("path = '/*'\naccess = 'public'", "path = '/admin/*'"),
        "rules[2]: protects /admin/*, which rules[1] (/*, public) opens before",
        id="opens",
    ),
    pytest.param(
        KEYS + rules("path = '/a/*'", "path = '/a/b'\naccess = 'public'"),
        "rules[2]: never matches: rules[1] (/a/*)",
        id="never",
    ),
    pytest.param(
        KEYS + ENDPOINT + rules("path = '/token'"), "rules[1]: /token is answered by", id="own path"
    ),
    pytest.param(
        KEYS + ENDPOINT + rules("path = '/x'\nclaims = { role = 'admin' }"),
        "rules[1]: requires the claim role",
        id="claim",
    ),
    pytest.param(
        KEYS + "[sessions]\nissuer = '${ISSUER}'\nurl = 'sqlite:///s.db'\n",
        "sessions.issuer: '${ISSUER}' is taken literally",
        id="variable",
    ),
    pytest.param(
        KEYS + ENDPOINT + "[sessions]\nurl = 'memory://'\n",
        "sessions.url: memory:// is for one process, and serve starts 2",
        id="memory",
    ),
    *(
        pytest.param(
            f"{KEYS}[responses]\nrealm = '{realm}'\n",
            f"responses.realm: {shown!r} is taken literally",
            id=f"placeholder {realm}",
        )
        for realm, shown in [
            ("a-${B}", "${B}"),
            ("$HOST/c", "$HOST"),
            ("$(B)", "$(B)"),
            ("%(B)s", "%(B)s"),
            ("%B%", "%B%"),
            ("{{ B }}", "{{ B }}"),
            ("<B>", "<B>"),
            ("~/b", "~/"),
        ]
    ),
    pytest.param(
        KEYS + "[environ]\nHTTP_X_A = '$CLAIM'\n",
        "environ.HTTP_X_A: '$CLAIM' is taken literally",
        id="variable in a table",
    ),
    pytest.param(KEYS + ENDPOINT, "accounts: ", id="no accounts"),
    pytest.param(
        KEYS
        + "[endpoint]\nverifiers = { ldap = 'json:loads' }\nlookups = { ldap = 'none' }\n"
        + "[sessions]\nurl = 'sqlite:///s.db'\n",
        "endpoint.lookups.ldap: is none",
        id="lookup",
    ),
    pytest.param(
        KEYS + "[serve]\nbind = 'unix:run/socket'\n",
        "serve.bind: all clients of a Unix socket look the same",
        id="socket",
    ),
    pytest.param(
        KEYS + "[[trusted]]\nissuer = 'https://a.test'\naudience = 'api'\nsecret_env = 'PARTNER'\n",
        "trusted[1].secret_env: the secret has 1 different bytes",
        id="secret of another",
    ),
]


class TestFindings:
    @pytest.mark.parametrize(("text", "expected"), FAULTS)
    def test_names_a_fault_in_one_line(
        self,
        invoke: Invoke,
        folder: Path,
        text: str,
        expected: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PARTNER", "p" * 40)
        (folder / "jwt.toml").write_text(HEAD + text)
        result = invoke("check")
        found = [one for one in result.stderr.splitlines() if expected in one]
        assert found, result.stderr
        assert found[0].startswith("warning: ")
        assert invoke("check", "--strict").exit_code == 1

    def test_finds_nothing_in_a_good_configuration(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").write_text(
            HEAD
            + KEYS
            + rules(
                "path = '/health'\naccess = 'public'",
                "path = '/admin/*'\nmethods = ['GET']\nscopes = ['read']",
                "path = '/admin/*'\nscopes = ['admin']",
                "path = '/*'\nscopes = ['any']",
            )
        )
        result = invoke("check", "--strict")
        assert (result.exit_code, result.stderr) == (0, "")

    def test_the_example_issuer(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").write_text(HEAD.replace("acme.test", "example.com") + KEYS)
        assert "warning: issuer: is the example's" in invoke("check").stderr

    @pytest.mark.parametrize(
        ("mode", "expected"), [(0o604, "can be read by every"), (0o602, "can be changed by every")]
    )
    def test_files_of_every_user(
        self, invoke: Invoke, folder: Path, mode: int, expected: str
    ) -> None:
        (folder / "jwt.toml").write_text(HEAD + KEYS)
        (folder / "secret").chmod(mode)
        assert re.search(f"keys.secret_file: '.*secret' {expected}", invoke("check").stderr)

    def test_a_configuration_that_others_can_write(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").write_text(HEAD + KEYS)
        (folder / "jwt.toml").chmod(0o646)
        assert "jwt.toml' can be changed by every user" in invoke("check").stderr

    def test_a_folder_in_which_others_can_replace_files(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").write_text(HEAD + KEYS)
        folder.chmod(0o777)
        try:
            said = invoke("check").stderr
        finally:
            folder.chmod(0o700)
        assert "secret' can be replaced by every user of this machine: chmod o-w" in said

    @pytest.mark.parametrize(("ahead", "side"), [(90.4, "90 s ahead of"), (-3.0, "3 s behind")])
    def test_a_clock_that_is_off(
        self,
        invoke: Invoke,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        ahead: float,
        side: str,
    ) -> None:
        (folder / "jwt.toml").write_text(
            HEAD + KEYS + ENDPOINT + "[sessions]\nurl = 'sqlite:///s.db'\n"
        )
        assert invoke("check").exit_code == 0  # makes the file
        monkeypatch.setattr(StoreClock, "seconds_ahead", lambda _: ahead)
        warning = f"warning: sessions.url: this host's clock is {side} the store's: run NTP on both"
        assert warning in invoke("check").stderr.splitlines()

    def test_what_is_wrong_is_said_once(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").write_text(
            HEAD + KEYS + ENDPOINT + rules("path = '/*'\naccess = 'public'", "path = '/token'")
        )
        said = invoke("check").stderr
        assert said.count("rules[2]") == 1
        assert "store.lost" not in said

    def test_a_weak_secret(
        self, invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "jwt.toml").write_text(HEAD + "[keys]\nsecret_env = 'KEY'\n")
        monkeypatch.setenv("KEY", "a" * 40)
        assert "keys.secret_env: the secret has 1 different bytes" in invoke("check").stderr

    def test_redis_that_loses_sessions(self, invoke: Invoke, folder: Path, redis_url: str) -> None:
        (folder / "jwt.toml").write_text(
            HEAD + KEYS + ENDPOINT + f"[sessions]\nurl = '{redis_url}'\n"
        )
        result = invoke("check")
        assert result.exit_code == 0
        found = [one for one in result.stderr.splitlines() if "sessions.url: " in one]
        assert all(": set " in one for one in found)


@table(
    "secret",
    [
        b"a" * 64,
        b"abcabcabc" * 8,
        b"your-256-bit-secret",
        b"SECRET-Secret-secret-secret-secret-1",
        b"a-string-secret-at-least-256-bits-long",
        b"changeme-changeme-changeme-changeme!",
        b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        b"CHANGE_ME_PLEASE_THIS_IS_A_SECRET_KEY",
        b"MySuperSecretKeyThatIsAtLeast32Chars",
        b"super-secret-key-change-in-production",
        b"django-insecure-w8^f3&tq!2lz0x-#kd)9v_7hs(1y@c4bm",
        b"0123456789abcdefghijklmnopqrstuvwxyz",
        b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        bytes(range(64)),
        base64.b64encode(b"changeme" * 5),
        b"your-256-bit-secret-again".hex().encode(),
        hashlib.sha256(b"secret").hexdigest().encode(),
        b"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        b"x7!kQ2_x7!kQ2_pLx7!kQ2_x7!kQ2_pL",
        b"${JWT_SECRET_KEY_OF_THE_ENVIRONMENT}",
        b"{{ vault.jwt.signing_key_of_service }}",
    ],
)
def test_knows_weak_secrets(secret: bytes) -> None:
    assert weakness(secret)


@table(
    "secret",
    [
        GOOD.encode(),
        hashlib.sha256(b"none of these").digest(),
        base64.b64encode(hashlib.sha256(b"nor of these").digest()),
        b"correct horse battery stap",
        b"kX9vQ2mT7pL4sW8zR1nB6yC3hJ5dF0gA",
    ],
)
def test_leaves_others_alone(secret: bytes) -> None:
    assert not weakness(secret)


@table(
    ("one", "other", "covers"),
    [
        ("/*", "/admin/*", True),
        ("/a/*", "/a", True),
        ("/a/*", "/ab", False),
        ("/a*", "/ab/c", True),
        ("/*/b*", "/a/bc", True),
        ("/*/b*", "/a", False),
        ("/*/b*", "/a/c", False),
        ("/a/*/c", "/a/b/c", True),
        ("/a/*/c", "/a/b/d", False),
        ("/a", "/a", True),
        ("/a", "/a/*", False),
        ("/a/b", "/a/*", False),
    ],
)
def test_covers(one: str, other: str, covers: bool) -> None:  # noqa: FBT001
    assert _covers(one, other) is covers


GET, POST = frozenset({"GET"}), frozenset({"POST"})


@table(
    ("rule", "earlier", "expected"),
    [
        (Rule("/a"), [Rule("/a", methods=GET)], ""),
        (Rule("/a", methods=["HEAD"]), [Rule("/a", methods=GET)], "never matches: rules[1]"),
        (Rule("/a", methods=GET), [Rule("/a")], "never matches: rules[1]"),
        (Rule("/a"), [Rule("/a", methods=GET, access="public")], ""),
        (Rule("/b/c", methods=POST), [Rule("/b/*", methods=GET, access="public")], ""),
        (
            Rule("/b/c"),
            [Rule("/b/*", methods=GET, access="public")],
            "protects GET, HEAD of /b/c, which rules[1] (/b/*, public) opens",
        ),
        (
            Rule("/a", methods=GET | POST),
            [Rule("/*", methods=GET), Rule("/a", methods=POST)],
            "never matches: rules[2]",
        ),
        (Rule("/a"), [Rule("/a", methods=GET), Rule("/a")], "never matches: rules[2]"),
    ],
)
def test_heeds_methods(rule: Rule, earlier: list[Rule], expected: str) -> None:
    [found] = list(_of_earlier("rules[3]", rule, earlier)) or [""]
    assert expected in found
    assert bool(expected) is bool(found)

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import Result

from jwt_middleware import Sessions
from jwt_middleware.core.keys import Key
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory

Invoke = Callable[..., Result]

LONG_AGO = 1_700_000_000.0
FIRST, SECOND = Key.generate("ES256", kid="first"), Key.generate("EdDSA", kid="second")
OWN = 'issuer = "https://auth.example.com"\naudience = "api"\n[keys]\n'
SECRET = OWN + 'secret_file = "secret"\n'
RING = OWN + 'directory = "ring"\n'


def complaints(result: Result) -> list[str]:
    """Return what went to standard error besides warnings, which test_findings.py is about."""
    return [one for one in result.stderr.splitlines() if not one.startswith("warning: ")]


def trusted(name: str, source: str) -> str:
    return f"[[trusted]]\nissuer = 'https://{name}.example'\naudience = 'api'\n{source}\n"


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a server that has a key set at /keys, and nothing else."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/slash"):
                issuer = f"http://{self.headers['Host']}/slash/"
                document: object = {"issuer": issuer}
            else:
                document = {"keys": [FIRST.public_jwk()]}
            self.send_response(500 if self.path == "/down" else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def ring(folder_with_endpoint: Path) -> RingDirectory:
    rotation.create(folder_with_endpoint / "ring", alg="ES256", now=LONG_AGO)
    return RingDirectory(folder_with_endpoint / "ring")


class TestCheck:
    def test_shows_what_the_rules_let_through_unread(self, invoke: Invoke, folder: Path) -> None:
        rules = (
            "[[rules]]\npath = '/git/*'\naccess = 'passthrough'\n"
            "[[rules]]\npath = '/api/*'\npreflight = true\n"
        )
        (folder / "jwt.toml").write_text(SECRET + rules)
        lines = invoke("check").stdout.splitlines()
        assert "rule '/git/*': passthrough: Authorization is left to the app" in lines
        (preflight,) = (line for line in lines if "'/api/*'" in line)
        assert "CORS preflight for any method reaches the app" in preflight

    def test_shows_every_issuer_and_its_keys(self, invoke: Invoke, folder: Path, url: str) -> None:
        public = json.dumps({"keys": [FIRST.public_jwk(), SECOND.public_jwk()]})
        (folder / "jwks.json").write_text(public)
        (folder / "jwt.toml").write_text(
            SECRET.replace("[keys]\n", "[keys]\nkid = '2026-11'\n")
            + trusted("file", "jwks_file = 'jwks.json'")
            + trusted("url", f"jwks_url = '{url}/keys'")
        )
        result = invoke("check")
        assert (result.exit_code, complaints(result)) == (0, [])
        assert result.stdout.splitlines() == [
            "https://auth.example.com: 2026-11 (HS256)",
            "https://file.example: first (ES256), second (EdDSA)",
            "https://url.example: first (ES256)",
        ]

    def test_shows_the_keys_of_a_ring(
        self, invoke: Invoke, folder: Path, ring: RingDirectory
    ) -> None:
        (folder / "jwt.toml").write_text(RING)
        kids = ", ".join(f"{key.kid} (ES256)" for key in ring.read_manifest().keys)
        assert invoke("check").stdout == f"https://auth.example.com: {kids}\n"

    def test_shows_tenants_and_headers_and_fetches_one_url_once(
        self, invoke: Invoke, folder: Path, url: str
    ) -> None:
        tenants = trusted("x/{tid}", f"jwks_url = '{url}/keys'\ntenants = ['a', 'b']")
        (folder / "jwt.toml").write_text(
            tenants + trusted("y", f"jwks_url = '{url}/keys'\nheader = 'X-Token'")
        )
        assert invoke("check").stdout.splitlines() == [
            "https://x/{tid}.example (tenants: 2): first (ES256)",
            "https://y.example, in X-Token: first (ES256)",
        ]

    def test_shows_both_spellings_of_an_issuer_that_differs_by_a_slash(
        self, invoke: Invoke, folder: Path, url: str
    ) -> None:
        (folder / "jwt.toml").write_text(
            f"[[trusted]]\nissuer = '{url}/slash'\naudience = 'api'\ndiscovery = true\n"
        )
        result = invoke("check")
        assert result.exit_code == 1
        assert f"not of this issuer, '{url}/slash', but of '{url}/slash/'" in result.stderr

    @pytest.mark.parametrize(
        ("rule", "doubt"),
        [
            (
                'claims = { "realm_access.roles" = "admin" }',
                'requires a claim named "realm_access.roles"',
            ),
            ('claims = { iss = "https://other.example" }', "requires an iss that no configured"),
            ('claims = { scope = "read" }', "compares all of scope"),
            ('claims_all = { scp = ["read"] }', "compares all of scp"),
        ],
    )
    def test_doubts_a_rule_that_hardly_matches(
        self, invoke: Invoke, folder: Path, rule: str, doubt: str
    ) -> None:
        (folder / "jwt.toml").write_text(SECRET + f'[[rules]]\npath = "/a"\n{rule}\n')
        result = invoke("check")
        assert result.exit_code == 0
        (line,) = [one for one in result.stdout.splitlines() if one.startswith("rules[1]: ")]
        assert doubt in line

    @pytest.mark.parametrize(
        "rule",
        [
            'claims = { "kubernetes.io".namespace = "x", "https://a.example/b.c" = "y" }',
            'claims = { realm_access.roles = "admin", iss = "https://auth.example.com" }',
            'scopes = ["read"]\nclaims_absent = ["act"]',
        ],
    )
    def test_has_no_doubts_about_others(self, invoke: Invoke, folder: Path, rule: str) -> None:
        (folder / "jwt.toml").write_text(SECRET + f'[[rules]]\npath = "/a"\n{rule}\n')
        assert "rules" not in invoke("check").stdout

    def test_goes_on_after_keys_that_cannot_be_had(
        self, invoke: Invoke, folder: Path, url: str
    ) -> None:
        (folder / "jwt.toml").write_text(
            trusted("down", f"jwks_url = '{url}/down'") + trusted("up", f"jwks_url = '{url}/keys'")
        )
        result = invoke("check")
        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            "https://down.example: no keys",
            "https://up.example: first (ES256)",
        ]
        reason, error = complaints(result)
        assert reason.startswith(f"https://down.example: no keys of {url}/down (")
        assert "status 500" in reason
        assert error.startswith("Error: keys of an issuer are unavailable")

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            pytest.param(SECRET + "kyd = 'a'", "keys.kyd: ", id="unknown setting"),
            pytest.param(RING, "keys.directory: ", id="no ring"),
            pytest.param(
                SECRET + trusted("file", "jwks_file = 'absent'"), "trusted[1].jwks_file", id="file"
            ),
            pytest.param(SECRET + "[endpoint]", "accounts: is missing", id="no accounts"),
        ],
    )
    def test_tells_a_mistake_in_one_line(
        self, invoke: Invoke, folder: Path, text: str, mistake: str
    ) -> None:
        (folder / "jwt.toml").write_text(text)
        result = invoke("check")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: jwt.toml: {mistake}")
        assert result.stderr.count("\n") == 1


class TestCheckOfSessions:
    def test_asks_the_store(self, invoke: Invoke, sessions: Sessions) -> None:
        result = invoke("check")
        assert (result.exit_code, complaints(result)) == (0, [])
        version, line = result.stdout.splitlines()[1:]
        assert re.fullmatch("sessions: schema version [0-9]+", version)
        # Where it is, for who follows another's and has mistyped its URL.
        assert re.fullmatch(r"sessions: SQLSessions\('/.+/sessions\.db'\) answers", line)

    def test_only_reads_for_who_only_follows(self, invoke: Invoke, sessions: Sessions) -> None:
        Path("jwt.toml").write_text(SECRET + '[sessions]\nurl = "sqlite:///sessions.db"\n')
        result = invoke("check")
        assert (result.exit_code, complaints(result)) == (0, [])
        assert result.stdout.endswith("answers\n")

    def test_fails_if_it_cannot_be_asked(self, invoke: Invoke, sessions: Sessions) -> None:
        config = Path("jwt.toml")
        config.write_text(config.read_text().replace("sessions.db", "no/such/folder/sessions.db"))
        result = invoke("check")
        assert result.exit_code == 1
        (error,) = complaints(result)
        assert error.startswith("Error: sessions: database ")
        assert "would get 503" in error


class TestConfiguredDirectory:
    @pytest.fixture(autouse=True)
    def config(self, folder_with_endpoint: Path) -> None:
        (folder_with_endpoint / "jwt.toml").write_text(RING)

    def test_is_where_a_ring_is_begun(self, invoke: Invoke, folder: Path) -> None:
        assert invoke("keys", "create", "--alg", "ES256").exit_code == 0
        assert RingDirectory(folder / "ring").is_ring()

    def test_is_relative_to_the_configuration(
        self,
        invoke: Invoke,
        folder: Path,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        result = invoke("-c", str(folder / "jwt.toml"), "keys", "create", "--alg", "ES256")
        assert result.exit_code == 0
        assert RingDirectory(folder / "ring").is_ring()

    def test_serves_every_command(self, invoke: Invoke, ring: RingDirectory) -> None:
        first, second = (key.kid for key in ring.read_manifest().keys)
        assert first in invoke("keys", "list").stdout
        assert invoke("keys", "rotate").stdout.startswith(f"rotated: {second} signs")
        assert f"{first}\tES256\tretired" in invoke("keys", "retire", first).stdout
        exported = json.loads(invoke("keys", "export").stdout)["keys"]
        assert exported[0]["kid"] == second

    def test_yields_to_one_that_is_given(
        self, invoke: Invoke, folder: Path, ring: RingDirectory
    ) -> None:
        rotation.create(folder / "other", alg="EdDSA", now=LONG_AGO)
        assert "EdDSA" in invoke("keys", "list", "--directory", "other").stdout

    @pytest.mark.parametrize(
        "text", [SECRET, trusted("file", "discovery = true")], ids=["other keys", "no keys"]
    )
    @pytest.mark.parametrize(
        "command",
        [["list"], ["export"], ["rotate"], ["retire", "x"], ["create", "--alg", "ES256"]],
        ids=lambda command: str(command[0]),
    )
    def test_that_is_not_there_is_wrong_usage(
        self, invoke: Invoke, folder: Path, text: str, command: list[str]
    ) -> None:
        (folder / "jwt.toml").write_text(text)
        result = invoke("keys", *command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "jwt.toml has no keys.directory: add it, or give --directory" in result.stderr

    def test_needs_a_configuration(self, invoke: Invoke, folder: Path) -> None:
        (folder / "jwt.toml").unlink()
        result = invoke("keys", "list")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert result.stderr.startswith("Error: jwt.toml: the configuration file cannot be read")

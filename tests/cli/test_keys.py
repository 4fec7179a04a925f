from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jwt_middleware.cli.group import OneLineErrors
from jwt_middleware.cli.keys import keys
from jwt_middleware.core.keys import Key
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.ring import KeyRing

Run = Callable[..., Result]

LONG_AGO = 1_700_000_000.0  # 2023-11-14T22:13:20Z
A, B = Key.generate("ES256", kid="a"), Key.generate("EdDSA", kid="b")
WEAK = {"kty": "oct", "k": "AAAA", "kid": "weak"}


@pytest.fixture
def run(folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in a folder with a jwt.toml."""
    monkeypatch.chdir(folder_with_endpoint)
    root = OneLineErrors(commands={"keys": keys})

    def run(*arguments: str) -> Result:
        runner = CliRunner(catch_exceptions=False)
        return runner.invoke(root, ["keys", *arguments], obj=Path("jwt.toml"))

    return run


@pytest.fixture
def ring(folder_with_endpoint: Path) -> RingDirectory:
    """Return a ring that was begun long ago."""
    rotation.create(folder_with_endpoint / "ring", alg="ES256", now=LONG_AGO)
    return RingDirectory(folder_with_endpoint / "ring")


@pytest.fixture
def url() -> Iterator[str]:
    """Return where a set with a good and a bad key is served."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/keys" else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [A.public_jwk(), WEAK]}).encode())

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()


def test_create_begins_a_ring(run: Run) -> None:
    result = run("create", "--directory", "ring", "--alg", "HS256")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["kid", "alg", "state", "since", "verifies until"]
    assert [row[1:3] for row in rows[1:]] == [["HS256", "active"], ["HS256", "announced"]]
    assert [key.kid for key in KeyRing("ring").current()] == [row[0] for row in rows[1:]]
    again = run("create", "--directory", "ring", "--alg", "HS256")
    assert again.exit_code == 1
    assert again.stderr.startswith("Error: 'ring': is a key ring already")


def test_list_shows_states_and_times(run: Run, ring: RingDirectory) -> None:
    rotation.rotate(ring.path, token_lifetime_seconds=40, now=LONG_AGO)
    rotation.retire(ring.path, ring.read_manifest().announced.kid, now=LONG_AGO + 60)
    kids = [key.kid for key in ring.read_manifest().keys]
    result = run("list", "--directory", "ring")
    assert result.stdout.splitlines()[1:] == [
        f"{kids[0]}\tES256\tactive\t2023-11-14T22:13:20Z\t",
        f"{kids[1]}\tES256\tannounced\t2023-11-14T22:14:20Z\t",
        f"{kids[2]}\tES256\tretiring\t2023-11-14T22:13:20Z\t2023-11-14T22:20:00Z",
        f"{kids[3]}\tES256\tretired\t2023-11-14T22:14:20Z\t",
    ]


def test_a_key_without_a_time_is_listed(run: Run, ring: RingDirectory) -> None:
    manifest = json.loads(ring.manifest_path.read_text())
    del manifest["keys"][0]["active_at"]
    ring.manifest_path.write_text(json.dumps(manifest))
    assert "\tactive\t\t\n" in run("list", "--directory", "ring").stdout


def test_rotate_tells_what_it_did(run: Run, ring: RingDirectory) -> None:
    before = ring.read_manifest()
    result = run("rotate", "--directory", "ring", "--if-older-than", "90d")
    after = ring.read_manifest()
    assert after.active.kid == before.announced.kid
    announced = after.announced.kid
    assert result.stdout == f"rotated: {after.active.kid} signs, {announced} is announced\n"
    again = run("rotate", "--directory", "ring")
    assert again.stdout.startswith(f"not rotated: {after.active.kid} signs since 20")
    assert (again.exit_code, ring.read_manifest()) == (0, after)


def test_rotate_tells_that_another_was_faster(
    run: Run, ring: RingDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = ring.read_manifest().active.kid
    after = rotation.rotate(ring.path, token_lifetime_seconds=0, now=LONG_AGO).ring
    rotate = rotation.rotate
    monkeypatch.setattr(
        rotation,
        "rotate",
        lambda path, **options: rotate(path, **options, expected_kid=seen),
    )
    assert run("rotate", "--directory", "ring").stdout == (
        f"not rotated: another process just did, {after.active.kid} signs\n"
        f"retired: {seen}, whose tokens have expired\n"
    )


@pytest.mark.parametrize(
    ("arguments", "config", "lifetime"),
    [
        pytest.param(["--token-lifetime", "12h"], "", 43_200, id="given"),
        pytest.param([], "[endpoint]\nlifetime_seconds = 60", 60, id="the-endpoints"),
        pytest.param([], "", 7200, id="default"),
    ],
)
def test_rotate_takes_the_lifetime_of_tokens(
    run: Run,
    ring: RingDirectory,
    folder: Path,
    arguments: list[str],
    config: str,
    lifetime: int,
) -> None:
    file = folder / "jwt.toml"
    text = file.read_text()
    head, endpoint = text.split("\n[endpoint]\n")
    file.write_text(f"{head}\n{config}\n{endpoint}" if config else head)
    assert run("rotate", "--directory", "ring", *arguments).exit_code == 0
    (retiring,) = ring.read_manifest().retiring
    assert retiring.retire_after is not None
    assert retiring.retiring_at is not None
    kept = retiring.retire_after - retiring.retiring_at - rotation.GRACE_SECONDS
    assert lifetime <= kept < lifetime + 1


@pytest.mark.parametrize("age", ["", "90", "d", "1.5d", "-1d", "90 d", "1w", "1234567890s"])
def test_an_age_has_a_unit(run: Run, ring: RingDirectory, age: str) -> None:
    result = run("rotate", "--directory", "ring", f"--if-older-than={age}")
    assert result.exit_code == 2
    assert "not a duration such as 90d" in result.stderr


def test_retire_deletes_the_key(run: Run, ring: RingDirectory) -> None:
    kid = ring.read_manifest().active.kid
    assert f"{kid}\tES256\tretired\t20" in run("retire", "--directory", "ring", kid).stdout
    assert not (ring.path / f"{kid}.jwk").exists()
    result = run("retire", "--directory", "ring", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no key of the ring has the kid 'x': list them\n"


def test_export_prints_public_keys_only(run: Run, ring: RingDirectory) -> None:
    shown = json.loads(run("export", "--directory", "ring").stdout)["keys"]
    assert [jwk["kid"] for jwk in shown] == [key.kid for key in ring.read_manifest().keys]
    assert not any("d" in jwk for jwk in shown)


def test_export_prints_no_secret(run: Run) -> None:
    run("create", "--directory", "ring", "--alg", "HS256")
    assert json.loads(run("export", "--directory", "ring").stdout) == {"keys": []}


@pytest.mark.parametrize("command", ["list", "rotate", "export"])
def test_a_ring_that_is_missing_is_one_line(run: Run, command: str) -> None:
    result = run(command, "--directory", "ring")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: 'ring': is no key ring: make one with `jwt-middleware keys create`\n"
    )


class TestCheck:
    def test_tells_what_is_accepted_and_why_not(self, run: Run, folder: Path) -> None:
        document = {"keys": [A.public_jwk(), WEAK, B.public_jwk()]}
        (folder / "keys.json").write_text(json.dumps(document))
        result = run("check", "keys.json", "--alg", "ES256")
        assert result.stdout == "kid\talg\tuse\na\tES256\tverifies\n"
        weak, other = result.stderr.splitlines()
        assert "'weak'" in weak
        assert "kty must be RSA, EC or OKP" in weak
        assert "'b'" in other
        assert "EdDSA is not accepted" in other

    def test_fetches_a_url(self, run: Run, url: str) -> None:
        result = run("check", url)
        assert result.stdout == "kid\talg\tuse\na\tES256\tverifies\n"
        assert "'weak'" in result.stderr
        missing = run("check", f"{url}/none")
        assert (missing.exit_code, missing.stdout) == (1, "")
        assert missing.stderr.startswith("Error: http://127.0.0.1:")
        assert missing.stderr.count("\n") == 1

    def test_refuses_plain_http(self, run: Run) -> None:
        result = run("check", "http://a.example/keys")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "https" in result.stderr

    def test_reads_a_ring(self, run: Run, ring: RingDirectory) -> None:
        active, announced = (key.kid for key in ring.read_manifest().keys)
        assert run("check", "ring").stdout.splitlines()[1:] == [
            f"{active}\tES256\tsigns",
            f"{announced}\tES256\tverifies",
        ]
        result = run("check", "ring", "--alg", "RS256")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: 'ring': the key ring has no key for these algs\n"

    def test_nothing_accepted_is_an_error(self, run: Run, folder: Path) -> None:
        (folder / "keys.json").write_text(json.dumps({"keys": [WEAK]}))
        result = run("check", "keys.json")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines()[-1] == (
            "Error: 'keys.json': the JWK set has no usable key"
        )

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jwt_middleware.core.keys import Key
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.rotation import create, rotate

NOW = 1_800_000_000.0
NOBODY = 65_534


@pytest.fixture
def ring(tmp_path: Path) -> RingDirectory:
    create(tmp_path / "keys", alg="ES256", now=NOW)
    return RingDirectory(tmp_path / "keys")


def key_path(ring: RingDirectory) -> Path:
    return ring.path / f"{ring.read_manifest().active.kid}.jwk"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o611])
@pytest.mark.parametrize("name", ["", "ring.json", "key"])
def test_refuses_what_is_open_to_others(ring: RingDirectory, name: str, mode: int) -> None:
    entry = ring.read_manifest().active
    path = key_path(ring) if name == "key" else ring.path / name
    mend = "600" if name else "700"
    path.chmod(mode if name else mode | 0o100)
    with pytest.raises(ConfigurationError, match=f"has mode {path.stat().st_mode & 0o777:o}.*"):
        ring.read_key(entry) if name == "key" else ring.read_manifest()
    path.chmod(int(mend, 8))
    assert ring.read_key(ring.read_manifest().active).can_sign


def test_a_mode_is_the_owners_only_where_there_are_such(
    ring: RingDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ring.path / "ring.json").chmod(0o644)
    monkeypatch.setattr("jwt_middleware.keysources.ring.directory._HAS_MODES", False)
    assert ring.read_manifest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "not strict JSON", id="empty"),
        pytest.param(b'{"kty":"EC","crv', "not strict JSON", id="half-written"),
        pytest.param(
            json.dumps(Key.generate("ES256").private_jwk()).encode(), "not the key", id="another"
        ),
        pytest.param(None, "No such file", id="missing"),
    ],
)
def test_refuses_a_key_file(ring: RingDirectory, content: bytes | None, reason: str) -> None:
    path, entry = key_path(ring), ring.read_manifest().active
    path.unlink()
    if content is not None:
        path.touch(mode=0o600)
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        ring.read_key(entry)
    assert str(caught.value).startswith(repr(str(path)))


def test_refuses_a_public_key(ring: RingDirectory) -> None:
    path, entry = key_path(ring), ring.read_manifest().active
    path.write_text(json.dumps(ring.read_key(entry).public_jwk()))
    with pytest.raises(ConfigurationError, match="not the key"):
        ring.read_key(entry)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_owner_of_the_directory(ring: RingDirectory) -> None:
    for path in (ring.path, *ring.path.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    rotate(ring.path, token_lifetime_seconds=60, now=NOW)
    assert {path.stat().st_uid for path in ring.path.iterdir()} == {NOBODY}


def test_what_others_write_is_theirs(ring: RingDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "fchown", None)
    assert rotate(ring.path, token_lifetime_seconds=60, now=NOW).outcome == "rotated"


def test_nothing_of_a_key_is_in_the_manifest_or_the_repr(ring: RingDirectory) -> None:
    secret = json.loads(key_path(ring).read_text())["d"]
    assert secret not in (ring.path / "ring.json").read_text()
    assert repr(ring) == f"<RingDirectory {str(ring.path)!r}>"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells files by Linux' /proc")
def test_each_step_is_on_the_disk_before_the_next(
    ring: RingDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(ring.path, token_lifetime_seconds=0, now=NOW)
    steps: list[str] = []

    def noting(name: str) -> None:
        function = getattr(os, name)

        def noted(target: int | Path, *rest: Path) -> object:
            path = (
                Path(f"/proc/self/fd/{target}").readlink() if name == "fsync" else Path(str(target))
            )
            steps.append(f"{name} {[one for one in path.suffixes if one in {'.jwk', '.json'}]}")
            return function(target, *rest)

        monkeypatch.setattr(os, name, noted)

    for name in ("fsync", "replace", "unlink"):
        noting(name)
    did = rotate(ring.path, token_lifetime_seconds=0, now=NOW + 400)
    assert (did.outcome, len(did.retired)) == ("rotated", 1)
    assert steps == [
        "fsync ['.jwk']",
        "replace ['.jwk']",
        "fsync []",
        "fsync ['.json']",  # the copy
        "fsync ['.json']",
        "replace ['.json']",
        "fsync []",
        "replace ['.json']",
        "fsync []",
        "unlink ['.jwk']",
    ]


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_reads_only_the_public_half_of_a_retiring_key(tmp_path: Path, alg: str) -> None:
    create(tmp_path / "keys", alg=alg, now=0)
    rotate(tmp_path / "keys", token_lifetime_seconds=1, now=10)
    ring = RingDirectory(tmp_path / "keys")
    manifest = ring.read_manifest()
    (retiring,) = (ring.read_key(entry) for entry in manifest.retiring)
    assert retiring.can_verify
    assert not retiring.can_sign
    assert all(ring.read_key(one).can_sign for one in (manifest.active, manifest.announced))


def test_reads_a_retiring_secret(tmp_path: Path) -> None:
    create(tmp_path / "keys", alg="HS256", now=0)
    rotate(tmp_path / "keys", token_lifetime_seconds=1, now=10)
    ring = RingDirectory(tmp_path / "keys")
    assert ring.read_key(ring.read_manifest().retiring[0]).can_verify

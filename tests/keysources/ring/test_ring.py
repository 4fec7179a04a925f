from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jwt_middleware.core.issuer import TokenIssuer
from jwt_middleware.core.jws import parse_header, split
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.payload import JWTPayload
from jwt_middleware.core.verifier import TokenVerifier
from jwt_middleware.errors import (
    ConfigurationError,
    ExpiredTokenError,
    UnavailableError,
    UnknownKeyError,
)
from jwt_middleware.keysources.jwks import public_jwks
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.manifest import Manifest
from jwt_middleware.keysources.ring.ring import KeyRing
from jwt_middleware.keysources.ring.rotation import GRACE_SECONDS, create, retire, rotate

START = 1_800_000_000.0
LIFETIME = 100
PAYLOAD = JWTPayload(uid=42)


class Ring:
    """A ring in a directory, and the clock of all who use it."""

    def __init__(self, directory: Path, alg: str) -> None:
        self.directory = directory
        self.now = START
        create(directory, alg=alg, now=self.now)

    def source(self, **options: Any) -> KeyRing:
        return KeyRing(self.directory, clock=self.clock, **options)

    def clock(self) -> float:
        return self.now

    def rotate(self) -> Manifest:
        did = rotate(
            self.directory, token_lifetime_seconds=LIFETIME, now=self.now, older_than_seconds=0
        )
        assert did.outcome == "rotated"
        return did.ring

    def manifest(self) -> Manifest:
        return RingDirectory(self.directory).read_manifest()

    def key_path(self, kid: str) -> Path:
        return self.directory / f"{kid}.jwk"

    def issuer(self, source: KeyRing) -> TokenIssuer:
        return TokenIssuer(
            keys=source,
            issuer="me",
            audience="api",
            lifetime_seconds=LIFETIME,
            clock=self.clock,
        )

    def verifier(self, source: KeyRing, leeway_seconds: float = 0) -> TokenVerifier:
        return TokenVerifier(
            keys=source,
            issuer="me",
            audience="api",
            leeway_seconds=leeway_seconds,
            clock=self.clock,
        )


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path / "keys", "ES256")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives what was complained of since it was last called."""
    caplog.set_level(logging.WARNING, "jwt_middleware")

    def take() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return take


def kids(keys: KeySet) -> list[str]:
    return [key.kid for key in keys]


def signs(keys: KeySet) -> list[str]:
    return [key.kid for key in keys if key.can_sign]


class TestKeys:
    def test_the_active_signs_and_all_but_the_retired_verify(self, ring: Ring) -> None:
        manifest = ring.rotate()
        keys = ring.source().current()
        active, announced, retiring = (key.kid for key in manifest.keys)
        assert kids(keys) == [active, announced, retiring]
        assert signs(keys) == [active]
        assert all(key.can_verify for key in keys)
        assert [jwk["kid"] for jwk in public_jwks(keys)["keys"]] == kids(keys)

    def test_a_rotation_is_noticed_within_the_time_between_two_looks(self, ring: Ring) -> None:
        source = ring.source(check_seconds=5)
        before = source.current()
        manifest = ring.rotate()
        ring.now += 4.999
        assert source.current() is before
        ring.now += 0.001
        assert kids(source.current()) == [key.kid for key in manifest.keys]

    def test_nothing_new_is_the_same_set(self, ring: Ring) -> None:
        ring.rotate()
        source = ring.source()
        before = source.current()
        for _ in range(5):
            ring.now += 1
            assert source.current() is source.refreshed("x") is before
        directory = RingDirectory(ring.directory)
        directory.write_manifest(directory.read_manifest())
        ring.now += 1
        assert source.current() is before

    def test_keys_are_read_once(self, ring: Ring) -> None:
        source = ring.source()
        (first, second) = source.current()
        ring.key_path(first.kid).write_bytes(b"damaged")
        ring.rotate()
        ring.now += 1
        after = list(source.current())
        assert (after[0].kid, after[2].kid) == (second.kid, first.kid)

    def test_a_retiring_key_goes_when_its_tokens_have_expired(self, ring: Ring) -> None:
        (retiring,) = ring.rotate().retiring
        source = ring.source()
        assert retiring.retire_after is not None
        ring.now = retiring.retire_after - 0.001
        before = source.current()
        assert retiring.kid in kids(before)
        ring.now += 1  # although nobody has changed the ring
        assert kids(source.current()) == kids(before)[:2]
        assert kids(ring.source().current()) == kids(before)[:2]
        tidied = source.current()
        rotate(ring.directory, token_lifetime_seconds=0, now=ring.now, older_than_seconds=10**9)
        assert not ring.key_path(retiring.kid).exists()
        ring.now += 1
        assert source.current() is tidied

    def test_refreshing_finds_a_key_that_has_just_come(self, ring: Ring) -> None:
        source = ring.source(check_seconds=5)
        manifest = ring.rotate()
        assert manifest.announced.kid not in kids(source.refreshed("x"))
        ring.now += 1
        assert manifest.announced.kid in kids(source.refreshed(manifest.announced.kid))

    @pytest.mark.parametrize("seconds", [-1, 5.1, 60, float("nan"), True, None])
    def test_looks_every_five_seconds_at_least(self, ring: Ring, seconds: Any) -> None:
        with pytest.raises(
            ConfigurationError, match="check_seconds must be a number of seconds from 0 to 5"
        ):
            ring.source(check_seconds=seconds)

    def test_repr_shows_no_key(self, ring: Ring) -> None:
        assert repr(ring.source()) == f"<KeyRing {str(ring.directory / 'ring.json')!r}>"


SPOILT = [
    pytest.param(
        lambda ring: (ring.directory / "ring.json").chmod(0o644), "mode 644", id="manifest-open"
    ),
    pytest.param(
        lambda ring: (ring.directory / "ring.json").unlink(),
        "is gone|is no key ring",
        id="manifest-gone",
    ),
    pytest.param(
        lambda ring: (ring.directory / "ring.json").write_bytes(b""), "not strict JSON", id="empty"
    ),
    pytest.param(
        lambda ring: (ring.directory / "ring.json").write_bytes(b'{"version": 1, "ke'),
        "the manifest is not strict JSON: restore",
        id="half-written",
    ),
    pytest.param(
        lambda ring: (ring.directory / "ring.json").write_bytes(b'{"version": 1, "keys": []}'),
        "must have one active key: restore",
        id="without-an-active-key",
    ),
    pytest.param(
        lambda ring: (
            (ring.directory / "ring.json").unlink(),
            (ring.directory / "ring.json").mkdir(0o700),
        ),
        "cannot be read|not a regular file",
        id="unreadable",
    ),
    pytest.param(
        lambda ring: ring.key_path(ring.manifest().announced.kid).chmod(0o640),
        "has mode 640, .*chmod 600",
        id="key-open",
    ),
    pytest.param(
        lambda ring: ring.key_path(ring.manifest().active.kid).unlink(),
        "No such file",
        id="key-gone",
    ),
]
OPEN_DIRECTORY = pytest.param(
    lambda ring: ring.directory.chmod(0o750), "directory has mode 750", id="directory-open"
)


class TestBadFiles:
    def test_needs_a_ring(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="is no key ring: make one with"):
            KeyRing(tmp_path)

    @pytest.mark.parametrize(("spoil", "reason"), [*SPOILT, OPEN_DIRECTORY])
    def test_stop_the_first_start_and_not_what_runs(
        self,
        ring: Ring,
        log: Callable[[], list[str]],
        spoil: Callable[[Ring], object],
        reason: str,
    ) -> None:
        source = ring.source()
        before = source.current()
        spoil(ring)
        (ring.directory / "ring.json.last").unlink()
        with pytest.raises(ConfigurationError, match=reason):
            ring.source()
        for _ in range(3):
            ring.now += 1
            assert source.current() is before
        assert len(log()) <= 1

    @pytest.mark.parametrize(("spoil", "reason"), SPOILT)
    def test_stop_no_other_start(
        self,
        ring: Ring,
        log: Callable[[], list[str]],
        spoil: Callable[[Ring], object],
        reason: str,
    ) -> None:
        before = ring.source().current()
        spoil(ring)
        recycled = ring.source()
        for _ in range(3):
            assert {*kids(recycled.current())} <= {*kids(before)}
            ring.now += 1
        assert re.search(reason, line := "".join(log())), line
        assert "the last good keys stay in use" in line

    def test_is_restored_from_its_copy(self, ring: Ring, log: Callable[[], list[str]]) -> None:
        manifest, copy = ring.directory / "ring.json", ring.directory / "ring.json.last"
        ring.rotate()
        before = ring.source().current()
        manifest.write_bytes(b"")
        recycled = ring.source()
        assert kids(recycled.current()) == kids(before)
        assert signs(recycled.current()) == signs(before)
        (line,) = log()
        assert f"file={manifest} " in line
        assert "restore it from ring.json.last beside it" in line
        with pytest.raises(ConfigurationError, match=r"restore it from ring\.json\.last"):
            ring.rotate()
        shutil.copy2(copy, manifest)
        ring.now += 1
        assert kids(recycled.current()) == kids(before)
        after = ring.rotate()
        ring.now += 1
        assert kids(recycled.current()) == [key.kid for key in after.keys][:4]
        assert log() == []

    def test_a_key_retired_in_an_emergency_is_in_no_copy(self, ring: Ring) -> None:
        ring.source()
        kid = ring.manifest().active.kid
        retire(ring.directory, kid, now=ring.now)
        (ring.directory / "ring.json").unlink()
        keys = ring.source().current()
        assert kid not in kids(keys)
        assert signs(keys)

    def test_without_the_copy_there_is_one_once_it_was_read(self, ring: Ring) -> None:
        copy = ring.directory / "ring.json.last"
        copy.unlink()  # as a ring of an earlier version
        ring.source()
        assert copy.read_bytes() == (ring.directory / "ring.json").read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o600

    def test_the_copy_is_written_through_no_link(self, ring: Ring, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(b"theirs")
        copy = ring.directory / "ring.json.last"
        copy.unlink()
        copy.symlink_to(elsewhere)
        ring.source()
        assert elsewhere.read_bytes() == b"theirs"
        assert not copy.is_symlink()

    def test_a_copy_is_not_waited_for(self, ring: Ring) -> None:
        copy = ring.directory / "ring.json.last"
        copy.unlink()
        with RingDirectory(ring.directory).locked():
            ring.source()
        assert not copy.exists()

    def test_a_copy_that_is_open_to_others_is_not_used(self, ring: Ring) -> None:
        (ring.directory / "ring.json.last").chmod(0o640)
        (ring.directory / "ring.json").unlink()
        with pytest.raises(ConfigurationError, match="is gone: restore it"):
            ring.source()

    def test_a_manifest_that_is_refused_is_logged_once_and_taken_when_fixed(
        self, ring: Ring, log: Callable[[], list[str]]
    ) -> None:
        source = ring.source()
        before = source.current()
        manifest = ring.rotate()
        ring.directory.chmod(0o755)
        for _ in range(3):
            ring.now += 1
            assert source.current() is before
        (line,) = log()
        assert "the directory has mode 755" in line
        assert "chmod 700" in line
        ring.directory.chmod(0o700)
        (ring.directory / "ring.json").touch()
        ring.now += 1
        assert kids(source.current()) == [key.kid for key in manifest.keys]

    def test_a_new_key_that_cannot_be_used_is_left_out_until_it_can(
        self, ring: Ring, log: Callable[[], list[str]]
    ) -> None:
        source = ring.source()
        manifest = ring.rotate()
        new = ring.key_path(manifest.announced.kid)
        new.chmod(0o644)
        rest = [manifest.active.kid, manifest.retiring[0].kid]
        ring.now += 1
        keys = source.current()
        assert kids(keys) == rest
        for _ in range(3):
            ring.now += 1
            assert source.current() is keys
        (line,) = log()
        assert line.startswith(f"{str(new)!r}: has mode 644")
        new.chmod(0o600)
        ring.now += 1
        assert kids(source.current()) == [key.kid for key in manifest.keys]
        assert log() == []

    def test_a_ring_of_which_nothing_can_be_used_is_refused(
        self, ring: Ring, log: Callable[[], list[str]]
    ) -> None:
        source = ring.source()
        before = source.current()
        other = Ring(ring.directory.with_name("other"), "ES256")
        (other.directory / "ring.json").replace(ring.directory / "ring.json")
        ring.now += 1
        assert source.current() is before
        assert "none of its keys can be used" in log()[-1]

    def test_without_its_active_key_nothing_is_issued(self, ring: Ring) -> None:
        source = ring.source()
        issuer, verifier = ring.issuer(source), ring.verifier(source)
        token = issuer.issue(PAYLOAD).token
        ring.rotate()
        active = ring.rotate().active.kid
        ring.key_path(active).unlink()
        ring.now += 1
        with pytest.raises(UnavailableError, match="none of the keys can sign"):
            issuer.issue(PAYLOAD)
        assert verifier.verify(token).subject == "42"


def test_what_a_fork_inherits_goes_on(ring: Ring) -> None:
    source = ring.source()
    issuer = ring.issuer(source)
    issuer.issue(PAYLOAD)
    manifest = ring.rotate()
    ring.now += 1
    with source._lock.get():
        child = os.fork()
        if child == 0:
            header = parse_header(split(issuer.issue(PAYLOAD).token).header)
            os._exit(0 if header.kid == manifest.active.kid else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("state", ["active", "announced", "retiring"])
def test_no_token_of_a_key_retired_in_an_emergency_is_accepted(ring: Ring, state: str) -> None:
    source = ring.source(check_seconds=5)
    verifier = ring.verifier(source)
    manifest = ring.rotate()
    (entry,) = (key for key in manifest.keys if key.state == state)
    stolen = Key.from_jwk(ring.key_path(entry.kid).read_bytes())
    ring.now += 5
    token = forged(ring, stolen)
    assert verifier.verify(token).subject == "42"
    retire(ring.directory, stolen.kid, now=ring.now)
    ring.now += 5
    for one in (token, forged(ring, stolen)):
        with pytest.raises(UnknownKeyError):
            verifier.verify(one)
    assert verifier.verify(ring.issuer(source).issue(PAYLOAD).token).subject == "42"


def forged(ring: Ring, key: Key) -> str:
    issuer = TokenIssuer(
        keys=KeySet([key]), issuer="me", audience="api", lifetime_seconds=10**6, clock=ring.clock
    )
    return issuer.issue(PAYLOAD).token


class Worker:
    """A process of the app: it looks at the ring in its own rhythm."""

    def __init__(self, ring: Ring, check_seconds: float, leeway_seconds: float) -> None:
        self.source = ring.source(check_seconds=check_seconds)
        self.issuer = ring.issuer(self.source)
        self.verifier = ring.verifier(self.source, leeway_seconds)


def passing(ring: Ring) -> Iterator[list[Key]]:
    """Let time pass through five rotations and beyond; give the keys that have been retired."""
    directory = RingDirectory(ring.directory)
    material: dict[str, Key] = {}
    for step in range(1, 1500):
        ring.now = START + step * 1.7
        manifest = directory.read_manifest()
        for entry in (manifest.active, manifest.announced):
            material.setdefault(entry.kid, directory.read_key(entry))
        if step % 125 == 0 and step <= 625:
            ring.rotate()
        elif step % 125 == 60:
            rotate(
                ring.directory,
                token_lifetime_seconds=LIFETIME,
                now=ring.now,
                older_than_seconds=10**9,
            )
        yield [material[key.kid] for key in directory.read_manifest().retired]


@pytest.mark.parametrize(
    "alg",
    [
        pytest.param("HS256", marks=pytest.mark.slow),
        pytest.param("ES256", marks=pytest.mark.full),
        pytest.param("EdDSA", marks=pytest.mark.full),
    ],
)
def test_no_good_token_is_refused_and_no_retired_key_accepted(tmp_path: Path, alg: str) -> None:
    ring = Ring(tmp_path / "keys", alg)
    leeway = 60
    workers = [Worker(ring, 0, leeway), Worker(ring, 1, leeway), Worker(ring, 5, leeway)]
    tokens: list[tuple[float, str]] = []
    accepted = expired = refused = 0
    used: set[str | None] = set()
    retired: list[Key] = []
    for step, retired in enumerate(passing(ring)):
        if step % 10 == 0:
            issued = (worker.issuer.issue(PAYLOAD).token for worker in workers)
            tokens.extend((int(ring.now) + LIFETIME, token) for token in issued)
        verifier = workers[step % len(workers)].verifier
        for expires, token in tokens:
            if ring.now < expires + leeway:
                used.add(verifier.verify(token).header.kid)
                accepted += 1
            else:
                with pytest.raises((ExpiredTokenError, UnknownKeyError)):
                    verifier.verify(token)
                expired += 1
        tokens = [(expires, token) for expires, token in tokens if ring.now < expires + leeway]
        if step % 25 == 0:
            for key in retired:
                for worker in workers:
                    with pytest.raises(UnknownKeyError):
                        worker.verifier.verify(forged(ring, key))
                    refused += 1
    assert len(used) == 6
    assert accepted > 25_000
    assert expired > 400
    assert len(retired) == 5
    assert refused > 200


def test_the_longest_leeway_is_within_the_grace(ring: Ring) -> None:
    late, patient = Worker(ring, 5, 300), Worker(ring, 1, 300)
    (retiring,) = ring.rotate().retiring
    ring.now += 4.9
    token = late.issuer.issue(PAYLOAD).token
    assert parse_header(split(token).header).kid == retiring.kid
    ring.now = int(ring.now) + LIFETIME + 300 - 0.001
    assert patient.verifier.verify(token).subject == "42"
    assert GRACE_SECONDS > 300 + 5


def test_a_restored_manifest_signs_with_a_key_that_was_retiring(ring: Ring) -> None:
    before = (ring.directory / "ring.json").read_bytes()
    kid = ring.manifest().active.kid
    ring.rotate()
    source = ring.source()
    signing = source.current().signing_key
    assert signing is not None
    assert signing.kid != kid
    (ring.directory / "ring.json").write_bytes(before)
    ring.now += 1
    signing = source.current().signing_key
    assert signing is not None
    assert signing.kid == kid

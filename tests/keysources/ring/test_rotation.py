from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from jwt_middleware.core.keys import Key
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.ring import directory as ring_files
from jwt_middleware.keysources.ring import rotation
from jwt_middleware.keysources.ring.directory import RingDirectory
from jwt_middleware.keysources.ring.manifest import Manifest
from jwt_middleware.keysources.ring.ring import KeyRing
from jwt_middleware.keysources.ring.rotation import (
    GRACE_SECONDS,
    MAX_SECONDS,
    SETTLE_SECONDS,
    RingChange,
    create,
    retire,
    rotate,
)

NOW = 1_800_000_000.0
LIFETIME = 7200.0
ALGS = ["HS256", "ES256", "EdDSA"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    create(directory, alg="ES256", now=NOW)
    return directory


def read(directory: Path) -> Manifest:
    return RingDirectory(directory).read_manifest()


def turn(directory: Path, now: float, **options: Any) -> RingChange:
    return rotate(directory, token_lifetime_seconds=LIFETIME, now=now, **options)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def expected_files(manifest: Manifest) -> set[str]:
    live = (f"{key.kid}.jwk" for key in manifest.keys if key.state != "retired")
    return {"ring.json", "ring.json.last", ".lock", *live}


class TestCreate:
    @pytest.mark.parametrize("alg", ALGS)
    def test_makes_a_private_directory_with_two_keys(self, tmp_path: Path, alg: str) -> None:
        directory = tmp_path / "new" / "keys"
        ring = create(directory, alg=alg, now=NOW)
        assert ring == read(directory)
        assert (ring.active.alg, ring.active.active_at) == (alg, NOW)
        assert (ring.announced.alg, ring.announced.announced_at) == (alg, NOW)
        assert files(directory) == expected_files(ring)
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}

    def test_begins_with_the_key_that_was_in_use(self, tmp_path: Path) -> None:
        key = Key.generate("HS256", kid="https://a.example/2026 11")
        ring = create(tmp_path / "keys", alg="HS256", now=NOW, key=key)
        assert ring.active.kid == key.kid
        assert (tmp_path / "keys" / "https%3A%2F%2Fa.example%2F2026%2011.jwk").exists()
        signing = KeyRing(tmp_path / "keys").current().signing_key
        assert signing is not None
        assert key.verify(b"message", signing.sign(b"message"))

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            pytest.param({"alg": "none"}, "'none' is not one of", id="alg"),
            pytest.param({"alg": "ES256", "key": Key.generate()}, "is for HS256", id="other-alg"),
            pytest.param(
                {"alg": "ES256", "key": Key.generate("ES256").limited_to({"verify"})},
                "only verifies",
                id="public-key",
            ),
        ],
    )
    def test_refuses(self, tmp_path: Path, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason):
            create(tmp_path / "keys", now=NOW, **options)
        create(tmp_path / "keys", alg="ES256", now=NOW)

    def test_refuses_a_directory_that_is_open_to_others(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        with pytest.raises(ConfigurationError, match=r"has mode 755.*chmod 700"):
            create(tmp_path, alg="ES256", now=NOW)
        assert files(tmp_path) == set()

    def test_refuses_to_begin_a_ring_anew(self, directory: Path) -> None:
        before = read(directory)
        with pytest.raises(ConfigurationError, match="is a key ring already"):
            create(directory, alg="ES256", now=NOW)
        assert read(directory) == before

    def test_a_kid_does_not_look_like_an_option(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kids = iter(["-a", "-b", "c", "d"])
        generate = Key.generate
        monkeypatch.setattr(Key, "generate", lambda alg: generate(alg, kid=next(kids)))
        ring = create(tmp_path / "keys", alg="HS256", now=NOW)
        assert [key.kid for key in ring.keys] == ["c", "d"]


class TestRotate:
    def test_moves_each_key_on_and_announces_one_of_the_same_alg(self, directory: Path) -> None:
        before = read(directory)
        did = turn(directory, NOW + 50)
        assert (did.outcome, did.retired, did.ring) == ("rotated", (), read(directory))
        assert did.ring.active.kid == before.announced.kid
        assert did.ring.announced.alg == "ES256"
        (retiring,) = did.ring.retiring
        assert retiring.kid == before.active.kid
        assert retiring.retire_after == NOW + 50 + LIFETIME + GRACE_SECONDS
        assert files(directory) == expected_files(did.ring)

    def test_a_key_verifies_for_the_rest_of_a_second_too(self, directory: Path) -> None:
        (retiring,) = turn(directory, NOW + 50.25).ring.retiring
        assert retiring.retire_after == NOW + 51 + LIFETIME + GRACE_SECONDS

    def test_retires_what_is_due_even_if_it_does_not_rotate(self, directory: Path) -> None:
        (retiring,) = turn(directory, NOW + 50).ring.retiring
        assert retiring.retire_after is not None
        early = turn(directory, retiring.retire_after - 1, older_than_seconds=10**9)
        assert (early.outcome, early.retired) == ("fresh", ())
        did = turn(directory, retiring.retire_after, older_than_seconds=10**9)
        assert (did.outcome, did.retired) == ("fresh", (retiring.kid,))
        assert did.ring == read(directory)
        assert files(directory) == expected_files(did.ring)

    @pytest.mark.parametrize(
        ("age", "older_than_seconds", "outcome"),
        [
            pytest.param(SETTLE_SECONDS - 0.001, None, "fresh", id="not-settled"),
            pytest.param(SETTLE_SECONDS, None, "rotated", id="settled"),
            pytest.param(-3600, None, "fresh", id="clocks-differ"),
            pytest.param(0, 0, "rotated", id="asked-to-at-once"),
            pytest.param(99.9, 100, "fresh", id="younger"),
            pytest.param(100, 100, "rotated", id="old-enough"),
        ],
    )
    def test_does_nothing_to_a_fresh_key(
        self, directory: Path, age: float, older_than_seconds: float | None, outcome: str
    ) -> None:
        before = turn(directory, NOW).ring
        did = turn(directory, NOW + age, older_than_seconds=older_than_seconds)
        assert did.outcome == outcome
        assert (did.ring == before) is (outcome == "fresh")

    def test_a_new_ring_can_be_rotated_at_once(self, directory: Path) -> None:
        assert turn(directory, NOW, older_than_seconds=1).outcome == "fresh"
        assert turn(directory, NOW).outcome == "rotated"

    def test_does_nothing_if_another_was_faster(self, directory: Path) -> None:
        seen = read(directory).active.kid
        first = turn(directory, NOW, expected_kid=seen)
        second = turn(directory, NOW + 3600, expected_kid=seen)
        assert (first.outcome, second.outcome) == ("rotated", "overtaken")
        assert second.ring == first.ring == read(directory)

    @pytest.mark.parametrize("name", ["token_lifetime_seconds", "older_than_seconds"])
    @pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), MAX_SECONDS + 1])
    def test_refuses_a_number(self, directory: Path, name: str, value: float) -> None:
        good: dict[str, Any] = {"token_lifetime_seconds": 1, "now": NOW}
        with pytest.raises(ConfigurationError, match=f"{name} must be 0 to"):
            rotate(directory, **(good | {name: value}))
        rotate(directory, token_lifetime_seconds=MAX_SECONDS, now=NOW)
        assert read(directory).retiring

    def test_refuses_to_make_a_key_active_that_cannot_be_read(self, directory: Path) -> None:
        before = read(directory)
        (directory / f"{before.announced.kid}.jwk").unlink()
        with pytest.raises(ConfigurationError, match=f"{before.announced.kid}.*No such file"):
            turn(directory, NOW)
        assert read(directory) == before
        retire(directory, before.announced.kid, now=NOW)
        assert turn(directory, NOW).outcome == "rotated"

    def test_needs_a_ring(self, tmp_path: Path) -> None:
        for directory in (tmp_path, tmp_path / "none"):
            with pytest.raises(ConfigurationError, match="is no key ring: make one with"):
                turn(directory, NOW)


class TestRetire:
    @pytest.mark.parametrize("state", ["active", "announced", "retiring"])
    def test_a_key_is_gone_at_once(self, directory: Path, state: str) -> None:
        before = turn(directory, NOW).ring
        (key,) = (key for key in before.keys if key.state == state)
        after = retire(directory, key.kid, now=NOW + 1)
        assert after == read(directory)
        assert after.find(key.kid).state == "retired"
        assert files(directory) == expected_files(after)
        assert KeyRing(directory, clock=lambda: NOW).current().signing_key is not None
        if state == "active":
            assert after.active.kid == before.announced.kid

    def test_again_changes_nothing(self, directory: Path) -> None:
        kid = read(directory).active.kid
        assert retire(directory, kid, now=NOW) == retire(directory, kid, now=NOW + 9)

    def test_refuses_a_kid_that_is_not_known(self, directory: Path) -> None:
        with pytest.raises(ConfigurationError, match="has the kid 'x'"):
            retire(directory, "x", now=NOW)


@contextmanager
def a_full_disk(free_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits on files")
class TestFullDisk:
    """Files can no longer grow: of a key, or of the manifest, which is longer."""

    @pytest.mark.parametrize("free_bytes", [0, 10, 300])
    @pytest.mark.parametrize("change", ["rotate", "retire"])
    def test_leaves_the_ring_as_it_was(self, directory: Path, change: str, free_bytes: int) -> None:
        before = {path: path.read_bytes() for path in directory.iterdir()}
        kid = read(directory).active.kid
        changes: dict[str, Callable[[], object]] = {
            "rotate": lambda: turn(directory, NOW),
            "retire": lambda: retire(directory, kid, now=NOW),
        }
        with a_full_disk(free_bytes), pytest.raises(ConfigurationError) as caught:
            changes[change]()
        said = (
            rf"'{directory}/(ring\.json\.last|.*\.jwk)' cannot be written \(File too large\): raise"
        )
        assert re.match(said, str(caught.value))
        assert {path: path.read_bytes() for path in directory.iterdir()} == before
        assert turn(directory, NOW).outcome == "rotated"

    @pytest.mark.parametrize("free_bytes", [0, 10, 300])
    def test_leaves_no_half_of_a_new_ring(self, tmp_path: Path, free_bytes: int) -> None:
        directory = tmp_path / "keys"
        with (
            a_full_disk(free_bytes),
            pytest.raises(ConfigurationError, match=r"cannot be written \(File too large\)"),
        ):
            create(directory, alg="ES256", now=NOW)
        assert files(directory) <= {".lock"}
        create(directory, alg="ES256", now=NOW)

    def test_a_directory_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigurationError, match=r"file/keys' cannot be written \(Not a dir"):
            create(tmp_path / "file" / "keys", alg="ES256", now=NOW)


WRITERS = {rotation.__file__, ring_files.__file__}


def killed_at_line(number: int, act: Callable[[], object]) -> bool:
    """Run *act* in a child that dies before the *number*-th line that writes; say if it did."""
    child = os.fork()
    if child == 0:
        left = number

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in WRITERS:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os._exit(9)
            return trace

        sys.settrace(trace)
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.slow
class TestCrashes:
    """A child is killed before each line in turn; what it leaves must work and be mended."""

    @pytest.fixture(autouse=True)
    def no_waiting_for_the_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # A process that dies takes nothing along that it gave to the system.
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    @pytest.mark.full  # a minute; rotating is creating and retiring in turn
    def test_while_rotating(self, tmp_path: Path) -> None:
        number = 1
        while True:
            directory = tmp_path / str(number)
            create(directory, alg="EdDSA", now=NOW)
            before = turn(directory, NOW).ring
            now = NOW + LIFETIME + GRACE_SECONDS
            if not killed_at_line(number, lambda: turn(directory, now)):  # noqa: B023
                break
            keys = list(KeyRing(directory, clock=lambda: NOW).current())
            assert keys[0].kid == read(directory).active.kid
            assert keys[0].kid in {before.active.kid, before.announced.kid}
            assert keys[0].can_sign
            assert before.active.kid in [key.kid for key in keys]
            after = turn(directory, now + SETTLE_SECONDS).ring
            assert [key.kid for key in after.retired] == [before.retiring[0].kid]
            # At most a key that no manifest names, if the crash came before its manifest.
            surplus = files(directory) - expected_files(after)
            assert len(surplus) <= 1
            assert not any(name.endswith(".new") for name in surplus)
            number += 1
        assert number > 50

    def test_while_creating(self, tmp_path: Path) -> None:
        key, number = Key.generate("ES256"), 1
        directory = tmp_path / "0"

        def act() -> Manifest:
            return create(directory, alg="ES256", now=NOW, key=key)

        while killed_at_line(number, act):
            manifest, copy = directory / "ring.json", directory / "ring.json.last"
            if copy.exists() and not manifest.exists():
                shutil.copy2(copy, manifest)  # as the error says
            ring = read(directory) if manifest.exists() else act()
            assert ring.active.kid == key.kid
            assert next(iter(KeyRing(directory).current())).kid == key.kid
            directory = tmp_path / str(number)
            number += 1
        assert number > 50

    @pytest.mark.full  # as exhaustive as creating
    def test_while_retiring(self, tmp_path: Path) -> None:
        number = 1
        while True:
            directory = tmp_path / str(number)
            kid = create(directory, alg="EdDSA", now=NOW).active.kid
            if not killed_at_line(number, lambda: retire(directory, kid, now=NOW)):  # noqa: B023
                break
            assert KeyRing(directory).current().signing_key is not None
            assert retire(directory, kid, now=NOW).find(kid).state == "retired"
            assert f"{kid}.jwk" not in files(directory)
            assert kid not in [key.kid for key in KeyRing(directory).current()]
            number += 1
        assert number > 50


def at_once(processes: int, act: Callable[[], str]) -> list[str]:
    """Return what *act* says in each of some processes that start it together."""
    start, go = os.pipe()
    said, say = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            try:
                os.close(go)
                os.read(start, 1)  # returns when the last writer is gone
                os.write(say, f"{act()}\n".encode())
            finally:
                os._exit(0)
        children.append(child)
    for descriptor in (start, go, say):
        os.close(descriptor)
    for child in children:
        os.waitpid(child, 0)
    with os.fdopen(said) as lines:
        return sorted(lines.read().split())


@pytest.mark.slow
class TestAtOnce:
    @pytest.mark.parametrize("alg", ALGS)
    def test_rotations_from_the_same_key_come_to_one(self, tmp_path: Path, alg: str) -> None:
        ring = create(tmp_path / "keys", alg=alg, now=NOW)
        for number in range(1, 11):
            seen, now = ring.active.kid, NOW + number
            did = at_once(
                4,
                lambda at=now, kid=seen: (
                    turn(  # type: ignore[misc]
                        tmp_path / "keys", at, older_than_seconds=0, expected_kid=kid
                    ).outcome
                ),
            )
            assert did == ["overtaken"] * 3 + ["rotated"]
            after = read(tmp_path / "keys")
            assert after.active.kid == ring.announced.kid
            assert after.retiring[0].kid == seen
            assert len(after.retiring) == number
            ring = after
        assert files(tmp_path / "keys") == expected_files(ring)

    @pytest.mark.parametrize("options", [{}, {"older_than_seconds": 90 * 86_400}])
    def test_rotations_by_cron_come_to_one(self, directory: Path, options: dict[str, Any]) -> None:
        ring = read(directory)
        for number in range(1, 11):
            now = NOW + number * 90 * 86_400
            did = at_once(4, lambda at=now: turn(directory, at, **options).outcome)  # type: ignore[misc]
            assert did.count("rotated") == 1
            assert len(did) == 4
            assert set(did) <= {"rotated", "fresh", "overtaken"}
            after = read(directory)
            assert after.active.kid == ring.announced.kid
            ring = after

    def test_one_of_several_begins_the_ring(self, tmp_path: Path) -> None:
        def act() -> str:
            try:
                return create(tmp_path / "keys", alg="EdDSA", now=NOW).active.kid
            except ConfigurationError:
                return "refused"

        did = at_once(4, act)
        assert sorted(did, key=lambda one: one != "refused")[:3] == ["refused"] * 3
        assert read(tmp_path / "keys").active.kid in did

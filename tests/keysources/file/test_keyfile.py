from __future__ import annotations

import datetime
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwt_middleware.core.keys import Key
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.files import MAX_FILE_BYTES
from jwt_middleware.keysources.file.keyfile import KeyFile, read_keys

from ...table import table

A, B, C = (Key.generate("ES256", kid=kid) for kid in "abc")
LOGGER = "jwt_middleware"


def jwks(*keys: Key) -> bytes:
    return json.dumps({"keys": [key.public_jwk() for key in keys]}).encode()


def pem(key: Any) -> bytes:
    octets: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return octets


def public_pem(key: Any) -> bytes:
    octets: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return octets


def kids(source: KeyFile) -> list[str]:
    return [key.kid for key in source.current()]


def replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.fixture(scope="module")
def rsa_key() -> Any:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def now() -> list[float]:
    return [1_800_000_000.0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_bytes(jwks(A))
    return path


@pytest.fixture
def source(path: Path, now: list[float]) -> KeyFile:
    return KeyFile(path, clock=lambda: now[0])


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives what was complained of since it was last called."""
    caplog.set_level(logging.WARNING, LOGGER)

    def take() -> list[str]:
        messages = [record.getMessage() for record in caplog.records if record.name == LOGGER]
        caplog.clear()
        return messages

    return take


class TestReading:
    def test_a_set_only_verifies(self) -> None:
        document = json.dumps({"keys": [A.private_jwk(), B.public_jwk()]}).encode()
        keys = read_keys(document)
        assert [(key.kid, key.can_sign) for key in keys] == [("a", False), ("b", False)]

    @pytest.mark.parametrize("alg", ["HS256", "ES384", "EdDSA"])
    def test_a_jwk_of_ones_own_signs(self, alg: str) -> None:
        key = Key.generate(alg, kid="own")
        (read,) = read_keys(json.dumps(key.private_jwk()).encode())
        assert key.verify(b"message", read.sign(b"message"))
        assert read.kid == "own"

    @pytest.mark.parametrize(
        ("make", "algorithms", "alg"),
        [
            pytest.param(ec.SECP256R1, None, "ES256", id="p-256"),
            pytest.param(ec.SECP521R1, ["ES256", "ES512"], "ES512", id="p-521-of-two"),
            pytest.param(None, None, "EdDSA", id="ed25519"),
        ],
    )
    def test_a_curve_implies_the_alg(
        self, make: Any, algorithms: list[str] | None, alg: str
    ) -> None:
        key = ec.generate_private_key(make()) if make else ed25519.Ed25519PrivateKey.generate()
        (private,) = read_keys(pem(key), algorithms=algorithms)
        (public,) = read_keys(public_pem(key), algorithms=algorithms)
        assert (private.alg, private.can_sign) == (alg, True)
        assert (public.alg, public.can_sign, public.kid) == (alg, False, private.kid)

    @pytest.mark.parametrize(
        ("algorithms", "algs"),
        [(None, ["RS256"]), (["ES256", "PS384", "RS256"], ["PS384", "RS256"])],
    )
    def test_an_rsa_key_is_for_all_that_fit(
        self, rsa_key: Any, algorithms: list[str] | None, algs: list[str]
    ) -> None:
        keys = read_keys(public_pem(rsa_key), algorithms=algorithms)
        assert [key.alg for key in keys] == algs
        (key, *_) = keys
        jwk = {name: value for name, value in key.public_jwk().items() if name != "alg"}
        keys = read_keys(json.dumps(jwk).encode(), algorithms=algorithms)
        assert [key.alg for key in keys] == algs

    def test_reads_several_pems_and_skips_parameters_and_text(self, rsa_key: Any) -> None:
        curve = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        ec_key = ec.generate_private_key(ec.SECP256R1())
        keys = read_keys(
            b"ours:\n" + curve + pem(ec_key) + b"\ntheirs:\n" + public_pem(rsa_key),
            algorithms=["ES256", "RS256"],
        )
        assert [(key.alg, key.can_sign) for key in keys] == [("ES256", True), ("RS256", False)]

    @table(
        ("document", "algorithms", "reason"),
        [
            pytest.param(b"", None, "neither PEM nor strict JSON", id="empty"),
            pytest.param(jwks(A)[:-9], None, "neither PEM nor strict JSON", id="half-a-set"),
            pytest.param(b"[]", None, "neither a JWK", id="array"),
            pytest.param(b'{"issuer": "x"}', None, "neither a JWK", id="another-object"),
            pytest.param(jwks(A), ["RS256"], "no usable key", id="set-for-another-alg"),
            pytest.param(b'{"keys": []}', None, "no usable key", id="empty-set"),
            pytest.param(
                json.dumps(A.public_jwk()).encode(), ["RS256"], "is for ES256", id="jwk-for-another"
            ),
            pytest.param(b'{"kty": "oct", "k": "AAAA"}', None, "name its alg", id="secret-no-alg"),
            pytest.param(
                b"-----BEGIN PUBLIC KEY-----\nMFkw", None, "name its alg", id="half-a-pem"
            ),
            pytest.param(b"-----BEGIN EC PARAMETERS-----", None, "one or more Key", id="no-key"),
        ],
    )
    def test_refuses(self, document: bytes, algorithms: list[str] | None, reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason):
            read_keys(document, algorithms=algorithms)


class TestConstruction:
    @pytest.mark.parametrize("algorithms", [[], ["none"], "RS257", ["ES256", None]])
    def test_refuses_algorithms(self, path: Path, algorithms: Any) -> None:
        with pytest.raises(ConfigurationError, match="algorithms must be"):
            KeyFile(path, algorithms=algorithms)

    @pytest.mark.parametrize("seconds", [-1, 3601, float("nan"), True, "1", None])
    def test_refuses_check_seconds(self, path: Path, seconds: Any) -> None:
        with pytest.raises(
            ConfigurationError, match="check_seconds must be a number of seconds from 0 to 3600"
        ):
            KeyFile(path, check_seconds=seconds)

    def test_one_algorithm_need_not_be_in_a_list(self, path: Path) -> None:
        assert kids(KeyFile(path, algorithms="ES256")) == ["a"]

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            pytest.param(lambda path: path.unlink(), "No such file", id="missing"),
            pytest.param(lambda path: path.write_bytes(b"{"), "strict JSON", id="garbage"),
            pytest.param(
                lambda path: path.write_bytes(b" " * (MAX_FILE_BYTES + 1)), "longer", id="huge"
            ),
            pytest.param(
                lambda path: os.mkfifo(path.rename(path.with_suffix(".old")).with_name(path.name)),
                "not a regular file",
                id="pipe",
            ),
            pytest.param(
                lambda path: (path.unlink(), path.mkdir()), "Is a directory", id="directory"
            ),
        ],
    )
    def test_refuses_a_file(self, path: Path, make: Callable[[Path], Any], reason: str) -> None:
        make(path)
        with pytest.raises(ConfigurationError, match=reason) as caught:
            KeyFile(path)
        assert str(caught.value).startswith(repr(str(path)))

    def test_refuses_a_name_that_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="not a file name"):
            KeyFile("keys\0.json")

    def test_reads_again_what_was_replaced_meanwhile(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contents = [b"{", b"{", jwks(B)]

        def read(document: bytes, **options: Any) -> Any:
            try:
                return read_keys(document, **options)
            finally:
                if contents:
                    replace(path, contents.pop(0))

        monkeypatch.setattr("jwt_middleware.keysources.file.keyfile.read_keys", read)
        replace(path, b"{")
        with pytest.raises(ConfigurationError):  # three times is enough
            KeyFile(path)
        assert kids(KeyFile(path)) == ["b"]

    def test_repr_shows_the_path(self, source: KeyFile, path: Path) -> None:
        assert repr(source) == f"<KeyFile {str(path)!r}>"


class TestChanges:
    def test_nothing_is_looked_at_before_its_time(
        self, source: KeyFile, path: Path, now: list[float]
    ) -> None:
        keys = source.current()
        path.unlink()
        for passed in (0, 0.5, 0.999):
            now[0] = 1_800_000_000 + passed
            assert source.current() is keys

    @pytest.mark.parametrize(
        "write", [pytest.param(replace, id="rename"), pytest.param(Path.write_bytes, id="in-place")]
    )
    def test_a_change_is_noticed(
        self, source: KeyFile, path: Path, now: list[float], write: Callable[[Path, bytes], object]
    ) -> None:
        write(path, jwks(B, A))
        now[0] += 1
        assert kids(source) == ["b", "a"]

    def test_a_link_that_moves_on_is_noticed(self, tmp_path: Path, now: list[float]) -> None:
        # As Kubernetes replaces mounted secrets.
        for name, key in (("v1", A), ("v2", B)):
            (tmp_path / name).write_bytes(jwks(key))
        link = tmp_path / "link"
        link.symlink_to("v1")
        source = KeyFile(link, clock=lambda: now[0])
        (tmp_path / "next").symlink_to("v2")
        (tmp_path / "next").replace(link)
        now[0] += 1
        assert kids(source) == ["b"]

    def test_the_same_content_is_the_same_set(
        self, source: KeyFile, path: Path, now: list[float]
    ) -> None:
        keys = source.current()
        for _ in range(3):
            replace(path, jwks(A))
            now[0] += 1
            assert source.current() is source.refreshed("x") is keys

    def test_two_writes_in_one_tick_of_the_clock_are_noticed(
        self, source: KeyFile, path: Path, now: list[float]
    ) -> None:
        status = path.stat()
        path.write_bytes(jwks(B))
        now[0] += 1
        assert kids(source) == ["b"]
        path.write_bytes(jwks(A).replace(b'"a"', b'"z"'))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        now[0] += 1
        assert kids(source) == ["z"]
        before = path.stat()
        path.write_bytes(jwks(C))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        now[0] += 1
        assert kids(source) == ["c"]

    def test_what_stands_still_is_read_twice_and_then_only_looked_at(
        self, source: KeyFile, now: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads: list[int] = []

        def fstat(descriptor: int, fstat: Callable[[int], object] = os.fstat) -> object:
            reads.append(descriptor)
            return fstat(descriptor)

        monkeypatch.setattr(os, "fstat", fstat)
        for _ in range(5):
            now[0] += 1
            source.current()
        assert len(reads) == 1  # the other was at construction

    def test_a_clock_that_is_set_back_stops_nothing(
        self, source: KeyFile, path: Path, now: list[float]
    ) -> None:
        replace(path, jwks(B))
        now[0] -= 86_400
        assert kids(source) == ["b"]

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(b"", id="empty"),
            pytest.param(jwks(B)[:-5], id="half-written"),
            pytest.param(b'{"keys": []}', id="no-keys"),
        ],
    )
    def test_a_bad_change_is_refused_with_one_line(
        self,
        source: KeyFile,
        path: Path,
        now: list[float],
        log: Callable[[], list[str]],
        bad: bytes,
    ) -> None:
        keys = source.current()
        for again in range(2):
            path.write_bytes(bad + b" " * again)
            for _ in range(5):
                now[0] += 1
                assert source.current() is keys
            (line,) = log()
            said = f'keys.failed file={path} detail="the last good keys stay in use: '
            assert line.startswith(said)
        path.write_bytes(jwks(B))
        now[0] += 1
        assert kids(source) == ["b"]
        assert log() == []

    def test_a_missing_file_is_logged_each_time_it_goes(
        self, source: KeyFile, path: Path, now: list[float], log: Callable[[], list[str]]
    ) -> None:
        keys = source.current()
        aside = path.with_suffix(".aside")
        for _ in range(2):
            path.rename(aside)
            for _ in range(3):
                now[0] += 1
                assert source.current() is keys
            assert len(log()) == 1
            aside.rename(path)
            for _ in range(3):
                now[0] += 1
                assert source.current() is keys
        assert log() == []


class TestRefreshing:
    def test_looks_at_most_once_a_second(
        self, path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = KeyFile(path, check_seconds=60, clock=lambda: now[0])
        replace(path, jwks(B))
        looks: list[float] = []

        def look(at: float, look: Callable[[float], None] = source._look) -> None:
            looks.append(at)
            look(at)

        monkeypatch.setattr(source, "_look", look)
        for _ in range(1000):
            assert [key.kid for key in source.refreshed("b")] == ["a"]
        now[0] += 1
        for _ in range(1000):
            assert [key.kid for key in source.refreshed(None)] == ["b"]
        assert len(looks) == 1

    def test_a_look_in_passing_counts(self, source: KeyFile, path: Path, now: list[float]) -> None:
        now[0] += 1
        assert kids(source) == ["a"]
        replace(path, jwks(B))
        now[0] += 0.5
        assert [key.kid for key in source.refreshed("b")] == ["a"]


class TestThreadsAndForks:
    def test_one_thread_looks_and_the_others_go_on(
        self, source: KeyFile, path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = source.current()
        looking, go_on = threading.Event(), threading.Event()
        look = source._look

        def slow_look(at: float) -> None:
            looking.set()
            go_on.wait(10)
            look(at)

        monkeypatch.setattr(source, "_look", slow_look)
        replace(path, jwks(B))
        now[0] += 1
        seen: list[list[str]] = []
        thread = threading.Thread(target=lambda: seen.append(kids(source)))
        thread.start()
        assert looking.wait(10)
        assert source.current() is keys
        go_on.set()
        thread.join(10)
        assert seen == [["b"]]

    def test_a_lock_held_at_a_fork_does_not_stop_the_child(
        self, source: KeyFile, path: Path, now: list[float]
    ) -> None:
        lock = source._lock.get()
        replace(path, jwks(B))
        now[0] += 1
        with lock:
            child = os.fork()
            if child == 0:
                good = kids(source) == ["b"] and next(iter(source.refreshed("x"))).kid == "b"
                os._exit(0 if good else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def certificate(key: Any, *, ends_in_days: int) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=ends_in_days))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


class TestCertificates:
    def test_verify_under_a_kid_that_is_given(self, path: Path) -> None:
        ec_key = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(certificate(ec_key, ends_in_days=1))
        (key,) = KeyFile(path, kid="2026").current()
        assert (key.kid, key.alg, key.can_sign) == ("2026", "ES256", False)
        assert key.valid_until < time.time() + 86_401

    def test_that_have_expired_are_left_out_and_logged(
        self, path: Path, rsa_key: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        ec_key = ec.generate_private_key(ec.SECP256R1())
        old, new = certificate(rsa_key, ends_in_days=-1), certificate(ec_key, ends_in_days=1)
        path.write_bytes(old + new)
        assert [key.alg for key in KeyFile(path).current()] == ["ES256"]
        assert "a certificate is left out: the certificate has expired" in caplog.text

    def test_that_have_all_expired_are_refused(self, path: Path, rsa_key: Any) -> None:
        path.write_bytes(certificate(rsa_key, ends_in_days=-1))
        with pytest.raises(ConfigurationError, match="has expired"):
            KeyFile(path)

    def test_by_kid_are_a_map(self, path: Path, rsa_key: Any) -> None:
        pem = certificate(rsa_key, ends_in_days=1).decode()
        path.write_text(json.dumps({"a": pem}))
        keys = KeyFile(path, algorithms=["RS256", "PS256"]).current()
        assert [(key.kid, key.alg) for key in keys] == [("a", "RS256"), ("a", "PS256")]


class TestKid:
    def test_names_one_pem(self, path: Path) -> None:
        path.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
        assert kids(KeyFile(path, kid="mine")) == ["mine"]

    def test_does_not_name_several(self, path: Path) -> None:
        keys = (ed25519.Ed25519PrivateKey.generate() for _ in "ab")
        path.write_bytes(b"".join(map(pem, keys)))
        with pytest.raises(ConfigurationError, match="one PEM, this one has several"):
            KeyFile(path, kid="mine")

    def test_does_not_name_a_jwk(self, path: Path) -> None:
        with pytest.raises(ConfigurationError, match="a JWK brings its own"):
            KeyFile(path, kid="mine")

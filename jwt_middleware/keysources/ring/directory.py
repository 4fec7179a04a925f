"""
The files of a key ring.

::

    keys/                0700
      ring.json          0600  the manifest, only ever replaced by a rename
      ring.json.last     0600  a copy, for workers that find the manifest damaged
      <kid>.jwk          0600  one private JWK, never changed once it is written
      .lock              0600  held while the ring is changed

A key's file is on the disk before a manifest names it, and is deleted after the manifest says that
the key is retired.  A process killed between two steps leaves a ring that works, and at most a
key file that no manifest names, and that nothing uses.  The copy is replaced before the manifest:
where it counts, it is never an older one.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ...core.keys import Key
from ...errors import ConfigurationError
from ...files import writing
from ..file.watched import read_file, readable
from .manifest import Manifest, RingKey, parse_manifest

_BACKUP: Final = "restore it from a backup"
_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_HAS_MODES: Final = os.name == "posix"


class RingDirectory:
    """
    A directory with a key ring in it.

    Args:
        path: The directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self.manifest_path: Path = self.path / "ring.json"
        self.copy_path: Path = self.path / "ring.json.last"
        self._added: list[Path] = []  # key files that no manifest names yet

    def __repr__(self) -> str:
        return f"<RingDirectory {str(self.path)!r}>"

    def make(self) -> None:
        """
        Make the directory, if it is not there.

        Raises:
            ConfigurationError: It is there, and open to others or a key ring already.
        """
        with writing(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _naming(self.path):
            _check_private(self.path, "700")
            if self.is_ring():
                raise ConfigurationError("is a key ring already: rotate it, or name another place")

    def is_ring(self) -> bool:
        """Return whether there is a manifest or its copy."""
        with readable():
            return self.manifest_path.exists() or self.copy_path.exists()

    @contextmanager
    def locked(self, *, waits: bool = True) -> Iterator[None]:
        """
        Let one process at a time change the ring; others wait here, or get a ``BlockingIOError``.

        If the block fails, the key files that it has added are removed again.

        The kernel releases the lock of a process that dies.  It holds on a local file system, and
        between hosts on NFS since Linux 2.6.12 and on cluster file systems with POSIX locks.  Where
        it does not hold, two rotations at once still come to one: both make the same key active,
        and the later manifest, which is whole, wins.
        """
        import fcntl  # noqa: PLC0415  Windows has none: there, a ring can only be read

        # Opened for writing, as NFS wants it for a lock that excludes.
        path = self.path / ".lock"
        with writing(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._give_to_owner(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BaseException:
            for added in self._added:
                added.unlink(missing_ok=True)
            raise
        finally:
            self._added.clear()
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process forked meanwhile also has it open
            os.close(descriptor)

    def check_private(self) -> None:
        """
        Check that only the owner can change which keys there are.

        Raises:
            ConfigurationError: The directory or the manifest is open to others.
        """
        _check_private(self.path, "700", name="the directory ")
        _check_private(self.manifest_path, "600")

    def read_manifest(self) -> Manifest:
        """
        Read the manifest.

        Raises:
            ConfigurationError: It is missing, damaged or open to others.
        """
        self.check_there()
        with _naming(self.manifest_path):
            if missing := self.missing():
                raise ConfigurationError(missing)
            self.check_private()
            return self.parse(read_file(self.manifest_path)[1])

    def parse(self, document: bytes) -> Manifest:
        """
        Read the content of a manifest.

        Raises:
            ConfigurationError: It is damaged.  The text says where a good one is.
        """
        try:
            return parse_manifest(document)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}: {self._fix()}") from error

    def missing(self) -> str | None:
        """Return what to do where the manifest is gone; nothing where it is there."""
        with readable():
            return None if self.manifest_path.exists() else f"is gone: {self._fix()}"

    def _fix(self) -> str:
        there = self.copy_path.exists()
        return f"restore it from {self.copy_path.name} beside it" if there else _BACKUP

    def read_copy(self) -> bytes:
        """
        Read the copy of the last manifest that was good.

        Raises:
            ConfigurationError: There is none, or it is open to others.
        """
        with _naming(self.copy_path):
            _check_private(self.path, "700", name="the directory ")
            _check_private(self.copy_path, "600")
            return read_file(self.copy_path)[1]

    def keep_copy(self, document: bytes) -> None:
        """
        Keep a copy of a manifest that is good, if the directory can be written.

        Each change of the ring does; this is for a ring of an earlier version, and for a manifest
        that was restored by hand.
        """
        with suppress(ConfigurationError):
            if self.read_copy() == document:
                return
        with suppress(ConfigurationError, OSError, ImportError), self.locked(waits=False):
            if read_file(self.manifest_path)[1] == document:  # or it has changed meanwhile
                self._put(self._write_beside(self.copy_path, document), self.copy_path)

    def check_there(self) -> None:
        """
        Check that there is a ring.

        Raises:
            ConfigurationError: There is none.
        """
        with _naming(self.path):
            if not self.is_ring():
                raise ConfigurationError(
                    "is no key ring: make one with `jwt-middleware keys create`"
                )

    def read_key(self, entry: RingKey) -> Key:
        """
        Read the material of a key that the manifest names: of a retiring one the public half.

        Raises:
            ConfigurationError: Its file is missing, damaged, open to others, or another key's.
        """
        path = self._key_path(entry.kid)
        with _naming(path):
            _check_private(path, "600")
            retiring = entry.state == "retiring"
            key = Key.from_jwk(read_file(path)[1], public_only=retiring)
            if (key.kid, key.alg) != (entry.kid, entry.alg) or not (retiring or key.can_sign):
                raise ConfigurationError("is not the key that the manifest names")
            return key

    def add_key(self, key: Key) -> RingKey:
        """
        Write the file of a new key, and return its entry for a manifest.

        Raises:
            ConfigurationError: It cannot be written.
        """
        path = self._key_path(key.kid)
        document = json.dumps(key.private_jwk()).encode("ascii")
        self._put(self._write_beside(path, document + b"\n"), path)
        self._added.append(path)
        return RingKey(kid=key.kid, alg=key.alg, state="announced")

    def write_manifest(self, manifest: Manifest) -> None:
        """
        Replace the manifest in one step, and delete what no key of it needs any more.

        Raises:
            ConfigurationError: It cannot be written; the ring is as it was.
        """
        for left_over in self.path.glob("*.new"):
            left_over.unlink(missing_ok=True)
        document = manifest.to_json()
        copy = self._write_beside(self.copy_path, document)
        try:
            new = self._write_beside(self.manifest_path, document)
        except BaseException:
            copy.unlink()
            raise
        self._added.clear()
        self._put(copy, self.copy_path)
        self._put(new, self.manifest_path)
        for entry in manifest.retired:
            self._key_path(entry.kid).unlink(missing_ok=True)

    def _key_path(self, kid: str) -> Path:
        return self.path / f"{quote(kid, safe='')}.jwk"

    def _write_beside(self, path: Path, content: bytes) -> Path:
        """Write what shall be at *path* to the disk, under another name."""
        new = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        try:
            with writing(path):
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    self._give_to_owner(descriptor)
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        return new

    def _put(self, new: Path, path: Path) -> None:
        with writing(path):
            new.replace(path)
            self._sync()

    def _give_to_owner(self, descriptor: int) -> None:
        # What root's cron writes, the workers' user must be able to read.
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _sync(self) -> None:
        """Sync the directory to the disk."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _check_private(path: Path, mode: str, *, name: str = "") -> None:
    with readable():
        found = stat.S_IMODE(path.stat().st_mode)
    if _HAS_MODES and found & _OPEN_TO_OTHERS:
        raise ConfigurationError(
            f"{name}has mode {found:03o}, so that other users can access the keys: chmod {mode}"
        )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name *path* in whatever :class:`ConfigurationError` the block raises."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{str(path)!r}: {error}") from error

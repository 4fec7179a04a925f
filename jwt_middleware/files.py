"""Read files, and diagnose why a file cannot be used."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from .errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES: Final = 1024 * 1024
"""Maximum size of a configuration, secret or key file."""

# Hex, base64, or a JWT: few files are called so.
_SECRET: Final = re.compile(r"[\w+=-][\w+/=-]{31,}|eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)

_FIXES: Final = {
    errno.EROFS: "mount its file system writable, or name another folder",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "raise the quota of its user",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files (fs.file-max)",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "a part of its path is a file",
}


def diagnose(error: Exception, *, fix: str, to: str = "read") -> tuple[str, str]:
    """
    Return the reason why a file cannot be used, and the fix.

    Args:
        error: An :class:`OSError`, or the :class:`ValueError` of a name with a NUL.
        fix: The fix for a missing file or an invalid name.
        to: The failed operation: a verb.
    """
    if not isinstance(error, OSError):
        return "not a file name", fix
    if isinstance(error, PermissionError):
        fix = f"let the user {user()} {to} it"
    return error.strerror or type(error).__name__, _FIXES.get(error.errno or 0, fix)


def may_be_secret(name: str, error: Exception) -> bool:
    """Return whether a missing file's *name* looks like the secret itself, not to be shown."""
    is_there = isinstance(error, PermissionError | IsADirectoryError)
    return not is_there and _SECRET.fullmatch(name) is not None


def read_regular(path: str | os.PathLike[str]) -> tuple[os.stat_result, bytes]:
    """
    Read a regular file; return its status and content.

    Other files are refused: a pipe would block, and ``/dev/zero`` never ends.

    Raises:
        OSError: It is unreadable, not a regular file, or longer than :data:`MAX_FILE_BYTES`.
        ValueError: Its name contains a NUL.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        octets = file.read(MAX_FILE_BYTES + 1)
    if len(octets) > MAX_FILE_BYTES:
        raise OSError(errno.EINVAL, f"it is longer than {MAX_FILE_BYTES} bytes", os.fspath(path))
    return status, octets


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def no_file(path: Path) -> str:
    """Return why *path* cannot be a file; empty if it is one or can be created."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}:
            return ""
        said, fix = diagnose(error, fix="name another")
        return f"cannot be there ({said}): {fix}"
    return "" if stat.S_ISREG(mode) else "is not a regular file: name one"


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """
    Convert an :class:`OSError` of the block to an error that names *path* and the fix.

    Raises:
        ConfigurationError: The block raised :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        said, fix = diagnose(error, fix="name another place", to="write")
        raise ConfigurationError(
            f"{os.fspath(path)!r} cannot be written ({said}): {fix}"
        ) from error


def obstacle(file: Path) -> str:
    """
    Return why this process cannot use a database in *file*, and the fix; empty if it can.

    SQLite also writes next to the file, to ``-wal`` and ``-shm``.
    """
    folder = file.parent
    try:
        mode = file.stat().st_mode
    except OSError as error:
        is_denied = isinstance(error, PermissionError)
        denied = f"permission denied to its folder {str(folder)!r}: let the user {user()} in"
        return denied if is_denied else ""
    if stat.S_ISDIR(mode):
        return f"it is a folder: {_FIXES[errno.EISDIR]}"
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        return f"read-only file system: {_FIXES[errno.EROFS]}"
    for one in (file, *(folder / (file.name + end) for end in ("-wal", "-shm"))):
        if one.exists() and not _may(one, os.R_OK | os.W_OK):
            return f"permission denied to {str(one)!r}: chown it to the user {user()}"
    if not _may(folder, os.W_OK | os.X_OK):
        return f"permission denied to write to {str(folder)!r}: let the user {user()} do it"
    return ""


def user() -> str:
    """Return the name or number of the user that runs this process."""
    try:
        import pwd  # noqa: PLC0415  POSIX alone
    except ImportError:
        return os.environ.get("USERNAME", "of this process")
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)

"""What to do where a file cannot be written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Final

from .errors import ConfigurationError

_FIXES: Final = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some of the quota, or raise it",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "its file system is read-only: mount it for writing, or name another place",
    errno.EACCES: "let this user write there, or run it as another",
    errno.EPERM: "let this user write there, or run it as another",
    errno.ENOENT: "create the folder first",
}


def explain(error: OSError) -> str:
    """Return what the system said, and what helps."""
    fix = _FIXES.get(error.errno or 0)
    return f"{error.strerror}{f': {fix}' if fix else ''}"


@contextmanager
def writing(path: str | PathLike[str]) -> Iterator[None]:
    """
    Name *path*, and what helps, where the block cannot write it.

    Raises:
        ConfigurationError: The block raised :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{fspath(path)!r} cannot be written: {explain(error)}") from error

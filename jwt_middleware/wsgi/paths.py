"""
Reading a path the way any app behind us might.

``PATH_INFO`` is what the server made of the request line, and the app makes something of it again:
it may join slashes, resolve dots, decode once more, drop what is not UTF-8.  A path that can only
be read one way is canonical.  A rule that relaxes *names* canonical paths, exactly; a rule that
restricts *covers* every reading.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple
from urllib.parse import unquote

from ..errors import ConfigurationError

MAX_DECODINGS: Final = 4
MAX_NORMALISED_CHARS: Final = 512
"""Unicode normalisation is quadratic: a longer path that is not ASCII is never canonical."""

# No leading slash; an empty, "." or ".." segment; a backslash; path parameters; controls (a
# trailing newline satisfies "$"); or an escape that is still there after the server decoded one.
_AMBIGUOUS: Final = re.compile(
    r"^(?!/)|//|/\.{1,2}(?:/|\Z)|[\\;\x00-\x1f\x7f-\x9f]|%[0-9A-Fa-f]{2}"
)
_ABSOLUTE_FORM: Final = re.compile(r"\A[A-Za-z][A-Za-z0-9+.\-]*://[^/]*")  # RFC 9112 §3.2.2
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Readings(NamedTuple):
    """
    What a path can be taken for.

    Attributes:
        canonical: Whether there is only one reading, hence whether a rule may relax it.
        texts: The readings.
    """

    canonical: bool
    texts: tuple[str, ...]


def read_path(path: str) -> Readings:
    """
    Read a ``PATH_INFO``: bytes in the shape of a Latin-1 string (PEP 3333).

    Frameworks decode it as UTF-8, and differ in what they do where it is none.
    """
    try:
        text = path if path.isascii() else path.encode("latin-1").decode("utf-8")
    except UnicodeEncodeError:  # a server that decoded it already
        sent = [path]
    except UnicodeDecodeError:
        sent = [path, path.encode("latin-1").decode("utf-8", "ignore")]
    else:
        short = len(text) <= MAX_NORMALISED_CHARS or text.isascii()
        if short and not _AMBIGUOUS.search(text):
            return Readings(canonical=True, texts=(text,))
        sent = [text]
    return Readings(canonical=False, texts=tuple(dict.fromkeys(chain(*map(all_readings, sent)))))


def all_readings(text: str) -> list[str]:
    """
    Return what a path becomes for apps that resolve none, some or all of what can be resolved.

    Between the path as sent and its canonical form lies what most apps do.  Flask and Falcon drop
    leading slashes and keep the rest: to them ``//admin/../x`` is below ``/admin``.
    """
    readings: list[str] = []
    for _ in range(MAX_DECODINGS + 1):
        readings += [
            text,
            "/" + text.lstrip("/"),
            "/" + "/".join(filter(None, text.split("/"))),
        ]
        for part in dict.fromkeys((text, text.partition("\0")[0])):
            segments = _segments(part)
            readings += ["/" + "/".join(segments), "/" + "/".join(_resolve_dots(segments))]
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return list(dict.fromkeys(readings))


@lru_cache(8)
def _folded_readings(text: str) -> list[str]:
    # Remembered while one reading is held against rule after rule.
    return all_readings(fold(text))


def _segments(text: str) -> list[str]:
    """Split a path at everything that may separate, and drop what may name nothing."""
    text = _CONTROLS.sub("", text).replace("\\", "/")
    names = (segment.partition(";")[0] for segment in _ABSOLUTE_FORM.sub("", text).split("/"))
    return [name for name in names if name not in {"", "."}]


def _resolve_dots(names: list[str]) -> list[str]:
    resolved: list[str] = []
    for name in names:
        if name == "..":
            del resolved[-1:]
        else:
            resolved.append(name)
    return resolved


class Pattern:
    """
    The path of a rule.

    Args:
        path: An exact path; ``*`` stands for one segment; a last ``/*`` covers the path before it
            and all below.

    Raises:
        ConfigurationError: No canonical path could ever be named by it.
    """

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or _AMBIGUOUS.search(path):
            raise ConfigurationError(
                f"rule {path!r}: path must begin with one slash, and have no empty or dot "
                "segments, backslashes, semicolons or escapes"
            )
        if "?" in path or "#" in path:
            raise ConfigurationError(f"rule {path!r}: path must not have a query or a fragment")
        if any("*" in segment and segment != "*" for segment in path.split("/")):
            raise ConfigurationError(f"rule {path!r}: * stands for a whole segment, as in /a/*/b")
        self._named = re.compile(_regex(path, "[^/]+"), re.DOTALL)
        generous = path if path.endswith("/*") else path.rstrip("/")
        # To Falcon an empty segment is a value like any other.
        self._covered = re.compile(_regex(generous, "[^/]*") + "/?", re.DOTALL)
        self._covered_folded = re.compile(_regex(fold(generous), "[^/]*") + "/?", re.DOTALL)

    def names(self, text: str) -> bool:
        """Tell whether *text* is a path that this pattern means, character by character."""
        return self._named.fullmatch(text) is not None

    def covers(self, text: str, *, folded: bool = False) -> bool:
        """
        Tell whether *text* could be taken for a path that this pattern means.

        A trailing slash does not count; with *folded*, nor do case and compatible characters.
        """
        if self._covered.fullmatch(text):
            return True
        return folded and any(map(self._covered_folded.fullmatch, _folded_readings(text)))


def fold(text: str) -> str:
    """
    Return *text* without the differences that case and Unicode normalisation make.

    The two Turkish letters are an i to :func:`re.compile` with ``IGNORECASE``, though not to
    :meth:`str.casefold`.
    """
    if len(text) > MAX_NORMALISED_CHARS:
        return _fold_case(text)
    return unicodedata.normalize("NFKC", _fold_case(unicodedata.normalize("NFKD", text)))


def _fold_case(text: str) -> str:
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")


def _regex(path: str, segment: str) -> str:
    below = path.endswith("/*")
    segments = (path[:-2] if below else path).split("/")
    exact = "/".join(segment if one == "*" else re.escape(one) for one in segments)
    return exact + ("(?:/.*)?" if below else "")

"""
Read a path in every way that an app may read it.

``PATH_INFO`` is the server's decoding of the request line, which the app may process further: join
slashes, resolve dots, decode again, drop what is not UTF-8.  A path with only one reading is
canonical.  A rule that relaxes *names* canonical paths, exactly; a rule that restricts *covers*
every reading, folded: without the differences that some framework ignores.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from ..errors import ConfigurationError, InvalidRequestError

MAX_DECODINGS: Final = 4
MAX_NORMALISED_CHARS: Final = 512
"""A longer non-ASCII path is never canonical, since Unicode normalisation is quadratic."""
MAX_NORMALISED_SEGMENT_CHARS: Final = 64
"""In such a path, only segments up to this length are normalised."""
MAX_SEPARATORS: Final = 256
"""Limit of slashes, and of characters that may become or end one, in a non-canonical path."""
MAX_READ_CHARS: Final = 6144
"""Limit of characters in all readings of one request together."""
SLOWER_BEYOND_ASCII: Final = 4
"""Weight of a character in non-ASCII text."""

# No leading slash; an empty, "." or ".." segment; a backslash; path parameters; controls (a
# trailing newline satisfies "$"); or an escape that is left after the server's decoding.
_AMBIGUOUS: Final = re.compile(
    r"^(?!/)|//|/\.{1,2}(?:/|\Z)|[\\;\x00-\x1f\x7f-\x9f]|%[0-9A-Fa-f]{2}"
)
_ABSOLUTE_FORM: Final = re.compile(r"\A[A-Za-z][A-Za-z0-9+.\-]*://[^/]*")  # RFC 9112 §3.2.2
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SEPARATORS: Final = ("/", "\\", ";", "%", "?", "#", "\0")
_QUERY_OR_FRAGMENT: Final = re.compile(r"[?#]")
# Invisible format characters that some comparisons ignore: soft hyphen, joiners, marks.
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_VIEW: Final = ("@@", "++view++")  # Pyramid, Zope: the rest of the segment is the name of a view
# A proxy's virtual host for Zope, which is removed from the path.
_VIRTUAL_HOST: Final = re.compile(
    r"/virtualhost(?:base/[^/]+/[^/]+(?=/|\Z)|root(?=/|\Z)(?:/_vh_[^/]*)*)"
)
_PUNCTUATION: Final = str.maketrans(dict.fromkeys(string.punctuation.replace("/", ""), "_"))


class Budget:
    """The remaining characters that may be read for a request, of :data:`MAX_READ_CHARS`."""

    def __init__(self) -> None:
        self._left = MAX_READ_CHARS

    def spend(self, text: str) -> None:
        """
        Subtract the length of *text*.

        Raises:
            InvalidRequestError: The budget is exceeded.
        """
        self._left -= len(text) if text.isascii() else len(text) * SLOWER_BEYOND_ASCII
        if self._left < 0:
            raise InvalidRequestError("the request can be read in too many ways")


class Readings(NamedTuple):
    """
    The readings of a path.

    Attributes:
        canonical: Whether there is only one reading, so that a rule may relax it.
        texts: The readings.
    """

    canonical: bool
    texts: tuple[str, ...]


def read_path(path: str, budget: Budget | None = None) -> Readings:
    """
    Return the readings of a ``PATH_INFO``: bytes as a Latin-1 string (PEP 3333).

    Frameworks decode it as UTF-8, and differ if it is invalid.

    Raises:
        InvalidRequestError: It has too many readings.
    """
    budget = budget or Budget()
    try:
        text = path if path.isascii() else path.encode("latin-1").decode("utf-8")
    except UnicodeEncodeError:  # already decoded by the server
        sent = [path]
    except UnicodeDecodeError:
        sent = [path, path.encode("latin-1").decode("utf-8", "ignore")]
    else:
        short = len(text) <= MAX_NORMALISED_CHARS or text.isascii()
        if short and not _AMBIGUOUS.search(text):
            budget.spend(text[: len(text) // 8])  # nothing to resolve
            return Readings(canonical=True, texts=(text,))
        sent = [text]
    texts = dict.fromkeys(reading for one in sent for reading in all_readings(one, budget))
    return Readings(canonical=False, texts=tuple(texts))


def is_plain(path: str) -> bool:
    """Return whether a configured *path* has one reading."""
    try:
        return read_path(path).canonical
    except InvalidRequestError:
        return False


def all_readings(text: str, budget: Budget) -> list[str]:
    """
    Return the paths seen by apps that resolve none, some or all of what can be resolved.

    Most apps are between the path as sent and its canonical form.  Flask and Falcon only drop
    leading slashes: for them ``//admin/../x`` is below ``/admin``.

    Raises:
        InvalidRequestError: There are too many, or they are too long.
    """
    if sum(map(text.count, _SEPARATORS)) > MAX_SEPARATORS:
        raise InvalidRequestError("the path has too many parts")
    readings: dict[str, None] = {}
    for _ in range(MAX_DECODINGS + 1):
        for reading in _undecoded_readings(text):
            if reading not in readings:
                budget.spend(reading)
                readings[reading] = None
        decoded = unquote(text) if "%" in text else text
        if decoded == text:
            break
        text = decoded
    return list(readings)


def _undecoded_readings(text: str) -> Iterator[str]:
    yield text
    yield "/" + text.lstrip("/")
    yield "/" + "/".join(filter(None, text.split("/")))
    if not text.startswith("/"):  # for Pecan the first segment precedes the slash
        yield "/" + text.partition("/")[2]
    if text.startswith("//"):  # as a URL it starts with a host
        yield "/" + text[2:].partition("/")[2]
    for part in dict.fromkeys((text, text.partition("\0")[0])):
        segments = _segments(part)
        yield "/" + "/".join(segments)
        yield "/" + "/".join(_resolve_dots(segments))


def _segments(text: str) -> list[str]:
    """Split a path at every possible separator, and drop segments that may be ignored."""
    text = _CONTROLS.sub("", text).replace("\\", "/")
    names = (segment.partition(";")[0] for segment in _ABSOLUTE_FORM.sub("", text).split("/"))
    return [name for name in names if name not in {"", "."}]


def _resolve_dots(names: list[str]) -> list[str]:
    if ".." not in names:
        return names
    resolved: list[str] = []
    for name in names:
        if name == "..":
            del resolved[-1:]
        else:
            resolved.append(name)
    return resolved


def fold(text: str) -> str:
    """
    Fold case and Unicode normalisation of *text*.

    The two Turkish letters match "i" in :mod:`re` with ``IGNORECASE``, but not after
    :meth:`str.casefold`.
    """
    if text.isascii():
        return text.casefold()
    visible = _INVISIBLE.sub("", text)
    if len(visible) <= MAX_NORMALISED_CHARS:
        return _normalise(visible)
    return "/".join(
        _normalise(part) if len(part) <= MAX_NORMALISED_SEGMENT_CHARS else _fold_case(part)
        for part in visible.split("/")
    )


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", _fold_case(unicodedata.normalize("NFKD", text)))


def _fold_case(text: str) -> str:
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")


def fold_segment(segment: str) -> str:
    """
    Fold an already folded segment by the rules of all frameworks together.

    CherryPy maps punctuation to ``_``, Pyramid names views with ``@@``, and some file systems drop
    trailing spaces and dots.
    """
    for marker in _VIEW:
        segment = segment.removeprefix(marker)
    return (segment.rstrip(" .") or segment).translate(_PUNCTUATION)


def folded_segments(
    text: str, limit: int, budget: Budget | None = None
) -> Iterator[tuple[str, ...]]:
    """
    Yield the folded segments of *text*, in each way that a framework may split it.

    Pecan and others drop an extension, CherryPy maps ``index`` to the path before it, Zope removes
    a virtual host, and code that splits a URL again ends the path at an escaped question mark.

    Args:
        text: A reading of a path.
        limit: How many segments matter; at most one more is read.
        budget: Charged for the expansion of compatibility characters.

    Raises:
        InvalidRequestError: There are too many.
    """
    folded = fold(text)
    for reading in [folded] if text.isascii() else all_readings(folded, budget or Budget()):
        parts = dict.fromkeys((reading, _QUERY_OR_FRAGMENT.split(reading, maxsplit=1)[0]))
        if "/virtualhost" in reading:
            parts.update(dict.fromkeys([_VIRTUAL_HOST.sub("", part) for part in parts]))
        for part in parts:
            if part.startswith("/") or not part:
                segments = part.rstrip("/").split("/", limit + 2)[1 : limit + 2]
                names = tuple(map(fold_segment, segments))
                lasts = _names_of_last(segments[-1]) if segments else ()
                yield names
                yield from ((*names[:-1], *last) for last in lasts)


def _names_of_last(segment: str) -> Iterator[tuple[str, ...]]:
    stem = segment.rpartition(".")[0]
    if stem:
        yield (fold_segment(stem),)
    if (stem or segment) == "index":
        yield ()


class Pattern:
    """
    The path of a rule.

    Args:
        path: An exact path; ``*`` matches one segment; a final ``/*`` covers the path before it and
            all below, and a final ``*`` after a name all paths with that prefix.

    Attributes:
        kind: Which of these forms it has.
        segments: The segments before the final ``*``; ``None`` matches any.
        folded: The same, folded like :func:`folded_segments`.

    Raises:
        ConfigurationError: It can never name a canonical path.
    """

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or _AMBIGUOUS.search(path):
            raise ConfigurationError(
                f"rule {path!r}: path must start with one slash, and have no empty or dot "
                "segments, backslashes, semicolons or escapes"
            )
        if "?" in path or "#" in path:
            raise ConfigurationError(f"rule {path!r}: path must not have a query or a fragment")
        self.kind: Literal["exact", "below", "prefix"] = (
            "below" if path.endswith("/*") else "prefix" if path.endswith("*") else "exact"
        )
        stem = path.removesuffix("/*" if self.kind == "below" else "*")
        names = stem.split("/")[1:]
        if any("*" in name and name != "*" for name in names) or path.endswith("**"):
            raise ConfigurationError(
                f"rule {path!r}: * matches a whole segment, as in /a/*/b, or ends the path"
            )
        self.segments: tuple[str | None, ...] = tuple(
            None if name == "*" else name for name in names
        )
        self.folded: tuple[str | None, ...] = tuple(
            None if name == "*" else fold_segment(name) for name in fold(stem).split("/") if name
        )


class _Node:
    """A node of the tree: the patterns that continue from here."""

    __slots__ = ("any", "below", "children", "exact", "lengths", "prefixes", "subtree")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.prefixes: dict[str, list[int]] = {}
        self.lengths: set[int] = set()
        self.exact: list[int] = []
        self.below: list[int] = []
        self.subtree: set[int] = set()

    def child(self, name: str | None) -> _Node:
        if name is not None:
            return self.children.setdefault(name, _Node())
        self.any = self.any or _Node()
        return self.any


class PatternTree:
    """
    A tree of patterns by segment, so that matching time does not grow with their number.

    Attributes:
        depth: Number of segments of the longest pattern.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self.depth: int = 0

    def add(
        self, number: int, segments: Sequence[str | None], kind: Literal["exact", "below", "prefix"]
    ) -> None:
        """Add the pattern of rule *number*; numbers must increase."""
        self.depth = max(self.depth, len(segments))
        node = self._root
        for name in segments[:-1] if kind == "prefix" else segments:
            node.subtree.add(number)
            node = node.child(name)
        if kind == "exact":
            node.exact.append(number)
        elif kind == "below":
            node.below.append(number)
            node.subtree.add(number)
        else:
            prefix = str(segments[-1])
            node.prefixes.setdefault(prefix, []).append(number)
            node.lengths.add(len(prefix))
            node.subtree.add(number)

    def find(self, segments: Sequence[str]) -> Found:
        """Return the patterns that match a path with these segments."""
        nodes = [self._root]
        matched: set[int] = set()
        for segment in segments:
            following: list[_Node] = []
            for node in nodes:
                matched.update(node.below)
                for length in node.lengths:
                    matched.update(node.prefixes.get(segment[:length], ()))
                if segment in node.children:
                    following.append(node.children[segment])
                if node.any is not None:
                    following.append(node.any)
            nodes = following
            if not nodes:
                break
        for node in nodes:
            matched.update(node.exact, node.below)
        return Found(tuple(sorted(matched)), tuple(nodes))


class Found(NamedTuple):
    """
    The result of a search in a tree.

    Attributes:
        matched: The numbers of the matching rules, in order.
        nodes: The nodes where longer paths continue.
    """

    matched: tuple[int, ...]
    nodes: tuple[_Node, ...]

    def below(self, levels: float) -> set[int]:
        """Return the numbers of the rules for paths up to *levels* segments longer."""
        numbers: set[int] = set()
        for node in self.nodes:
            if levels > 1:
                numbers |= node.subtree
            elif levels:
                numbers.update(node.below, *node.prefixes.values())
                for child in (*node.children.values(), *([node.any] if node.any else ())):
                    numbers.update(child.exact, child.below)
        return numbers


class Match(NamedTuple):
    """
    The rules that match a path.

    Attributes:
        named: The rules that name it, in order; none if it has more than one reading.
        covered: The rules that cover each reading.
    """

    named: tuple[int, ...]
    covered: tuple[Found, ...]


class PatternIndex:
    """The patterns of all rules, by exact names and by coverage."""

    def __init__(self) -> None:
        self._naming, self._covering = PatternTree(), PatternTree()

    def add(self, number: int, pattern: Pattern, *, covers: bool) -> None:
        """Add the pattern of rule *number*; numbers must increase."""
        self._naming.add(number, pattern.segments, pattern.kind)
        if covers:
            self._covering.add(number, pattern.folded, pattern.kind)

    def match(
        self,
        path: str,
        *,
        others: Sequence[str] = (),
        also: Sequence[str] = (),
        aliases: Sequence[str] = (),
    ) -> Match:
        """
        Return the rules that name *path* or cover any reading of it.

        Args:
            path: As in ``PATH_INFO``.
            others: Other paths that the app may see; if there are any, no rule names *path*.
            also: Equivalent spellings; a rule that names *path* must also name these.
            aliases: Additional paths that rules may cover.

        Raises:
            InvalidRequestError: They have too many readings.
        """
        budget = Budget()
        readings = read_path(path, budget)
        texts = dict.fromkeys(readings.texts)
        for other in (*others, *also, *aliases):
            texts.update(dict.fromkeys(read_path(other, budget).texts))
        segments = dict.fromkeys(
            one for text in texts for one in folded_segments(text, self._covering.depth, budget)
        )
        covered = tuple(dict.fromkeys(map(self._covering.find, segments)))
        return Match(self._named(readings, also) if not others else (), covered)

    def naming(self, path: str, also: Iterable[str] = ()) -> tuple[int, ...]:
        """Return the rules that name *path* and all of *also*."""
        return self._named(read_path(path), also)

    def _named(self, readings: Readings, also: Iterable[str]) -> tuple[int, ...]:
        if not readings.canonical:
            return ()
        limit = self._naming.depth + 1
        found = [
            self._naming.find(text[1:].split("/", limit)).matched if text[:1] == "/" else ()
            for text in (readings.texts[0], *(read_path(one).texts[0] for one in also))
        ]
        return tuple(number for number in found[0] if all(number in one for one in found))

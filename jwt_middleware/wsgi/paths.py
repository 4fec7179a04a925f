"""
Reading a path the way any app behind us might.

``PATH_INFO`` is what the server made of the request line, and the app makes something of it again:
it may join slashes, resolve dots, decode once more, drop what is not UTF-8.  A path that can only
be read one way is canonical.  A rule that relaxes *names* canonical paths, exactly; a rule that
restricts *covers* every reading, folded: without the differences that some framework ignores.
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
"""Unicode normalisation is quadratic: a longer path that is not ASCII is never canonical."""
MAX_NORMALISED_SEGMENT_CHARS: Final = 64
"""And of such a path, only segments up to this length are normalised."""
MAX_SEPARATORS: Final = 256
"""In a path that is not canonical: slashes, and what may become or end one."""
MAX_READ_CHARS: Final = 6144
"""Of all readings that one request needs, together."""
SLOWER_BEYOND_ASCII: Final = 4
"""As how many of them a character counts in a text that is not ASCII."""

# No leading slash; an empty, "." or ".." segment; a backslash; path parameters; controls (a
# trailing newline satisfies "$"); or an escape that is still there after the server decoded one.
_AMBIGUOUS: Final = re.compile(
    r"^(?!/)|//|/\.{1,2}(?:/|\Z)|[\\;\x00-\x1f\x7f-\x9f]|%[0-9A-Fa-f]{2}"
)
_ABSOLUTE_FORM: Final = re.compile(r"\A[A-Za-z][A-Za-z0-9+.\-]*://[^/]*")  # RFC 9112 §3.2.2
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SEPARATORS: Final = ("/", "\\", ";", "%", "?", "#", "\0")
_QUERY_OR_FRAGMENT: Final = re.compile(r"[?#]")
# Format characters, which no reader sees and some comparisons drop: soft hyphen, joiners, marks.
_INVISIBLE: Final = re.compile(
    r"[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_VIEW: Final = ("@@", "++view++")  # Pyramid, Zope: the rest of the segment is the name of a view
# How a proxy tells Zope what it is called outside: all of it is taken off the path.
_VIRTUAL_HOST: Final = re.compile(
    r"/virtualhost(?:base/[^/]+/[^/]+(?=/|\Z)|root(?=/|\Z)(?:/_vh_[^/]*)*)"
)
_PUNCTUATION: Final = str.maketrans(dict.fromkeys(string.punctuation.replace("/", ""), "_"))


class Budget:
    """What may still be read for a request: as many characters as :data:`MAX_READ_CHARS`."""

    def __init__(self) -> None:
        self._left = MAX_READ_CHARS

    def spend(self, text: str) -> None:
        """
        Take *text* off.

        Raises:
            InvalidRequestError: There is not so much left.
        """
        self._left -= len(text) if text.isascii() else len(text) * SLOWER_BEYOND_ASCII
        if self._left < 0:
            raise InvalidRequestError("the request can be read in too many ways")


class Readings(NamedTuple):
    """
    What a path can be taken for.

    Attributes:
        canonical: Whether there is only one reading, hence whether a rule may relax it.
        texts: The readings.
    """

    canonical: bool
    texts: tuple[str, ...]


def read_path(path: str, budget: Budget | None = None) -> Readings:
    """
    Read a ``PATH_INFO``: bytes in the shape of a Latin-1 string (PEP 3333).

    Frameworks decode it as UTF-8, and differ in what they do where it is none.

    Raises:
        InvalidRequestError: It can be read in so many ways that to try them all takes too long.
    """
    budget = budget or Budget()
    try:
        text = path if path.isascii() else path.encode("latin-1").decode("utf-8")
    except UnicodeEncodeError:  # a server that decoded it already
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
    """Tell whether *path*, of a configuration, has one reading."""
    try:
        return read_path(path).canonical
    except InvalidRequestError:
        return False


def all_readings(text: str, budget: Budget) -> list[str]:
    """
    Return what a path becomes for apps that resolve none, some or all of what can be resolved.

    Between the path as sent and its canonical form lies what most apps do.  Flask and Falcon drop
    leading slashes and keep the rest: to them ``//admin/../x`` is below ``/admin``.

    Raises:
        InvalidRequestError: They are too many or too long.
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
    if not text.startswith("/"):  # to Pecan the first segment is what comes before the slash
        yield "/" + text.partition("/")[2]
    if text.startswith("//"):  # as a URL it begins with a host
        yield "/" + text[2:].partition("/")[2]
    for part in dict.fromkeys((text, text.partition("\0")[0])):
        segments = _segments(part)
        yield "/" + "/".join(segments)
        yield "/" + "/".join(_resolve_dots(segments))


def _segments(text: str) -> list[str]:
    """Split a path at everything that may separate, and drop what may name nothing."""
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
    Return *text* without the differences that case and Unicode normalisation make.

    The two Turkish letters are an i to :func:`re.compile` with ``IGNORECASE``, though not to
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
    Return a segment, folded already, as all frameworks together would compare it.

    CherryPy maps punctuation to ``_``, Pyramid names a view by ``@@``, and some file systems drop
    spaces and dots at the end.
    """
    for marker in _VIEW:
        segment = segment.removeprefix(marker)
    return (segment.rstrip(" .") or segment).translate(_PUNCTUATION)


def folded_segments(
    text: str, limit: int, budget: Budget | None = None
) -> Iterator[tuple[str, ...]]:
    """
    Yield the folded segments of *text*, each way that a framework may come by them.

    Pecan and others drop an extension, CherryPy takes ``index`` for the path before it, Zope takes
    the names of a virtual host off, and what splits a URL again ends the path at an escaped
    question mark.

    Args:
        text: One reading of a path.
        limit: How many segments matter; none after one more is looked at.
        budget: For what compatible characters stand for.

    Raises:
        InvalidRequestError: There are too many ways.
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
        path: An exact path; ``*`` stands for one segment; a last ``/*`` covers the path before it
            and all below, and a last ``*`` after a name all that begins so.

    Attributes:
        kind: Which of these it is.
        segments: Before the last ``*``; ``None`` stands for any.
        folded: The same, as :func:`folded_segments` has them.

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
        self.kind: Literal["exact", "below", "prefix"] = (
            "below" if path.endswith("/*") else "prefix" if path.endswith("*") else "exact"
        )
        stem = path.removesuffix("/*" if self.kind == "below" else "*")
        names = stem.split("/")[1:]
        if any("*" in name and name != "*" for name in names) or path.endswith("**"):
            raise ConfigurationError(
                f"rule {path!r}: * stands for a whole segment, as in /a/*/b, or ends the path"
            )
        self.segments: tuple[str | None, ...] = tuple(
            None if name == "*" else name for name in names
        )
        self.folded: tuple[str | None, ...] = tuple(
            None if name == "*" else fold_segment(name) for name in fold(stem).split("/") if name
        )


class _Node:
    """What comes after some segments."""

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
    Patterns by their segments, so that a path meets few of them however many there are.

    Attributes:
        depth: Segments of the longest.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self.depth: int = 0

    def add(
        self, number: int, segments: Sequence[str | None], kind: Literal["exact", "below", "prefix"]
    ) -> None:
        """Add the pattern of the rule that has this number; the numbers rise."""
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
        """Return which patterns fit a path of these segments."""
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
    What a path leads to in a tree.

    Attributes:
        matched: The numbers of the rules that are for it, in order.
        nodes: Where longer paths go on.
    """

    matched: tuple[int, ...]
    nodes: tuple[_Node, ...]

    def below(self, levels: float) -> set[int]:
        """Return the numbers of the rules for paths that are up to *levels* segments longer."""
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
    What the rules have to do with a path.

    Attributes:
        named: The rules that name it, in order; none if it can be read in more than one way.
        covered: For each reading, the rules that cover it.
    """

    named: tuple[int, ...]
    covered: tuple[Found, ...]


class PatternIndex:
    """The patterns of all rules: a rule names paths character by character, and may cover more."""

    def __init__(self) -> None:
        self._naming, self._covering = PatternTree(), PatternTree()

    def add(self, number: int, pattern: Pattern, *, covers: bool) -> None:
        """Add the pattern of the rule that has this number; the numbers rise."""
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
        Return the rules that name *path*, and those that cover any reading of it.

        Args:
            path: As ``PATH_INFO`` has it.
            others: Paths that it may be as well: with one of them it is named by none.
            also: Ways to write it that say no more: what names it must name these, too.
            aliases: Further paths that rules may cover.

        Raises:
            InvalidRequestError: There are too many ways to read them.
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
        """Return the rules that name *path*, and all of *also*."""
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

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.errors import ConfigurationError, InvalidRequestError
from jwt_middleware.wsgi.paths import (
    MAX_READ_CHARS,
    Pattern,
    PatternTree,
    folded_segments,
    read_path,
)

from ..table import table


def wire(text: str) -> str:
    """Return text as PATH_INFO has it."""
    return text.encode().decode("latin-1")


@table(
    "path",
    ["/", "/a", "/a/", "/a/b.c", "/a/...", "/a b", "/100%", "/~u/-_.!$&'()*+,=:@", wire("/café")],
)
def test_canonical_path_has_one_reading(path: str) -> None:
    readings = read_path(path)
    assert readings.canonical
    assert len(readings.texts) == 1


@table(
    ("path", "canonical"),
    [
        pytest.param("", "/", id="empty"),
        pytest.param("a", "/a", id="no-leading-slash"),
        pytest.param("*", "/*", id="asterisk-form"),
        pytest.param("//a", "/a", id="leading-slashes"),
        pytest.param("/a//b", "/a/b", id="inner-slashes"),
        pytest.param("/a/./b", "/a/b", id="dot"),
        pytest.param("/a/b/..", "/a", id="dot-dot"),
        pytest.param("/../../a", "/a", id="above-the-root"),
        pytest.param("/a/.", "/a", id="dot-at-the-end"),
        pytest.param("/a\\b", "/a/b", id="backslash"),
        pytest.param("/x/..\\a", "/a", id="backslash-dot-dot"),
        pytest.param("/a;v=1/b", "/a/b", id="path-parameters"),
        pytest.param("/x/..;/a", "/a", id="path-parameters-dot-dot"),
        pytest.param("/a\0.png", "/a", id="nul"),
        pytest.param("/a\n", "/a", id="newline-at-the-end"),
        pytest.param("/a%2Fb", "/a/b", id="encoded-slash"),
        pytest.param("/x/%2e%2e/a", "/a", id="encoded-dots"),
        pytest.param("/x/%252e%252e/a", "/a", id="encoded-twice"),
        pytest.param("/%61", "/a", id="encoded-letter"),
        pytest.param("http://host//a", "/a", id="absolute-form"),
        pytest.param("http://host", "/", id="absolute-form-without-path"),
        pytest.param("http%3a//host/a", "/a", id="absolute-form-encoded"),
        pytest.param("/caf\xe9", "/café", id="latin-1"),
        pytest.param("/a\xff", "/a", id="invalid-utf-8-that-is-dropped"),
        pytest.param("/a\u4e2d", "/a中", id="decoded-by-the-server"),
        pytest.param("//host/a", "/a", id="network-path"),
    ],
)
def test_ambiguous_path_is_read_as_sent_and_resolved(path: str, canonical: str) -> None:
    readings = read_path(path)
    assert not readings.canonical
    assert canonical in readings.texts


def test_decoding_ends_after_a_few_rounds() -> None:
    texts = read_path("/%252525252561").texts
    assert "/%2561" in texts
    assert "/%61" not in texts


@given(st.text(st.characters(max_codepoint=255)) | st.text("/.%25eEfF;\\a\0"))
def test_every_path_has_a_reading_in_which_everything_is_resolved(path: str) -> None:
    readings = read_path(path)
    assert readings.canonical <= (len(readings.texts) == 1)
    resolved = [text for text in readings.texts if text.startswith("/") and "//" not in text]
    assert any(".." not in text.split("/") for text in resolved)


def tree(*patterns: str, folded: bool = False) -> PatternTree:
    made = PatternTree()
    for number, pattern in enumerate(map(Pattern, patterns)):
        made.add(number, pattern.folded if folded else pattern.segments, pattern.kind)
    return made


def names(pattern: str, text: str) -> bool:
    return text.startswith("/") and bool(tree(pattern).find(text[1:].split("/")).matched)


def covers(pattern: str, text: str) -> bool:
    found = tree(pattern, folded=True).find
    return any(found(segments).matched for segments in folded_segments(text, 10))


@table(
    ("pattern", "named", "not_named"),
    [
        pytest.param("/", ["/"], ["", "/a"], id="root"),
        pytest.param("/a", ["/a"], ["/a/", "/A", "/ab", "/a\n", "a"], id="exact"),
        pytest.param("/a/", ["/a/"], ["/a", "/a/b"], id="exact-with-slash"),
        pytest.param("/a/*", ["/a", "/a/", "/a/b/c"], ["/ab", "/b/a"], id="below"),
        pytest.param("/*", ["/", "/a", "/a/b"], ["a"], id="everything"),
        pytest.param("/u/*/p", ["/u/1/p"], ["/u/p", "/u/1/2/p", "/u/1/p/"], id="segment"),
        pytest.param("/u/*/p/*", ["/u/1/p", "/u/1/p/2/3"], ["/u/1"], id="segment-and-below"),
        pytest.param("/*/*", ["/a", "/a/b"], [], id="segment-and-all-below"),
        pytest.param("/a*", ["/a", "/ab", "/ab/c", "/a/b"], ["/A", "/b/a", "/"], id="prefix"),
        pytest.param("/a/b*", ["/a/b", "/a/bc/d"], ["/a", "/a/c"], id="prefix-of-a-segment"),
        pytest.param("/a.b", ["/a.b"], ["/aXb"], id="dot-is-a-dot"),
        pytest.param("/café", ["/café"], ["/cafe", "/CAFÉ"], id="unicode"),
    ],
)
def test_pattern_names_paths_exactly(pattern: str, named: list[str], not_named: list[str]) -> None:
    assert [path for path in named if not names(pattern, path)] == []
    assert [path for path in not_named if names(pattern, path)] == []


@table(
    ("pattern", "covered", "not_covered"),
    [
        pytest.param("/a", ["/a", "/a/", "/A", "/a.json", "/a?x", "/a#x"], ["/ab"], id="exact"),
        pytest.param("/a/", ["/a", "/a/"], ["/a/b"], id="slash-less"),
        pytest.param("/", ["", "/", "/index", "/index.html"], ["/a"], id="root"),
        pytest.param("/a/*", ["/a", "/a/", "/a/b\nc", "/A.json", "/@@a/b"], ["/ab"], id="below"),
        pytest.param("/a*", ["/a", "/AB", "/a.json/x", "/a/b", "/ａb"], ["/b"], id="prefix"),
        pytest.param("/u/*/p", ["/u//p", "/u/1/p/", "/U/1/P"], ["/u/p"], id="empty-segment"),
        pytest.param("/a_b/*", ["/a-b", "/a.b/c", "/a~b"], ["/ab"], id="punctuation"),
        pytest.param("/a-b", ["/a_b", "/a@b"], ["/a/b"], id="punctuation-in-the-rule"),
        pytest.param("/Straße", ["/STRASSE"], ["/stra"], id="case"),
        pytest.param("/admin", ["/ad\u00admin", "/adm\u0131n", "/admin. "], [], id="invisible"),
        pytest.param("/a／b", ["/a/b"], ["/a"], id="separator-by-normalisation"),
    ],
)
def test_pattern_covers_whatever_some_framework_takes_for_it(
    pattern: str, covered: list[str], not_covered: list[str]
) -> None:
    assert [path for path in covered if not covers(pattern, path)] == []
    assert [path for path in not_covered if covers(pattern, path)] == []


@pytest.mark.parametrize("path", ["/ADMIN/x", "/ａdmin/x", "/Admin", "/x/．．/admin"])
def test_pattern_covers_other_case_and_compatible_characters(path: str) -> None:
    assert covers("/admin/*", path)


@table(
    ("path", "below", "next_below"),
    [
        ("/", {0, 1, 2, 3, 4, 5}, {4, 5}),
        ("/a", {0, 1, 3}, {0, 3}),
        ("/a/b", {1}, {1}),
        ("/x", {3}, {3}),
        ("/c", {2, 3}, {2, 3}),
        ("/c/d", set(), set()),
        ("/c/s", {3}, {3}),
        ("/n", {3, 4}, {3, 4}),
    ],
)
def test_tree_knows_what_is_below_a_path(path: str, below: set[int], next_below: set[int]) -> None:
    rules = tree("/a/b", "/a/b/c", "/c/d", "/*/s/*", "/n/*", "/pre*")
    found = rules.find(path.rstrip("/").split("/")[1:])
    assert (found.below(2), found.below(1), found.below(0)) == (below, next_below, set())


@table("unit", ["/a", "//a", "%25", "%61;", "/..", "é/", "\xff", "\u0301", "\\"])
def test_readings_have_a_bounded_size(unit: str) -> None:
    for length in (8192, 4096, 1000):
        try:
            texts = read_path(wire("/" + unit * length)[:length]).texts
        except InvalidRequestError:
            continue
        assert sum(map(len, texts)) <= 3 * MAX_READ_CHARS


@table(
    ("path", "fix"),
    [
        pytest.param("", "start with one slash", id="empty"),
        pytest.param("a", "start with one slash", id="no-slash"),
        pytest.param("*", "start with one slash", id="asterisk"),
        pytest.param("//a", "start with one slash", id="two-slashes"),
        pytest.param("/a/../b", "dot segments", id="dots"),
        pytest.param("/a%20b", "escapes", id="escape"),
        pytest.param("/a;b", "semicolons", id="parameter"),
        pytest.param("/a?b=c", "query", id="query"),
        pytest.param("/a#b", "fragment", id="fragment"),
        pytest.param("/a*/b", "whole segment", id="part-of-a-segment"),
        pytest.param("/*a", "whole segment", id="ends-with"),
        pytest.param("/**", "whole segment", id="two-asterisks"),
        pytest.param("/a**", "whole segment", id="prefix-with-two-asterisks"),
    ],
)
def test_pattern_that_names_nothing_is_a_configuration_error(path: str, fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        Pattern(path)

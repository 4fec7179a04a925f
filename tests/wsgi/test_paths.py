from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.wsgi.paths import Pattern, read_path


def wire(text: str) -> str:
    """Return text as PATH_INFO has it."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/a/", "/a/b.c", "/a/...", "/a b", "/100%", "/~u/-_.!$&'()*+,=:@", wire("/café")],
)
def test_canonical_path_has_one_reading(path: str) -> None:
    readings = read_path(path)
    assert readings.canonical
    assert len(readings.texts) == 1


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    ("pattern", "named", "not_named"),
    [
        pytest.param("/", ["/"], ["", "/a"], id="root"),
        pytest.param("/a", ["/a"], ["/a/", "/A", "/ab", "/a\n", "a"], id="exact"),
        pytest.param("/a/", ["/a/"], ["/a", "/a/b"], id="exact-with-slash"),
        pytest.param("/a/*", ["/a", "/a/", "/a/b/c"], ["/ab", "/b/a"], id="below"),
        pytest.param("/*", ["/", "/a", "/a/b"], ["a"], id="everything"),
        pytest.param("/u/*/p", ["/u/1/p"], ["/u/p", "/u//p", "/u/1/2/p", "/u/1/p/"], id="segment"),
        pytest.param("/u/*/p/*", ["/u/1/p", "/u/1/p/2/3"], ["/u/1"], id="segment-and-below"),
        pytest.param("/a.b", ["/a.b"], ["/aXb"], id="dot-is-a-dot"),
        pytest.param("/café", ["/café"], ["/cafe", "/CAFÉ"], id="unicode"),
    ],
)
def test_pattern_names_paths_exactly(pattern: str, named: list[str], not_named: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [path for path in named if not compiled.names(path)] == []
    assert [path for path in not_named if compiled.names(path)] == []


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        pytest.param("/a", ["/a", "/a/"], id="slash-more"),
        pytest.param("/a/", ["/a", "/a/"], id="slash-less"),
        pytest.param("/", ["", "/"], id="root"),
        pytest.param("/a/*", ["/a", "/a/", "/a/b\nc"], id="below"),
    ],
)
def test_pattern_covers_either_with_a_slash(pattern: str, covered: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [path for path in covered if not compiled.covers(path)] == []


@pytest.mark.parametrize("path", ["/ADMIN/x", "/ａdmin/x", "/Admin", "/x/．．/admin"])
def test_folded_pattern_covers_other_case_and_compatible_characters(path: str) -> None:
    assert Pattern("/admin/*").covers(path, folded=True)
    assert not Pattern("/admin/*").covers(path)


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        pytest.param("", "begin with one slash", id="empty"),
        pytest.param("a", "begin with one slash", id="no-slash"),
        pytest.param("*", "begin with one slash", id="asterisk"),
        pytest.param("//a", "begin with one slash", id="two-slashes"),
        pytest.param("/a/../b", "dot segments", id="dots"),
        pytest.param("/a%20b", "escapes", id="escape"),
        pytest.param("/a;b", "semicolons", id="parameter"),
        pytest.param("/a?b=c", "query", id="query"),
        pytest.param("/a#b", "fragment", id="fragment"),
        pytest.param("/a*", "whole segment", id="part-of-a-segment"),
        pytest.param("/**", "whole segment", id="two-asterisks"),
    ],
)
def test_pattern_that_names_nothing_is_a_configuration_error(path: str, mend: str) -> None:
    with pytest.raises(ConfigurationError, match=mend):
        Pattern(path)

from __future__ import annotations

import datetime
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jwt_middleware.cli import main
from jwt_middleware.config import load
from jwt_middleware.config.reading import MAX_NUMBER, MAX_TEXT_CHARS, Place, Section, Setting
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.files import MAX_FILE_BYTES

from ..table import table
from .writing import ACCOUNTS, assert_one_line, write

NESTED = "[[rules]]\npath = '/a'\n[rules.claims]\n"

HOSTILE = [
    pytest.param("cache_size = " + "9" * 5000, ["line 3, cache_size: ", "digits"], id="digits"),
    pytest.param("x = [1, " + "9" * 5000 + "]", ["line 3, x: ", "digits"], id="in an array"),
    pytest.param(
        "x = " + "[" * 3000 + "]" * 3000, ["line 3, x: nests too many levels"], id="arrays"
    ),
    pytest.param(NESTED + ".".join("a" * 3000) + " = 1", ["rules", "too many levels"], id="dots"),
    pytest.param("[" + ".".join("a" * 3000) + "]", ["a.a.a: nests too many levels"], id="table"),
    pytest.param("x = " + "{a=" * 3000 + "1" + "}" * 3000, ["line 3, x: nests"], id="inline"),
    pytest.param(f"cache_size = {MAX_NUMBER + 1}", ["cache_size: must be at most"], id="large"),
    pytest.param(
        "[endpoint]\nlifetime_seconds = 1" + "0" * 400,
        ["endpoint.lifetime_seconds: must be at most"],
        id="lifetime of 10**400",
    ),
    pytest.param("leeway_seconds = 1e300", ["leeway_seconds: must be at most"], id="large float"),
    pytest.param("leeway_seconds = 1e999", ["leeway_seconds: must be a finite"], id="overflow"),
    pytest.param("leeway_seconds = -inf", ["leeway_seconds: must be a finite"], id="infinite"),
    pytest.param(
        '[accounts]\nurl = "sqlite:///a\\u0000.db"', ["accounts.url: ", "control"], id="NUL"
    ),
    pytest.param("[accounts]\nurl = 'sqlite:///a%00.db'", ["accounts.url: "], id="escaped NUL"),
    pytest.param("[sessions]\nurl = 'redis://h/%0a'", ["sessions.url: "], id="escaped newline"),
    pytest.param("issuer = 'i'\naudience = ['a', \"b\\n\"]", ["audience: "], id="in a list"),
    pytest.param(f"issuer = '{'i' * (MAX_TEXT_CHARS + 1)}'", ["issuer: must have"], id="long"),
    pytest.param("#" * MAX_FILE_BYTES, ["is longer than"], id="long file"),
    pytest.param(
        "[keys]\nsecret = 'abc'", ["keys.secret: ", 'secret_file = "secret"'], id="secret"
    ),
    pytest.param(
        "[endpoint]\nverifiers = 'myapp:verify'\n" + ACCOUNTS,
        ["endpoint.verifiers: must be a table", '{ name = "value" }'],
        id="function for a mapping",
    ),
]


@table(("text", "parts"), HOSTILE)
def test_names_the_setting_in_one_line(folder: Path, text: str, parts: list[str]) -> None:
    config = write(folder, text)
    with pytest.raises(ConfigurationError) as refused:
        load(config)
    assert_one_line(refused.value, [str(config), *parts])
    assert len(str(refused.value)) < 400
    assert "999" not in str(refused.value)


@pytest.mark.parametrize(("text", "parts"), HOSTILE[:3])
def test_check_ends_with_it(
    folder: Path, text: str, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(write(folder, text)), "check"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe"])
def test_says_that_a_file_has_a_byte_order_mark(folder: Path, mark: bytes) -> None:
    config = folder / "jwt.toml"
    config.write_bytes(mark + config.read_bytes())
    with pytest.raises(ConfigurationError, match="byte order mark: save it as UTF-8 without BOM"):
        load(config)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_permission_denied_is_not_a_missing_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *_: object) -> int:  # root reads a file of any mode
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigurationError, match=r"\(Permission denied\): let the user") as refused:
        load(folder / "jwt.toml")
    assert "init" not in str(refused.value)


def test_accepts_a_number_at_the_bound(folder: Path) -> None:
    assert load(write(folder, f"cache_bytes = {MAX_NUMBER}")).cache_bytes == MAX_NUMBER


@table(
    ("secret", "part"),
    [
        pytest.param(b" " + b"k" * 40, "white space", id="before"),
        pytest.param(b"k" * 40 + b" \n", "white space", id="behind"),
        pytest.param(b"k" * 40 + b"\n\n", "white space", id="two line breaks"),
        pytest.param(b'"' + b"k" * 40 + b'"', "in quotes", id="quotes"),
        pytest.param(b"'" + b"k" * 40 + b"'", "in quotes", id="single quotes"),
        pytest.param(b"\xef\xbb\xbf" + b"k" * 40, "byte order mark", id="BOM"),
    ],
)
@table("source", ["file", "env"])
def test_refuses_a_secret_with_such_edges(
    folder: Path, secret: bytes, part: str, source: str
) -> None:
    (folder / "edges").write_bytes(secret)
    config = write(folder, f"[keys]\nsecret_{source} = '{'edges' if source == 'file' else 'KEY'}'")
    environ = {"KEY": os.fsdecode(secret)}
    with pytest.raises(ConfigurationError, match=f"keys.secret_{source}: the secret .*{part}"):
        load(config).build_own(environ)


def test_a_key_file_of_another_user_is_not_a_wrong_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(folder / "jwt.toml")

    def refuse(path: str, *_: object) -> int:  # root reads a file of any mode
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigurationError, match=r"let the user \w+ read it") as refused:
        settings.build_own()
    assert "relative" not in str(refused.value)


def sections(of: type[Section] = Section) -> Iterator[type[Section]]:
    for one in of.__subclasses__():
        yield one
        yield from sections(one)


# As TOML can write them.
VALUES: list[object] = [
    *("", " ", "a\nb", "a\0b", "a%00b", "\u2028", "\x85", "\x1b[31m", "\u202e", "é", "~", "*", "/"),
    *(0, -1, 1, 10**400, -(10**4299), 1.5, 1e308, math.nan, math.inf, -math.inf, True, False),
    *([], [[]], [""], ["a", 1], ["a\nb"], [math.nan], [1, math.nan], [0, 0], [1, 2, 3], [{}]),
    *({}, {"": ""}, {"a\nb": 1}, {"a": {}}, {"a": []}, {"a\u2028": "\u2028"}, {"a": math.inf}),
    *(datetime.date(2026, 11, 26), datetime.time(), "x" * 5000),
]


def refusal(setting: Setting, value: object, place: Place) -> str:
    try:
        setting.read(value, place)
    except ConfigurationError as error:
        return str(error)
    return f"{place.file}: {place.name}"


def test_every_setting_reads_or_refuses_any_value_in_one_line_that_names_it() -> None:
    for section in sections():
        for name, setting in section.settings.items():
            place = Place(Path("jwt.toml"), "table").member(name)
            for value in VALUES:
                said = refusal(setting, value, place)
                assert said.startswith(f"jwt.toml: table.{name}")
                assert said.isprintable()

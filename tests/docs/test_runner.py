"""What executes the pages notices what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from jwt_middleware.errors import ConfigurationError

from .configuration import build, completed
from .pages import Block, Command, commands
from .python import run_python
from .shell import Shell, shell


def page(language: str, text: str) -> Block:
    return Block("docs/page.md", 1, language, text)


@pytest.fixture
def run(tmp_path: Path) -> Shell:
    with shell(tmp_path) as made:
        return made


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("1 + 1  # 3\n", AssertionError, id="another value"),
        pytest.param("verifier.verify(token)\n", NameError, id="an undefined name"),
        pytest.param("def app(:\n", SyntaxError, id="no Python"),
    ],
)
def test_python_that_is_wrong_fails(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run_python(page("python", text), {})


def test_python_that_is_right_passes() -> None:
    run_python(page("python", "1 + 1  # 2\nlen('a')  # a comment\n"), {})


@pytest.mark.parametrize(
    "text", ["[endpoint]\nlifetime = 1\n", '[[trusted]]\nissuer = "https://a.example"\n']
)
def test_configuration_that_is_wrong_fails(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        build(completed(text), tmp_path)


@pytest.mark.parametrize(
    "shown",
    ["Hello, 43", '{"a": 1}', "Hello, 42 and more", "… 43"],
)
def test_output_that_is_another_fails(run: Shell, shown: str) -> None:
    run.output = "Hello, 42\n"
    with pytest.raises(AssertionError):
        run.compare(shown)


@pytest.mark.parametrize("shown", ["Hello, 42", "Hello, …", "…", "Hello,\n  42", "H…o, 42"])
def test_output_may_have_more_where_the_page_says_so(run: Shell, shown: str) -> None:
    run.output = "Hello, 42\n"
    run.compare(shown)


def test_placeholder_stands_for_what_was_printed(run: Shell) -> None:
    run.output = '{"access_token": "eyJ0eXAi.x.y", "expires_in": 7200}'
    run.compare('{"access_token": "eyJ0eX…", …}')
    assert run.here("Bearer eyJ0eX…") == "Bearer eyJ0eXAi.x.y"


@pytest.mark.parametrize("text", ["jwt-middleware token verify --nothing", "false", "echo eyJ0eX…"])
def test_command_that_fails_fails(run: Shell, text: str) -> None:
    with pytest.raises(AssertionError):
        run.run(Command(text, None))


def test_commands_are_found_with_their_output() -> None:
    block = page("console", "$ a \\\n    b\n$ c\n1\n2\n")
    assert commands(block) == [Command("a \\\n    b", None), Command("c", "1\n2")]
    block = page("sh", "a  # why\n# all of it\nb <<'END'\n# 1\nEND\nc \\\n  d\n")
    assert [one.text for one in commands(block)] == ["a", "b <<'END'\n# 1\nEND", "c \\\n  d"]

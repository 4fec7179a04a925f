from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from webtest import TestApp

from jwt_middleware import CORS, wrap
from jwt_middleware.errors import ConfigurationError

from ..table import table
from .writing import app

Write = Callable[[str], Path]
IssueToken = Callable[[], str]
CORS_TABLE = '[cors]\norigins = ["https://app.example.com"]\n'


def test_cors_reaches_the_middleware(write: Write) -> None:
    file = write(
        """
        [cors]
        origins = ["https://*.example.com"]
        methods = ["PUT"]
        headers = ["X-Request-Id"]
        exposed_headers = ["Retry-After"]
        max_age_seconds = 5
        credentials = true
        [[rules]]
        path = "/items/*"
        preflight = true
        """
    )
    site = TestApp(wrap(file, app))
    asked = {"Origin": "https://a.example.com", "Access-Control-Request-Method": "PUT"}
    allowed = {
        "Access-Control-Allow-Origin": "https://a.example.com",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Headers": "X-Request-Id, Authorization, Content-Type",
        "Access-Control-Allow-Methods": "PUT",
        "Access-Control-Max-Age": "5",
    }
    answer = site.options("/items/1", headers=asked, status=204)
    assert allowed.items() <= dict(answer.headers).items()
    refused = site.get("/items/1", headers=asked, status=401)
    assert refused.headers["Access-Control-Expose-Headers"] == "Retry-After"


def test_cors_has_the_defaults_of_python_code(write: Write) -> None:
    assert wrap(write(""), app).cors is None
    cors = wrap(write(CORS_TABLE), app).cors
    assert cors is not None
    assert vars(cors) == vars(CORS(["https://app.example.com"]))


def test_health_and_metrics_are_read_by_no_origin(write: Write) -> None:
    site = TestApp(wrap(write(CORS_TABLE + '[metrics]\npath = "/metrics"\n'), app))
    answer = site.get("/metrics", headers={"Origin": "https://app.example.com"}, status=401)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_basic_reaches_the_rule(write: Write, issue_token: IssueToken) -> None:
    site = TestApp(wrap(write('[[rules]]\npath = "/simple/*"\nbasic = true\n'), app))
    value = b64encode(f"__token__:{issue_token()}".encode()).decode()
    site.get("/simple/x", headers={"Authorization": f"Basic {value}"}, status=200)
    site.get("/other", headers={"Authorization": f"Basic {value}"}, status=401)


def test_examples_of_the_documentation_are_valid(write: Write) -> None:
    text = (Path(__file__).parents[2] / "docs" / "browsers.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        wrap(write(example), app)


@table(
    ("text", "complaint"),
    [
        ("[cors]\n", r"cors.origins: .*origins = \[\"https://app.example.com\"\]"),
        ('[cors]\norigins = "https://app.example.com"\n', "cors.origins: must be a list of"),
        ('[cors]\norigins = ["https://app.example.com/"]\n', "cors.origins: .* as browsers send"),
        ("[cors]\norigins = []\n", "cors.origins must be a list"),
        (CORS_TABLE + "max_age_seconds = 90000\n", "cors.max_age_seconds must be"),
        ('[cors]\norigins = ["*"]\ncredentials = true\n', "cors.origins: '\\*' allows any page"),
        (CORS_TABLE + "origin = 1\n", "cors.origin: .*origins"),
        ('[[rules]]\npath = "/a"\nbasic = 1\n', r"rules\[1\].basic: must be true"),
        (
            '[[rules]]\npath = "/a"\naccess = "passthrough"\nbasic = true\n',
            r"rules\[1\]: .*leave basic out",
        ),
    ],
)
def test_mistake_names_the_setting(write: Write, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        wrap(write(text), app)

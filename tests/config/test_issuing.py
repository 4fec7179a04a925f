"""Settings of what tokens carry, for how long, and how they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp
from wtforms.validators import DataRequired

from jwt_middleware import ClientForm, verify_token, wrap
from jwt_middleware.core.jws import parse_header, split
from jwt_middleware.endpoint.forms import TextField
from jwt_middleware.errors import ConfigurationError

from ..table import table
from .writing import SECRET, app, write

VERIFIER = '[endpoint]\nverifiers = { ldap = "tests.config.test_issuing:verify" }\n'
LOGIN = {"account": "ann", "secret": "x", "type": "ldap"}
PARTY: dict[str, Any] = {"issuer": "https://auth.example.com", "audience": "api"}


class CodeForm(ClientForm):
    code = TextField(validators=[DataRequired()])


def verify(account: str, secret: str, **fields: object) -> object:
    return {"uid": account, "claims": fields}


def log_in(folder: Path, settings: str, **fields: object) -> dict[str, Any]:
    site = TestApp(wrap(write(folder, VERIFIER + settings), app))
    answer: dict[str, Any] = site.post_json("/token", {**LOGIN, **fields}).json
    return answer


def test_all_of_them_reach_the_token(folder: Path) -> None:
    settings = """\
lifetimes = { ldap = { lifetime_seconds = 60 } }
forms = { ldap = "tests.config.test_issuing:CodeForm" }
codes = { ldap = 300 }
client_id = "web"
audience = ["api", "files"]
nbf_early_seconds = 9
"""
    answer = log_in(folder, settings, type=300, code="123456")
    assert answer["expires_in"] == 60
    claims = verify_token(answer["access_token"], SECRET, **PARTY)
    assert (claims["code"], claims["client_id"]) == ("123456", "web")
    assert claims["aud"] == ["api", "files"]
    assert claims["iat"] - claims["nbf"] == 9


def test_tokens_say_jwt_unless_the_app_asks_for_more(folder: Path) -> None:
    token = log_in(folder, "")["access_token"]
    assert parse_header(split(token).header).typ == "JWT"
    head = 'issuer = "https://auth.example.com"\naudience = "api"\ntoken_type = "at+jwt"\n'
    site = TestApp(wrap(write(folder, head + VERIFIER), app))
    token = site.post_json("/token", LOGIN).json["access_token"]
    assert site.get("/", headers={"Authorization": f"Bearer {token}"}).text == "ok"
    assert verify_token(token, SECRET, **PARTY)["client_id"] == "api"


@pytest.mark.parametrize("resource", ["api", "https://api.example.com", "https://api.example.com/"])
def test_resources_are_audiences_and_the_one_of_the_metadata(folder: Path, resource: str) -> None:
    settings = '[metadata]\nresource = "https://api.example.com"\n'
    token = log_in(folder, settings, resource=resource)["access_token"]
    assert verify_token(token, SECRET, **PARTY)["aud"] == "api"


def test_numbers_of_the_envelope_are_a_table(folder: Path) -> None:
    settings = '[responses]\nstyle = "envelope"\nerror_codes = { missing_token = 1005007 }\n'
    site = TestApp(wrap(write(folder, VERIFIER + settings), app))
    assert site.get("/", status=401).json["error_code"] == 1005007


@table(
    ("settings", "text"),
    [
        ("lifetimes = { email = { lifetime_seconds = 60 } }", "endpoint.lifetimes.email"),
        ("lifetimes = { ldap = { lifetime_seconds = 1.5 } }", "endpoint.lifetimes.ldap.lifetime"),
        ("lifetimes = { ldap = 60 }", "endpoint.lifetimes.ldap"),
        ("lifetimes = 60", "endpoint.lifetimes"),
        ('forms = { ldap = "tests.config.writing:app" }', "endpoint.forms.ldap"),
        ("codes = { ldap = 100 }", "endpoint.codes.ldap"),
        ('codes = { ldap = "300" }', "endpoint.codes.ldap"),
        ('audience = ["other"]', "endpoint.audience"),
        ("nbf_early_seconds = 61", "endpoint.nbf_early_seconds"),
        ("[responses]\nerror_codes = { nonsense = 5 }", "responses.error_codes.nonsense"),
    ],
)
def test_mistakes_are_named(settings: str, text: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        wrap(write(folder, VERIFIER + settings), app)
    assert "\n" not in str(caught.value)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest
from click.testing import Result

Invoke = Callable[..., Result]
SECRET = "correct horse battery\n"


def test_accounts_have_claims_that_can_be_changed(invoke: Invoke) -> None:
    options = ["--claims", '{"tenant": "acme"}']
    assert invoke("account", "add", "a@x.org", *options, stdin=SECRET).exit_code == 0
    assert 'claims\t{"tenant": "acme"}' in invoke("account", "show", "a@x.org").stdout
    changed = invoke("account", "set-claims", "a@x.org", '{"plan": {"seats": 5}}')
    assert changed.stdout == "changed the claims of email account 'a@x.org'\n"
    assert 'claims\t{"plan": {"seats": 5}}' in invoke("account", "show", "a@x.org").stdout


@pytest.mark.parametrize(
    ("claims", "text"),
    [("x", "is not JSON"), ("[]", "is not a JSON object"), ('{"a": 1, "a": 2}', "is not JSON"),
     ('{"exp": 1}', "'exp': the name is reserved")],
)  # fmt: skip
def test_other_claims_are_refused(claims: str, text: str, invoke: Invoke) -> None:
    result = invoke("account", "add", "a@x.org", "--claims", claims, stdin=SECRET)
    assert result.exit_code != 0
    assert text in result.stderr


def test_a_service_with_a_colon_is_refused(invoke: Invoke) -> None:
    result = invoke("account", "add", "a:b", "--type", "service", stdin=SECRET)
    assert (result.exit_code, "colon" in result.stderr) == (1, True)


class Found(TypedDict):
    uid: int
    scopes: str


def verify(account: str, secret: str) -> Found:
    return {"uid": 1, "scopes": "a"}


def test_check_tells_unknown_keys_where_it_can(invoke: Invoke, folder_with_endpoint: Path) -> None:
    config = folder_with_endpoint / "jwt.toml"
    named = '[endpoint]\nverifiers = { ldap = "tests.cli.test_claims:verify" }\n'
    config.write_text(config.read_text().split("[endpoint]")[0] + named)
    result = invoke("check")
    assert result.exit_code == 1
    assert "verifiers.ldap: " in result.stderr
    assert "its key 'scopes' is unknown: did you mean scope?" in result.stderr


@pytest.mark.parametrize("issuer", ["https://auth.example.com", "https://auth.example.com/tenant"])
def test_check_fetches_what_is_announced(
    issuer: str, invoke: Invoke, folder_with_endpoint: Path
) -> None:
    config = folder_with_endpoint / "jwt.toml"
    text = config.read_text().replace("https://auth.example.com", issuer)
    config.write_text(text + "[metadata]\n")
    result = invoke("check")
    assert f"metadata: jwks_uri {issuer}/.well-known/jwks.json\n" in result.stdout
    assert f"metadata: token_endpoint {issuer}/token\n" in result.stdout

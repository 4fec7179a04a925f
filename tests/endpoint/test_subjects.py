from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware.accounts.identity import NumberedAccounts
from jwt_middleware.endpoint.subjects import Subjects
from jwt_middleware.errors import ConfigurationError, UnavailableError

from ..table import table

if TYPE_CHECKING:
    from ..service import Service


class Numbered(NumberedAccounts):
    def verify(self, client_type: str, account: str, secret: str) -> object:
        return {"uid": 1}


class Users:
    """An application's own class of accounts, with two ways to log in."""

    @classmethod
    def by_email(cls, account: str, secret: str) -> object:
        return {"uid": 1}

    @classmethod
    def by_mobile(cls, account: str, secret: str) -> object:
        return {"uid": 1}


def ldap(account: str, secret: str) -> object:
    return {"uid": "1"}


def sso(account: str, secret: str) -> object:
    return {"uid": "1"}


OWN = Numbered()
ACCOUNTS: dict[str, Any] = {one: partial(OWN.verify, one) for one in ("email", "service")}


@pytest.mark.parametrize(
    "verifiers",
    [
        pytest.param(ACCOUNTS, id="accounts"),
        pytest.param({"ldap": ldap}, id="own"),
        pytest.param({"ldap": ldap, "mobile": ldap}, id="one-function"),
        pytest.param({"email": Users.by_email, "mobile": Users.by_mobile}, id="one-class"),
    ],
)
def test_with_one_source_a_subject_is_the_uid(verifiers: Any) -> None:
    subjects = Subjects(verifiers, {})
    assert {subjects.subject(one, 7) for one in verifiers} == {""}


def test_each_source_but_the_accounts_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r'add ldap = "ldap:\{uid\}"'):
        Subjects({**ACCOUNTS, "ldap": ldap}, {})
    subjects = Subjects({**ACCOUNTS, "ldap": ldap}, {"ldap": "ldap:{uid}"})
    assert subjects.subject("ldap", 1) == "ldap:1"
    assert subjects.subject("email", 1) == ""


def test_without_accounts_one_may_be_bare_if_it_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"subjects\.ldap is missing"):
        Subjects({"ldap": ldap, "sso": sso}, {"sso": "sso:{uid}"})
    subjects = Subjects({"ldap": ldap, "sso": sso}, {"ldap": "{uid}", "sso": "sso:{uid}"})
    assert subjects.subject("ldap", "1") == ""
    with pytest.raises(UnavailableError, match="begins with 'sso:'"):
        subjects.subject("ldap", "sso:1")


def test_a_template_may_be_added_to_a_single_source() -> None:
    assert Subjects({"ldap": ldap}, {"ldap": "ldap:{uid}"}).subject("ldap", 1) == "ldap:1"


@pytest.mark.parametrize(
    "templates",
    [
        pytest.param({"ldap": "{uid}", "sso": "{uid}"}, id="two-bare"),
        pytest.param({"ldap": "x:{uid}", "sso": "x:{uid}"}, id="the-same"),
        pytest.param({"ldap": "x:{uid}", "sso": "x:y:{uid}"}, id="one-in-the-other"),
    ],
)
def test_templates_that_could_make_one_subject_are_refused(templates: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="two accounts could have one subject"):
        Subjects({"ldap": ldap, "sso": sso}, templates)


@pytest.mark.parametrize("prefix", ["1", "", "-1"])
def test_a_prefix_of_digits_is_refused_beside_accounts(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="two accounts could have one subject"):
        Subjects({**ACCOUNTS, "ldap": ldap}, {"ldap": prefix + "{uid}"})


@table("template", ["ldap", "{uid}@x", "{uid}{uid}", "{x}{uid}", "a\n{uid}", "", None, 7])
def test_an_unusable_template_is_refused(template: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"subjects\.ldap must be a prefix"):
        Subjects({"ldap": ldap}, {"ldap": template})


def test_a_template_of_no_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"subjects\.sso is of a type that cannot log in"):
        Subjects({"ldap": ldap}, {"sso": "sso:{uid}"})


def test_two_accounts_with_one_uid_are_two_subjects(make_service: Callable[..., Service]) -> None:
    def verify(account: str, secret: str) -> object:
        return {"uid": 42, "credential": "1"}

    def look_up(uid: int | str) -> object:
        seen.append(uid)
        return {"uid": 42, "credential": "1"}

    seen: list[int | str] = []
    parts = make_service()
    service = make_service(
        verifiers={**parts.endpoint.verifiers, "ldap": verify},
        lookups={
            "email": partial(parts.accounts.look_up, "email"),
            "service": partial(parts.accounts.look_up, "service"),
            "ldap": look_up,
        },
        subjects={"email": "{uid}", "service": "{uid}", "ldap": "ldap:{uid}"},
    )
    body = {"account": "eve", "secret": "x", "type": "ldap"}
    eve, ann = service.web.post_json("/token", body).json, service.log_in().json
    claims = service.verifier.verify(eve["access_token"]).claims
    assert (claims["sub"], claims["uid"]) == ("ldap:42", 42)
    assert service.ask(ann["access_token"]).json["REMOTE_USER"] == "42"
    assert service.ask(eve["access_token"]).json["REMOTE_USER"] == "ldap:42"
    headers = {"Authorization": f"Bearer {eve['access_token']}"}
    service.web.post("/token/logout-all", headers=headers, status=204)
    service.refresh(eve["refresh_token"], status=400)
    service.ask(ann["access_token"], 200)
    refreshed = service.refresh(ann["refresh_token"]).json["access_token"]
    assert service.verifier.verify(refreshed).claims["sub"] == "42"
    assert set(seen) == {42}

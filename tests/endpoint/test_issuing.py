"""What tokens of the endpoint carry, for how long, and how they are asked for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from wtforms.validators import DataRequired, Length

from jwt_middleware import Policy, Rule, TokenEndpoint, TokenVerifier, TrustedIssuer
from jwt_middleware.core.jws import parse_header, split
from jwt_middleware.endpoint.forms import ClientForm, TextField
from jwt_middleware.errors import BadCredentialsError, ConfigurationError

if TYPE_CHECKING:
    from ..service import Service

MakeService = Callable[..., "Service"]
BASIC = {"Authorization": "Basic " + b64encode("billing:s3cr:t+/%=é".encode()).decode()}
CREDENTIALS = {"grant_type": "client_credentials"}
CLAIMS = {"tenant": "acme", "plan": {"seats": 5, "tags": ["a"]}}


class People:
    """Accounts of an app's own, of one person."""

    def __init__(self, **identity: Any) -> None:
        self.identity: dict[str, Any] = {"uid": 42, "scope": "read write", **identity}

    def verify(self, client_type: str, account: str, secret: str) -> object:
        if secret != ("right" if client_type == "email" else "s3cr:t+/%=é"):
            raise BadCredentialsError
        return self.identity

    def look_up(self, client_type: str, uid: int | str) -> object:
        return self.identity


def claims_of(service: Service, token: str) -> dict[str, Any]:
    return service.verifier.verify(token).claims


def test_claims_of_one_s_own_are_kept_by_the_lookup(make_service: MakeService) -> None:
    people = People(claims=CLAIMS)
    service = make_service(accounts=people)
    granted = service.log_in().json
    assert claims_of(service, granted["access_token"]).items() >= CLAIMS.items()
    refreshed = service.refresh(granted["refresh_token"]).json
    assert claims_of(service, refreshed["access_token"]).items() >= CLAIMS.items()
    people.identity["claims"] = {"tenant": "other"}
    again = claims_of(service, service.refresh(refreshed["refresh_token"]).json["access_token"])
    assert again["tenant"] == "other"
    assert "plan" not in again


def test_without_a_lookup_claims_are_those_of_the_login(make_service: MakeService) -> None:
    people = People(claims=CLAIMS, lifetime_seconds=600)
    service = make_service(accounts=people, lookups={"email": None, "service": None})
    token = service.log_in().json["refresh_token"]
    people.identity["claims"] = {}
    answer = service.refresh(token).json
    assert answer["expires_in"] == 600
    assert claims_of(service, answer["access_token"]).items() >= CLAIMS.items()


def test_rules_can_ask_for_claims(make_service: MakeService) -> None:
    service = make_service(accounts=People(claims=CLAIMS))
    token = service.verifier.verify(service.log_in().json["access_token"])
    for value, allowed in (("acme", True), ("other", False)):
        policy = Policy([Rule("/vip", claims={"tenant": value})])
        requirement = policy.requirement({"REQUEST_METHOD": "GET", "PATH_INFO": "/vip"})
        try:
            requirement.check(token)
        except Exception:  # noqa: BLE001  whichever it is
            assert not allowed
        else:
            assert allowed


@pytest.mark.parametrize(
    "identity",
    [{"name": "x"}, {"scopes": "a"}, {"claims": {"exp": 1}}, {"claims": ["a"]}],
    ids=repr,
)
def test_what_would_have_no_effect_is_an_error_at_the_first_login(
    identity: dict[str, Any], make_service: MakeService
) -> None:
    service = make_service(accounts=People(**identity))
    assert service.log_in(status=503).json["code"] == "temporarily_unavailable"


def test_lifetimes_are_those_of_the_client_type(make_service: MakeService) -> None:
    service = make_service(
        lifetimes={
            "service": {"lifetime_seconds": 300},
            "email": {"lifetime_seconds": 900, "refresh_lifetime_seconds": 3600},
        }
    )
    answer = service.web.post("/token", CREDENTIALS, headers=BASIC).json
    assert answer["expires_in"] == 300
    granted = service.log_in().json
    assert granted["expires_in"] == 900
    service.now += 3599
    refreshed = service.refresh(granted["refresh_token"]).json
    assert refreshed["expires_in"] == 900
    service.now += 3600
    service.refresh(refreshed["refresh_token"], status=400)


def test_an_account_may_have_lifetimes_of_its_own(make_service: MakeService) -> None:
    people = People(lifetime_seconds=60, refresh_lifetime_seconds=600)
    service = make_service(accounts=people, lifetimes={"email": {"lifetime_seconds": 900}})
    granted = service.log_in().json
    assert granted["expires_in"] == 60
    people.identity |= {"lifetime_seconds": 120, "refresh_lifetime_seconds": 10**9}
    refreshed = service.refresh(granted["refresh_token"]).json
    assert refreshed["expires_in"] == 120
    (session,) = service.store.list()
    assert session.expires_at <= session.ends_at  # never beyond the longest


def test_tokens_pass_the_own_strict_profile(make_service: MakeService) -> None:
    service = make_service()
    strict = TrustedIssuer(
        issuer="https://auth", audience="api", keys=service.keys, profile="at+jwt"
    )
    verifier = TokenVerifier(trusted=[strict], clock=service.clock)
    machine = service.web.post("/token", CREDENTIALS, headers=BASIC).json["access_token"]
    assert verifier.verify(machine).claims["client_id"] == "billing"
    login = {"account": "ann", "secret": "right", "type": "email", "client_id": "web"}
    granted = service.web.post_json("/token", login).json
    assert verifier.verify(granted["access_token"]).claims["client_id"] == "web"
    refreshed = service.refresh(granted["refresh_token"]).json["access_token"]
    assert verifier.verify(refreshed).claims["client_id"] == "web"
    unnamed = service.log_in().json["access_token"]
    assert parse_header(split(unnamed).header).typ == "JWT"


@pytest.mark.parametrize("client_id", ["é", "a\nb", 5, ["web"], "x" * 256], ids=repr)
def test_a_client_id_is_printable_ascii(client_id: Any, service: Service) -> None:
    login = {"account": "ann", "secret": "right", "type": "email", "client_id": client_id}
    answer = service.web.post_json("/token", login, status=400)
    assert "client_id" in answer.json["detail"]


class CodeForm(ClientForm):
    code = TextField(validators=[DataRequired(), Length(max=6)])


def test_a_form_of_a_client_type_hands_its_fields_on(make_service: MakeService) -> None:
    seen: list[object] = []

    def verify(account: str, secret: str, *, code: str) -> object:
        seen.append((account, secret, code))
        return {"uid": 1}

    accounts = People()
    service = make_service(
        verifiers={"ldap": verify, "email": partial(accounts.verify, "email")},
        lookups={"ldap": None, "email": None},
        subjects={"ldap": "ldap:{uid}", "email": "{uid}"},
        forms={"ldap": CodeForm},
        codes={"ldap": 300},
    )
    login = {"account": "ann", "secret": "x", "type": 300}
    answer = service.web.post_json("/token", login, status=400)
    assert answer.json["errors"] == {"code": ["This field is required."]}
    for kind in (300, "300", "ldap"):
        login |= {"type": kind, "code": "123456"}
        token = service.web.post_json("/token", login).json["access_token"]
        assert claims_of(service, token)["ac_type"] == "ldap"
    assert seen == [("ann", "x", "123456")] * 3
    service.web.post_json("/token", {**login, "code": {"a": "b"}}, status=400)
    service.web.post_json("/token", {"account": "a", "secret": "right", "type": "email"})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"forms": {"ldap": CodeForm}}, "forms.ldap names a client type"),
        ({"forms": {"service": CodeForm}}, "name and secret alone"),
        ({"forms": {"email": dict}}, "subclass of ClientForm"),
        ({"codes": {"ldap": 300}}, "codes.ldap is not a custom client type"),
        ({"codes": {"email": 300}}, "codes.email is not a custom client type"),
        ({"lifetimes": {"ldap": {}}}, "lifetimes.ldap names a client type"),
        ({"lifetimes": {"email": {"access": 5}}}, "lifetimes.email.access is none of"),
        ({"lifetimes": {"email": {"lifetime_seconds": 0}}}, "at least 1"),
    ],
)
def test_wrong_settings_are_named(
    settings: dict[str, Any], text: str, make_service: MakeService
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make_service(**settings)


# The resource that a token is for (RFC 8707)


@pytest.fixture
def served(make_service: MakeService) -> Service:
    return make_service(resources={"https://api.example.com/mcp": "api", "api": "api"})


@pytest.mark.parametrize(
    "resource",
    [
        ["api"],
        ["https://api.example.com/mcp"],
        ["https://api.example.com/mcp/"],
        ["api", "https://api.example.com/mcp"],
    ],
    ids=str,
)
def test_a_resource_of_ours_is_accepted(resource: list[str], served: Service) -> None:
    fields = [("grant_type", "client_credentials"), *(("resource", one) for one in resource)]
    answer = served.web.post("/token", fields, headers=BASIC)
    assert claims_of(served, answer.json["access_token"])["aud"] == "api"
    served.web.post_json("/token", {**CREDENTIALS, "resource": resource}, headers=BASIC)
    login = {"account": "ann", "secret": "right", "type": "email", "resource": resource}
    granted = served.web.post_json("/token", login).json
    served.refresh(granted["refresh_token"], resource=resource)


@pytest.mark.parametrize("resource", ["https://other", ["api", "https://other"], "API"], ids=str)
def test_another_resource_is_an_invalid_target(resource: Any, served: Service) -> None:
    body = {**CREDENTIALS, "resource": resource}
    answer = served.web.post_json("/token", body, headers=BASIC, status=400)
    assert answer.json["error"] == "invalid_target"
    login = {"account": "ann", "secret": "right", "type": "email", "resource": resource}
    assert served.web.post_json("/token", login, status=400).json["error"] == "invalid_target"
    token = served.log_in().json["refresh_token"]
    answer = served.refresh(token, resource=resource, status=400)
    assert answer.json["error"] == "invalid_target"
    served.refresh(token)  # which was not used up


@pytest.mark.parametrize("resource", [5, {}, [5], [["api"]], "\0"], ids=repr)
def test_a_resource_is_text(resource: Any, served: Service) -> None:
    body = {**CREDENTIALS, "resource": resource}
    answer = served.web.post_json("/token", body, headers=BASIC, status=400)
    assert answer.json["error_description"] == (
        "The request is malformed: resource is not a string that can be stored."
    )


# Paths


@pytest.mark.parametrize("path", ["/v1/token", "/v1/token/"])
def test_a_path_is_answered_with_a_slash_and_without(path: str, make_service: MakeService) -> None:
    service = make_service(path=path)
    login = {"account": "ann", "secret": "right", "type": "email"}
    for spelling in ("/v1/token", "/v1/token/"):
        token = service.web.post_json(spelling, login).json["refresh_token"]
        for below in ("/v1/token/revoke", "/v1/token/revoke/"):
            assert service.web.post(below, {"token": token}).json == {}
    assert service.endpoint.metadata("https://a")["token_endpoint"] == f"https://a{path}"
    assert service.endpoint.metadata("https://a")["revocation_endpoint"] == (
        "https://a/v1/token/revoke"
    )


# OAuth errors wherever OAuth is spoken


@pytest.mark.parametrize(
    ("request_options", "status", "described"),
    [
        ({"method": "GET", "headers": BASIC}, 405, "not allowed"),
        ({"method": "GET", "query": "?grant_type=x"}, 405, "not allowed"),
        ({"headers": BASIC, "content_type": "text/plain", "body": b"x"}, 415, "UTF-8"),
        ({"headers": BASIC, "body": b"x=" + b"y" * 70_000}, 413, "too large"),
        ({"headers": BASIC, "body": b""}, 400, "grant_type is missing"),
        ({"body": b"client_id=a&client_secret=b"}, 400, "grant_type is missing"),
        ({"body": b"refresh_token=x"}, 400, "grant_type is missing"),
        ({"body": b"grant_type="}, 400, "grant_type is missing"),
        ({"body": b"grant_type=refresh_token"}, 400, "refresh_token is missing"),
        ({"body": b"grant_type=a&grant_type=b"}, 400, "grant_type is repeated"),
        ({"body": b"grant_type=refresh_token&scope=a&scope=b"}, 400, "scope is repeated"),
        ({"body": b"grant_type=client_credentials&client_secret=x"}, 400, "client_id is missing"),
    ],
)
def test_errors_are_those_of_oauth(
    request_options: dict[str, Any], status: int, described: str, service: Service
) -> None:
    options = {"method": "POST", "content_type": "application/x-www-form-urlencoded"}
    options |= request_options
    path = "/token" + options.pop("query", "")
    answer = service.web.request(path, status=status, **options)
    assert answer.content_type == "application/json"
    assert answer.json["error"] == "invalid_request"
    assert described in answer.json["error_description"]


@pytest.mark.parametrize("body", [{}, {"account": "ann"}, {"type": "email", "client_id": "web"}])
def test_a_login_is_answered_as_a_login(body: dict[str, str], service: Service) -> None:
    answer = service.web.post_json("/token", body, status=400)
    assert answer.content_type == "application/problem+json"
    assert (answer.json["code"], answer.json["error"]) == ("invalid_form", "invalid_request")


def test_a_prefix_adds_paths(service: Service) -> None:
    endpoint = TokenEndpoint(
        issuer=service.issuer, verifiers={"email": service.accounts.look_up}, prefix="/tenant"
    )
    assert endpoint.paths == {"/token", "/token/", "/tenant/token", "/tenant/token/"}

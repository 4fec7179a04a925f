from __future__ import annotations

import logging
from base64 import b64encode
from typing import Any

import pytest
from webtest import TestApp, TestResponse

from jwt_middleware import JWTMiddleware, Policy, Rule, TrustedIssuer
from jwt_middleware.errors import ConfigurationError, InvalidRequestError
from jwt_middleware.wsgi.basic import is_cross_site, parse_basic
from jwt_middleware.wsgi.environ import ClaimKeys

from ..site import AUD, KEYS, Site, good_token, token_with

BEARER = 'Bearer realm="api"'
BASIC = 'Basic realm="api", charset="UTF-8"'
RULES = [
    Rule("/simple/private/*"),
    Rule("/simple/team/*", basic=True, scopes=["team"]),
    Rule("/simple/*", basic=True),
    Rule("/maybe", access="optional", basic=True),
    Rule("/open", access="public", basic=True),
    Rule("/read", methods=["GET"], basic=True),
    Rule("/seen", basic=True, mode="report"),
    Rule("/git/*", access="passthrough"),
]


def encode(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def basic(password: str, user: str = "__token__") -> str:
    return f"Basic {encode(f'{user}:{password}')}"


@pytest.fixture
def site() -> Site:
    return Site(policy=Policy(RULES), lint=False)


def ask(
    site: Site, path: str = "/simple/x", *, method: str = "GET", query: str = "", **headers: str
) -> TestResponse:
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, **headers}
    return site.web.get(f"/?{query}", extra_environ=environ, expect_errors=True)


def challenges(answer: TestResponse) -> list[str]:
    return [value.partition(", error=")[0] for value in answer.headers.getall("WWW-Authenticate")]


@pytest.mark.parametrize("user", ["__token__", "ann", "", "ann@example.com", "müller", "a" * 1024])
@pytest.mark.parametrize("scheme", ["Basic ", "basic ", "BASIC   "])
def test_token_is_accepted_as_the_password_of_any_user(site: Site, user: str, scheme: str) -> None:
    value = basic(good_token(), user).replace("Basic ", scheme)
    assert ask(site, HTTP_AUTHORIZATION=value).status_int == 200
    (environ,) = site.calls
    assert environ["REMOTE_USER"] == "42"
    assert environ["AUTH_TYPE"] == "Bearer"
    assert environ["jwt_middleware.claims"]["sub"] == "42"


@pytest.mark.parametrize("value", ["", "Bearer x", "Basic x"])
def test_a_query_of_too_many_methods_is_no_error_of_ours(value: str) -> None:
    site = Site(policy=Policy([Rule("/x", basic=True)], recursive_methods=False), lint=False)
    sent = {"HTTP_AUTHORIZATION": value} if value else {}
    answer = ask(site, "/x", query="&".join(f"_method=M{one}" for one in range(9)), **sent)
    assert answer.status_int == 401
    assert challenges(answer) == [BEARER]


def test_app_gets_the_bearer_token_that_it_would_get_of_other_clients(site: Site) -> None:
    token = good_token()
    ask(site, HTTP_AUTHORIZATION=basic(token))
    assert site.calls[0]["HTTP_AUTHORIZATION"] == f"Bearer {token}"


def test_app_gets_no_token_where_it_shall_not(site: Site) -> None:
    keys = ClaimKeys(keeps_authorization=False)
    web = TestApp(
        JWTMiddleware(site._app, verifier=site.verifier, policy=Policy(RULES), claim_keys=keys)
    )
    web.get("/simple/x", headers={"Authorization": basic(good_token())})
    assert "HTTP_AUTHORIZATION" not in site.calls[0]


def test_both_challenges_are_sent_where_basic_is_accepted(site: Site) -> None:
    answer = ask(site)
    assert answer.status_int == 401
    assert challenges(answer) == [BASIC, BEARER]
    bad = ask(site, HTTP_AUTHORIZATION="Bearer x.y.z")
    assert challenges(bad) == [BASIC, BEARER]


@pytest.mark.parametrize("password", ["correct horse battery", "", "x.y.z", "a:b", "Bearer x"])
def test_account_passwords_and_other_texts_are_no_tokens(site: Site, password: str) -> None:
    answer = ask(site, HTTP_AUTHORIZATION=basic(password, "ann"))
    assert answer.status_int == 401
    assert answer.json["code"] == "malformed_token"
    assert "Authorization" not in answer.text
    assert challenges(answer) == [BASIC, BEARER]
    assert not site.calls


def test_expired_token_and_one_that_lacks_a_scope_are_as_in_a_bearer_header(site: Site) -> None:
    expired = ask(site, HTTP_AUTHORIZATION=basic(good_token(exp=site.now - 1)))
    assert (expired.status_int, expired.json["code"]) == (401, "expired_token")
    lacking = ask(site, "/simple/team/x", HTTP_AUTHORIZATION=basic(token_with("read")))
    assert (lacking.status_int, lacking.json["code"]) == (403, "insufficient_scope")
    assert challenges(lacking) == [BEARER]
    allowed = ask(site, "/simple/team/x", HTTP_AUTHORIZATION=basic(token_with("team")))
    assert allowed.status_int == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/other", {}, id="no-rule"),
        pytest.param("/simple/private/x", {}, id="other-rule"),
        pytest.param("/read", {"method": "POST"}, id="other-method"),
        pytest.param("/read", {"HTTP_X_HTTP_METHOD_OVERRIDE": "POST"}, id="override"),
        pytest.param("/read", {"query": "_method=POST"}, id="method-in-query"),
        pytest.param("/SIMPLE/x", {}, id="case"),
        pytest.param("//simple/x", {}, id="slashes"),
        pytest.param("/simple//x", {}, id="inner-slashes"),
        pytest.param("/simple/../other", {}, id="dots"),
        pytest.param("/simple/x/../private/x", {}, id="dots-inside"),
        pytest.param("/simple/%70rivate/x", {}, id="escaped"),
        pytest.param("/simple;a/x", {}, id="parameters"),
        pytest.param("/simple/private;a", {}, id="parameters-of-another"),
        pytest.param("/simple/PRIVATE", {}, id="case-of-another"),
        pytest.param("/simple/private.json", {}, id="extension-of-another"),
        pytest.param("/simple/x", {"HTTP_X_SCRIPT_NAME": "/simple"}, id="prefix"),
        pytest.param("/simple/x", {"HTTP_X_ORIGINAL_URL": "/other"}, id="moved"),
        pytest.param("/simple/x", {"HTTP_X_ORIGINAL_URL": "/simple/y"}, id="moved-inside"),
        pytest.param(
            "/simple/x", {"method": "COPY", "HTTP_DESTINATION": "/other"}, id="destination"
        ),
        pytest.param(
            "/simple/x", {"method": "MOVE", "HTTP_DESTINATION": "/simple/private/x"}, id="move"
        ),
        pytest.param(
            "/simple/x", {"method": "COPY", "HTTP_DESTINATION": "//simple/y"}, id="odd-destination"
        ),
        pytest.param("/simple", {"method": "DELETE"}, id="below"),
        pytest.param("/simple", {"method": "PROPFIND"}, id="listing-below"),
        pytest.param("/simple/x/y", {"RAW_URI": "/simple%2Fx/y"}, id="escaped-slash"),
    ],
)
def test_basic_counts_nowhere_else(site: Site, path: str, headers: dict[str, Any]) -> None:
    answer = ask(site, path, HTTP_AUTHORIZATION=basic(good_token()), **headers)
    assert answer.status_int == 401
    assert answer.json["code"] == "missing_token"
    assert challenges(answer) == [BEARER]
    assert not site.calls
    by_bearer = ask(site, path, HTTP_AUTHORIZATION=f"Bearer {token_with('team')}", **headers)
    assert by_bearer.status_int == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/simple", {}, id="itself"),
        pytest.param("/simple/a b/ü/100%", {}, id="odd-name"),
        pytest.param("/simple/x", {"method": "DELETE"}, id="recursive"),
        pytest.param(
            "/simple/x",
            {"method": "MOVE", "HTTP_DESTINATION": "http://localhost:80/simple/y"},
            id="move-inside",
        ),
        pytest.param("/read", {}, id="method"),
        pytest.param("/read", {"method": "HEAD"}, id="head"),
        pytest.param("/maybe", {}, id="optional"),
        pytest.param("/open", {}, id="public"),
    ],
)
def test_basic_counts_where_a_rule_names_the_path(
    site: Site, path: str, headers: dict[str, Any]
) -> None:
    path = path.encode().decode("latin-1")
    assert ask(site, path, HTTP_AUTHORIZATION=basic(good_token()), **headers).status_int == 200
    assert site.calls[0]["REMOTE_USER"] == "42"


def test_listing_needs_what_the_rules_below_ask_for_and_those_may_take_basic() -> None:
    rules = [Rule("/dav/team/*", basic=True, scopes=["team"]), Rule("/dav/*", basic=True)]
    site = Site(policy=Policy(rules), lint=False)
    for scope, status in (("read", 403), ("team", 200)):
        value = basic(token_with(scope))
        assert ask(site, "/dav", method="PROPFIND", HTTP_AUTHORIZATION=value).status_int == status


def test_passthrough_leaves_basic_to_the_app(site: Site) -> None:
    value = basic(good_token())
    assert ask(site, "/git/x", HTTP_AUTHORIZATION=value).status_int == 200
    assert site.calls[0]["HTTP_AUTHORIZATION"] == value
    assert "REMOTE_USER" not in site.calls[0]


def test_optional_rule_without_credentials_calls_the_app(site: Site) -> None:
    assert ask(site, "/maybe").status_int == 200
    assert site.calls[0]["jwt_middleware.error"] == "missing_token"


@pytest.mark.parametrize("value", [basic("an account's password", "ann"), "Basic !", "Basic"])
def test_report_only_rule_leaves_what_it_would_refuse_to_the_app(site: Site, value: str) -> None:
    assert ask(site, "/seen", HTTP_AUTHORIZATION=value).status_int == 200
    (environ,) = site.calls
    assert environ["HTTP_AUTHORIZATION"] == value
    assert environ["jwt_middleware.error"] in {"malformed_token", "invalid_request"}
    assert "REMOTE_USER" not in environ


# Requests that another site's page made

OWN = "https://git.example.com"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"HTTP_SEC_FETCH_SITE": "cross-site"}, id="cross-site"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "same-site"}, id="same-site"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "same-origin, cross-site"}, id="doubled"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "Same-Origin"}, id="unknown"),
        pytest.param({"HTTP_SEC_FETCH_SITE": ""}, id="empty"),
        pytest.param(
            {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_MODE": "navigate"}, id="link"
        ),
        pytest.param({"HTTP_ORIGIN": "https://evil.example.net"}, id="origin"),
        pytest.param({"HTTP_ORIGIN": "https://sub.git.example.com"}, id="subdomain"),
        pytest.param({"HTTP_ORIGIN": "https://git.example.com:8443"}, id="port"),
        pytest.param({"HTTP_ORIGIN": "https://git.example.com.evil.net"}, id="suffix"),
        pytest.param({"HTTP_ORIGIN": "https://x@git.example.com"}, id="user"),
        pytest.param({"HTTP_ORIGIN": "null"}, id="null"),
        pytest.param({"HTTP_ORIGIN": ""}, id="no-origin"),
        pytest.param({"HTTP_ORIGIN": f"{OWN}, {OWN}"}, id="two-origins"),
        pytest.param({"HTTP_ORIGIN": "chrome-extension://git.example.com"}, id="extension"),
        pytest.param(
            {"HTTP_ORIGIN": "http://git.example.com", "wsgi.url_scheme": "https"}, id="downgrade"
        ),
        pytest.param(
            {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://evil.example.net"},
            id="contradiction",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_of_another_sites_page_is_refused(
    site: Site, headers: dict[str, str], method: str
) -> None:
    asked: Any = {"method": method, "HTTP_HOST": "git.example.com", **headers}
    answer = ask(site, HTTP_AUTHORIZATION=basic(good_token()), **asked)
    assert (answer.status_int, answer.json["code"]) == (403, "cross_site")
    optional = ask(site, "/maybe", HTTP_AUTHORIZATION=basic(good_token()), **asked)
    assert optional.status_int == 403
    assert not site.calls
    assert challenges(ask(site, **asked)) == [BEARER]  # and no password is asked for
    # Its script has to know the token to send it so: no browser does that by itself.
    by_bearer = ask(site, HTTP_AUTHORIZATION=f"Bearer {good_token()}", **asked)
    assert by_bearer.status_int == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-browser"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "none"}, id="typed"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "same-origin"}, id="same-origin"),
        pytest.param({"HTTP_ORIGIN": OWN, "HTTP_SEC_FETCH_SITE": "same-origin"}, id="own"),
        pytest.param({"HTTP_ORIGIN": OWN}, id="behind-a-proxy"),
        pytest.param({"HTTP_ORIGIN": OWN, "HTTP_HOST": "git.example.com:443"}, id="default-port"),
        pytest.param({"HTTP_ORIGIN": OWN, "HTTP_HOST": "GIT.example.com"}, id="case"),
        pytest.param(
            {"HTTP_ORIGIN": f"{OWN}:8443", "HTTP_HOST": "git.example.com:8443"}, id="port"
        ),
        pytest.param({"HTTP_ORIGIN": "http://[::1]:80", "HTTP_HOST": "[::1]"}, id="ipv6"),
        pytest.param({"HTTP_ORIGIN": "http://localhost", "HTTP_HOST": ""}, id="no-host"),
    ],
)
def test_request_of_the_own_pages_and_of_other_clients_is_not(
    site: Site, headers: dict[str, str]
) -> None:
    host = {"HTTP_HOST": "git.example.com"}
    answer = ask(site, method="POST", HTTP_AUTHORIZATION=basic(good_token()), **host | headers)
    assert answer.status_int == 200


def test_own_server_name_stands_in_for_a_missing_host() -> None:
    environ = {"HTTP_ORIGIN": "http://a:8000", "SERVER_NAME": "a", "SERVER_PORT": "8000"}
    assert not is_cross_site({**environ, "wsgi.url_scheme": "http"})
    assert is_cross_site({**environ, "SERVER_PORT": "80", "wsgi.url_scheme": "http"})


# What is malformed


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Basic", id="nothing"),
        pytest.param("Basic  ", id="spaces"),
        pytest.param("Basic !!!!", id="alphabet"),
        pytest.param("Basic dXNlcjp4_w==", id="base64url"),
        pytest.param("Basic dXNlcjp4eA", id="no-padding"),
        pytest.param("Basic dXNlcjp4eB==", id="spare-bits"),
        pytest.param("Basic dXNlcjp4eA===", id="padding"),
        pytest.param("Basic dXNl cjp4eA==", id="space-inside"),
        pytest.param("Basic dXNlcjp4eA==, Basic dXNlcjp4eA==", id="doubled"),
        pytest.param(f"Basic {encode('no colon')}", id="no-colon"),
        pytest.param(f"Basic {encode(b'a:' + bytes([0xFF]))}", id="not-utf-8"),
        pytest.param(f"Basic {encode(b'a:' + bytes([0xC0, 0xAF]))}", id="overlong"),
        pytest.param(f"Basic {encode('a' + chr(10) + ':x')}", id="newline-in-user"),
        pytest.param(f"Basic {encode('a' + chr(0) + ':x')}", id="nul-in-user"),
        pytest.param(f"Basic {encode('a' + chr(0x85) + ':x')}", id="c1-in-user"),
        pytest.param(f"Basic {encode('a:x' + chr(27))}", id="escape-in-password"),
        pytest.param(f"Basic {encode('a' * 40_000 + ':x')}", id="long"),
        pytest.param("Basic " + "A" * 10_000_000, id="huge"),
    ],
)
def test_malformed_credentials_are_400(site: Site, value: str, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(site, HTTP_AUTHORIZATION=value)
    assert (answer.status_int, answer.json["code"]) == (400, "invalid_request")
    assert challenges(answer) == [BEARER]
    assert not site.calls
    assert value[6:40].strip() in {"", "!!!!"} or value[6:40] not in caplog.text + answer.text
    # Elsewhere the scheme is that of the app, whatever follows it.
    assert ask(site, "/other", HTTP_AUTHORIZATION=value).status_int == 401


def test_the_user_ends_at_the_first_colon() -> None:
    assert parse_basic(f"Basic {encode('a:b:c')}") == "b:c"
    assert parse_basic(f"Basic {encode(':b')}") == "b"
    assert parse_basic(f"Basic {encode('a:')}") == ""


def test_no_part_of_the_credentials_is_quoted() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_basic("Basic c2VjcmV0LXBhcnQ")
    assert caught.value.__cause__ is None
    assert "c2Vj" not in repr(caught.value)


def test_no_token_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = good_token(exp=site.now - 1)
    value = basic(token, "user-of-a-test")
    answer = ask(site, HTTP_AUTHORIZATION=value)
    said = caplog.text + answer.text + str(answer.headers)
    for part in (*token.split("."), value[6:], value[6:60], "user-of-a-test"):
        assert part not in said


def test_token_of_an_issuer_with_a_header_of_its_own_is_no_password() -> None:
    partner = TrustedIssuer(issuer="https://partner", keys=KEYS, audience=AUD, header="X-Token")
    site = Site(policy=Policy(RULES), trusted=[partner])
    theirs = good_token(iss="https://partner")
    assert ask(site, HTTP_AUTHORIZATION=basic(theirs)).json["code"] == "invalid_token"
    assert ask(site, HTTP_AUTHORIZATION=basic(good_token())).status_int == 200


def test_one_token_each_time(site: Site) -> None:
    both = f"{basic(good_token())}, Bearer {good_token()}"
    assert ask(site, HTTP_AUTHORIZATION=both).status_int == 400


def test_passthrough_and_basic_contradict_each_other() -> None:
    with pytest.raises(ConfigurationError, match="leave basic out"):
        Rule("/git/*", access="passthrough", basic=True)
    with pytest.raises(ConfigurationError, match="basic must be true or false"):
        Rule("/git/*", basic="false")  # type: ignore[arg-type]


def test_preflight_of_a_basic_rule_needs_no_password() -> None:
    site = Site(policy=Policy([Rule("/x", basic=True, preflight=True)]))
    asked = {"HTTP_ORIGIN": "https://a", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    assert ask(site, "/x", method="OPTIONS", **asked).status_int == 200

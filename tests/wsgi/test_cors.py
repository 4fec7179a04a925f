from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from webtest import TestApp, TestResponse

from jwt_middleware import CORS, JWTMiddleware, Policy, Responses, Rule, TokenVerifier, WellKnown
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.wsgi.metadata import Document

from ..service import Service
from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

APP = "https://app.example.com"
NAMED = {"Origin": APP}
EVIL = "https://evil.example.net"
LOGIN = {"account": "ann", "secret": "right", "type": "email"}
OPEN = "Access-Control-Allow-Origin"

ORIGINS = [
    APP,
    "http://localhost:5173",
    "https://*.example.org",
    "https://*.ports.example.org:8443",
    "http://[::1]:3000",
    "capacitor://localhost",
]


def preflight(origin: str = APP, method: str = "POST", headers: str = "") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return asked | ({"Access-Control-Request-Headers": headers} if headers else {})


@pytest.fixture
def site(service: Service) -> TestApp:
    """An endpoint, metadata and an app with CORS headers of its own, and rules of each kind."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", APPS_OWN)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"the app"]

    rules = [
        Rule("/admin", scopes=["admin"]),
        Rule("/items/*", methods=["GET", "PUT"], preflight=True),
        Rule("/open", access="public", preflight=True),
        Rule("/apps-own", access="public"),
    ]
    middleware = JWTMiddleware(
        validator(app),
        verifier=service.verifier,
        policy=Policy(rules),
        endpoint=service.endpoint,
        well_known=WellKnown([Document(["/.well-known/jwks.json"], lambda: {"keys": []})]),
        cors=CORS([APP, "https://*.example.org"], headers=["X-Request-Id"]),
    )

    def no_metrics(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", NUMBERS)
        return [b"numbers"]

    middleware.mount("/metrics", validator(no_metrics))
    return TestApp(validator(middleware))


APPS_OWN = [
    ("Content-Type", "text/plain"),
    (OPEN, "https://apps.own"),
    ("Vary", "Cookie"),
    ("vary", "Origin"),
    ("Content-Length", "7"),
]
NUMBERS = [("Content-Type", "text/plain"), ("Content-Length", "7")]


def is_open(answer: TestResponse, to: str = APP) -> bool:
    """Return whether *to* may read it, and check what is true of each answer of ours."""
    values = answer.headers.getall(OPEN)
    assert len(values) <= 1
    assert values in ([], [to])
    (vary,) = answer.headers.getall("Vary")
    assert "Origin" in vary.split(", ")
    assert "Access-Control-Allow-Credentials" not in answer.headers
    exposed = "WWW-Authenticate, Retry-After" if values else None
    assert answer.headers.get("Access-Control-Expose-Headers") == exposed
    return bool(values)


TOO_LARGE = {"Content-Type": "application/json", "Content-Length": "99999999"}
REFUSALS: list[Any] = [
    pytest.param("GET", "/", {}, 401, id="no-token"),
    pytest.param("GET", "/", {"Authorization": "Bearer x.y.z"}, 401, id="bad-token"),
    pytest.param("HEAD", "/", {}, 401, id="head"),
    pytest.param("GET", "/", {"Authorization": "Bearer"}, 400, id="malformed"),
    pytest.param("GET", "/admin", {"Authorization": "good"}, 403, id="scope"),
    pytest.param("GET", "/token", {}, 405, id="endpoint-method"),
    pytest.param("OPTIONS", "/token", {}, 405, id="no-preflight"),
    pytest.param("POST", "/token", {"Content-Type": "text/plain"}, 415, id="media-type"),
    pytest.param("POST", "/token", TOO_LARGE, 413, id="too-large"),
    pytest.param("POST", "/token/introspect", {}, 415, id="introspect"),
    pytest.param("POST", "/token/revoke", {}, 415, id="revoke"),
    pytest.param("POST", "/token/logout", {}, 401, id="logout"),
    pytest.param("POST", "/.well-known/jwks.json", {}, 405, id="metadata-method"),
    pytest.param("GET", "/.well-known/jwks.json", {}, 200, id="metadata"),
    pytest.param("GET", "/.well-known/jwks.json", {"If-None-Match": "*"}, 304, id="unchanged"),
    pytest.param("OPTIONS", "/elsewhere", {}, 401, id="options-without-a-rule"),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), REFUSALS)
def test_named_origin_reads_every_answer_of_ours(
    site: TestApp, service: Service, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    if headers.get("Authorization") == "good":
        headers = {"Authorization": f"Bearer {service.log_in().json['access_token']}"}
    ask = {"method": method, "status": status}
    assert is_open(site.request(path, headers=headers | NAMED, **ask))
    assert not is_open(site.request(path, headers=headers | {"Origin": EVIL}, **ask))
    assert not is_open(site.request(path, headers=headers, **ask))


def test_login_refresh_and_logout_are_read(site: TestApp) -> None:
    site.extra_environ = {"HTTP_ORIGIN": "https://deep.app.example.org"}
    to = "https://deep.app.example.org"
    login = site.post_json("/token", LOGIN)
    assert is_open(login, to)
    grant = {"grant_type": "refresh_token", "refresh_token": login.json["refresh_token"]}
    refreshed = site.post("/token", grant)
    assert is_open(refreshed, to)
    token = refreshed.json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert is_open(site.post("/token/revoke", {"token": "x"}), to)
    assert is_open(site.post("/token/logout", headers=headers, status=204), to)
    assert is_open(site.get("/", headers=headers, status=401), to)


def test_too_many_attempts_and_outages_are_read(site: TestApp, service: Service) -> None:
    wrong = LOGIN | {"secret": "wrong"}
    for _ in range(5):
        assert is_open(site.post_json("/token", wrong, headers=NAMED, status=401))
    limited = site.post_json("/token", wrong, headers=NAMED, status=429)
    assert is_open(limited)
    assert "Retry-After" in limited.headers
    service.accounts.error = UnavailableError("down")
    other = LOGIN | {"account": "bob"}
    extra = {"REMOTE_ADDR": "198.51.100.1"}
    unavailable = site.post_json("/token", other, headers=NAMED, status=503, extra_environ=extra)
    assert is_open(unavailable)


def test_answers_of_the_app_pass_as_they_are(site: TestApp, service: Service) -> None:
    token = service.log_in().json["access_token"]
    for headers in (NAMED, {"Origin": EVIL}, {}):
        with_token = {"Authorization": f"Bearer {token}"} | headers
        assert site.get("/items/1", headers=with_token).headerlist == APPS_OWN
        assert site.options("/items/1", headers=with_token).headerlist == APPS_OWN
        assert site.options("/apps-own", headers=headers | preflight()).headerlist == APPS_OWN


def test_what_is_mounted_beside_is_read_by_no_origin(site: TestApp) -> None:
    assert site.get("/metrics", headers=NAMED).headerlist == NUMBERS


@pytest.mark.parametrize(
    ("path", "method"),
    [
        *(("/token", "POST"), ("/token/", "POST"), ("/token/logout", "POST")),
        *(("/.well-known/jwks.json", "GET"), ("/items/1", "PUT"), ("/open", "DELETE")),
    ],
)
def test_preflights_are_answered(site: TestApp, path: str, method: str) -> None:
    answer = site.options(path, headers=preflight(APP, method, "authorization"), status=204)
    assert dict(answer.headers) == {
        "Access-Control-Allow-Headers": "X-Request-Id, Authorization, Content-Type",
        "Access-Control-Allow-Methods": method,
        OPEN: APP,
        "Access-Control-Max-Age": "600",
        "Vary": "Access-Control-Request-Method, Origin",
    }
    for origin in (EVIL, "null", f"{APP}, {EVIL}"):
        answer = site.options(path, headers=preflight(origin, method), status=204)
        assert dict(answer.headers) == {"Vary": "Access-Control-Request-Method, Origin"}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        pytest.param("/elsewhere", "PUT", id="no-rule"),
        pytest.param("/admin", "GET", id="rule-without-preflight"),
        pytest.param("/items/1", "DELETE", id="rule-for-other-methods"),
        pytest.param("//items/1", "PUT", id="not-as-spelled"),
        pytest.param("/ITEMS/1", "PUT", id="other-case"),
    ],
)
def test_no_other_preflight_is_answered(site: TestApp, path: str, method: str) -> None:
    asked = {"HTTP_ORIGIN": APP, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method, "PATH_INFO": path}
    answer = site.options("/", extra_environ=asked, status=401)
    assert "Access-Control-Allow-Methods" not in answer.headers


def test_without_an_origin_nothing_is_a_preflight(site: TestApp) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    site.options("/token", headers=asked, status=405)
    site.options("/token", headers=asked | {"Origin": ""}, status=405)
    site.options("/items/1", headers=asked, status=401)


def test_method_that_is_not_named_is_not_allowed(verifier: TokenVerifier, wrapped: Any) -> None:
    policy = Policy([Rule("/*", preflight=True)])
    site = wrapped(policy=policy, cors=CORS([APP], methods=["GET"], max_age_seconds=0))
    answer = site.options("/x", headers=preflight(APP, "PUT"), status=204)
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert answer.headers["Access-Control-Max-Age"] == "0"
    assert site.options("/x", headers=preflight(APP, "GET")).headers[
        "Access-Control-Allow-Methods"
    ] == ("GET")


@table(
    "origin",
    [
        APP,
        "http://localhost:5173",
        "https://a.example.org",
        "https://a.b-c.x_y.example.org",
        "https://xn--bcher-kva.example.org",
        "https://a.ports.example.org:8443",
        "http://[::1]:3000",
        "capacitor://localhost",
    ],
)
def test_origins_that_are_named(origin: str) -> None:
    assert CORS(ORIGINS).allows(origin)


@table(
    "origin",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("*", id="star"),
        *("http://app.example.com", "https://app.example.com:8443", "https://app.example.com:443"),
        *("https://app.example.com.evil.net", "https://evil-app.example.com", APP.upper()),
        *(f"{APP}/", f"{APP}.", f" {APP}", f"{APP} ", f"{APP}\n", f"{APP}\0", f"{APP}, {APP}"),
        *(f"{APP} {EVIL}", f"{APP},{EVIL}", f"{EVIL}#{APP}", "https://app.example.com@evil.net"),
        *("https://example.org", "https://.example.org", "https://a..example.org"),
        *("https://evilexample.org", "https://a.example.org.evil.net", "https://a.example.orgx"),
        *("http://a.example.org", "https://a.example.org:8443", "https://evil.net/.example.org"),
        *(
            "https://evil.net?.example.org",
            "https://evil.net#.example.org",
            "https://*.example.org",
        ),
        *("https://evil.net\\.example.org", "https://a@b.example.org", "https://a:1.example.org"),
        *("https://a.example.org\n", "https://-a.example.org", "https://a-.example.org"),
        *("https://A.example.org", "https://é.example.org", "https://axexample.org"),
        *("https://evil.net%2f.example.org", "https://a.ports.example.org:8444"),
        pytest.param("https://" + "a." * 200 + "example.org", id="too-long"),
        pytest.param("https://" + "a" * 64 + ".example.org", id="label-too-long"),
        pytest.param("https://" + "a" * 1_000_000, id="huge"),
    ],
)
def test_origins_that_are_not_named(origin: str | None) -> None:
    assert not CORS(ORIGINS).allows(origin)


def test_null_is_an_origin_only_if_named(wrapped: Any) -> None:
    site = wrapped(cors=CORS(["null"]))
    assert site.get("/", headers={"Origin": "null"}, status=401).headers[OPEN] == "null"
    assert OPEN not in site.get("/", status=401).headers


def test_star_is_every_origin_and_the_answer_does_not_vary(wrapped: Any) -> None:
    site = wrapped(cors=CORS(["*"]))
    for headers in ({"Origin": EVIL}, {}):
        answer = site.get("/", headers=headers, status=401)
        assert answer.headers[OPEN] == "*"
        assert answer.headers["Vary"] == "Accept-Language"


def test_credentials_are_for_named_origins_alone(wrapped: Any) -> None:
    site = wrapped(cors=CORS([APP], credentials=True), policy=Policy([Rule("/x", preflight=True)]))
    for origin, expected in ((APP, "true"), (EVIL, None)):
        headers = preflight(origin)
        refused = site.get("/", headers={"Origin": origin}, status=401)
        answers = [refused, site.options("/x", headers=headers)]
        for answer in answers:
            assert answer.headers.get("Access-Control-Allow-Credentials") == expected


def test_nothing_is_exposed_if_nothing_is_named(wrapped: Any) -> None:
    answer = wrapped(cors=CORS([APP], exposed_headers=[])).get("/", headers=NAMED, status=401)
    assert "Access-Control-Expose-Headers" not in answer.headers


@pytest.mark.parametrize("own", [APPS_OWN, [*NUMBERS, ("access-control-expose-headers", "X-A")]])
def test_cors_headers_of_a_wrapped_app_are_not_doubled(own: list[tuple[str, str]]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", own)
        return [b"the app"]

    site = TestApp(validator(CORS([APP]).wrap(validator(app))))
    assert site.get("/", headers=NAMED).headerlist == own
    assert site.options("/", headers=preflight(), status=204).headers[OPEN] == APP


@pytest.mark.parametrize(
    ("own", "varies"),
    [
        ("", "Origin"),
        ("Cookie", "Cookie, Origin"),
        ("Cookie, origin", "Cookie, origin"),
        ("*", "*"),
    ],
)
def test_a_wrapped_app_that_varies_by_origin_says_it_once(own: str, varies: str) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*NUMBERS, *([("Vary", own)] if own else [])])
        return [b"the app"]

    answer = TestApp(validator(CORS([APP]).wrap(validator(app)))).get("/", headers=NAMED)
    assert (answer.headers["Vary"], answer.headers[OPEN]) == (varies, APP)


def test_endpoint_of_its_own_can_be_wrapped(service: Service) -> None:
    site = TestApp(validator(CORS([APP]).wrap(service.endpoint)))
    assert is_open(site.post_json("/token", LOGIN, headers=NAMED))
    site.options("/token", headers=preflight(), status=204)


def test_envelope_is_read_as_well(wrapped: Any) -> None:
    site = wrapped(cors=CORS([APP]), responses=Responses(style="envelope"))
    assert is_open(site.get("/", headers=NAMED, status=401))


def test_start_says_nothing_of_preflights_that_do_not_reach_the_app(
    wrapped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wrapped(cors=CORS([APP]), policy=Policy([Rule("/x", preflight=True)]))
    assert not caplog.records


@table(
    ("arguments", "text"),
    [
        pytest.param({"origins": APP}, "origins must be a list", id="a-string"),
        pytest.param({"origins": []}, "origins must be a list", id="none"),
        pytest.param({"origins": [1]}, "origins must be a list", id="a-number"),
        pytest.param({"origins": None}, "origins must be a list", id="nothing"),
        pytest.param({"origins": iter([APP])}, "origins must be a list", id="an-iterator"),
        pytest.param({"headers": None}, "headers must be a list", id="no-headers"),
        pytest.param({"credentials": "false"}, "credentials must be true", id="a-text"),
        *(
            pytest.param({"origins": [one]}, "must be as browsers send it", id=one)
            for one in (
                "app.example.com",
                f"{APP}/",
                f"{APP}:443",
                f"{APP}:0",
                f"{APP}:65536",
                "http://app.example.com:80",
                APP.upper(),
                "https://bücher.example.com",
                f"{APP}\n",
                "https://*",
                "https://*.com",
                "https://*.com:8443",
                "https://*.2.3.4",
                "https://*.2.3.4:8443",
                "https://*example.com",
                "https://a.*.example.com",
                "https://*.*.example.com",
                "*.example.com",
                "*://app.example.com",
                "https://app.example.com:*",
                "https://user@app.example.com",
                "NULL",
                "",
                "https://" + "a." * 200 + "com",
            )
        ),
        pytest.param({"origins": ["*", APP]}, "leave the others out", id="star-and-more"),
        pytest.param({"origins": ["*"], "credentials": True}, "any page", id="star-credentials"),
        pytest.param({"origins": ["null"], "credentials": True}, "any page", id="null-credentials"),
        pytest.param({"methods": "GET"}, "methods must be a list", id="methods"),
        pytest.param({"methods": ["*"]}, "methods must be a list", id="every-method"),
        pytest.param({"methods": ["get"]}, "methods: 'get'", id="lower-case"),
        pytest.param({"methods": ["TRACE"]}, "methods: 'TRACE'", id="trace"),
        pytest.param({"headers": ["*"]}, "headers must be", id="every-header"),
        pytest.param({"headers": ["X-A\r\nX-B: 1"]}, "headers must be", id="split"),
        pytest.param({"headers": ["X-A, X-B"]}, "headers must be", id="joined"),
        pytest.param({"exposed_headers": ["X A"]}, "exposed_headers must be", id="exposed"),
        pytest.param({"max_age_seconds": -1}, "max_age_seconds must be", id="negative-age"),
        pytest.param({"max_age_seconds": 86401}, "max_age_seconds must be", id="age"),
        pytest.param({"max_age_seconds": True}, "max_age_seconds must be", id="no-age"),
    ],
)
def test_wrong_setting_is_a_configuration_error(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        CORS(**{"origins": [APP], **arguments})


def test_middleware_takes_nothing_else(wrapped: Any) -> None:
    with pytest.raises(ConfigurationError, match="cors must be a CORS"):
        wrapped(cors={"origins": [APP]})

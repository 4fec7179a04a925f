from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from jwt_middleware import (
    Key,
    KeySet,
    MemorySessions,
    Policy,
    Rule,
    Sessions,
    TokenEndpoint,
    TokenIssuer,
    TokenVerifier,
)
from jwt_middleware.errors import BadCredentialsError, ConfigurationError, UnavailableError
from jwt_middleware.wsgi.metadata import (
    WellKnown,
    authorization_server_document,
    issuer_path,
    jwks_document,
    no_openid_document,
    protected_resource_document,
    resource_metadata_url,
)
from jwt_middleware.wsgi.responses import Responses

from ..table import table

Wrapped = Callable[..., TestApp]

SIGNING = Key.generate("ES256", kid="signing")
KEYS = KeySet([SIGNING, Key.from_secret(b"k" * 32, kid="secret"), Key.generate("EdDSA", kid="ed")])


ODD_URLS = [
    "https://[a",
    "https://a/\u00fc",
    'https://a/"',
    "https://a/\n",
    "https://u@a",
    "https://a?",
]


@pytest.fixture
def site(wrapped: Wrapped) -> TestApp:
    documents = [
        jwks_document(KEYS),
        authorization_server_document(issuer="https://auth.example.com/"),
        protected_resource_document(
            resource="https://api.example.com/v1", issuers=["https://auth"], scopes=["b", "a", "b"]
        ),
    ]
    return wrapped(
        well_known=WellKnown(documents, max_age_seconds=60),
        policy=Policy([Rule("/*", scopes=["admin"])]),
    )


def test_publishes_public_keys_and_never_a_secret(site: TestApp) -> None:
    answer = site.get("/.well-known/jwks.json")
    assert answer.content_type == "application/jwk-set+json"
    assert [jwk["kid"] for jwk in answer.json["keys"]] == ["signing", "ed"]
    for jwk in answer.json["keys"]:
        assert not set(jwk) & {"d", "k", "p", "q", "dp", "dq", "qi"}
    published = KeySet([Key.from_jwk(jwk) for jwk in answer.json["keys"]])
    first = next(iter(published))
    assert first.verify(b"message", SIGNING.sign(b"message"))
    assert not first.can_sign


def test_publishes_the_metadata_of_rfc_8414(site: TestApp) -> None:
    members = site.get("/.well-known/oauth-authorization-server").json
    assert members["issuer"] == "https://auth.example.com/"
    assert members["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
    assert [] not in members.values()  # RFC 8414 §3.2
    assert not [name for name in members if name.endswith("_endpoint")]


def refuse(account: str, secret: str) -> object:
    raise BadCredentialsError


def endpoint(
    *client_types: str, with_sessions: bool, issuer: str = "https://auth.example.com"
) -> TokenEndpoint:
    name, audience, prefix = issuer, "api", issuer_path(issuer)
    own = TokenIssuer(keys=KEYS, issuer=name, audience=audience)
    sessions = Sessions(store=MemorySessions(), issuer=own)
    return TokenEndpoint(
        path="/auth/token",
        prefix=prefix,
        issuer=own,
        verifiers=dict.fromkeys(client_types, refuse),
        lookups=dict.fromkeys(client_types),
        sessions=sessions if with_sessions else None,
        verifier=TokenVerifier(
            keys=KEYS, issuer=name, audience=audience, is_revoked=sessions.revocations
        ),
    )


SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
URL = "https://auth.example.com/auth/token"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        pytest.param(
            endpoint("email", with_sessions=False),
            {"token_endpoint_auth_methods_supported": ["none"]},
            id="logins",
        ),
        pytest.param(
            endpoint("email", "service", with_sessions=False),
            {
                "token_endpoint_auth_methods_supported": ["none", *SECRET_METHODS],
                "grant_types_supported": ["client_credentials"],
            },
            id="services",
        ),
        pytest.param(
            endpoint("email", with_sessions=True),
            {
                "token_endpoint_auth_methods_supported": ["none"],
                "grant_types_supported": ["refresh_token"],
                "revocation_endpoint": f"{URL}/revoke",
                "revocation_endpoint_auth_methods_supported": ["none"],
            },
            id="sessions",
        ),
        pytest.param(
            endpoint("service", with_sessions=True),
            {
                "token_endpoint_auth_methods_supported": ["none", *SECRET_METHODS],
                "grant_types_supported": ["client_credentials", "refresh_token"],
                "revocation_endpoint": f"{URL}/revoke",
                "revocation_endpoint_auth_methods_supported": ["none", *SECRET_METHODS],
                "introspection_endpoint": f"{URL}/introspect",
                "introspection_endpoint_auth_methods_supported": SECRET_METHODS,
            },
            id="both",
        ),
    ],
)
def test_publishes_what_the_endpoint_can_do(
    wrapped: Wrapped, endpoint: TokenEndpoint, expected: dict[str, object]
) -> None:
    document = authorization_server_document(issuer="https://auth.example.com", endpoint=endpoint)
    members = wrapped(well_known=WellKnown([document])).get(document.paths[0]).json
    own = {"issuer", "jwks_uri", "token_endpoint"}
    assert members["token_endpoint"] == URL
    assert {name: one for name, one in members.items() if name not in own} == expected


def test_publishes_the_metadata_of_rfc_9728(site: TestApp) -> None:
    assert resource_metadata_url("https://api.example.com/v1") == (
        "https://api.example.com/.well-known/oauth-protected-resource/v1"
    )
    assert site.get("/.well-known/oauth-protected-resource/v1").json == {
        "resource": "https://api.example.com/v1",
        "authorization_servers": ["https://auth"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["a", "b"],
    }


def test_document_may_be_kept_and_asked_after(site: TestApp) -> None:
    first = site.get("/.well-known/jwks.json")
    assert first.headers["Cache-Control"] == "public, max-age=60"
    again = site.get("/.well-known/jwks.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_int, again.body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Date" not in {*first.headers, *again.headers}  # some servers would send two


def test_a_date_that_is_none_is_not_looked_at(site: TestApp) -> None:
    date = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
    site.get("/.well-known/jwks.json", headers={"If-Modified-Since": date}, status=200)


def test_head_has_the_headers_and_no_body(site: TestApp) -> None:
    answer = site.head("/.well-known/jwks.json")
    assert (answer.status_int, answer.body) == (200, b"")
    assert "ETag" in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # methods are case-sensitive
def test_other_methods_are_405(method: str, site: TestApp) -> None:
    answer = site.request("/.well-known/jwks.json", method=method, status=405)
    assert answer.headers["Allow"] == "GET, HEAD"


def test_document_left_out_is_a_path_like_any_other(wrapped: Wrapped) -> None:
    site = wrapped(well_known=WellKnown([jwks_document(KEYS)]))
    site.get("/.well-known/oauth-authorization-server", status=401)


def test_keys_that_cannot_be_had_are_503(wrapped: Wrapped) -> None:
    class Down:
        def current(self) -> KeySet:
            raise UnavailableError("no keys yet")

        def refreshed(self, kid: str | None) -> KeySet:
            raise UnavailableError("no keys yet")

    site = wrapped(well_known=WellKnown([jwks_document(Down())]))
    assert site.get("/.well-known/jwks.json", status=503).headers["Retry-After"] == "1"


def test_challenge_names_the_resource_metadata(wrapped: Wrapped) -> None:
    url = resource_metadata_url("https://api.example.com")
    answer = wrapped(responses=Responses(resource_metadata=url)).get("/", status=401)
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="api", '
        'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'
    )


@table("url", ["my-service", "https://a?b=c", "ftp://a", "https:///a", "//a", *ODD_URLS])
@table(
    "make",
    [
        lambda url: authorization_server_document(issuer=url),
        lambda url: protected_resource_document(resource=url, issuers=["a"]),
    ],
    ids=["issuer", "resource"],
)
def test_metadata_needs_a_url(make: Callable[[str], Any], url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be an https URL"):
        make(url)


@table("seconds", [-1, 1.5, True, None, "60"])
def test_may_not_be_kept_for_an_odd_time(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_age_seconds must be a whole number"):
        WellKnown([], max_age_seconds=seconds)


@pytest.mark.parametrize("below", ["", "/tenant"], ids=["at-the-root", "mounted"])
def test_what_is_announced_below_an_issuer_s_path_is_served(below: str, wrapped: Wrapped) -> None:
    issuer = "https://auth.example.com/tenant"
    tokens = endpoint("email", with_sessions=True, issuer=issuer)
    document = authorization_server_document(issuer=issuer, endpoint=tokens)
    site = wrapped(
        well_known=WellKnown([document, jwks_document(KEYS, issuer=issuer)]), endpoint=tokens
    )
    members = site.get("/.well-known/oauth-authorization-server/tenant").json
    assert members["jwks_uri"] == f"{issuer}/.well-known/jwks.json"
    urls = [url for name, url in members.items() if name.endswith(("_uri", "_endpoint"))]
    assert len(urls) == 3
    for url in urls:
        path = url.removeprefix("https://auth.example.com").removeprefix(below)
        assert site.get(path, expect_errors=True).status_int in {200, 405}


def test_keys_that_are_not_served_are_not_announced() -> None:
    document = authorization_server_document(issuer="https://auth.example.com", jwks=False)
    assert document.read() == {"issuer": "https://auth.example.com"}


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
    ],
)
def test_there_is_an_openid_document_only_where_it_is_asked_for(
    path: str, wrapped: Wrapped
) -> None:
    issuer = "https://auth.example.com/tenant"
    site = wrapped(well_known=WellKnown([no_openid_document(issuer=issuer)]))
    assert site.get(path, status=404).json["code"] == "not_found"
    asked = authorization_server_document(issuer=issuer, openid=True)
    assert wrapped(well_known=WellKnown([asked])).get(path).json["issuer"] == issuer


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.example.com", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/mcp/", "/.well-known/oauth-protected-resource/mcp/"),
    ],
)
def test_a_slash_at_the_end_of_a_resource_is_kept(
    resource: str, path: str, wrapped: Wrapped
) -> None:
    assert resource_metadata_url(resource) == f"https://api.example.com{path}"
    document = protected_resource_document(resource=resource, issuers=["https://auth"])
    site = wrapped(well_known=WellKnown([document]))
    for spelling in {path, path.rstrip("/")}:
        assert site.get(spelling).json["resource"] == resource

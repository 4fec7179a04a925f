from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware.core.keys import Key
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.keysources.remote.discovery import DiscoveredJWKS, metadata_urls
from jwt_middleware.keysources.remote.fetching import Fetched, KeyURL

if TYPE_CHECKING:
    from jwt_middleware.testing import FrozenClock
    from tests.keysources.conftest import Background, KeyServer

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


@pytest.fixture
def make(
    server: KeyServer, clock: FrozenClock, background: Background
) -> Callable[..., DiscoveredJWKS]:
    """Return a function that makes a source over an issuer at the server, by its path."""

    def make(path: str = "", **parts: Any) -> DiscoveredJWKS:
        return DiscoveredJWKS(server.url(path), clock=clock, spawn=background, **parts)

    return make


def describe(server: KeyServer, *, issuer: str = "", path: str = OPENID, **members: Any) -> None:
    server.answer(
        {"issuer": server.url(issuer), "jwks_uri": server.url("/jwks")} | members, path=path
    )


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        ("https://a.example", OPENID, OAUTH),
        ("https://a.example/", OPENID, OAUTH),
        ("https://a.example/t/1", "/t/1" + OPENID, OAUTH + "/t/1"),
        ("https://a.example/t/1/", "/t/1" + OPENID, OAUTH + "/t/1"),
    ],
)
def test_knows_where_the_metadata_are(issuer: str, openid: str, oauth: str) -> None:
    urls = metadata_urls(KeyURL.parse(issuer))
    assert urls == (f"https://a.example{openid}", f"https://a.example{oauth}")


@pytest.mark.parametrize("issuer", ["", "/", "/tenant", "/tenant/"])
def test_finds_keys_by_openid_discovery(
    server: KeyServer, make: Callable[..., DiscoveredJWKS], key_a: Key, issuer: str
) -> None:
    path = issuer.rstrip("/") + OPENID
    describe(server, issuer=issuer, path=path)
    server.publish(key_a)
    assert [key.kid for key in make(issuer).current()] == ["a"]
    assert server.hits == [path, "/jwks"]


@pytest.mark.parametrize("status", [403, 404])
def test_finds_keys_by_rfc_8414_where_there_is_no_openid_discovery(
    server: KeyServer, make: Callable[..., DiscoveredJWKS], key_a: Key, status: int
) -> None:
    server.answer(b"", path="/tenant" + OPENID, status=status)
    describe(server, issuer="/tenant", path=OAUTH + "/tenant")
    server.publish(key_a)
    assert [key.kid for key in make("/tenant").current()] == ["a"]


def test_says_so_where_there_are_no_metadata(
    server: KeyServer, make: Callable[..., DiscoveredJWKS]
) -> None:
    with pytest.raises(UnavailableError, match=rf"{OPENID}: status 404; .*{OAUTH}: status 404"):
        make().current()


def test_asks_for_no_other_metadata_of_a_server_that_is_down(
    server: KeyServer, make: Callable[..., DiscoveredJWKS]
) -> None:
    server.answer(b"", path=OPENID, status=500)
    with pytest.raises(UnavailableError, match="status 500"):
        make().current()
    assert server.hits == [OPENID]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param({"issuer": "https://mallory.example"}, "not of this issuer", id="another"),
        pytest.param({"issuer": None}, "not of this issuer", id="issuer null"),
        pytest.param({"issuer": ["x"]}, "not of this issuer", id="issuer an array"),
        pytest.param({"jwks_uri": None}, "no jwks_uri", id="no jwks_uri"),
        pytest.param({"jwks_uri": "http://a.example/"}, "https", id="jwks_uri over plain HTTP"),
        pytest.param({"jwks_uri": "/jwks"}, "https", id="jwks_uri relative"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, "https", id="jwks_uri a file"),
    ],
)
def test_refuses_metadata_and_keeps_the_last_good_keys(
    server: KeyServer,
    make: Callable[..., DiscoveredJWKS],
    clock: FrozenClock,
    key_a: Key,
    members: dict[str, Any],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    describe(server)
    server.publish(key_a)
    keys = make()
    first = keys.current()
    describe(server, **members)
    clock.now += 601
    assert keys.current() is first
    assert f"{server.url(OPENID)}: " in caplog.text
    assert reason in caplog.text
    assert server.hits == [OPENID, "/jwks", OPENID]


def test_compares_the_issuer_character_by_character(
    server: KeyServer, make: Callable[..., DiscoveredJWKS], key_a: Key
) -> None:
    describe(server, issuer="/")
    server.publish(key_a)
    with pytest.raises(UnavailableError, match="not of this issuer"):
        make("").current()


@pytest.mark.parametrize("document", [b"<html>", b"[]", b'{"issuer": "x", "issuer": "x"}'])
def test_refuses_what_are_no_metadata(
    server: KeyServer, make: Callable[..., DiscoveredJWKS], document: bytes
) -> None:
    server.answer(document, path=OPENID)
    with pytest.raises(UnavailableError, match="the metadata are not"):
        make().current()


def test_takes_keys_of_another_origin_that_the_metadata_name(
    server: KeyServer, other_server: KeyServer, make: Callable[..., DiscoveredJWKS], key_a: Key
) -> None:
    describe(server, jwks_uri=other_server.url())
    other_server.publish(key_a)
    assert [key.kid for key in make().current()] == ["a"]


def test_notices_that_the_set_has_moved(
    server: KeyServer,
    make: Callable[..., DiscoveredJWKS],
    clock: FrozenClock,
    key_a: Key,
    key_b: Key,
) -> None:
    describe(server)
    server.publish(key_a)
    keys = make()
    keys.current()
    describe(server, jwks_uri=server.url("/new"))
    server.publish(key_b, path="/new")
    clock.now += 601
    assert [key.kid for key in keys.current()] == ["b"]


def test_refuses_plain_http_of_an_https_issuer(background: Background) -> None:
    def fetch(url: str, /) -> Fetched:
        assert url == "https://a.example" + OPENID
        metadata = b'{"issuer": "https://a.example", "jwks_uri": "http://127.0.0.1/jwks"}'
        return Fetched(metadata, None, url)

    for allow_http in (False, True):
        keys = DiscoveredJWKS(
            "https://a.example", fetch=fetch, spawn=background, allow_http=allow_http
        )
        with pytest.raises(UnavailableError, match="that came by https is plain HTTP"):
            keys.current()


def test_refuses_an_issuer_with_a_query() -> None:
    with pytest.raises(ConfigurationError, match="without query"):
        DiscoveredJWKS("https://a.example/?x")


class TestDiscoveryUrl:
    """Metadata that are not below the issuer: Azure AD B2C, Keycloak in a cluster."""

    def source(self, server: KeyServer, background: Background, issuer: str) -> DiscoveredJWKS:
        url = server.url("/policy/metadata?p=1")
        return DiscoveredJWKS(issuer, discovery_url=url, spawn=background)

    @pytest.mark.parametrize(
        ("named", "issuer"),
        [
            ("https://public.example/realms/x", "https://public.example/realms/x"),
            ("https://login.example/{tenantid}/v2.0", "https://login.example/{tid}/v2.0"),
            ("urn:b2c", "urn:b2c"),
        ],
    )
    def test_is_the_only_one_asked(
        self, server: KeyServer, background: Background, key_a: Key, named: str, issuer: str
    ) -> None:
        server.publish(key_a)
        server.answer(
            {"issuer": named, "jwks_uri": server.url("/jwks")}, path="/policy/metadata?p=1"
        )
        keys = self.source(server, background, issuer)
        assert [key.kid for key in keys.current()] == ["a"]
        assert server.hits == ["/policy/metadata?p=1", "/jwks"]

    @pytest.mark.parametrize(
        ("named", "issuer"),
        [
            ("https://other.example", "https://public.example"),
            ("https://public.example/", "https://public.example"),
            ("https://login.example/{tenantid}/v2.0", "https://login.example/t/v2.0"),
            ("https://login.example/t/v2.0", "https://login.example/{tid}/v2.0"),
        ],
    )
    def test_must_be_of_the_issuer(
        self, server: KeyServer, background: Background, named: str, issuer: str
    ) -> None:
        server.answer(
            {"issuer": named, "jwks_uri": server.url("/jwks")}, path="/policy/metadata?p=1"
        )
        with pytest.raises(UnavailableError, match="not of this issuer"):
            self.source(server, background, issuer).current()
        assert server.hits == ["/policy/metadata?p=1"]

    def test_that_is_not_there_is_not_looked_for_elsewhere(
        self, server: KeyServer, background: Background
    ) -> None:
        with pytest.raises(UnavailableError, match="status 404"):
            self.source(server, background, "https://a.example").current()
        assert server.hits == ["/policy/metadata?p=1"]

    def test_shows_both_spellings_where_a_slash_differs(
        self, server: KeyServer, background: Background
    ) -> None:
        server.answer({"issuer": "https://a.example/"}, path="/policy/metadata?p=1")
        with pytest.raises(
            UnavailableError, match=r"'https://a.example', but of 'https://a.example/'"
        ):
            self.source(server, background, "https://a.example").current()

    def test_is_needed_for_an_issuer_of_many_tenants(self) -> None:
        with pytest.raises(ConfigurationError, match="give a discovery_url"):
            DiscoveredJWKS("https://login.microsoftonline.com/{tid}/v2.0")

    def test_is_judged_by_itself(self) -> None:
        with pytest.raises(ConfigurationError, match="https"):
            DiscoveredJWKS("https://a.example", discovery_url="http://b.example/x")
        DiscoveredJWKS("https://a.example", discovery_url="http://b.example/x", allow_http=True)

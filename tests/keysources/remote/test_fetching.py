from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jwt_middleware.core.keys import Key
from jwt_middleware.errors import ConfigurationError, UnavailableError
from jwt_middleware.keysources.remote.discovery import DiscoveredJWKS
from jwt_middleware.keysources.remote.fetching import Fetched, KeyURL
from jwt_middleware.keysources.remote.remote import RemoteJWKS

from ...table import table

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from jwt_middleware.testing import FrozenClock
    from tests.keysources.conftest import Answer, Background, KeyServer


@table(
    ("url", "text"),
    [
        pytest.param("https://a.example/keys?x=1", "https://a.example/keys", id="without query"),
        pytest.param("HTTPS://A.example", "https://a.example/", id="case, no path"),
        pytest.param("https://a.example:443/", "https://a.example/", id="default port"),
        pytest.param("https://a.example:8443/k", "https://a.example:8443/k", id="port"),
        pytest.param("https://[2001:db8::1]:1/", "https://[2001:db8::1]:1/", id="IPv6"),
        pytest.param("http://localhost:80/", "http://localhost/", id="localhost"),
        pytest.param("http://127.8.9.1:8000/", "http://127.8.9.1:8000/", id="127.0.0.0/8"),
        pytest.param("http://[::1]/", "http://[::1]/", id="::1"),
    ],
)
def test_reads_a_url(url: str, text: str) -> None:
    assert str(KeyURL.parse(url)) == text
    assert repr(KeyURL.parse(url)) == f"KeyURL({text!r})"


@table(
    "url",
    [
        pytest.param("http://a.example/", id="plain HTTP"),
        pytest.param("http://localhost.a.example/", id="only looks like localhost"),
        pytest.param("http://127.0.0.1.a.example/", id="only looks like loopback"),
        pytest.param("http://0x7f.1/", id="loopback in disguise"),
        pytest.param("http://10.0.0.1/", id="private network"),
        pytest.param("ftp://a.example/", id="another scheme"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("//a.example/", id="no scheme"),
        pytest.param("", id="empty"),
        pytest.param("https:///keys", id="no host"),
        pytest.param("https://:443/keys", id="only a port"),
        pytest.param("https://a.example:0/", id="port 0"),
        pytest.param("https://a.example:65536/", id="port too large"),
        pytest.param("https://a.example:x/", id="port no number"),
        pytest.param("https://[::1/", id="bracket not closed"),
        pytest.param("https://user:secret@a.example/", id="user"),
        pytest.param("https://a.example\\@b.example/", id="backslash"),
        pytest.param("https://a.example/#x", id="fragment"),
        pytest.param("https://a.example/ x", id="space"),
        pytest.param("https://a.example/\n", id="newline"),
        pytest.param("https://\u00e4.example/", id="not ASCII"),
    ],
)
def test_refuses_a_url_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyURL.parse(url)
    assert "example" not in str(caught.value)


def test_refuses_what_is_no_string() -> None:
    with pytest.raises(ConfigurationError):
        KeyURL.parse(None)  # type: ignore[arg-type]


def test_takes_plain_http_where_it_is_allowed() -> None:
    assert KeyURL.parse("http://a.example/", allow_http=True).origin == ("http", "a.example", 80)


def test_asks_for_path_and_query() -> None:
    assert KeyURL.parse("https://a.example/k?x=1&y").target == "/k?x=1&y"
    assert KeyURL.parse("https://a.example").target == "/"


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        pytest.param("/other", "https://a.example/other", id="path"),
        pytest.param("other?x", "https://a.example/keys/other", id="relative"),
        pytest.param("//b.example/", "https://b.example/", id="host"),
        pytest.param("https://b.example/k", "https://b.example/k", id="absolute"),
    ],
)
def test_joins_a_reference(reference: str, url: str) -> None:
    base = KeyURL.parse("https://a.example/keys/set?secret=1")
    assert str(base.join(reference, allow_http=False)) == url


@table("reference", ["", "//[", "http://a.example/", "javascript:x", "/a b"])
def test_refuses_a_reference(reference: str) -> None:
    with pytest.raises(ConfigurationError):
        KeyURL.parse("https://a.example/keys").join(reference, allow_http=False)


class TestBearerToken:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "token"
        file.write_text("first.token\n")
        return file

    def test_is_read_for_each_fetch_and_sent_to_its_origin_alone(
        self,
        server: KeyServer,
        other_server: KeyServer,
        file: Path,
        key_a: Key,
        clock: FrozenClock,
        background: Background,
    ) -> None:
        sent: list[tuple[int, str | None]] = []

        def answering(one: KeyServer, document: dict[str, object]) -> Answer:
            def answer(handler: BaseHTTPRequestHandler) -> None:
                sent.append((one.server_port, handler.headers.get("Authorization")))
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(json.dumps(document).encode())

            return answer

        metadata: dict[str, object] = {"issuer": "https://x", "jwks_uri": other_server.url()}
        server.answers["/metadata"] = answering(server, metadata)
        keys: dict[str, object] = {"keys": [key_a.public_jwk()]}
        other_server.answers["/jwks"] = answering(other_server, keys)
        here, there = server.server_port, other_server.server_port
        source = DiscoveredJWKS(
            "https://x",
            discovery_url=server.url("/metadata"),
            bearer_token_file=file,
            clock=clock,
            spawn=background,
        )
        assert [key.kid for key in source.current()] == ["a"]
        file.write_text("second.token")
        clock.now += 601
        source.current()
        assert sent == [
            (here, "Bearer first.token"),
            (there, None),
            (here, "Bearer second.token"),
            (there, None),
        ]

    def test_that_cannot_be_read_any_more_is_a_failed_fetch(
        self, server: KeyServer, file: Path, background: Background
    ) -> None:
        keys = RemoteJWKS(server.url(), bearer_token_file=file, spawn=background)
        file.unlink()
        with pytest.raises(UnavailableError, match=r"bearer_token_file .* cannot be read"):
            keys.current()
        assert server.hits == []

    @pytest.mark.parametrize(
        "content", [b"", b"\n", b"a b", b"a\nb", b"\xff", b"a\r\nX-A: b", b"\xc3\xa9"]
    )
    def test_must_be_one_token(self, content: bytes, file: Path) -> None:
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match="does not hold one bearer token"):
            RemoteJWKS("https://a.example/", bearer_token_file=file)

    @pytest.mark.parametrize("token", ["s" * 40, "eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln"])
    def test_is_not_shown_where_its_file_is_to_be_named(self, token: str, file: Path) -> None:
        with pytest.raises(ConfigurationError, match="name of an existing file") as caught:
            RemoteJWKS("https://a.example/", bearer_token_file=file.with_name(token))
        assert token not in "".join(traceback.format_exception(caught.value))

    def test_is_not_sent_over_plain_http(self, file: Path) -> None:
        with pytest.raises(ConfigurationError, match="bearer_token_file: the token needs an https"):
            RemoteJWKS("http://a.example/", allow_http=True, bearer_token_file=file)

    def test_is_missing_from_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"bearer_token_file .*No such file"):
            RemoteJWKS("https://a.example/", bearer_token_file=tmp_path / "absent")

    def test_is_for_the_fetch_of_this_package(self, file: Path) -> None:
        def fetch(url: str, /) -> Fetched:
            raise NotImplementedError

        with pytest.raises(ConfigurationError, match="bearer_token_file is for the fetch"):
            RemoteJWKS("https://a.example/", bearer_token_file=file, fetch=fetch)

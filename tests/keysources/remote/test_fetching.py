from __future__ import annotations

import pytest

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.remote.fetching import KeyURL


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("reference", ["", "//[", "http://a.example/", "javascript:x", "/a b"])
def test_refuses_a_reference(reference: str) -> None:
    with pytest.raises(ConfigurationError):
        KeyURL.parse("https://a.example/keys").join(reference, allow_http=False)

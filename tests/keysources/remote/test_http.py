from __future__ import annotations

import contextlib
import gzip
import socket
import socketserver
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jwt_middleware.errors import ConfigurationError
from jwt_middleware.keysources.remote import http
from jwt_middleware.keysources.remote.fetching import FetchError, KeyURL
from jwt_middleware.keysources.remote.http import (
    LONGEST_MAX_AGE_SECONDS,
    check_ca_file,
    fetch,
    max_age_seconds,
)

from ...table import table
from ...tls import Authority

if TYPE_CHECKING:
    from tests.keysources.conftest import KeyServer

SHORT_SECONDS = 0.2
HEAD = b"HTTP/1.1 200 OK\r\n"


def test_fetches_a_document(server: KeyServer) -> None:
    server.answer(b"octets", Cache_Control="max-age=60", Age="10", Content_Type="text/html")
    assert fetch(server.url()) == (b"octets", 50, server.url())


def test_knows_no_freshness_where_none_is_given(server: KeyServer) -> None:
    server.answer(b"")
    assert fetch(server.url()).max_age_seconds is None


def test_asks_for_path_and_query_but_shows_no_query(server: KeyServer) -> None:
    server.answer(b"octets", path="/jwks?tenant=secret")
    assert fetch(server.url("/jwks?tenant=secret")).fetched_from == server.url()
    with pytest.raises(FetchError) as caught:
        fetch(server.url("/other?tenant=secret"))
    assert str(caught.value) == f"{server.url('/other')}: status 404"
    assert caught.value.status == 404


def test_sends_the_host_with_its_port_and_asks_for_gzip(server: KeyServer) -> None:
    seen: dict[str, str] = {}
    server.answers["/jwks"] = lambda handler: seen.update(handler.headers.items())
    with pytest.raises(FetchError):  # it says nothing
        fetch(server.url())
    assert seen["Host"] == f"127.0.0.1:{server.server_port}"
    assert seen["Accept-Encoding"] == "gzip"
    assert "Authorization" not in seen


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 401, 429, 500, 503])
def test_refuses_any_status_but_200(server: KeyServer, status: int) -> None:
    server.answer(b"", status=status)
    with pytest.raises(FetchError, match=f"status {status}") as caught:
        fetch(server.url())
    assert caught.value.status == status


@pytest.mark.parametrize("answered", ["with length", "chunked", "until the end"])
@pytest.mark.parametrize(("length", "fits"), [(1000, True), (1001, False), (100_000, False)])
def test_caps_the_body(server: KeyServer, answered: str, length: int, fits: bool) -> None:  # noqa: FBT001
    octets = b"x" * length
    headers = {
        "with length": b"Content-Length: %d\r\n\r\n" % length,
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
        "until the end": b"\r\n",
    }
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (length, octets) if answered == "chunked" else octets
    server.answer_raw(HEAD + headers[answered] + sent)
    if fits:
        assert fetch(server.url(), max_bytes=1000).octets == octets
    else:
        with pytest.raises(FetchError, match="longer than 1000 bytes"):
            fetch(server.url(), max_bytes=1000)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nx", "IncompleteRead", id="body cut off"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx", "IncompleteRead", id="chunk cut off"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nz\r\n",
            "IncompleteRead|InvalidChunk|ValueError",
            id="chunk without size",
        ),
        pytest.param(HEAD + b"X-A: 1\r\n" * 101 + b"\r\n", "HTTPException", id="many headers"),
        pytest.param(HEAD + b"X-A: " + b"x" * 70_000, "LineTooLong", id="long header"),
        pytest.param(b"", "RemoteDisconnected", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", "BadStatusLine", id="no HTTP"),
        pytest.param(b"HTTP/1.1 999999 OK\r\n\r\n", "BadStatusLine", id="no status"),
    ],
)
def test_refuses_an_answer_that_is_broken(server: KeyServer, octets: bytes, reason: str) -> None:
    server.answer_raw(octets)
    with pytest.raises(FetchError, match=f"^{server.url()}: .*{reason}"):
        fetch(server.url())


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
def test_decompresses_gzip(server: KeyServer, coding: str) -> None:
    server.answer(gzip.compress(b"octets" * 1000), Content_Encoding=coding)
    assert fetch(server.url(), max_bytes=6000).octets == b"octets" * 1000


@pytest.mark.parametrize(
    ("octets", "coding", "reason"),
    [
        pytest.param(gzip.compress(b"x" * 10_000_000), "gzip", "longer than", id="bomb"),
        pytest.param(gzip.compress(b"x" * 6001), "gzip", "longer than", id="a byte too long"),
        pytest.param(gzip.compress(b"{}")[:-1], "gzip", "not one whole", id="cut off"),
        pytest.param(gzip.compress(b"{}") * 2, "gzip", "not one whole", id="two members"),
        pytest.param(b"{}", "gzip", "not gzip", id="plain"),
        pytest.param(b"", "gzip", "not one whole", id="empty"),
        pytest.param(b"{}", "br", "another way than gzip", id="brotli"),
        pytest.param(b"{}", "gzip, gzip", "another way than gzip", id="twice"),
    ],
)
def test_refuses_a_body_that_is_compressed_otherwise(
    server: KeyServer, octets: bytes, coding: str, reason: str
) -> None:
    server.answer(octets, Content_Encoding=coding)
    with pytest.raises(FetchError, match=reason):
        fetch(server.url(), max_bytes=6000)


def test_takes_a_body_that_is_said_not_to_be_compressed(server: KeyServer) -> None:
    server.answer(b"octets", Content_Encoding="Identity")
    assert fetch(server.url()).octets == b"octets"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_follows_redirects_within_the_origin(server: KeyServer, status: int) -> None:
    server.answer(b"", status=status, Location="/second")
    server.answer(b"", path="/second", status=status, Location=server.url("/third"))
    server.answer(b"octets", path="/third")
    assert fetch(server.url()) == (b"octets", None, server.url("/third"))


def test_follows_two_redirects_at_most(server: KeyServer) -> None:
    server.answer(b"", status=302, Location="/jwks")
    with pytest.raises(FetchError, match="more than 2 redirects"):
        fetch(server.url())
    assert len(server.hits) == 3


def test_never_follows_a_redirect_to_another_origin(
    server: KeyServer, other_server: KeyServer
) -> None:
    other_server.answer(b"octets")
    server.answer(b"", status=302, Location=other_server.url())
    with pytest.raises(FetchError, match="redirects to another origin"):
        fetch(server.url())
    assert other_server.hits == []


@pytest.mark.parametrize(
    "location",
    [None, "", "http://a.example/", "file:///etc/passwd", "//[", "https://u:p@127.0.0.1/", "/\xe4"],
)
def test_refuses_a_redirect_to_nowhere(server: KeyServer, location: str | None) -> None:
    server.answer(b"", status=302, **({} if location is None else {"Location": location}))
    with pytest.raises(FetchError, match="redirects to no usable URL"):
        fetch(server.url())


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        pytest.param(b"HTTP/1.1 200 OK", b" ", id="in the status line"),
        pytest.param(HEAD, b"X", id="in a header"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="with interim answers"),
        pytest.param(HEAD + b"Content-Length: 100000\r\n\r\n", b" ", id="in a body with length"),
        pytest.param(HEAD + b"\r\n", b" ", id="in a body without length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="in chunks"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x", id="in a chunk's head"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n", id="in the trailers"
        ),
    ],
)
def test_gives_up_on_a_server_that_drips(server: KeyServer, first: bytes, drop: bytes) -> None:
    server.drip(first, drop)
    with pytest.raises(FetchError, match=r"took longer than 0.2 s"):
        fetch(server.url(), deadline_seconds=SHORT_SECONDS)
    assert not server.release.is_set()


def test_gives_up_on_a_server_that_hangs(server: KeyServer) -> None:
    server.hang()
    with pytest.raises(FetchError, match=r"took longer than 0.2 s"):
        fetch(server.url(), deadline_seconds=SHORT_SECONDS)
    assert not server.release.is_set()


def test_has_one_deadline_for_all_redirects(server: KeyServer) -> None:
    server.answer(b"", status=302, Location="/second")
    server.drip(HEAD, b"X", path="/second")
    with pytest.raises(FetchError, match=r"second: took longer than 1 s"):
        fetch(server.url(), deadline_seconds=1)
    assert not server.release.is_set()


def test_does_nothing_once_the_time_is_up(server: KeyServer) -> None:
    with pytest.raises(FetchError, match="took longer than 0 s"):
        fetch(server.url(), deadline_seconds=0)
    assert server.hits == []


def test_says_that_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # taken, and not listening
        with pytest.raises(FetchError, match="Connection refused"):
            fetch(f"http://127.0.0.1:{sock.getsockname()[1]}/jwks")


def test_tries_each_address_of_a_host(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer(b"octets")
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **parts: Any) -> list[Any]:
        refused = socket.socket()
        refused.bind(("127.0.0.1", 0))
        kept.append(refused)
        first = real("127.0.0.1", refused.getsockname()[1], **parts)
        return [*first, *real("127.0.0.1", port, **parts)]

    kept: list[socket.socket] = []
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = f"http://localhost:{server.server_port}/jwks"
    assert fetch(url).octets == b"octets"
    kept.pop().close()


def test_says_that_a_host_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(FetchError, match=r"https://a.example/: OSError"):
        fetch("https://a.example")


def test_says_that_a_name_cannot_be_encoded() -> None:
    with pytest.raises(FetchError, match="Unicode"):
        fetch(f"https://{'x' * 64}.example/")


def test_refuses_plain_http_before_it_connects() -> None:
    with pytest.raises(FetchError, match="must be https"):
        fetch("http://a.example/")


def test_fetches_plain_http_where_it_is_allowed(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer(b"octets")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, port, **kw: real("127.0.0.1", port, **kw))
    url = f"http://a.example:{server.server_port}/jwks"
    assert fetch(url, allow_http=True).octets == b"octets"


def test_goes_to_loopback_without_a_proxy(
    server: KeyServer, other_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other_server.url("/"))
    server.answer(b"octets")
    assert fetch(server.url()).octets == b"octets"
    assert other_server.hits == []


def test_leaves_no_thread_and_no_socket_behind(server: KeyServer) -> None:
    server.answer(b"octets")
    threads = threading.active_count()
    fetch(server.url())
    # Its own watch has ended; the server's thread for the connection may not have yet.
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    assert threading.active_count() <= threads + 1


def test_says_that_there_are_no_more_threads(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    server.answer(b"octets")
    monkeypatch.setattr(threading.Timer, "start", start)
    with pytest.raises(FetchError, match="RuntimeError"):
        fetch(server.url())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_url(server: KeyServer, authority: Authority) -> str:
    """Return the URL of a server over TLS whose certificate is good for 127.0.0.1."""
    server.socket = authority.context("127.0.0.1").wrap_socket(server.socket, server_side=True)
    server.answer(b"octets")
    return server.url().replace("http:", "https:")


def test_fetches_over_tls(tls_url: str, authority: Authority) -> None:
    assert fetch(tls_url, ca_file=authority.ca_file).octets == b"octets"


def test_refuses_a_certificate_of_an_unknown_authority(tls_url: str, server: KeyServer) -> None:
    with pytest.raises(FetchError, match="certificate is refused"):
        fetch(tls_url)
    assert server.hits == []


def test_refuses_a_certificate_of_another_host(server: KeyServer, authority: Authority) -> None:
    server.socket = authority.context("127.0.0.2").wrap_socket(server.socket, server_side=True)
    with pytest.raises(FetchError, match=r"certificate is refused: .*127.0.0.1"):
        fetch(server.url().replace("http:", "https:"), ca_file=authority.ca_file)
    assert server.hits == []


def test_gives_up_on_a_server_that_drips_over_tls(
    tls_url: str, server: KeyServer, authority: Authority
) -> None:
    server.drip(HEAD, b"X")
    with pytest.raises(FetchError, match=r"took longer than 1 s"):
        fetch(tls_url, deadline_seconds=1, ca_file=authority.ca_file)
    assert server.arrived.is_set()
    assert not server.release.is_set()


def test_gives_up_on_a_handshake_that_drips(server: KeyServer) -> None:
    released = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB to come
                while not released.wait(0.01):
                    try:
                        sock.sendall(b"\x02")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FetchError, match=r"took longer than 0.2 s"):
            fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", deadline_seconds=SHORT_SECONDS)
        assert not released.is_set()
        released.set()
        thread.join()


def test_says_that_a_server_does_not_speak_tls(server: KeyServer) -> None:
    with pytest.raises(FetchError, match=r"SSLError|wrong version|record layer"):
        fetch(server.url().replace("http:", "https:"))


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_refuses_a_ca_file_without_certificates(
    tmp_path: Path, content: bytes | None, server: KeyServer
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="ca_file"):
        check_ca_file(file)
    # Replaced while it runs, it is an outage, whose log line names it.
    with pytest.raises(FetchError, match=r"ca_file .*ca\.pem' is not a readable PEM file"):
        fetch(server.url(), ca_file=file)


def test_gives_up_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        with pytest.raises(FetchError, match="took longer than"):
            fetch("https://keys.example/", deadline_seconds=SHORT_SECONDS)
        assert not answered.is_set()
    finally:
        answered.set()


def test_its_bounds_are_those_of_the_documentation() -> None:
    assert (http.DEADLINE_SECONDS, http.MAX_BYTES, http.MAX_REDIRECTS) == (5, 1_048_576, 2)


@table(
    ("cache_control", "seconds"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("public", None, id="no max-age"),
        pytest.param("max-age=600", 600, id="max-age"),
        pytest.param("max-age=0", 0, id="0"),
        pytest.param("public, Max-Age=600, must-revalidate", 600, id="among others, any case"),
        pytest.param('max-age="600"', 600, id="quoted"),
        pytest.param('x="a, max-age=1", max-age=600', 600, id="inside another's string"),
        pytest.param('x="\\", max-age=1", max-age=600', 600, id="inside an escaped string"),
        pytest.param("s-maxage=1, max-age=600", 600, id="s-maxage is for shared caches"),
        pytest.param("s-maxage=1", None, id="s-maxage alone"),
        pytest.param("max-age=600, max-age=60", 600, id="the first of two"),
        pytest.param("max-age=600, no-cache", 0, id="no-cache"),
        pytest.param("no-store", 0, id="no-store"),
        pytest.param("max-age", 0, id="no number"),
        pytest.param("max-age=-1", 0, id="negative"),
        pytest.param("max-age=1.5", 0, id="fraction"),
        pytest.param("max-age=\u0661", 0, id="digits of another script"),
        pytest.param("max-age=4294967296", LONGEST_MAX_AGE_SECONDS, id="more than 31 bits"),
        pytest.param(
            "max-age=" + "9" * 5000, LONGEST_MAX_AGE_SECONDS, id="more digits than int() takes"
        ),
    ],
)
def test_reads_cache_control(cache_control: str | None, seconds: int | None) -> None:
    assert max_age_seconds(cache_control) == seconds


@table(("age", "seconds"), [(None, 600), ("0", 600), ("200", 400), ("700", 0), ("x", 600)])
def test_subtracts_the_time_spent_in_caches(age: str | None, seconds: int) -> None:
    assert max_age_seconds("max-age=600", age) == seconds


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy (CONNECT) that leads every host to one server, and notes what it was asked."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.port = port
        self.asked: list[str] = []
        self.answer = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"
        self.hangs = threading.Event()
        self.release = threading.Event()


class _Tunnel(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        self.server.asked.append(head.decode())
        if self.server.hangs.is_set():
            self.server.release.wait()
            return
        self.request.sendall(self.server.answer)
        if b" 200 " not in self.server.answer:
            return
        with socket.create_connection(("127.0.0.1", self.server.port)) as other:
            back = threading.Thread(target=_pump, args=(other, self.request))
            back.start()
            _pump(self.request, other)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(65_536):
            sink.sendall(octets)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Proxy(server.server_port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        yield proxy
        proxy.release.set()
        proxy.shutdown()
        thread.join()


@pytest.fixture
def named_url(server: KeyServer, authority: Authority) -> str:
    """Return the URL of a server over TLS for a.example, which only the proxy leads to."""
    context = authority.context("a.example")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answer(b"octets")
    return "https://a.example/jwks"


class TestProxy:
    def test_leads_to_the_host(self, named_url: str, proxy: Proxy, authority: Authority) -> None:
        assert fetch(named_url, ca_file=authority.ca_file).octets == b"octets"
        (asked,) = proxy.asked
        assert asked.splitlines()[:2] == ["CONNECT a.example:443 HTTP/1.1", "Host: a.example:443"]
        assert "Proxy-Authorization" not in asked

    def test_does_not_vouch_for_the_host(self, named_url: str, proxy: Proxy) -> None:
        with pytest.raises(FetchError, match="certificate is refused"):
            fetch(named_url)

    @pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
    def test_gets_its_password_and_nobody_else_sees_it(
        self,
        name: str,
        named_url: str,
        proxy: Proxy,
        authority: Authority,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.delenv("HTTPS_PROXY")
        port = proxy.server_address[1]
        monkeypatch.setenv(name, f"http://ann:s%40cret@127.0.0.1:{port}")
        assert fetch(named_url, ca_file=authority.ca_file).octets == b"octets"
        basic = b64encode(b"ann:s@cret").decode()
        assert f"Proxy-Authorization: Basic {basic}\r\n" in proxy.asked[0]
        proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        with pytest.raises(
            FetchError, match=r"proxy 127.0.0.1:\d+ answers with status 407"
        ) as caught:
            fetch(named_url, ca_file=authority.ca_file)
        assert "cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "no_proxy",
        ["a.example", "b.example, .example", "*", "example", "*.example", "A.EXAMPLE:443"],
    )
    def test_is_bypassed(
        self, no_proxy: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        with pytest.raises(FetchError, match="OSError"):
            fetch("https://a.example/jwks")
        assert proxy.asked == []

    @pytest.mark.parametrize(
        "no_proxy",
        ["", "b.example", "xa.example", "a.example:8443", "10.0.0.0/8", ".a.example.org"],
    )
    def test_is_not_bypassed(
        self,
        no_proxy: str,
        named_url: str,
        proxy: Proxy,
        authority: Authority,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert fetch(named_url, ca_file=authority.ca_file).octets == b"octets"
        assert len(proxy.asked) == 1

    @pytest.mark.parametrize(
        ("host", "no_proxy", "bypassed"),
        [
            ("10.1.2.3", "10.0.0.0/8", True),
            ("11.1.2.3", "10.0.0.0/8", False),
            ("[2001:db8::1]", "2001:db8::/32", True),
            ("10.1.2.3", "10.1.2.3", True),
            ("localhost", "", True),
            ("127.8.9.1", "", True),
        ],
    )
    def test_knows_addresses_networks_and_loopback(
        self,
        host: str,
        no_proxy: str,
        bypassed: bool,  # noqa: FBT001
        proxy: Proxy,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
        found = http._proxy_for(KeyURL.parse(f"https://{host}/"))
        assert (found is None) == bypassed

    def test_is_for_https_alone(self, proxy: Proxy) -> None:
        assert http._proxy_for(KeyURL.parse("http://a.example/", allow_http=True)) is None

    @pytest.mark.parametrize(
        "url", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://[", "http://:x@"]
    )
    def test_of_another_kind_is_an_error_that_does_not_quote_it(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("NO_PROXY", "")
        with pytest.raises(FetchError, match="HTTPS_PROXY is not the http:// URL") as caught:
            fetch("https://a.example/jwks")
        assert "127" not in str(caught.value)

    def test_that_hangs_is_given_up_on(self, proxy: Proxy) -> None:
        proxy.hangs.set()
        with pytest.raises(FetchError, match=r"took longer than 0.2 s"):
            fetch("https://a.example/jwks", deadline_seconds=SHORT_SECONDS)

    @pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 " + b"x" * 70_000])
    def test_that_is_none_is_an_error(self, answer: bytes, proxy: Proxy) -> None:
        proxy.answer = answer
        with pytest.raises(FetchError):
            fetch("https://a.example/jwks")


def test_sends_a_bearer_token(server: KeyServer) -> None:
    seen: dict[str, str] = {}
    server.answers["/jwks"] = lambda handler: seen.update(handler.headers.items())
    with pytest.raises(FetchError):  # it says nothing
        fetch(server.url(), bearer_token="a.b.c")
    assert seen["Authorization"] == "Bearer a.b.c"

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.endpoint.limits import ClientAddresses
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.wsgi.address import parse_address

from ..table import table


@table(
    ("text", "address"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="ipv4"),
        pytest.param(" 192.0.2.1\t", "192.0.2.1", id="space-around"),
        pytest.param("192.0.2.1:4711", "192.0.2.1", id="ipv4-port"),
        pytest.param("2001:db8::1", "2001:db8::1", id="ipv6"),
        pytest.param("[2001:db8::1]", "2001:db8::1", id="brackets"),
        pytest.param("[2001:db8::1]:443", "2001:db8::1", id="ipv6-port"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="mapped"),
        pytest.param("[::ffff:c000:201]:1", "192.0.2.1", id="mapped-hex-port"),
        pytest.param("fe80::1%eth0", "fe80::1", id="zone"),
        pytest.param("[fe80::1%25eth0]:80", "fe80::1", id="zone-in-brackets"),
        pytest.param("", None, id="empty"),
        pytest.param("unknown", None, id="unknown"),
        pytest.param("_hidden", None, id="obfuscated"),
        pytest.param("localhost:80", None, id="name"),
        pytest.param("192.0.2.1:", None, id="empty-port"),
        pytest.param("192.0.2.1:x", None, id="port-of-no-number"),
        pytest.param("192.0.2.256", None, id="out-of-range"),
        pytest.param("192.0.2.01", None, id="octal"),
        pytest.param("3221225985", None, id="number"),
        pytest.param("1" * 5000, None, id="long"),
        pytest.param("\u0661.0.0.1", None, id="other-digits"),
    ],
)
def test_reads_addresses_as_servers_and_proxies_write_them(text: str, address: str | None) -> None:
    assert parse_address(text) == (address and ip_address(address))


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parse_address(text)
    ClientAddresses(2)({"HTTP_X_FORWARDED_FOR": text, "REMOTE_ADDR": text})


PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        pytest.param(0, None, PEER, id="none-trusted"),
        pytest.param(0, "1.1.1.1", PEER, id="none-trusted-but-sent"),
        pytest.param(1, "1.1.1.1", "1.1.1.1", id="one"),
        pytest.param(1, "6.6.6.6, 1.1.1.1", "1.1.1.1", id="one-and-a-made-up-value"),
        pytest.param(1, "6.6.6.6,,,1.1.1.1", "1.1.1.1", id="one-and-nonsense"),
        pytest.param(2, "6.6.6.6, 1.1.1.1 , 2.2.2.2", "1.1.1.1", id="two"),
        pytest.param(2, "1.1.1.1, 2.2.2.2", "1.1.1.1", id="two-exactly"),
        pytest.param(2, "1.1.1.1", PEER, id="fewer-than-trusted"),
        pytest.param(1, None, PEER, id="not-sent"),
        pytest.param(1, "", PEER, id="empty"),
        pytest.param(1, "6.6.6.6, unknown", PEER, id="garbage-in-its-place"),
        pytest.param(1, "6.6.6.6,", PEER, id="nothing-in-its-place"),
        pytest.param(1, "[2001:db8::1]:99", "2001:db8::1", id="ipv6-with-port"),
        pytest.param(16, ",".join(["1.1.1.1"] + ["2.2.2.2"] * 15), "1.1.1.1", id="most"),
    ],
)
def test_believes_as_many_proxies_as_are_trusted(
    proxies: int, forwarded: str | None, address: str
) -> None:
    environ = {"REMOTE_ADDR": PEER}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert ClientAddresses(proxies)(environ) == ip_address(address)


@pytest.mark.parametrize("environ", [{}, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": "unix:"}])
def test_an_address_that_nobody_knows_is_warned_of_once(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    addresses = ClientAddresses()
    assert [addresses(environ) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    assert "trusted_proxies" in caplog.text


def test_behind_a_proxy_on_a_unix_socket_the_header_is_enough() -> None:
    environ = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "1.1.1.1"}
    assert ClientAddresses(1)(environ) == ip_address("1.1.1.1")


@table("proxies", [-1, 17, True, 1.0, "1", None])
def test_wrong_number_is_a_configuration_error(proxies: Any) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies must be"):
        ClientAddresses(proxies)


def test_a_proxy_that_is_not_declared_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    addresses = ClientAddresses()
    for _ in range(3):
        addresses({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1"})
    ClientAddresses(1)({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1"})
    assert caplog.text.count("trusted_proxies is 0: behind a proxy") == 1

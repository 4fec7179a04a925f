"""Prepared HMAC is HMAC: held against the standard library, on both sides of a block."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_middleware.core.mac import prepared_hmac

HASHES = [hashlib.sha256, hashlib.sha384, hashlib.sha512]


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("new_hash", HASHES, ids=lambda new_hash: new_hash().name)
def test_is_what_the_standard_library_makes(new_hash: Any, length: int) -> None:
    secret = bytes(range(256)) * 4
    secret = secret[:length]
    mac = prepared_hmac(secret, new_hash)
    for message in (b"", b"one", b"m" * 1000):
        assert mac(message) == hmac.digest(secret, message, new_hash)


@given(secret=st.binary(max_size=300), messages=st.lists(st.binary(max_size=300), max_size=4))
def test_a_message_leaves_nothing_behind_for_the_next(secret: bytes, messages: list[bytes]) -> None:
    mac = prepared_hmac(secret, hashlib.sha256)
    for message in messages:
        assert mac(message) == hmac.digest(secret, message, hashlib.sha256)


def test_rfc_4231_test_case_2() -> None:
    mac = prepared_hmac(b"Jefe", hashlib.sha256)(b"what do ya want for nothing?")
    assert mac.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

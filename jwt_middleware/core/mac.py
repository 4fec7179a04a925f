"""HMAC (RFC 2104) for many messages under one secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


def prepared_hmac(secret: bytes, new_hash: Callable[[bytes], _Hash]) -> Callable[[bytes], bytes]:
    """
    Return HMAC under *secret*, as a function of the message.

    :mod:`hmac` hashes the two blocks that are made of the secret anew for each message, which takes
    longer than all the rest for one as short as a token.  Here they are hashed once, as RFC 2104 §4
    says how to.

    Args:
        secret: Of any length.
        new_hash: :func:`hashlib.sha256` or another of the kind.
    """
    block_size = new_hash(b"").block_size
    key = secret if len(secret) <= block_size else new_hash(secret).digest()
    padded = key.ljust(block_size, b"\0")
    inner = new_hash(bytes(octet ^ 0x36 for octet in padded))
    outer = new_hash(bytes(octet ^ 0x5C for octet in padded))

    def mac(message: bytes) -> bytes:
        first, second = inner.copy(), outer.copy()
        first.update(message)
        second.update(first.digest())
        return second.digest()

    return mac

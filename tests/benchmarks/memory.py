"""A million different tokens through one worker: what it has grown by, and when that ends."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jwt_middleware.core.jws import encode_object, serialize

from .subject import AUDIENCE, ISSUER, KEYS, bare_app, ignore, request_with
from .table import Row
from .warm import protected

_LOOKS: Final = 10
_MB: Final = 1024 * 1024


def measure(*, tokens: int) -> Iterator[Row]:
    """Send a request with each of *tokens*, made on the way so that only ours is held."""
    app = protected(bare_app)
    resident = [resident_bytes()]
    made = _tokens()
    for _ in range(_LOOKS):
        for _ in range(tokens // _LOOKS):
            app(request_with(next(made)), ignore)
        gc.collect()
        resident.append(resident_bytes())
    grown = [(one - resident[0]) / _MB for one in resident[1:]]
    yield Row(
        f"resident memory after {tokens:,} different tokens, 10,000 remembered",
        "after half of them",
        resident[-1] / resident[_LOOKS // 2],
        target=1.05,
        detail="MB gained after each tenth: " + " ".join(f"{one:.0f}" for one in grown),
    )


def _tokens() -> Iterator[str]:
    key = KEYS.signing_key
    assert key is not None
    header = encode_object({"typ": "at+jwt", "alg": key.alg, "kid": key.kid})
    claims: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 86_400}
    number = 0
    while True:
        number += 1
        named = {**claims, "sub": f"{number}", "jti": f"token-{number:08}", "scope": "read write"}
        yield serialize(header, encode_object(named), key.sign)


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

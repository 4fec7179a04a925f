"""What a refused token costs, against the acceptance of one that is as new."""

from __future__ import annotations

import itertools
import random
import string
import time
from collections.abc import Callable, Iterator
from typing import Final

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier
from jwt_middleware.core.jws import encode_object
from jwt_middleware.errors import InvalidTokenError

from .first_sight import TOKENS, fresh_verifier
from .subject import (
    AUDIENCE,
    ISSUER,
    PAYLOAD,
    bare_app,
    ignore,
    issuer_for,
    new_tokens,
    request_with,
    verifier_for,
)
from .table import Row
from .timing import Batch, interleaved, over_all

NOISE_BYTES: Final = 8192
_BASE64URL: Final = string.ascii_letters + string.digits + "-_"


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure each kind of refusal."""
    tokens = list(new_tokens(TOKENS))
    verifier = verifier_for()
    verifier.verify(tokens[0])
    refused = _refused_tokens(tokens)
    cases = {"accepted": fresh_verifier(tokens)} | {
        kind: over_all(_refusing(verifier), bad) for kind, bad in refused.items()
    }
    timings = interleaved(cases, rounds=rounds)
    for kind in refused:
        yield Row(
            f"a refused token: {kind}",
            "first sight of an accepted one",
            timings.ratio(kind, "accepted"),
            target=1.5,
            detail=f"{timings.median(kind):.1f} / {timings.median('accepted'):.1f} µs",
        )
    yield from _measure_requests(rounds=rounds)


def _measure_requests(*, rounds: int) -> Iterator[Row]:
    """Measure requests without a token that are made to take long to decide on."""
    rules = [Rule(f"/area{number}/*", scopes=[f"s{number}"]) for number in range(1000)]
    app = JWTMiddleware(
        bare_app,
        verifier=verifier_for(),
        policy=Policy([*rules, Rule("/*", access="public")]),
    )
    units = ("//a", "/..", "%2561;", "%252525", "é/", "\xff", "\\", "ａ")
    overrides = {"HTTP_X_HTTP_METHOD": "MOVE", "HTTP_X_METHOD_OVERRIDE": "DELETE"}

    def ready() -> Batch:
        environs = []
        for unit, length in itertools.product(units, (265, 500, 1000, 8000)):
            path = ("/" + unit.encode().decode("latin-1") * length)[:length]
            moved = {"HTTP_X_SCRIPT_NAME": path[:260], "HTTP_X_VHM_ROOT": "/x"}
            for headers in (overrides, {**overrides, "HTTP_DESTINATION": path}, moved):
                environ = request_with("", "/")
                del environ["HTTP_AUTHORIZATION"]
                environs.append({**environ, "PATH_INFO": path, **headers})
        random.shuffle(environs)

        def batch() -> int:
            for environ in environs:
                app(environ, ignore)
            return len(environs)

        return batch

    milliseconds = (
        interleaved({"hostile": ready}, rounds=max(2, rounds // 8)).median("hostile") / 1e3
    )
    yield Row(
        "a request without a token that is hard to read, 1,000 rules",
        "1 ms",
        milliseconds,
        target=2,
        detail=f"{milliseconds:.2f} ms",
    )


def _refusing(verifier: TokenVerifier) -> Callable[[str], None]:
    def refuse(token: str) -> None:
        try:
            verifier.verify(token)
        except InvalidTokenError:
            return
        raise AssertionError("accepted")

    return refuse


def _refused_tokens(tokens: list[str]) -> dict[str, list[str]]:
    past = issuer_for(clock=lambda: time.time() - 100_000)
    header, _, rest = tokens[0].partition(".")
    members = {f"claim{number}": number for number in range(400)}
    document = encode_object({"iss": ISSUER, "aud": AUDIENCE, **members}).decode()
    tail = rest.rpartition(".")[2]
    return {
        "bad signature": [token[:-12] + token[-12:].swapcase() for token in tokens],
        "expired": [past.issue(PAYLOAD).token for _ in tokens],
        "malformed": [token.replace(".", "..", 1) for token in tokens],
        "8 KB of noise": [_noise() for _ in tokens],
        "8 KB of noise in three segments": [_noise(dots=True) for _ in tokens],
        "8 KB of noise under a known header": [f"{header}.{_noise()}.{tail}" for _ in tokens],
        "8 KB of unsigned JSON": [f"{header}.{document}.{tail}" for _ in tokens],
    }


def _noise(*, dots: bool = False) -> str:
    characters = random.choices(_BASE64URL, k=NOISE_BYTES)  # noqa: S311  it is noise
    if dots:
        characters[100] = characters[-44] = "."
    return "".join(characters)

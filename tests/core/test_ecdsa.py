"""Our reading of a signature's two numbers is PyJWT's, for every curve and at every edge."""

from __future__ import annotations

import pytest

from jwt_middleware.core.jws import ALGORITHMS
from jwt_middleware.core.keys import Key

MESSAGE = b"header.payload"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_agrees_with_pyjwt(alg: str) -> None:
    key = Key.generate(alg)
    good = key.sign(MESSAGE)
    half = len(good) // 2
    signatures = [
        *(good, b"", good[:-1], good + b"\0", b"\0" + good, good[half:] + good[:half]),
        *(bytes(2 * half), b"\xff" * (2 * half), bytes(half) + good[half:], good[:half]),
        good[:half] + bytes(half),
    ]
    answers = [key.verify(MESSAGE, signature) for signature in signatures]
    expected = [
        ALGORITHMS[alg].verify(MESSAGE, key._verifying, signature) for signature in signatures
    ]
    assert answers == expected
    assert answers.count(True) == 1
    assert not key.verify(MESSAGE + b"!", good)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_number_has_one_length(alg: str) -> None:
    key = Key.generate(alg)
    good = key.sign(MESSAGE)
    half = len(good) // 2
    # The same two numbers, and another token.
    assert not key.verify(MESSAGE, good[:half] + b"\0" + good[half:])

"""The first sight of a token: from the string to the subject that it was verified to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey
from jwt.utils import raw_to_der_signature

from jwt_middleware import Key, KeySet
from jwt_middleware.core.jws import decode_object, decode_segment, split

from .subject import AUDIENCE, ISSUER, SECRET, new_tokens, verifier_for
from .table import Row
from .timing import Batch, Case, Timings, interleaved, over_all

TOKENS: Final = 200
_TARGETS: Final = {"RS256": 1.75, "ES256": 1.4, "EdDSA": 1.2}


def measure(*, rounds: int) -> Iterator[Row]:
    """Measure HS256 against peers, and the other algs against OpenSSL."""
    yield from _against_peers(rounds)
    for alg, target in _TARGETS.items():
        yield _against_openssl(alg, target, rounds)


def fresh_verifier(tokens: list[str], keys: KeySet | None = None) -> Case:
    """Return a case of *tokens*, each new to a verifier that has seen one with their header."""

    def ready() -> Batch:
        verifier = verifier_for() if keys is None else verifier_for(keys)
        verify, first, *others = verifier.verify, *tokens
        verify(first)

        def batch() -> int:
            for token in others:
                verify(token).subject  # noqa: B018  what is measured ends with it
            return len(others)

        return batch

    return ready


def _against_peers(rounds: int) -> Iterator[Row]:
    tokens = list(new_tokens(TOKENS))
    cases = {
        "ours": fresh_verifier(tokens),
        "PyJWT": over_all(_pyjwt, tokens),
        "joserfc": over_all(_joserfc(), tokens),
    }
    if find_spec("clasp"):
        # It refuses every token with an aud, having no means to say which is expected.
        cases["clasp-jwt"] = over_all(_clasp(), [_without_audience(token) for token in tokens])
    timings = interleaved(cases, rounds=rounds)
    yield _row(timings, "PyJWT", 5.8)
    yield _row(timings, "joserfc", 2.5)
    if "clasp-jwt" in cases:
        ours, theirs = timings.median("ours"), timings.median("clasp-jwt")
        yield Row(
            "first sight of a token, HS256",
            "clasp-jwt (Rust) and json.loads",
            timings.ratio("ours", "clasp-jwt"),
            target=1.35,
            detail=f"{ours:.1f} / {theirs:.1f} µs",
        )


def _row(timings: Timings, peer: str, target: float) -> Row:
    return Row(
        "first sight of a token, HS256: times faster than",
        peer,
        timings.ratio(peer, "ours"),
        bound="at least",
        target=target,
        detail=f"{timings.median(peer):.1f} / {timings.median('ours'):.1f} µs",
    )


def _pyjwt(token: str) -> Any:
    return jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)["sub"]


def _joserfc() -> Callable[[str], Any]:
    key = OctKey.import_key(SECRET)
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
    )

    def verify(token: str) -> Any:
        claims = joserfc_jwt.decode(token, key, algorithms=["HS256"]).claims
        registry.validate(claims)
        return claims["sub"]

    return verify


def _clasp() -> Callable[[str], Any]:
    import clasp

    key = clasp.SymmetricKey(SECRET.encode(), "HS256")
    return lambda token: json.loads(key.verify(token))["sub"]


def _without_audience(token: str) -> str:
    claims = decode_object(split(token).payload, "payload")
    del claims["aud"]
    return jwt.encode(claims, SECRET, headers={"typ": "at+jwt", "kid": "2026-11"})


def _against_openssl(alg: str, target: float, rounds: int) -> Row:
    key = Key.generate(alg, kid="2026-11")
    tokens = list(new_tokens(TOKENS // 4, KeySet([key])))
    cases = {
        "ours": fresh_verifier(tokens, KeySet([key])),
        "OpenSSL": over_all(
            _bare_verify(alg, key._verifying), [_signed(one, alg) for one in tokens]
        ),
    }
    timings = interleaved(cases, rounds=rounds)
    return Row(
        f"first sight of a token, {alg}",
        "OpenSSL's verify alone",
        timings.ratio("ours", "OpenSSL"),
        target=target,
        detail=f"{timings.median('ours'):.1f} / {timings.median('OpenSSL'):.1f} µs",
    )


def _signed(token: str, alg: str) -> tuple[bytes, bytes]:
    jws = split(token)
    signature = decode_segment(jws.signature, "signature")
    if alg == "ES256":  # OpenSSL takes it in another shape than JWS
        signature = raw_to_der_signature(signature, ec.SECP256R1())
    return jws.signing_input, signature


def _bare_verify(alg: str, key: Any) -> Callable[[tuple[bytes, bytes]], object]:
    if alg == "RS256":
        return lambda signed: key.verify(signed[1], signed[0], padding.PKCS1v15(), hashes.SHA256())
    if alg == "ES256":
        return lambda signed: key.verify(signed[1], signed[0], ec.ECDSA(hashes.SHA256()))
    return lambda signed: key.verify(signed[1], signed[0])

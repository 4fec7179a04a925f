"""Cases 1 to 26: the algorithm and the key are ours to choose, never the token's."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwt_middleware import Key, KeySet

from .support import SECRET, Refusals, Site, b64, forge, good_claims, good_token, hs256


def unsigned(signing_input: bytes) -> bytes:
    return b""


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_jwk(**members: str) -> dict[str, str]:
    numbers = private_key().public_key().public_numbers()
    n = numbers.n.to_bytes(256, "big")
    return {"kty": "RSA", "n": b64(n), "e": "AQAB", **members}


def public_texts() -> dict[str, bytes]:
    """Every form in which an attacker can have the server's public key."""
    public = private_key().public_key()
    spki, pkcs1 = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1
    jwk = public_jwk(kid="rsa", alg="RS256")
    return {
        "pem": public.public_bytes(Encoding.PEM, spki),
        "pem-stripped": public.public_bytes(Encoding.PEM, spki).strip(),
        "pkcs1-pem": public.public_bytes(Encoding.PEM, pkcs1),
        "spki-der": public.public_bytes(Encoding.DER, spki),
        "pkcs1-der": public.public_bytes(Encoding.DER, pkcs1),
        "jwk": json.dumps(jwk).encode(),
        "jwk-compact": json.dumps(jwk, separators=(",", ":")).encode(),
        "modulus": public.public_numbers().n.to_bytes(256, "big"),
        "empty": b"",
    }


def sign_rsa(signing_input: bytes, *, alg: str = "RS256") -> bytes:
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[alg[2:]]
    pad: Any = padding.PKCS1v15()
    if alg.startswith("PS"):
        pad = padding.PSS(padding.MGF1(digest), digest.digest_size)
    return private_key().sign(signing_input, pad, digest)


@cache
def rsa_site() -> Site:
    pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Site(keys=KeySet([Key.from_pem(pem, alg="RS256", kid="rsa")]))


def rsa_token(**header: Any) -> str:
    return forge({"alg": "RS256", "kid": "rsa", **header}, sign=sign_rsa)


@pytest.fixture
def audited() -> Iterator[list[tuple[str, str]]]:
    """Record which files are opened and which addresses are looked up or connected to."""
    if not AUDIT.installed:
        sys.addaudithook(AUDIT.hook)  # there is no way to remove one
        AUDIT.installed = True
    AUDIT.events = []
    AUDIT.active = True
    yield AUDIT.events
    AUDIT.active = False


class _Audit:
    installed = active = False
    events: list[tuple[str, str]]

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.active and event in {"open", "socket.connect", "socket.getaddrinfo"}:
            self.events.append((event, str(args[:2])))


AUDIT = _Audit()


@pytest.mark.parametrize("kid", [{}, {"kid": "k1"}], ids=["no-kid", "kid"])
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "none ", "\tnone"])
def test_case_1_alg_none(alg: str, kid: dict[str, str], site: Site, refusals: Refusals) -> None:
    refusals.r401(site, forge({"alg": alg, **kid}, sign=unsigned))


def test_case_2_alg_none_with_the_old_signature(site: Site, refusals: Refusals) -> None:
    header, payload, signature = good_token().split(".")
    none = b64(b'{"alg":"none"}')
    refusals.r401(site, f"{none}.{payload}.{signature}")
    refusals.r401(site, f"{none}.{payload}")
    refusals.r401(site, f"{header}.{payload}")
    refusals.r401(site, f"{header}.{payload}.")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({}, id="missing"),
        *(
            pytest.param({"alg": alg}, id=repr(alg))
            for alg in ("", None, 256, ["HS256"], {"HS256": 1}, True, "hs256", "HS256 ", "HS256\0")
        ),
        pytest.param({"ALG": "HS256"}, id="upper-case-name"),
        pytest.param(b'{"alg":"HS256","alg":"none"}', id="twice"),
        pytest.param(b'{"alg":"none","\\u0061lg":"HS256"}', id="twice-escaped"),
        pytest.param({"alg": "ES256K"}, id="ES256K"),
        pytest.param({"alg": "HS1"}, id="HS1"),
    ],
)
def test_case_3_alg_is_nothing_we_know(header: Any, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, forge(header))


@pytest.mark.parametrize("kid", [{}, {"kid": "rsa"}], ids=["no-kid", "kid"])
@pytest.mark.parametrize("form", public_texts())
def test_case_4_public_key_as_hmac_secret(
    form: str, kid: dict[str, str], refusals: Refusals
) -> None:
    sign = partial(hs256, secret=public_texts()[form])
    refusals.r401(rsa_site(), forge({"alg": "HS256", **kid}, sign=sign), good=rsa_token())


@pytest.mark.parametrize("kid", [{}, {"kid": "rsa"}], ids=["no-kid", "kid"])
@pytest.mark.parametrize("alg", ["PS256", "RS384", "RS512", "PS512"])
def test_case_7_right_key_wrong_alg(alg: str, kid: dict[str, str], refusals: Refusals) -> None:
    token = forge({"alg": alg, **kid}, sign=partial(sign_rsa, alg=alg))
    refusals.r401(rsa_site(), token, good=rsa_token())


@pytest.mark.parametrize("alg", ["PS256", "RS384", "HS256", "ES256"])
def test_case_7_right_signature_under_another_name(alg: str, refusals: Refusals) -> None:
    token = forge({"alg": alg, "kid": "rsa"}, sign=sign_rsa)
    refusals.r401(rsa_site(), token, good=rsa_token())


@pytest.mark.parametrize("kid", [{}, {"kid": "rsa"}, {"kid": "evil"}], ids=["none", "ours", "own"])
def test_case_9_embedded_jwk(kid: dict[str, str], refusals: Refusals) -> None:
    evil = rsa.generate_private_key(65537, 2048)
    n = b64(evil.public_key().public_numbers().n.to_bytes(256, "big"))
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", **kid}

    def sign(signing_input: bytes) -> bytes:
        return evil.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())

    for member in ({"jwk": jwk}, {"x5c": [n]}, {"jwk": json.dumps(jwk)}):
        refusals.r401(
            rsa_site(), forge({"alg": "RS256", **kid, **member}, sign=sign), good=rsa_token()
        )


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_case_10_no_key_is_fetched(
    member: str, site: Site, refusals: Refusals, audited: list[tuple[str, str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks.json"
        header = {"alg": "HS256", "kid": "evil", member: url}
        refusals.r401(site, forge(header, sign=partial(hs256, secret=b"e" * 32)))
        # Nor for a kid that is known: the good signature of ours is what decides.
        site.accepts(forge({"alg": "HS256", "kid": "k1", member: url}))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [event for event, _ in audited if event.startswith("socket")] == []


def test_case_12_unknown_kid(site: Site, refusals: Refusals) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": "k2"}))


@pytest.mark.parametrize("secret", [b"", SECRET], ids=["empty-key", "our-key"])
@pytest.mark.parametrize(
    "kid", ["../../dev/null", "/dev/null", "", "k1\0", "' OR 1=1 --", "$(id)", "K1", "k1 ", " k1"]
)
def test_case_13_kid_is_only_a_name(
    kid: str, secret: bytes, site: Site, refusals: Refusals, audited: list[tuple[str, str]]
) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": kid}, sign=partial(hs256, secret=secret)))
    assert [what for event, what in audited if event == "open"] == []


@pytest.mark.parametrize("kid", [None, 1, True, ["k1"], {"k1": 1}], ids=repr)
def test_case_13_kid_is_a_string(kid: object, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": kid}))


def test_case_13_hostile_kid_is_escaped_and_cut_in_the_log(
    site: Site, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": "x\r\nINFO forged \x1b[31m" + "y" * 5000}))
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 200


class CountingKey:
    """Counts the checks that a key is asked to make."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[str] = []
        verify = Key.verify

        def counted(key: Key, message: bytes, signature: bytes) -> bool:
            self.tried.append(key.kid)
            return verify(key, message, signature)

        monkeypatch.setattr(Key, "verify", counted)


def test_case_16_without_kid_the_keys_of_its_alg_are_tried_in_order(
    refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Key.generate("HS256", kid=f"o{n}") for n in range(9)]
    keys = [*others[:2], Key.generate("ES256"), Key.from_secret(SECRET, kid="k1"), *others[2:]]
    site = Site(keys=KeySet(keys))
    site.accepts(forge({"alg": "HS256"}))
    counting = CountingKey(monkeypatch)
    refusals.r401(site, forge({"alg": "HS256"}, sign=lambda _: b"\0" * 32), good=good_token())
    assert counting.tried == ["o0", "o1", "k1", "o2", "k1"]  # the last is the good token's


def test_case_16_a_key_behind_the_bound_is_only_found_by_its_kid(refusals: Refusals) -> None:
    keys = [Key.generate("HS256", kid=f"o{n}") for n in range(4)]
    site = Site(keys=KeySet([*keys, Key.from_secret(SECRET, kid="k1")]))
    refusals.r401(site, forge({"alg": "HS256"}))


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"crit": ["x"], "x": 1}, id="unknown"),
        pytest.param({"crit": "x", "x": 1}, id="string"),
        pytest.param({"crit": ["x"]}, id="absent-member"),
        pytest.param({"crit": []}, id="empty"),
        pytest.param({"crit": None}, id="null"),
        pytest.param({"crit": ["exp"], "exp": 1}, id="exp"),
        pytest.param({"crit": ["alg"]}, id="registered"),
        pytest.param({"crit": ["b64"], "b64": True}, id="b64-true"),
    ],
)
def test_case_21_crit(members: dict[str, Any], site: Site, refusals: Refusals) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": "k1", **members}))


@pytest.mark.parametrize("crit", [{}, {"crit": ["b64"]}], ids=["alone", "crit"])
def test_case_23_unencoded_payload(crit: dict[str, Any], site: Site, refusals: Refusals) -> None:
    header = {"alg": "HS256", "kid": "k1", "b64": False, **crit}
    refusals.r401(site, forge(header))
    # RFC 7797: the payload stands there as it is.
    head, payload = b64(json.dumps(header).encode()), json.dumps(good_claims())
    signature = b64(hs256(f"{head}.{payload}".encode()))
    refusals.b400(site.ask(f"{head}.{payload}.{signature}"))
    payload = payload.replace(", ", "\f").replace(" ", "")  # without what no header could hold
    signature = b64(hs256(f"{head}.{payload}".encode()))
    refusals.r401(site, f"{head}.{payload}.{signature}")


def test_case_26_jwe_and_json_serialization(site: Site, refusals: Refusals) -> None:
    header, payload, signature = good_token().split(".")
    jwe = b64(b'{"alg":"dir","enc":"A256GCM"}')
    flattened = {"protected": header, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    for token in (
        f"{jwe}..{b64(b'i' * 12)}.{payload}.{b64(b't' * 16)}",
        f"{header}.{payload}.{signature}..",
        f"{header}.{payload}.{signature}.",
        f".{header}.{payload}.{signature}",
    ):
        refusals.r401(site, token)
    for document in (flattened, general):
        text = json.dumps(document, separators=(",", ":"))
        # As a header it is not one b64token, because of its commas; as a token it is none either.
        refusals.b400(site.ask(text))
        refusals.r401(site, text.replace(",", "\f"))
        refusals.r401(site, b64(text.encode()))

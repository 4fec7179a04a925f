"""
Tokens that are forged, and tokens that are truly signed and still not good.

Each is answered 401 with ``invalid_token``, does not reach the app, is quoted by no answer and no
log, and keeps no good token out: see :meth:`tests.site.Refusals.r401`.
"""

from __future__ import annotations

import json
import socket
import sys
import tracemalloc
from collections.abc import Callable, Iterator
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

from ..site import (
    AUD,
    ISS,
    NOW,
    SECRET,
    VECTORS,
    Refusals,
    Site,
    b64,
    forge,
    good_claims,
    good_token,
    hs256,
    json_vectors,
    unb64,
)

GOOD = json.dumps(good_claims()).encode()
Named = Iterator[tuple[str, str]]


def unsigned(signing_input: bytes) -> bytes:
    return b""


def zeros(signing_input: bytes) -> bytes:
    return b"\0" * 32


def with_header(**members: Any) -> str:
    """Return a token that is good but for *members* of its header."""
    return forge({"alg": "HS256", "kid": "k1", **members})


# The header


def by_alg() -> Named:
    for alg in ("none", "None", "NONE", "nOnE", "none ", "\tnone"):
        yield f"{alg!r} without kid", forge({"alg": alg}, sign=unsigned)
        yield f"{alg!r} with kid", forge({"alg": alg, "kid": "k1"}, sign=unsigned)
    header, payload, signature = good_token().split(".")
    none = b64(b'{"alg":"none"}')
    for token in (
        *(f"{none}.{payload}.{signature}", f"{none}.{payload}"),
        *(f"{header}.{payload}", f"{header}.{payload}."),
    ):
        yield f"none for HS256, {token.count('.')} dots, {len(token)} characters", token
    yield "missing", forge({})
    other: Any
    for other in ("", None, 256, ["HS256"], {"HS256": 1}, True, "hs256", "HS256 ", "HS256\0",
                "ES256K", "HS1"):  # fmt: skip
        yield repr(other), forge({"alg": other})
    yield "in upper case", forge({"ALG": "HS256"})
    yield "twice", forge(b'{"alg":"HS256","alg":"none"}')
    yield "twice, escaped", forge(b'{"alg":"none","\\u0061lg":"HS256"}')


def by_kid() -> Named:
    yield "unknown", forge({"alg": "HS256", "kid": "k2"})
    for kid in (None, 1, True, ["k1"], {"k1": 1}):
        yield repr(kid), forge({"alg": "HS256", "kid": kid})


def by_other_members() -> Named:
    members: dict[str, Any]
    for members in (
        *({"crit": ["x"], "x": 1}, {"crit": "x", "x": 1}, {"crit": ["x"]}, {"crit": []}),
        *({"crit": None}, {"crit": ["exp"], "exp": 1}, {"crit": ["alg"]}),
        *({"crit": ["b64"], "b64": True}, {"crit": ["b64"], "b64": False}, {"b64": False}),
    ):
        yield repr(members), with_header(**members)
    for typ in ("rt+jwt", "refresh+jwt", "id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt",
                "JOSE", "application/rt+jwt", "", " at+jwt", "at+jwt\0", None, 1,
                ["at+jwt"]):  # fmt: skip
        yield f"typ {typ!r}", with_header(typ=typ)


# The claims


def by_claims() -> Named:
    changes: dict[str, list[Any]] = {
        "exp": [NOW - 3600, NOW, 0, -1, ..., None, NOW - 0.001, str(NOW + 60), "9" * 30,
                -(10**400)],
        "aud": [["other", "", "b"], [], 1, {"api": 1}, "ap", "apis", "API", "api ", "", None, ...,
                True, [["api"]], ["api", 1], ["api", None], "other api", "a", {"0": "api"}],
        "iss": [ISS[:-1], ISS + "/", ISS + ".evil.example", [ISS], "", ISS.upper(), ISS + " ",
                None, ..., {"iss": ISS}, True, 1, ISS.replace("https", "http"), ISS + "\0"],
        "sub": [42, None, ..., "", True, ["42"], {}, "4\n2", "4\r2", "\0", "4\x1b2", "4\u20282",
                "4\x852"],
        "jti": [1, None, ["j"], {}, True],
        "token_use": ["id", "refresh"],  # Cognito
        "typ": ["Refresh", "ID", "Offline"],  # Keycloak
        "token_type": ["refresh", ["access"]],  # simplejwt
        "type": ["refresh"],  # Flask-JWT-Extended
        "at_hash": ["x"],  # an ID token
        "c_hash": ["x"],
    }  # fmt: skip
    for name in ("nbf", "iat"):
        changes[name] = [NOW + 1, NOW + 0.5, str(NOW), None, True, [NOW], {}]
    for name, values in changes.items():
        for value in values:
            yield f"{name} {value!r:.40}", good_token(**{name: value})


def raw_claims(name: str, json_text: str) -> bytes:
    """Put a JSON text that :func:`json.dumps` would not write in the place of a claim's value."""
    claims = json.dumps(good_claims(**{name: "@@"}))
    return claims.replace('"@@"', json_text).encode()


def by_numbers() -> Named:
    for name in ("exp", "nbf", "iat"):
        for text in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "true", "false", "[]",
                     "{}", '""', "[1900000000]", "1" + "0" * 400, "1" + "0" * 5000, "01900000000",
                     "1_900_000_000", "1900000000.", "+1900000000", "0x713fb300",
                     "１９００００００００"):  # fmt: skip
            yield f"{name} {text:.40}", forge(payload=raw_claims(name, text))


# The encoding


def by_documents() -> Named:
    for payload in (
        *(b"[]", b'"x"', b"null", b"1", b"", b" ", b"[" + GOOD + b"]"),
        *(GOOD + b"{}", GOOD + b"x", GOOD + b"\0", GOOD[:-1], GOOD[:-1] + b",}"),
        *(GOOD[:-1] + b',"sub":"43"}', GOOD[:-1] + b',"s\\u0075b":"43"}'),
        *(GOOD[:-1] + b',"x":{"a":1,"a":2}}', GOOD[:-1] + b"/**/}", GOOD.replace(b'"', b"'")),
        *(GOOD[:-1] + b',"x":NaN}', GOOD[:-1] + b',"x":-Infinity}'),
        GOOD[:-1] + b',"x":' + b"9" * 5000 + b"}",
    ):
        yield f"{payload[:1]!r} to {payload[-18:]!r}, {len(payload)} octets", forge(payload=payload)
    for octets in (b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\\ud800",
                   b"\xf4\x90\x80\x80", b"\xc3"):  # fmt: skip
        yield f"{octets!r} added", forge(payload=GOOD[:-1] + b',"x":"' + octets + b'"}')
        named = GOOD.replace(b'"sub": "42"', b'"sub": "4' + octets + b'"')
        yield f"{octets!r} in sub", forge(payload=named)
        yield f"{octets!r} in header", forge(b'{"alg":"HS256","kid":"k1","x":"' + octets + b'"}')
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        yield f"payload in {encoding}", forge(payload=GOOD.decode().encode(encoding))
        yield f"header in {encoding}", forge('{"alg":"HS256","kid":"k1"}'.encode(encoding))
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        for depth in (33, 1_000, 5_000, 50_000, 100_000):
            name, deep = f"{depth} of {opening!r}", opening * depth + b"1" + closing * depth
            yield f"{name} in header", forge(b'{"alg":"HS256","kid":"k1","x":' + deep + b"}")
            yield f"{name} in payload", forge(payload=GOOD[:-1] + b',"x":' + deep + b"}")
            yield f"{name} unclosed", forge(payload=opening * depth)


def by_serialization() -> Named:
    header, payload, signature = good_token().split(".")
    jwe = b64(b'{"alg":"dir","enc":"A256GCM"}')
    yield "JWE", f"{jwe}..{b64(b'i' * 12)}.{payload}.{b64(b't' * 16)}"
    yield "five segments", f"{header}.{payload}.{signature}.."
    yield "four segments", f"{header}.{payload}.{signature}."
    yield "empty first", f".{header}.{payload}.{signature}"


def named(tokens: Named) -> list[Any]:
    return [pytest.param(token, id=name) for name, token in tokens]


@pytest.mark.parametrize("token", named(by_alg()))
def test_alg_that_is_not_the_key_s(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)


@pytest.mark.parametrize("token", named(by_kid()))
def test_kid_that_names_no_key(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)


@pytest.mark.parametrize("token", named(by_other_members()))
def test_header_that_asks_for_more_or_is_of_another_type(
    token: str, site: Site, refusals: Refusals
) -> None:
    refusals.r401(site, token)


@pytest.mark.parametrize("token", named(by_claims()))
def test_claim_that_is_not_good(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)


@pytest.mark.parametrize("token", named(by_numbers()))
def test_date_that_is_no_finite_number(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)


@pytest.mark.parametrize("token", named(by_documents()))
def test_segment_that_is_no_strict_object(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)


@pytest.mark.parametrize("token", named(by_serialization()))
def test_serialization_that_is_not_compact_jws(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)


def test_json_serialization(site: Site, refusals: Refusals) -> None:
    header, payload, signature = good_token().split(".")
    flattened = {"protected": header, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    for document in (flattened, general):
        text = json.dumps(document, separators=(",", ":"))
        # As a header it is not one b64token, because of its commas; as a token it is none either.
        refusals.b400(site.ask(text))
        refusals.r401(site, text.replace(",", "\f"))
        refusals.r401(site, b64(text.encode()))


@pytest.mark.parametrize("crit", [{}, {"crit": ["b64"]}], ids=["alone", "crit"])
def test_payload_that_stands_there_unencoded(
    crit: dict[str, Any], site: Site, refusals: Refusals
) -> None:
    header = b64(json.dumps({"alg": "HS256", "kid": "k1", "b64": False, **crit}).encode())
    payload = json.dumps(good_claims())
    refusals.b400(site.ask(f"{header}.{payload}.{b64(hs256(f'{header}.{payload}'.encode()))}"))
    payload = payload.replace(", ", "\f").replace(" ", "")  # without what no header could hold
    refusals.r401(site, f"{header}.{payload}.{b64(hs256(f'{header}.{payload}'.encode()))}")


@pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/vectors is not there")
def test_json_test_suite_as_segments(site: Site) -> None:
    seen = 0
    for name, document, valid in json_vectors():
        seen += 1
        if valid and document.strip()[:1] == b"{":
            continue  # an object: may be a header or payload, and is judged by its members
        for token in (forge(document), forge(payload=document)):
            assert site.ask(token).status_int == 401, name
    assert seen == 283
    assert site.calls == []


# One spelling for each token


def with_segment(index: int, change: Callable[[str], str]) -> str:
    """Change one segment of a good token, and sign again what was changed."""
    segments = good_token().split(".")
    segments[index] = change(segments[index])
    if index < 2:
        segments[2] = b64(hs256(".".join(segments[:2]).encode("utf-8")))
    return ".".join(segments)


def replaced(new: str, start: int | None, end: int | None, text: str) -> str:
    return text[:start] + new + ("" if end is None else text[end:])


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("char", ["+", "/", " ", "\n", "?", "=", "\t", "\r", "\0", "\v", "~", "%"])
def test_character_outside_base64url(
    char: str, segment: int, site: Site, refusals: Refusals
) -> None:
    size = len(good_token().split(".")[segment])
    for at in (0, 8, size - 1, size):
        for after in (at, at + 1):
            token = with_segment(segment, partial(replaced, char, at, after))
            if char not in " \t":
                refusals.r401(site, token)
            elif (
                token.strip(" \t") == token
            ):  # around the value it is no part of it (RFC 9110 §5.5)
                # RFC 6750's grammar has already seen more than one word.
                refusals.b400(site.ask(token))


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
def test_padding(segment: int, site: Site, refusals: Refusals) -> None:
    for pad in ("=", "==", "===", "%3D"):
        refusals.r401(site, with_segment(segment, partial(replaced, pad, None, None)))


@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
def test_spare_bits(segment: int, site: Site, refusals: Refusals) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # Lengths of header and payload that leave two and four spare bits; the signature has two.
    for size in range(3):
        token = forge(b'{"alg":"HS256","kid":"k1"}' + b" " * size, GOOD + b" " * size)
        segments = token.split(".")
        spare = {0: 0, 2: 4, 3: 2}[len(segments[segment]) % 4]
        for bits in range(1, 1 << spare):
            last = alphabet[alphabet.index(segments[segment][-1]) + bits]
            changed = segments.copy()
            changed[segment] = changed[segment][:-1] + last
            if segment < 2:
                changed[2] = b64(hs256(".".join(changed[:2]).encode()))
            assert unb64(changed[segment]) == unb64(segments[segment])
            refusals.r401(site, ".".join(changed))


# Keys


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_texts() -> dict[str, bytes]:
    """Every form in which an attacker can have the server's public key."""
    public = private_key().public_key()
    spki, pkcs1 = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1
    modulus = public.public_numbers().n.to_bytes(256, "big")
    jwk = {"kty": "RSA", "n": b64(modulus), "e": "AQAB", "kid": "rsa", "alg": "RS256"}
    return {
        "pem": public.public_bytes(Encoding.PEM, spki),
        "pem-stripped": public.public_bytes(Encoding.PEM, spki).strip(),
        "pkcs1-pem": public.public_bytes(Encoding.PEM, pkcs1),
        "spki-der": public.public_bytes(Encoding.DER, spki),
        "pkcs1-der": public.public_bytes(Encoding.DER, pkcs1),
        "jwk": json.dumps(jwk).encode(),
        "jwk-compact": json.dumps(jwk, separators=(",", ":")).encode(),
        "modulus": modulus,
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


@pytest.mark.parametrize("kid", [{}, {"kid": "rsa"}], ids=["no-kid", "kid"])
def test_public_key_as_hmac_secret(kid: dict[str, str], refusals: Refusals) -> None:
    for text in public_texts().values():
        token = forge({"alg": "HS256", **kid}, sign=partial(hs256, secret=text))
        refusals.r401(rsa_site(), token, good=rsa_token())


@pytest.mark.parametrize("alg", ["PS256", "RS384", "RS512", "PS512"])
def test_right_key_with_the_wrong_alg(alg: str, refusals: Refusals) -> None:
    for kid in ({}, {"kid": "rsa"}):
        token = forge({"alg": alg, **kid}, sign=partial(sign_rsa, alg=alg))
        refusals.r401(rsa_site(), token, good=rsa_token())


@pytest.mark.parametrize("alg", ["PS256", "RS384", "HS256", "ES256"])
def test_right_signature_under_another_name(alg: str, refusals: Refusals) -> None:
    token = forge({"alg": alg, "kid": "rsa"}, sign=sign_rsa)
    refusals.r401(rsa_site(), token, good=rsa_token())


def test_key_that_the_token_brings(refusals: Refusals) -> None:
    evil = rsa.generate_private_key(65537, 2048)
    n = b64(evil.public_key().public_numbers().n.to_bytes(256, "big"))

    def sign(signing_input: bytes) -> bytes:
        return evil.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())

    for kid in ({}, {"kid": "rsa"}, {"kid": "evil"}):
        jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", **kid}
        for member in ({"jwk": jwk}, {"x5c": [n]}, {"jwk": json.dumps(jwk)}):
            token = forge({"alg": "RS256", **kid, **member}, sign=sign)
            refusals.r401(rsa_site(), token, good=rsa_token())


class _Audit:
    """Records which files are opened and which addresses are looked up or connected to."""

    installed = active = False
    events: list[tuple[str, str]]

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.active and event in {"open", "socket.connect", "socket.getaddrinfo"}:
            self.events.append((event, str(args[:2])))


AUDIT = _Audit()


@pytest.fixture
def audited() -> Iterator[list[tuple[str, str]]]:
    if not AUDIT.installed:
        sys.addaudithook(AUDIT.hook)  # there is no way to remove one
        AUDIT.installed = True
    AUDIT.events = []
    AUDIT.active = True
    yield AUDIT.events
    AUDIT.active = False


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_no_key_is_fetched(
    member: str, site: Site, refusals: Refusals, audited: list[tuple[str, str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks.json"
        header = {"alg": "HS256", "kid": "evil", member: url}
        refusals.r401(site, forge(header, sign=partial(hs256, secret=b"e" * 32)))
        # Nor for a kid that is known: the good signature of ours is what decides.
        site.accepts(with_header(**{member: url}))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [event for event, _ in audited if event.startswith("socket")] == []


@pytest.mark.parametrize("secret", [b"", SECRET], ids=["empty-key", "our-key"])
@pytest.mark.parametrize(
    "kid", ["../../dev/null", "/dev/null", "", "k1\0", "' OR 1=1 --", "$(id)", "K1", "k1 ", " k1"]
)
def test_kid_is_only_a_name(
    kid: str, secret: bytes, site: Site, refusals: Refusals, audited: list[tuple[str, str]]
) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": kid}, sign=partial(hs256, secret=secret)))
    assert [what for event, what in audited if event == "open"] == []


def test_hostile_kid_is_escaped_and_cut_in_the_log(
    site: Site, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": "x\r\nINFO forged \x1b[31m" + "y" * 5000}))
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 500


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the kids of the keys that have checked a signature."""
    tried: list[str] = []
    verify = Key.verify

    def counted(key: Key, message: bytes, signature: bytes) -> bool:
        tried.append(key.kid)
        return verify(key, message, signature)

    monkeypatch.setattr(Key, "verify", counted)
    return tried


def test_without_kid_the_first_keys_of_the_alg_are_tried_in_order(
    refusals: Refusals, tried: list[str]
) -> None:
    others = [Key.generate("HS256", kid=f"o{n}") for n in range(9)]
    keys = [*others[:2], Key.generate("ES256"), Key.from_secret(SECRET, kid="k1"), *others[2:]]
    site = Site(keys=KeySet(keys))
    site.accepts(forge({"alg": "HS256"}))
    tried.clear()
    refusals.r401(site, forge({"alg": "HS256"}, sign=zeros), good=good_token())
    assert tried == ["o0", "o1", "k1", "o2", "k1"]  # the last is the good token's
    late = [Key.generate("HS256", kid=f"o{n}") for n in range(4)]
    site = Site(keys=KeySet([*late, Key.from_secret(SECRET, kid="k1")]))
    refusals.r401(site, forge({"alg": "HS256"}))  # only its kid finds that one


# What is good all the same


@pytest.mark.parametrize("leeway", [0, 1, 30, 300])
def test_leeway_is_exact(leeway: int, refusals: Refusals) -> None:
    site = Site(leeway_seconds=leeway)
    refusals.r401(site, good_token(exp=NOW - leeway))
    site.accepts(good_token(exp=NOW - leeway + 1))
    for name in ("nbf", "iat"):
        refusals.r401(site, good_token(**{name: NOW + leeway + 1}))
        site.accepts(good_token(**{name: NOW + leeway}))


@pytest.mark.parametrize("text", [f"{NOW}.5", f"{NOW + 1}.0", "1.8e91", "1.9E+9"])
def test_expiry_may_have_a_fraction_or_an_exponent(text: str, site: Site) -> None:
    site.accepts(forge(payload=raw_claims("exp", text)))


@pytest.mark.parametrize("aud", [["other", AUD], [AUD], AUD])
def test_audience_may_be_one_of_several(aud: Any, site: Site) -> None:
    site.accepts(good_token(aud=aud))


@pytest.mark.parametrize("sub", ["42", "用户", "a b", "x" * 1000, "alice@example.com"])
def test_subject_is_any_printable_text(sub: str, site: Site) -> None:
    site.accepts(good_token(sub=sub))
    assert site.calls[-1]["REMOTE_USER"] == sub


def test_a_narrowed_verifier_takes_access_tokens_only(refusals: Refusals) -> None:
    site = Site(token_type="at+jwt")
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt"):
        site.accepts(with_header(typ=typ))
    refusals.r401(site, with_header(typ="JWT"))
    refusals.r401(site, with_header())


def test_a_remembered_header_passes_no_other_claims(site: Site, refusals: Refusals) -> None:
    site.accepts(good_token())
    refusals.r401(site, good_token(token_use="id"))
    refusals.r401(site, good_token(exp=NOW))


# What a refusal costs


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("." * 1_000_000, id="dots"),
        pytest.param("a" * 1_000_000, id="letters"),
        pytest.param("a." + "a" * 1_000_000 + ".a", id="payload"),
        pytest.param(".".join(["a" * 333_333] * 3), id="three"),
        pytest.param("\xe9" * 1_000_000, id="latin-1"),
    ],
)
def test_a_million_characters(token: str, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, token)  # warm: what is imported lazily is not this request's memory
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_AUTHORIZATION": f"Bearer {token}"}
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    body = site.middleware(environ, lambda *_: lambda _: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert body
    assert peak - before < 5_000_000


def test_refused_tokens_and_their_headers_are_not_remembered(site: Site) -> None:
    def ask(number: int) -> None:
        # A header, a payload and a signature that were not there before.
        token = forge({"alg": "HS256", "kid": "k1", "n": f"{number}" + "n" * 4_000}, sign=zeros)
        assert site.ask(token).status_int == 401

    ask(0)
    tracemalloc.start()
    for number in range(1, 101):
        ask(number)
        site.calls.clear()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000

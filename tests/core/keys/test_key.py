from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.jws import ALGORITHMS, Header
from jwt_middleware.core.keys.key import MAX_CANDIDATES, Key, KeySet
from jwt_middleware.errors import AlgorithmNotAllowedError, ConfigurationError, UnknownKeyError

from ...table import table

RFCS = json.loads((Path(__file__).parents[2] / "vectors" / "jose_rfcs.json").read_text("utf-8"))
OCT, RSA, EC, EC521, OKP = ({**v["jwk"], "alg": v["alg"]} for v in RFCS["vectors"])
SECRET = "correct horse battery staple, 43 characters"


def private_pem(
    key: Any,
    form: PrivateFormat = PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> bytes:
    octets: bytes = key.private_bytes(
        Encoding.PEM,
        form,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )
    return octets


def public_bytes(
    key: Any,
    encoding: Encoding = Encoding.PEM,
    form: PublicFormat = PublicFormat.SubjectPublicKeyInfo,
) -> bytes:
    octets: bytes = key.public_key().public_bytes(encoding, form)
    return octets


@pytest.fixture(scope="module")
def rsa_key(rsa_pem: bytes) -> Any:
    return serialization.load_pem_private_key(rsa_pem, None)


@pytest.mark.parametrize(("alg", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_the_hash(alg: str, least: int) -> None:
    assert Key.from_secret("s" * least, alg=alg).can_sign
    with pytest.raises(
        ConfigurationError, match=f"{least - 1} bytes, {alg} needs at least {least}"
    ):
        Key.from_secret("s" * (least - 1), alg=alg)


def test_a_secret_is_measured_in_utf_8_bytes() -> None:
    assert Key.from_secret("é" * 16).verify(b"m", Key.from_secret("é".encode() * 16).sign(b"m"))


@table("alg", ["none", "RS256", "EdDSA", "hs256", ""])
def test_refuses_a_secret_for_another_alg(alg: str) -> None:
    with pytest.raises(ConfigurationError, match="takes no secret"):
        Key.from_secret(SECRET, alg=alg)


@table(
    "secret",
    [
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
        pytest.param(64, id="a-number-is-not-so-many-zeros"),
        pytest.param([1] * 64, id="list-of-numbers"),
        pytest.param(SECRET + "\udc80", id="lone-surrogate"),
    ],
)
def test_refuses_as_a_secret(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        Key.from_secret(secret)


@table(
    "text",
    [
        pytest.param(public_bytes, id="pem"),
        pytest.param(lambda key: b"\n " + public_bytes(key), id="pem-after-white-space"),
        pytest.param(lambda key: public_bytes(key, form=PublicFormat.PKCS1), id="pkcs1"),
        pytest.param(lambda key: public_bytes(key, Encoding.DER), id="der"),
        pytest.param(
            lambda key: public_bytes(key, Encoding.DER, PublicFormat.PKCS1), id="pkcs1-der"
        ),
        pytest.param(
            lambda key: public_bytes(key, Encoding.OpenSSH, PublicFormat.OpenSSH), id="openssh"
        ),
        pytest.param(private_pem, id="private-pem"),
        pytest.param(lambda _: json.dumps({**RSA, "d": ""}).encode(), id="jwk"),
        pytest.param(lambda _: json.dumps({"keys": [OCT]}).encode(), id="jwk-set"),
    ],
)
def test_refuses_the_text_of_a_key_as_a_secret(text: Callable[[Any], bytes], rsa_key: Any) -> None:
    with pytest.raises(ConfigurationError, match="text of a PEM"):
        Key.from_secret(text(rsa_key))


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS256", "PS512"])
def test_reads_rsa_pems(alg: str, rsa_key: Any) -> None:
    key = Key.from_pem(private_pem(rsa_key, PrivateFormat.TraditionalOpenSSL).decode(), alg=alg)
    public = Key.from_pem(public_bytes(rsa_key, form=PublicFormat.PKCS1), alg=alg)
    assert key.can_sign
    assert not public.can_sign
    assert public.verify(b"m", key.sign(b"m"))
    assert key.kid == public.kid


def test_reads_ec_and_ed25519_pems() -> None:
    for alg, private in (
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("ES512", ec.generate_private_key(ec.SECP521R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ):
        key = Key.from_pem(private_pem(private), alg=alg, kid="k")
        assert Key.from_pem(public_bytes(private), alg=alg).verify(b"m", key.sign(b"m"))
        assert key.kid == "k"


@pytest.mark.parametrize("password", ["pass wörd", "pass wörd".encode()])
def test_reads_an_encrypted_pem(password: str | bytes, rsa_key: Any) -> None:
    pem = private_pem(rsa_key, password="pass wörd".encode())
    assert Key.from_pem(pem, alg="RS256", password=password).can_sign


@table(
    ("pem", "password"),
    [
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="none"),
        pytest.param("no pem", None, id="other-text"),
        pytest.param("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", None, id="hollow"),
        pytest.param(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", None, id="x5c"
        ),
        pytest.param("\ud800", None, id="lone-surrogate"),
        pytest.param("plain", "superfluous", id="password-for-a-plain-key"),
        pytest.param("encrypted", None, id="no-password"),
        pytest.param("encrypted", "wrong", id="wrong-password"),
        pytest.param("encrypted", "\ud800", id="password-with-a-lone-surrogate"),
        pytest.param("encrypted", 5, id="password-a-number"),
    ],
)
def test_refuses_a_pem(pem: Any, password: Any) -> None:
    ready = {
        "plain": private_pem(ed25519.Ed25519PrivateKey.generate()),
        "encrypted": private_pem(ed25519.Ed25519PrivateKey.generate(), password=b"right"),
    }
    with pytest.raises(ConfigurationError):
        Key.from_pem(ready.get(pem, pem), alg="EdDSA", password=password)


@table(
    ("make", "alg", "text"),
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), "RS256", "RSA", id="ec-rsa"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), "ES384", "384", id="p256"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), "ES256", "256r1", id="k1"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, "ES256", "EC key", id="ed25519-ec"),
        pytest.param(ed448.Ed448PrivateKey.generate, "EdDSA", "Ed25519", id="ed448"),
        pytest.param(x25519.X25519PrivateKey.generate, "EdDSA", "Ed25519", id="x25519"),
        pytest.param(lambda: dsa.generate_private_key(2048), "RS256", "RSA", id="dsa"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, "HS256", "takes a secret", id="hmac"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, "none", "not one of", id="none"),
    ],
)
def test_refuses_a_key_that_does_not_fit_the_alg(
    make: Callable[[], Any], alg: str, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Key.from_pem(private_pem(make()), alg=alg)


@table(
    ("bits", "accepted"), [(1024, False), (2047, False), (2048, True), (8192, True), (8193, False)]
)
def test_bounds_the_size_of_an_rsa_key(bits: int, accepted: bool) -> None:  # noqa: FBT001
    # Any odd number of that length will do: nothing is signed with it.
    n = encode_base64url(((1 << bits) - 1).to_bytes((bits + 7) // 8)).decode()
    jwk = {"kty": "RSA", "alg": "RS256", "n": n, "e": "AQAB"}
    if accepted:
        assert Key.from_jwk(jwk).can_verify
    else:
        with pytest.raises(ConfigurationError, match=f"has {bits} bits"):
            Key.from_jwk(jwk)


@table(
    ("members", "can_sign", "can_verify"),
    [
        pytest.param({}, True, True, id="both"),
        pytest.param({"key_ops": ["verify"]}, False, True, id="verify"),
        pytest.param({"key_ops": ["sign"]}, True, None, id="sign"),
    ],
)
@table("jwk", [OCT, EC], ids=["secret", "private"])
def test_a_jwk_does_what_its_key_ops_allow(
    jwk: dict[str, Any],
    members: dict[str, Any],
    can_sign: bool,  # noqa: FBT001
    can_verify: bool | None,  # noqa: FBT001
) -> None:
    key = Key.from_jwk({**jwk, **members})
    assert key.can_sign is can_sign
    # The public half may verify what the private half may sign; a secret has no halves.
    assert key.can_verify is (jwk is EC if can_verify is None else can_verify)


@table("members", [{"use": "enc"}, {"key_ops": []}, {"key_ops": ["decrypt"]}])
@table("jwk", [OCT, EC, RSA])
def test_refuses_a_jwk_that_is_not_for_signatures(
    jwk: dict[str, Any], members: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="neither to sign nor to verify"):
        Key.from_jwk({**jwk, **members})


def test_refuses_a_public_jwk_that_may_only_sign() -> None:
    public = {name: value for name, value in EC.items() if name != "d"}
    assert not Key.from_jwk({**public, "key_ops": ["sign"]}).can_sign


def test_refuses_a_short_secret_in_a_jwk() -> None:
    with pytest.raises(ConfigurationError, match="31 bytes"):
        Key.from_jwk({"kty": "oct", "alg": "HS256", "k": encode_base64url(b"s" * 31).decode()})


@pytest.mark.parametrize(
    ("own", "given", "kid"),
    [("a", None, "a"), ("a", "b", "b"), (None, "b", "b")],
)
def test_takes_the_kid(own: str | None, given: str | None, kid: str) -> None:
    assert Key.from_jwk({**EC, "kid": own}, kid=given).kid == kid


@pytest.mark.parametrize(
    "kid",
    [
        pytest.param("k", id="shortest"),
        pytest.param("k" * 255, id="longest"),
        pytest.param("schlüssel 1/../x", id="any-printable-text"),
    ],
)
def test_accepts_a_kid(kid: str) -> None:
    assert Key.generate(kid=kid).kid == kid


@table(
    "kid",
    [
        pytest.param("", id="empty"),
        pytest.param("k" * 256, id="too-long"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a\x00", id="nul"),
        pytest.param("\ud800", id="lone-surrogate"),
        pytest.param(5, id="number"),
        pytest.param(b"k", id="bytes"),
    ],
)
def test_refuses_a_kid(kid: Any) -> None:
    with pytest.raises(ConfigurationError, match="kid"):
        Key.generate(kid=kid)
    with pytest.raises(ConfigurationError, match="kid"):
        Key.from_jwk({**EC, "kid": kid})


def test_a_secret_without_kid_gets_one_that_does_not_tell_it() -> None:
    key, same, other = (Key.from_secret(text) for text in (SECRET, SECRET, SECRET + "!"))
    assert key.kid == same.kid != other.kid
    assert len(key.kid) == 16


@table("alg", ALGORITHMS)
def test_generates_a_key_that_signs(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    signature = key.sign(b"message")
    assert key.verify(b"message", signature)
    assert not key.verify(b"Message", signature)
    assert not key.verify(b"message", b"")
    assert not key.verify(b"message", signature + b"\x00")
    assert not key.verify(b"message", b"\x00" * len(signature))


def test_generates_another_key_each_time() -> None:
    assert Key.generate().kid != Key.generate().kid
    assert Key.generate("ES256").kid != Key.generate("ES256").kid


def test_generates_rsa() -> None:
    assert Key.generate("PS384").can_sign


@pytest.mark.parametrize("alg", ["none", "HS1", "RSA", ""])
def test_generates_nothing_for_another_alg(alg: str) -> None:
    with pytest.raises(ConfigurationError, match="not one of"):
        Key.generate(alg)


def test_a_key_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Key.generate().alg = "none"  # type: ignore[misc]


class TestKeySet:
    def test_iterates_in_order(self) -> None:
        keys = [Key.generate(kid=kid) for kid in "cab"]
        assert list(KeySet(iter(keys))) == keys
        assert len(KeySet(keys)) == 3

    @pytest.mark.parametrize("keys", [[], [None], [SECRET], "keys"])
    def test_refuses_what_is_not_keys(self, keys: Any) -> None:
        with pytest.raises(ConfigurationError, match="one or more Key objects"):
            KeySet(keys)

    def test_refuses_two_keys_of_one_kid(self) -> None:
        with pytest.raises(ConfigurationError, match="same kid"):
            KeySet([Key.generate(kid="k"), Key.generate("ES256", kid="k")])

    def test_the_first_key_that_can_sign_signs(self) -> None:
        public = Key.generate("ES256", kid="public").limited_to({"verify"})
        keys = KeySet([public, Key.generate(kid="new"), Key.generate(kid="old")])
        assert keys.signing_key is not None
        assert keys.signing_key.kid == "new"
        assert KeySet([public]).signing_key is None

    def test_a_kid_names_one_key(self) -> None:
        old, new = Key.generate(kid="old"), Key.generate(kid="new")
        assert KeySet([new, old]).candidates(Header("HS256", "old", None)) == (old,)

    @table("kid", ["", "K", "k ", "../../dev/null", "' OR 1=1 --", "*"])
    def test_refuses_an_unknown_kid_even_of_the_only_key(self, kid: str) -> None:
        with pytest.raises(UnknownKeyError) as caught:
            KeySet([Key.generate(kid="k")]).candidates(Header("HS256", kid, None))
        assert caught.value.kid == kid

    def test_refuses_the_kid_of_a_key_that_may_not_verify(self) -> None:
        key = Key.generate(kid="k").limited_to({"sign"})
        with pytest.raises(UnknownKeyError):
            KeySet([key]).candidates(Header("HS256", "k", None))
        with pytest.raises(AlgorithmNotAllowedError):
            KeySet([key]).candidates(Header("HS256", None, None))

    def test_a_kid_with_another_alg_is_refused(self) -> None:
        keys = KeySet([Key.generate("ES256", kid="ec"), Key.generate(kid="hs")])
        with pytest.raises(AlgorithmNotAllowedError):
            keys.candidates(Header("HS256", "ec", None))

    def test_without_kid_the_keys_of_the_alg_are_tried_in_order_and_in_number(self) -> None:
        keys = [Key.generate(kid=str(n)) for n in range(MAX_CANDIDATES + 1)]
        found = KeySet([Key.generate("ES256"), *keys]).candidates(Header("HS256", None, None))
        assert found == tuple(keys[:MAX_CANDIDATES])

    def test_without_kid_no_key_of_the_alg_is_refused(self) -> None:
        with pytest.raises(AlgorithmNotAllowedError):
            KeySet([Key.generate("ES256")]).candidates(Header("HS256", None, None))


class TestNothingIsTold:
    """No material in a ``repr``, an error, or what an error was caused by."""

    def test_by_repr(self, rsa_pem: bytes) -> None:
        key = Key.from_secret(SECRET, kid="k")
        private = Key.from_jwk(EC, kid="p")
        assert repr(key) == str(key) == "Key(kid='k', alg='HS256')"
        assert repr(KeySet([key, private])) == f"KeySet([{key!r}, {private!r}])"
        assert "object" not in repr(Key.from_pem(rsa_pem, alg="RS256"))

    @table(
        ("make", "private"),
        [
            pytest.param(lambda: Key.from_secret("hunter2"), "hunter2", id="short-secret"),
            pytest.param(
                lambda: Key.from_secret("hunter2" * 9 + "\ud800"), "hunter2", id="secret-surrogate"
            ),
            pytest.param(lambda: Key.from_secret('{"kty":"hunter2"}'), "hunter2", id="secret-jwk"),
            pytest.param(
                lambda: Key.from_pem("-----BEGIN PRIVATE KEY-----\nhunter2", alg="EdDSA"),
                "hunter2",
                id="broken-pem",
            ),
            pytest.param(
                lambda: Key.from_pem("PRIVATE KEY-----hunter2\ud800", alg="EdDSA"),
                "hunter2",
                id="pem-surrogate",
            ),
            pytest.param(
                lambda: Key.from_pem(
                    private_pem(ed25519.Ed25519PrivateKey.generate(), password=b"right"),
                    alg="EdDSA",
                    password="hunter2",
                ),
                "hunter2",
                id="wrong-password",
            ),
            pytest.param(
                lambda: Key.from_pem("", alg="EdDSA", password="hunter2\ud800"),
                "hunter2",
                id="password-surrogate",
            ),
            pytest.param(lambda: Key.from_jwk('{"k":"hunter2'), "hunter2", id="jwk-broken"),
            pytest.param(lambda: Key.from_jwk("hunter2\ud800"), "hunter2", id="jwk-surrogate"),
            pytest.param(lambda: Key.from_jwk(b"hunter2\xff"), "hunter2", id="jwk-not-utf-8"),
            pytest.param(
                lambda: Key.from_jwk({**OCT, "k": "hunter2é"}), "hunter2", id="k-not-ascii"
            ),
            pytest.param(
                lambda: Key.from_jwk({**OCT, "k": "hunter2=" * 9}), "hunter2", id="k-padded"
            ),
            pytest.param(
                lambda: Key.from_jwk({**OCT, "k": 7274747274}), "7274747274", id="k-number"
            ),
            pytest.param(
                lambda: Key.from_jwk({**EC, "d": EC["d"][:-4] + "AAAA"}), EC["d"][:8], id="ec-d"
            ),
            pytest.param(
                lambda: Key.from_jwk({**RSA, "d": RSA["d"][:-4] + "AAAA"}), RSA["d"][:8], id="rsa-d"
            ),
            pytest.param(lambda: Key.from_jwk({**OKP, "d": EC["d"]}), EC["d"][:8], id="okp-d"),
        ],
    )
    def test_by_errors(self, make: Callable[[], Key], private: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert private not in "\n".join(chain(caught.value))


def chain(error: BaseException | None) -> list[str]:
    """Return what a log could show of an error and of what is shown as its causes."""
    lines = []
    while error is not None:
        lines += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def test_refuses_a_pem_that_breaks_off_as_a_secret() -> None:
    with pytest.raises(ConfigurationError, match="PEM"):
        Key.from_secret("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")


PUBLIC = {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}
SYMMETRIC = ("HS256", "HS384", "HS512")


@table("alg", ALGORITHMS)
def test_a_private_jwk_is_the_key(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    again = Key.from_jwk(json.dumps(key.private_jwk()))
    assert (again.kid, again.alg) == (key.kid, key.alg)
    assert key.verify(b"message", again.sign(b"message"))
    assert again.verify(b"message", key.sign(b"message"))


@table("alg", [alg for alg in ALGORITHMS if alg not in SYMMETRIC])
def test_a_public_jwk_verifies_and_holds_no_more(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    for shown in (key.public_jwk(), key.limited_to({"verify"}).public_jwk()):
        assert shown.keys() <= PUBLIC
        assert (shown["kid"], shown["alg"], shown["use"]) == (key.kid, alg, "sig")
        public = Key.from_jwk(shown)
        assert not public.can_sign
        assert public.verify(b"message", key.sign(b"message"))


def test_coordinates_have_their_full_length() -> None:
    # RFC 7518 §6.2.1.2; of 1,000 keys about eight have a coordinate that begins with a zero.
    for _ in range(1000):
        shown = Key.generate("ES256").public_jwk()
        assert len(shown["x"]) == len(shown["y"]) == 43


@pytest.mark.parametrize("alg", SYMMETRIC)
def test_a_secret_has_no_public_jwk(alg: str, keys_by_alg: dict[str, Key]) -> None:
    for key in (keys_by_alg[alg], keys_by_alg[alg].limited_to({"verify"})):
        with pytest.raises(ConfigurationError, match="no public half") as caught:
            key.public_jwk()
        assert keys_by_alg[alg].private_jwk()["k"] not in str(caught.value)


def test_a_key_that_only_verifies_has_no_private_jwk(keys_by_alg: dict[str, Key]) -> None:
    for alg in ("HS256", "ES256"):
        with pytest.raises(ConfigurationError, match="only verifies"):
            keys_by_alg[alg].limited_to({"verify"}).private_jwk()


@table(
    ("algorithms", "expected"),
    [
        (["PS256", "RS256"], ["PS256", "RS256"]),
        (["ES256", "RS512", "EdDSA"], ["RS512"]),
    ],
)
@table("public_only", [False, True])
def test_makes_a_key_for_each_alg_that_fits_a_pem(
    algorithms: list[str],
    expected: list[str],
    public_only: bool,  # noqa: FBT001
    rsa_pem: bytes,
) -> None:
    keys = Key.all_from_pem(rsa_pem, algorithms=algorithms, kid="k", public_only=public_only)
    assert [(key.alg, key.kid, key.can_sign) for key in keys] == [
        (alg, "k", not public_only) for alg in expected
    ]


def test_an_elliptic_curve_has_one_alg() -> None:
    for key, alg in [
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ]:
        (made,) = Key.all_from_pem(public_bytes(key), algorithms=ALGORITHMS)
        assert made.alg == alg


@table("key", [ec.generate_private_key(ec.SECP256K1()), ec.generate_private_key(ec.SECP256R1())])
def test_refuses_a_pem_for_no_accepted_alg(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"not for (RS256 or EdDSA|.*ES256)"):
        Key.all_from_pem(public_bytes(key), algorithms=["RS256", "EdDSA"])


def test_knows_its_own_secret_alone(rsa_pem: bytes) -> None:
    assert Key.from_secret(SECRET).is_secret(SECRET.encode())
    assert not Key.from_secret(SECRET).is_secret(SECRET.encode() + b"x")
    assert not Key.from_pem(rsa_pem, alg="RS256").is_secret(b"")

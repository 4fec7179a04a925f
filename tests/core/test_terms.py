"""How the tokens of one issuer are read, where it says things in its own way."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.trust import MAX_LEEWAY_SECONDS, TrustedIssuer
from jwt_middleware.core.verifier import TokenVerifier, VerifiedToken
from jwt_middleware.errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    InvalidTokenError,
    MalformedTokenError,
    MissingClaimError,
    UnavailableError,
    UnknownKeyError,
)

from ..table import table

NOW = 1_800_000_000
ISSUER = "https://idp.example"
KEY = Key.generate("ES256", kid="k")
TENANT, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-8888-7777-6666-555555555555"
ENTRA = "https://login.microsoftonline.com/{}/v2.0"
ENTRA_V1 = "https://sts.windows.net/{}/"

Forge = Callable[..., str]


def trust(**terms: Any) -> TrustedIssuer:
    defaults: dict[str, Any] = {"issuer": ISSUER, "audience": "api", "keys": KeySet([KEY])}
    return TrustedIssuer(**(defaults | terms))


def verify(
    forge: Forge, claims: dict[str, Any], header: dict[str, Any] | None = None, **terms: Any
) -> VerifiedToken:
    verifier = TokenVerifier(trusted=[trust(**terms)], clock=lambda: NOW)
    complete = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": NOW + 60} | claims
    present = {name: value for name, value in complete.items() if value is not ...}
    return verifier.verify(forge(present, {"alg": "ES256", "kid": "k"} | (header or {}), key=KEY))


class TestLeeway:
    def test_is_half_a_minute_unless_told_otherwise(self, forge: Forge) -> None:
        verify(forge, {"exp": NOW - 29, "iat": NOW + 30})
        with pytest.raises(ExpiredTokenError):
            verify(forge, {"exp": NOW - 30})
        with pytest.raises(ExpiredTokenError):
            verify(forge, {"exp": NOW}, leeway_seconds=0)

    def test_is_none_for_the_own_issuer(self, forge: Forge) -> None:
        own = TokenVerifier(keys=KeySet([KEY]), issuer=ISSUER, audience="api", clock=lambda: NOW)
        claims = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": NOW}
        with pytest.raises(ExpiredTokenError):
            own.verify(forge(claims, key=KEY))

    def test_is_bounded(self) -> None:
        with pytest.raises(
            ConfigurationError, match=f"must be a number of seconds from 0 to {MAX_LEEWAY_SECONDS}"
        ):
            trust(leeway_seconds=301)


class TestAudience:
    def test_may_be_another_claim(self, forge: Forge) -> None:
        claims = {"aud": ..., "client_id": "api"}
        verify(forge, claims, audience_claim="client_id")
        verify(forge, {"aud": "other", "a": {"b": ["x", "api"]}}, audience_claim=["a", "b"])

    @table(
        ("claims", "error"),
        [
            ({"aud": "api"}, MissingClaimError),
            ({"aud": "api", "client_id": "other"}, InvalidClaimError),
            ({"aud": "api", "client_id": None}, InvalidClaimError),
            ({"aud": "api", "client_id": ["api", 1]}, InvalidClaimError),
            ({"aud": "api", "client_id": {"api": 1}}, InvalidClaimError),
            ({"aud": "api", "client_id": "api "}, InvalidClaimError),
        ],
        ids=str,
    )
    def test_that_is_another_claim_is_as_mandatory(
        self, claims: dict[str, Any], error: type[Exception], forge: Forge
    ) -> None:
        with pytest.raises(error) as caught:
            verify(forge, claims, audience_claim="client_id")
        assert getattr(caught.value, "claim", None) == "client_id"

    def test_is_aud_where_nothing_is_declared(self, forge: Forge) -> None:
        with pytest.raises(MissingClaimError):
            verify(forge, {"aud": ..., "client_id": "api", "azp": "api"})

    @pytest.mark.parametrize("claim", ["", [], 5, {}])
    def test_claim_must_be_a_path(self, claim: Any) -> None:
        with pytest.raises(ConfigurationError, match="audience_claim must be"):
            trust(audience_claim=claim)


class TestSubject:
    SOURCES = (
        "sub",
        {"claim": "client_id", "prefix": "client:"},
        {"claim": ["a", "b"], "prefix": "b:"},
    )

    @table(
        ("claims", "subject"),
        [
            ({"client_id": "robot"}, "ann"),
            ({"sub": ..., "client_id": "ann"}, "client:ann"),
            ({"sub": "", "client_id": "robot"}, "client:robot"),
            ({"sub": None, "client_id": "robot"}, "client:robot"),
            ({"sub": 5, "client_id": ["robot"], "a": {"b": "x"}}, "b:x"),
        ],
        ids=str,
    )
    def test_is_the_first_that_is_a_string(
        self, claims: dict[str, Any], subject: str, forge: Forge
    ) -> None:
        verified = verify(forge, claims, subject_from=self.SOURCES)
        assert verified.subject == subject
        assert verified.claims.get("sub", ...) == claims.get("sub", "ann")

    @table(
        "claims",
        [
            {"sub": "client:robot"},
            {"sub": "client:"},
            {"sub": "b:x"},
            {"sub": "client:ann", "client_id": "ann"},
            {"sub": ...},
            {"sub": "", "client_id": ""},
            {"sub": ..., "client_id": "ro\nbot"},
            {"sub": "a\x00"},
        ],
        ids=str,
    )
    def test_is_refused(self, claims: dict[str, Any], forge: Forge) -> None:
        with pytest.raises(InvalidClaimError) as caught:
            verify(forge, claims, subject_from=self.SOURCES)
        assert caught.value.claim == "sub"

    def test_that_begins_with_a_prefix_is_refused_though_sub_is_no_source(
        self, forge: Forge
    ) -> None:
        with pytest.raises(InvalidClaimError):
            verify(
                forge,
                {"sub": "client:x", "client_id": "robot"},
                subject_from=[{"claim": "client_id", "prefix": "client:"}],
            )

    @pytest.mark.parametrize("sub", [..., "", None, 5])
    def test_is_sub_where_nothing_is_declared(self, sub: object, forge: Forge) -> None:
        with pytest.raises(InvalidClaimError):
            verify(forge, {"sub": sub, "client_id": "robot"})

    @table(
        ("sources", "reason"),
        [
            ([], "must be a list"),
            ("sub", "must be a list"),
            (["client_id"], "client_id needs a prefix"),
            ([{"claim": "client_id"}], "client_id needs a prefix"),
            ([{"claim": "client_id", "prefix": ""}], "client_id needs a prefix"),
            ([["act", "sub"]], "act.sub needs a prefix"),
            ([{"claim": "a", "prefix": "x\n"}], "printable"),
            ([{"claim": "a", "prefix": 5}], "printable"),
            ([{"claim": "a", "prefixes": "x"}], "a table is"),
            ([{"prefix": "x"}], "must be the name"),
            ([{"claim": "a", "prefix": "x"}, {"claim": "b", "prefix": "xy"}], "begin with another"),
        ],
        ids=str,
    )
    def test_sources_that_make_no_sense_are_refused(self, sources: Any, reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason) as caught:
            trust(subject_from=sources)
        assert str(caught.value).startswith("subject_from")


class TestScopes:
    def test_are_where_the_issuer_has_them(self, forge: Forge) -> None:
        claims = {"scope": "x", "realm_access": {"roles": ["admin", "a b"]}}
        assert verify(forge, claims).scopes == {"x"}
        verified = verify(forge, claims, scopes_from=[["realm_access", "roles"]])
        assert verified.scopes == {"admin", "a b"}


class TestKind:
    @table(
        "claims",
        [
            {},
            {"nonce": "n"},
            {"at_hash": "x", "c_hash": "y"},
            {"typ": "ID"},
            {"token_use": "id"},
            {"email": "ann@example.com", "azp": "other"},
            {"type": "app"},
        ],
        ids=str,
    )
    def test_id_takes_id_tokens(self, claims: dict[str, Any], forge: Forge) -> None:
        verify(forge, claims, {"typ": "JWT"}, kind="id")
        verify(forge, claims, kind="id")

    @table(
        "claims",
        [
            {"scope": "openid"},
            {"scp": ["a"]},
            {"scope": ""},
            {"typ": "Bearer"},
            {"typ": "Refresh"},
            {"token_use": "access"},
            {"token_type": "access"},
            {"type": "access"},
            {"type": "refresh"},
            {"idtyp": "app"},
            {"azpacr": "1"},
            {"gty": "client-credentials"},
            {"events": {}},
            {"nonce": "n", "scope": "openid"},
        ],
        ids=str,
    )
    def test_id_refuses_access_and_other_tokens(self, claims: dict[str, Any], forge: Forge) -> None:
        with pytest.raises(InvalidClaimError):
            verify(forge, claims, kind="id")

    @pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "logout+jwt"])
    def test_id_refuses_the_type_of_another(self, typ: str, forge: Forge) -> None:
        with pytest.raises(MalformedTokenError, match="typ is not that of an id token"):
            verify(forge, {}, {"typ": typ}, kind="id")

    @table("kind", ["ID", "", None, 5, ["id"]])
    def test_is_one_of_two(self, kind: Any) -> None:
        with pytest.raises(ConfigurationError, match='kind must be "access" or "id"'):
            trust(kind=kind)

    def test_id_narrows_no_token_type(self) -> None:
        assert trust(kind="id").token_type is None
        assert trust(profile="at+jwt").token_type == "at+jwt"

    def test_id_excludes_the_profile_of_access_tokens(self) -> None:
        for terms in ({"profile": "at+jwt"}, {"token_type": "at+jwt"}):
            with pytest.raises(ConfigurationError, match='kind "id"'):
                trust(kind="id", **terms)


class TestRequireAny:
    ANY = (["scp"], "roles", ["a", "b"])

    @pytest.mark.parametrize("claims", [{"scp": "x"}, {"roles": ["x"]}, {"a": {"b": 0}}], ids=str)
    def test_is_satisfied_by_one(self, claims: dict[str, Any], forge: Forge) -> None:
        verify(forge, claims, require_any=self.ANY)

    @table(
        "claims",
        [{}, {"scp": ""}, {"scp": " ", "roles": []}, {"roles": None}, {"a": {"b": {}}}],
        ids=str,
    )
    def test_is_not_satisfied_by_what_is_empty(self, claims: dict[str, Any], forge: Forge) -> None:
        with pytest.raises(MissingClaimError):
            verify(forge, claims, require_any=self.ANY)

    @table("value", [[], "scp", [[]], [""], {"a": 1}])
    def test_is_a_list_of_paths(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="require_any must be"):
            trust(require_any=value)


class TestLifetime:
    def test_is_limited_at_its_boundary(self, forge: Forge) -> None:
        verify(forge, {"iat": NOW, "exp": NOW + 3600}, max_token_lifetime_seconds=3600)
        with pytest.raises(InvalidClaimError, match="issued for 3601 s") as caught:
            verify(forge, {"iat": NOW, "exp": NOW + 3601}, max_token_lifetime_seconds=3600)
        assert caught.value.claim == "exp"

    def test_needs_iat(self, forge: Forge) -> None:
        with pytest.raises(MissingClaimError) as caught:
            verify(forge, {}, max_token_lifetime_seconds=3600)
        assert caught.value.claim == "iat"

    @table("value", [0, -1, True, "60", float("inf"), float("nan")])
    def test_is_a_number_of_seconds(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_token_lifetime_seconds must be"):
            trust(max_token_lifetime_seconds=value)


class TestTenants:
    TERMS: ClassVar[dict[str, Any]] = {
        "issuer": ENTRA.replace("{}", "{tid}"),
        "tenants": [TENANT, OTHER],
    }

    def claims(self, tenant: str, tid: object = None) -> dict[str, Any]:
        return {"iss": ENTRA.format(tenant), "tid": tid or tenant}

    def test_are_those_that_are_listed(self, forge: Forge) -> None:
        for tenant in (TENANT, OTHER):
            assert verify(forge, self.claims(tenant), **self.TERMS).claims["tid"] == tenant

    @table(
        "claims",
        [
            {"iss": ENTRA.format("evil"), "tid": "evil"},
            {"iss": ENTRA.format(TENANT), "tid": OTHER},
            {"iss": ENTRA.format(TENANT), "tid": ...},
            {"iss": ENTRA.format(TENANT), "tid": None},
            {"iss": ENTRA.format(TENANT), "tid": [TENANT]},
            {"iss": ENTRA.format("{tid}"), "tid": TENANT},
            {"iss": ENTRA.format("{tid}"), "tid": "{tid}"},
            {"iss": ENTRA_V1.format(TENANT), "tid": TENANT},
        ],
        ids=str,
    )
    def test_refuse_another(self, claims: dict[str, Any], forge: Forge) -> None:
        with pytest.raises(InvalidClaimError) as caught:
            verify(forge, claims, **self.TERMS)
        assert caught.value.claim in {"iss", "tid"}

    def test_are_an_issuer_each(self) -> None:
        one = trust(**self.TERMS)
        verifier = TokenVerifier(trusted=[one])
        assert list(verifier.trusted) == [ENTRA.format(TENANT), ENTRA.format(OTHER)]
        with pytest.raises(ConfigurationError, match="trusted twice"):
            TokenVerifier(trusted=[one, trust(issuer=ENTRA.format(OTHER))])

    @table(
        ("terms", "reason"),
        [
            ({"issuer": "https://a/{tid}/"}, "list the trusted tenants"),
            ({"issuer": "https://a/{tenantid}/"}, "placeholder"),
            ({"tenants": [TENANT]}, "issuer must contain {tid}"),
            ({"issuer": "https://a/{tid}/{tid}", "tenants": [TENANT]}, "once"),
            ({"issuer": "https://a/{tid}", "tenants": []}, "tenants must be a list"),
            ({"issuer": "https://a/{tid}", "tenants": TENANT}, "tenants must be a list"),
            ({"issuer": "https://a/{tid}", "tenants": [""]}, "tenants must be a list"),
        ],
        ids=str,
    )
    def test_that_make_no_sense_are_refused(self, terms: dict[str, Any], reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason):
            trust(**terms)


class TestIssuerOfAKey:
    """The member *issuer* of a JWK, as Entra ID publishes it."""

    @table(
        ("named", "issuer"),
        [
            (ISSUER, ISSUER),
            (ENTRA.format("{tenantid}"), ENTRA.format(TENANT)),
            (ENTRA.format("{tenantid}"), ENTRA_V1.format(TENANT)),
            (ENTRA.format(TENANT), ENTRA_V1.format(TENANT)),
            (ENTRA_V1.format("{tenantid}"), ENTRA.format(TENANT)),
            (None, ISSUER),
        ],
    )
    def test_fits(self, named: str | None, issuer: str, forge: Forge) -> None:
        keys = KeySet([Key.from_jwk(KEY.public_jwk() | {"issuer": named})])
        verify(forge, {"iss": issuer, "tid": TENANT}, issuer=issuer, keys=keys)

    @table(
        ("named", "issuer", "tid"),
        [
            (ISSUER + "/", ISSUER, TENANT),
            ("", ISSUER, TENANT),
            (ENTRA.format(OTHER), ENTRA.format(TENANT), TENANT),
            (ENTRA.format(OTHER), ENTRA.format(TENANT), OTHER),
            (ENTRA.format(OTHER), ENTRA_V1.format(TENANT), TENANT),
            (ENTRA.format("{tenantid}"), ENTRA.format(TENANT), OTHER),
            (ENTRA.format("{tenantid}"), ENTRA.format(TENANT), ...),
            (ENTRA.format("{tenantid}"), ISSUER, TENANT),
        ],
    )
    def test_does_not_fit(self, named: str, issuer: str, tid: object, forge: Forge) -> None:
        keys = KeySet([Key.from_jwk(KEY.public_jwk() | {"issuer": named})])
        with pytest.raises(InvalidClaimError) as caught:
            verify(forge, {"iss": issuer, "tid": tid}, issuer=issuer, keys=keys)
        assert caught.value.claim == "iss"

    def test_may_be_any_of_those_that_one_key_is_published_for(self, forge: Forge) -> None:
        jwks = [KEY.public_jwk() | {"issuer": name} for name in ("https://a", ISSUER, "https://b")]
        keys = KeySet(map(Key.from_jwk, jwks), allow_shared_kids=True)
        assert verify(forge, {}, keys=keys).subject == "ann"
        with pytest.raises(InvalidClaimError):
            verify(forge, {"iss": "https://c"}, keys=keys, issuer="https://c")

    def test_is_a_string(self) -> None:
        with pytest.raises(ConfigurationError, match="issuer of the JWK"):
            Key.from_jwk(KEY.public_jwk() | {"issuer": [ISSUER]})


class TestHeader:
    @pytest.mark.parametrize("name", ["Cf-Access-Jwt-Assertion", "X-Amzn-Oidc-Accesstoken", "x-a"])
    def test_is_a_name(self, name: str) -> None:
        assert trust(header=name).header == name

    def test_is_authorization_by_default(self) -> None:
        assert trust().header is None
        assert trust(header="authorization").header is None

    @table(
        "name", ["", "X_A", "X-A:", "X A", "é", "-a", "X--A", 5, "Cookie", "Host", "Remote-User"]
    )
    def test_is_refused(self, name: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"^header must"):
            trust(header=name)


class TestOwnIssuer:
    def test_is_read_by_the_same_terms(self, forge: Forge) -> None:
        verifier = TokenVerifier(
            keys=KeySet([KEY]),
            issuer=ISSUER,
            audience="api",
            clock=lambda: NOW,
            scopes_from=["groups"],
            audience_claim="client_id",
            subject_from=[{"claim": "client_id", "prefix": "c:"}],
        )
        claims = {"iss": ISSUER, "client_id": "api", "exp": NOW + 9, "groups": ["a b"]}
        verified = verifier.verify(forge(claims, key=KEY))
        assert verified.subject == "c:api"
        assert verified.scopes == {"a b"}

    def test_has_no_terms_where_there_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match=r"scopes_from .*each trusted issuer"):
            TokenVerifier(trusted=[trust()], scopes_from=["groups"])


class TestAlgorithms:
    @table("named", ["Ed25519", "EdDSA"])
    @table("accepted", ["Ed25519", "EdDSA", None])
    @table("published", ["Ed25519", "EdDSA", None])
    def test_ed25519_has_two_names(
        self, named: str, accepted: str | None, published: str | None, forge: Forge
    ) -> None:
        ed = Key.generate("Ed25519", kid="e")
        keys = KeySet([Key.from_jwk(ed.public_jwk() | {"alg": published})])
        verifier = TokenVerifier(trusted=[trust(keys=keys, algorithms=accepted)], clock=lambda: NOW)
        claims = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": NOW + 60}
        assert verifier.verify(forge(claims, {"alg": named, "kid": "e"}, key=ed)).subject == "ann"

    def test_keys_of_one_kid_are_told_apart_by_alg(self, forge: Forge) -> None:
        # RFC 7517 §4.5: keys of other types can share a kid; and so do unrelated pairs.
        a, b, c = (Key.generate("ES256", kid="k") for _ in "abc")
        ed = Key.generate("EdDSA", kid="k")
        verifier = TokenVerifier(
            trusted=[trust(keys=KeySet([a, ed, b], allow_shared_kids=True))], clock=lambda: NOW
        )
        claims = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": NOW + 60}
        for key in (a, b, ed):
            assert verifier.verify(forge(claims, key=key)).header.alg == key.alg
        with pytest.raises(InvalidSignatureError):
            verifier.verify(forge(claims, key=c))
        with pytest.raises(AlgorithmNotAllowedError):
            verifier.verify(forge(claims, {"alg": "ES384", "kid": "k"}, key=a))


def certificate(key: Key, *, begins: float, ends: float) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
    begin, end = (datetime.datetime.fromtimestamp(one, datetime.UTC) for one in (begins, ends))
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key._verifying)
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key._signing, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM)


class TestCertificates:
    ENDS = 4_000_000_000  # long after the machine's own clock, which decides what is read at all

    def verifier(self, *keys: Key, now: list[float]) -> TokenVerifier:
        return TokenVerifier(trusted=[trust(keys=KeySet(keys))], clock=lambda: now[0])

    def token(self, forge: Forge, key: Key = KEY, kid: str = "k") -> str:
        claims = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": self.ENDS + 10_000}
        return forge(claims, {"alg": "ES256", "kid": kid}, key=key)

    def test_are_keys_while_they_are_valid(self, forge: Forge) -> None:
        pem = certificate(KEY, begins=NOW, ends=self.ENDS)
        key, now = Key.from_pem(pem, alg="ES256", kid="k"), [float(NOW)]
        verifier = self.verifier(key, Key.generate("ES256", kid="other"), now=now)
        token = self.token(forge)
        remembered = verifier.verify(token)
        assert verifier.verify(token) is remembered
        for now[0] in (NOW - 1.0, self.ENDS + 1.0):
            with pytest.raises(UnknownKeyError, match="certificate"):
                verifier.verify(token)
        now[0] = float(self.ENDS)
        assert verifier.verify(token).subject == "ann"

    def test_that_have_all_expired_make_an_issuer_unavailable(self, forge: Forge) -> None:
        pem = certificate(KEY, begins=NOW, ends=self.ENDS)
        verifier = self.verifier(Key.from_pem(pem, alg="ES256", kid="k"), now=[self.ENDS + 1.0])
        with pytest.raises(UnavailableError, match="no certificate"):
            verifier.verify(self.token(forge))

    def test_that_have_expired_are_not_read(self) -> None:
        pem = certificate(KEY, begins=NOW - 10**9, ends=NOW - 5 * 10**8)
        with pytest.raises(ConfigurationError, match="certificate has expired"):
            Key.from_pem(pem, alg="ES256")

    @pytest.mark.parametrize("alg", ["RS256", "ES384", "EdDSA", "HS256"])
    def test_are_for_the_alg_of_their_key(self, alg: str) -> None:
        pem = certificate(KEY, begins=NOW, ends=self.ENDS)
        with pytest.raises(ConfigurationError):
            Key.from_pem(pem, alg=alg)


def ed25519_jwk(encoded: bytes) -> str:
    x = base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()
    return json.dumps({"kty": "OKP", "crv": "Ed25519", "x": x})


P = 2**255 - 19
ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022


@table(
    ("encoded", "reason"),
    [
        *(
            pytest.param(y.to_bytes(32, "little"), "small order", id=name)
            for name, y in (
                *(("order 1", 1), ("order 2", P - 1), ("order 4", 0)),
                *(("order 8", ORDER_8), ("order 8 again", P - ORDER_8)),
                ("order 8, negative", ORDER_8 | 1 << 255),
                ("order 4, negative", 1 << 255),
            )
        ),
        *(
            pytest.param(y.to_bytes(32, "little"), "not canonical", id=name)
            for name, y in (("y is p", P), ("y is p + 1", P + 1), ("all ones", 2**255 - 1))
        ),
        pytest.param((1 | 1 << 255).to_bytes(32, "little"), "not a point", id="minus zero"),
        pytest.param((2).to_bytes(32, "little"), "not a point", id="off the curve"),
    ],
)
def test_refuses_degenerate_ed25519_keys(encoded: bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Key.from_jwk(ed25519_jwk(encoded))


def test_takes_every_ed25519_key_that_is_generated() -> None:
    for _ in range(50):
        assert Key.from_jwk(Key.generate("EdDSA").public_jwk()).can_verify


@pytest.mark.parametrize("n", [1 << 2047, (1 << 2048) - 2])
def test_refuses_an_even_rsa_modulus(n: int) -> None:
    with pytest.raises(ConfigurationError):
        Key.from_jwk({"kty": "RSA", "alg": "RS256", "n": b64(n), "e": "AQAB"})


@table("e", [0, 1, 2, 4, 65536, (1 << 257) + 1])
def test_refuses_a_degenerate_rsa_exponent(e: int) -> None:
    with pytest.raises(ConfigurationError):
        Key.from_jwk({"kty": "RSA", "alg": "RS256", "n": b64((1 << 2048) - 1), "e": b64(e)})


def b64(number: int) -> str:
    octets = number.to_bytes(max(1, (number.bit_length() + 7) // 8))
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def test_an_error_names_an_alg_only_where_one_is_named() -> None:
    jwk = Key.generate("EdDSA").public_jwk()
    with pytest.raises(ConfigurationError, match="names no alg"):
        Key.from_jwk({"kty": "RSA", "n": "AQAB", "e": "AQAB"})
    with pytest.raises(ConfigurationError, match="alg is not one of"):
        Key.from_jwk(jwk | {"alg": "Ed448"})


def test_only_errors_of_this_package_come_out(forge: Forge) -> None:
    odd: list[Any] = [None, 5, [], {}, "", "x", [[]], {"a": [1]}, True, 1e300]
    for value in odd:
        for name in ("aud", "sub", "scope", "tid", "nonce", "roles", "iat", "a", "client_id"):
            for terms in (
                {"require_any": [["a", "b"], "roles"]},
                {"audience_claim": ["a", "b"]},
                {"subject_from": ["sub", {"claim": ["a", "b"], "prefix": "b:"}]},
                {"kind": "id", "max_token_lifetime_seconds": 60},
                {"scopes_from": [["a", "b"], {"claim": "scope", "keys": True}]},
            ):
                try:
                    assert isinstance(verify(forge, {name: value}, **terms).scopes, frozenset)
                except InvalidTokenError:
                    continue

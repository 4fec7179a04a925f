from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.trust import MAX_LEEWAY_SECONDS, TrustedIssuer
from jwt_middleware.core.verifier import TokenVerifier
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

from ..strategies import CHARACTERS
from ..table import table

NOW = 1_800_000_000
OWN, A, B = "https://auth.example.com", "https://a.example", "https://b.example"

# Of the same kid and alg: nothing but the issuer tells them apart.
KEY_A, KEY_B = (Key.generate("ES256", kid="same") for _ in "ab")
NEW = Key.generate("ES256", kid="new")
ED = Key.generate("EdDSA", kid="ed")

Forge = Callable[..., str]

ODD: tuple[object, ...] = ("", None, True, False, ["1"], {})


class Source:
    """A key source that notes what it is asked, and can go down."""

    def __init__(self, *keys: Key) -> None:
        self.keys = KeySet(keys)
        self.next: KeySet | None = None
        self.asked: list[str | None] = []
        self.failure: UnavailableError | None = None

    def current(self) -> KeySet:
        if self.failure is not None:
            raise self.failure
        return self.keys

    def refreshed(self, kid: str | None) -> KeySet:
        self.asked.append(kid)
        self.keys = self.next or self.keys
        return self.current()


class Untouchable:
    """A key source that must not be used."""

    def current(self) -> KeySet:
        raise AssertionError("looked at")

    def refreshed(self, kid: str | None) -> KeySet:
        raise AssertionError("looked at")


def trust(issuer: str = A, *keys: Key, **parts: Any) -> TrustedIssuer:
    defaults: dict[str, Any] = {
        "audience": "api",
        "keys": KeySet(keys or (KEY_A,)),
        "leeway_seconds": 0,
    }
    return TrustedIssuer(issuer=issuer, **(defaults | parts))


def verifier_of(*trusted: TrustedIssuer, **parts: Any) -> TokenVerifier:
    return TokenVerifier(trusted=trusted, clock=lambda: NOW, **parts)


def claims_of(issuer: object = A, **others: object) -> dict[str, object]:
    return {"iss": issuer, "aud": "api", "sub": "42", "exp": NOW + 60} | others


class TestIssuer:
    @table(
        "issuer",
        [
            pytest.param(A[:-1], id="prefix"),
            pytest.param(A + "/", id="slash"),
            pytest.param(A.upper(), id="case"),
            pytest.param(f" {A}", id="space"),
            pytest.param(f"{A}\0", id="nul"),
            pytest.param("", id="empty"),
            pytest.param([A], id="list"),
            pytest.param({A: A}, id="object"),
            pytest.param(None, id="null"),
            pytest.param(5, id="number"),
        ],
    )
    def test_is_matched_exactly_and_before_any_key(self, issuer: object, forge: Forge) -> None:
        verifier = verifier_of(trust(A, keys=Untouchable()), trust(B, keys=Untouchable()))
        with pytest.raises(InvalidClaimError) as caught:
            verifier.verify(forge(claims_of(issuer), key=KEY_A))
        assert caught.value.claim == "iss"

    def test_must_be_there(self, forge: Forge) -> None:
        claims = claims_of()
        del claims["iss"]
        with pytest.raises(MissingClaimError) as caught:
            verifier_of(trust(A, keys=Untouchable())).verify(forge(claims, key=KEY_A))
        assert caught.value.claim == "iss"

    def test_decides_whose_keys_are_looked_at(self, forge: Forge) -> None:
        verifier = verifier_of(trust(A), trust(B, keys=Untouchable()))
        verified = verifier.verify(forge(claims_of(A), key=KEY_A))
        assert verified.trusted is verifier.trusted[A]

    @pytest.mark.parametrize("length", [2_000, 4_000, 11_000])
    def test_may_be_anywhere_in_a_token_of_the_only_one(self, length: int, forge: Forge) -> None:
        token = forge({"groups": "x" * length} | claims_of(), key=KEY_A)
        for keys in (KeySet([KEY_A]), Source(KEY_A)):
            assert verifier_of(trust(A, keys=keys)).verify(token).subject == "42"
        source = Source(KEY_B)
        source.next = KeySet([KEY_A])
        assert verifier_of(trust(A, keys=source)).verify(token).subject == "42"

    @pytest.mark.parametrize("kid", [{"kid": "same"}, {}], ids=["kid", "no kid"])
    @pytest.mark.parametrize(("issuer", "other"), [(A, KEY_B), (B, KEY_A)], ids=["A", "B"])
    def test_does_not_vouch_for_another(
        self, issuer: str, other: Key, kid: dict[str, str], forge: Forge
    ) -> None:
        verifier = verifier_of(trust(A), trust(B, KEY_B))
        header = {"alg": "ES256"} | kid
        # The same header for all: what is remembered of it is of one issuer, too.
        for one, key in ((A, KEY_A), (B, KEY_B)):
            token = forge(claims_of(one), header, key=key)
            assert verifier.verify(token).trusted.issuer == one
        with pytest.raises(InvalidSignatureError):
            verifier.verify(forge(claims_of(issuer), header, key=other))

    def test_does_not_vouch_for_another_by_kid(self, forge: Forge) -> None:
        verifier = verifier_of(trust(A), trust(B, NEW))
        with pytest.raises(UnknownKeyError):
            verifier.verify(forge(claims_of(A), key=NEW))

    def test_of_others_stands_beside_the_own(self, forge: Forge, hs256: Key) -> None:
        verifier = verifier_of(trust(A), keys=KeySet([hs256]), issuer=OWN, audience="own")
        assert list(verifier.trusted) == [OWN, A]
        assert verifier.verify(forge(claims_of(OWN, aud="own"))).trusted.issuer == OWN
        assert verifier.verify(forge(claims_of(A), key=KEY_A)).trusted.issuer == A
        for claims, key in (
            (claims_of(A), hs256),
            (claims_of(OWN, aud="own"), KEY_A),
        ):
            with pytest.raises(UnknownKeyError):
                verifier.verify(forge(claims, key=key))

    def test_of_others_stays_when_the_own_keys_are_replaced(self, forge: Forge, hs256: Key) -> None:
        verifier = verifier_of(trust(A), keys=KeySet([hs256]), issuer=OWN, audience="api")
        own, other = forge(claims_of(OWN)), forge(claims_of(A), key=KEY_A)
        verifier.verify(own)
        remembered = verifier.verify(other)
        verifier.keys = KeySet([NEW])
        assert verifier.verify(other) is remembered
        with pytest.raises(UnknownKeyError):
            verifier.verify(own)


class TestTerms:
    """What is asked of one issuer's tokens is asked of no other's."""

    def test_audience(self, forge: Forge) -> None:
        verifier = verifier_of(trust(A, audience="a"), trust(B, KEY_B, audience=["b", "c"]))
        for issuer, key, audience in ((A, KEY_A, "a"), (B, KEY_B, "b"), (B, KEY_B, ["x", "c"])):
            verifier.verify(forge(claims_of(issuer, aud=audience), key=key))
        for issuer, key, audience in ((A, KEY_A, "b"), (B, KEY_B, "a"), (A, KEY_A, ["b", "c"])):
            with pytest.raises(InvalidClaimError) as caught:
                verifier.verify(forge(claims_of(issuer, aud=audience), key=key))
            assert caught.value.claim == "aud"

    def test_algorithms(self, forge: Forge) -> None:
        source = Source(KEY_A, ED)
        verifier = verifier_of(
            trust(A, keys=source, algorithms=["ES256"]),
            trust(B, KEY_A, ED, algorithms="EdDSA"),
        )
        verifier.verify(forge(claims_of(A), key=KEY_A))
        verifier.verify(forge(claims_of(B), key=ED))
        for issuer, key in ((A, ED), (B, KEY_A)):
            for header in (None, {"alg": key.alg}):
                with pytest.raises(AlgorithmNotAllowedError):
                    verifier.verify(forge(claims_of(issuer), header, key=key))
        with pytest.raises(AlgorithmNotAllowedError):
            verifier.verify(forge(claims_of(A), {"alg": "EdDSA", "kid": "unknown"}, key=ED))
        assert source.asked == []

    def test_algorithms_are_those_of_the_keys_by_default(self, forge: Forge) -> None:
        verifier = verifier_of(trust(A, KEY_A, ED))
        for key in (KEY_A, ED):
            verifier.verify(forge(claims_of(A), key=key))

    def test_leeway(self, forge: Forge) -> None:
        verifier = verifier_of(trust(A), trust(B, KEY_B, leeway_seconds=30))
        verifier.verify(forge(claims_of(B, exp=NOW - 29), key=KEY_B))
        for issuer, key, exp in ((A, KEY_A, NOW), (A, KEY_A, NOW - 29), (B, KEY_B, NOW - 30)):
            with pytest.raises(ExpiredTokenError):
                verifier.verify(forge(claims_of(issuer, exp=exp), key=key))

    @pytest.mark.parametrize("typ", [{}, {"typ": "JWT"}], ids=["absent", "JWT"])
    def test_token_type(self, typ: dict[str, str], forge: Forge) -> None:
        verifier = verifier_of(trust(A, token_type="at+jwt"), trust(B, KEY_B))
        header = {"alg": "ES256", "kid": "same"} | typ
        verifier.verify(forge(claims_of(B), header, key=KEY_B))
        verifier.verify(forge(claims_of(A), header | {"typ": "at+jwt"}, key=KEY_A))
        with pytest.raises(MalformedTokenError):
            verifier.verify(forge(claims_of(A), header, key=KEY_A))


class TestProfile:
    """RFC 9068 §2, where it is asked for."""

    COMPLETE: ClassVar[dict[str, object]] = {"client_id": "web", "iat": NOW, "jti": "1"}

    @pytest.fixture
    def verifier(self) -> TokenVerifier:
        return verifier_of(trust(A, profile="at+jwt"), trust(B, KEY_B))

    def test_is_not_asked_of_other_issuers(self, verifier: TokenVerifier, forge: Forge) -> None:
        verifier.verify(forge(claims_of(B), {"alg": "ES256"}, key=KEY_B))

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
    def test_accepts_a_complete_token(
        self, typ: str, verifier: TokenVerifier, forge: Forge
    ) -> None:
        header = {"alg": "ES256", "kid": "same", "typ": typ}
        verifier.verify(forge(claims_of(A, **self.COMPLETE), header, key=KEY_A))

    @pytest.mark.parametrize("typ", [None, "", "JWT", "jwt", "id+jwt", "at+jwt "])
    def test_refuses_another_type(
        self, typ: str | None, verifier: TokenVerifier, forge: Forge
    ) -> None:
        header = {"alg": "ES256", "kid": "same"} | ({} if typ is None else {"typ": typ})
        with pytest.raises(MalformedTokenError, match="typ"):
            verifier.verify(forge(claims_of(A, **self.COMPLETE), header, key=KEY_A))

    @pytest.mark.parametrize("name", ["client_id", "iat", "jti", "sub", "exp", "aud"])
    def test_refuses_a_token_that_lacks_a_claim(
        self, name: str, verifier: TokenVerifier, forge: Forge
    ) -> None:
        claims = claims_of(A, **self.COMPLETE)
        del claims[name]
        with pytest.raises(MissingClaimError) as caught:
            verifier.verify(forge(claims, key=KEY_A))
        assert caught.value.claim == name

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("client_id", value) for value in ODD),
            *(("jti", value) for value in ODD),
            *(("iat", value) for value in (*ODD, str(NOW), NOW + 1)),
        ],
        ids=repr,
    )
    def test_refuses_a_claim_of_another_type(
        self, name: str, value: object, verifier: TokenVerifier, forge: Forge
    ) -> None:
        claims = claims_of(A, **(self.COMPLETE | {name: value}))
        with pytest.raises(InvalidClaimError) as caught:
            verifier.verify(forge(claims, key=KEY_A))
        assert caught.value.claim == name
        assert not isinstance(caught.value, MissingClaimError)


class TestKeySource:
    @pytest.fixture
    def source(self) -> Source:
        return Source(KEY_A)

    @pytest.fixture
    def verifier(self, source: Source) -> TokenVerifier:
        return verifier_of(trust(A, keys=source), trust(B, KEY_B))

    def test_is_asked_once_for_an_unknown_kid(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        source.next = KeySet([KEY_A, NEW])
        token = forge(claims_of(A), key=NEW)
        verified = verifier.verify(token)
        assert verified.keys is source.next
        assert verifier.verify(token) is verified
        verifier.verify(forge(claims_of(A, jti="another"), key=NEW))
        verifier.verify(forge(claims_of(A), key=KEY_A))
        assert source.asked == ["new"]

    def test_that_still_does_not_know_it_is_asked_once_a_token(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        with pytest.raises(UnknownKeyError) as caught:
            verifier.verify(forge(claims_of(A), key=NEW))
        assert caught.value.kid == "new"
        assert source.asked == ["new"]

    def test_that_finds_a_key_for_another_alg_gives_none(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        source.next = KeySet([Key.generate("EdDSA", kid="new")])
        with pytest.raises(AlgorithmNotAllowedError):
            verifier.verify(forge(claims_of(A), key=NEW))

    @pytest.mark.parametrize("header", [{}, {"kid": "same"}], ids=["no kid", "kid"])
    def test_is_asked_for_a_signature_that_is_none_of_its_keys(
        self, header: dict[str, str], source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        token = forge(claims_of(A), {"alg": "ES256"} | header, key=KEY_B)
        with pytest.raises(InvalidSignatureError):
            verifier.verify(token)
        source.next = KeySet([KEY_B])  # the same kid, another key
        assert verifier.verify(token).keys is source.next
        assert source.asked == [header.get("kid")] * 2

    def test_is_not_asked_for_another_issuers_bad_signature(
        self, source: Source, forge: Forge
    ) -> None:
        verifier = verifier_of(trust(A, keys=source))
        header = {"alg": "ES256", "kid": "same"}
        verifier.verify(forge(claims_of(A), header, key=KEY_A))
        with pytest.raises(InvalidClaimError):
            verifier.verify(forge(claims_of(B), header, key=KEY_B))
        assert source.asked == []

    def test_is_asked_where_there_is_no_kid_and_no_key_of_the_alg(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        token = forge(claims_of(A), {"alg": "EdDSA"}, key=ED)
        with pytest.raises(AlgorithmNotAllowedError):
            verifier.verify(token)
        source.next = KeySet([KEY_A, ED])
        assert verifier.verify(token).header.kid is None

    def test_that_is_down_is_unavailable_and_no_fault_of_the_token(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        remembered = forge(claims_of(A), key=KEY_A)
        verifier.verify(remembered)
        source.failure = UnavailableError("away", retry_after_seconds=7)
        for token in (remembered, forge(claims_of(A, jti="fresh"), key=KEY_A)):
            with pytest.raises(UnavailableError) as caught:
                verifier.verify(token)
            assert caught.value is source.failure
        verifier.verify(forge(claims_of(B), key=KEY_B))
        source.failure = None
        verifier.verify(remembered)

    def test_that_goes_down_at_the_second_look_is_unavailable(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        failure = UnavailableError("away")

        def refreshed(kid: str | None) -> KeySet:
            raise failure

        source.refreshed = refreshed  # type: ignore[method-assign]
        with pytest.raises(UnavailableError) as caught:
            verifier.verify(forge(claims_of(A), key=NEW))
        assert caught.value is failure

    def test_without_a_key_any_more_ends_what_is_remembered(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        token, other = forge(claims_of(A), key=KEY_A), forge(claims_of(B), key=KEY_B)
        verifier.verify(token)
        remembered = verifier.verify(other)
        source.keys = KeySet([NEW])
        with pytest.raises(UnknownKeyError):
            verifier.verify(token)
        assert verifier.verify(other) is remembered

    def test_with_another_key_of_the_kid_ends_remembered_tokens_and_headers(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        token = forge(claims_of(A), key=KEY_A)
        verifier.verify(token)
        source.keys = KeySet([KEY_B])
        for one in (token, forge(claims_of(A, jti="fresh"), key=KEY_A)):
            with pytest.raises(InvalidSignatureError):
                verifier.verify(one)
        # A header that was remembered with the old key serves the new one.
        verified = verifier.verify(forge(claims_of(A), key=KEY_B))
        assert verified.keys is source.keys

    def test_with_the_same_key_in_another_set_has_it_verified_again(
        self, source: Source, verifier: TokenVerifier, forge: Forge
    ) -> None:
        token = forge(claims_of(A), key=KEY_A)
        before = verifier.verify(token)
        source.keys = KeySet([KEY_A, NEW])
        after = verifier.verify(token)
        assert after is not before
        assert verifier.verify(token) is after


class TestConstruction:
    @pytest.mark.parametrize("parts", [{}, {"trusted": []}], ids=["nothing", "empty"])
    def test_needs_somebody_to_trust(self, parts: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="at least one trusted issuer"):
            TokenVerifier(**parts)

    def test_refuses_an_issuer_twice(self) -> None:
        with pytest.raises(ConfigurationError, match="trusted twice"):
            verifier_of(trust(A), trust(B), trust(A, NEW))
        with pytest.raises(ConfigurationError, match="trusted twice"):
            verifier_of(trust(A), keys=KeySet([NEW]), issuer=A, audience="api")

    @pytest.mark.parametrize("one", [A, None, (A, "api"), KeySet([KEY_A])], ids=repr)
    def test_refuses_what_is_no_trusted_issuer(self, one: Any) -> None:
        with pytest.raises(ConfigurationError, match="TrustedIssuer"):
            verifier_of(trust(A), one)

    @table(
        "algorithms",
        ["", "none", "es256", [], ["none"], ["ES256", "nOnE"], [None], [["ES256"]], 5],
        ids=repr,
    )
    def test_refuses_algorithms(self, algorithms: Any) -> None:
        with pytest.raises(ConfigurationError, match="algorithms must be one or more of HS256"):
            trust(algorithms=algorithms)

    def test_takes_algorithms(self) -> None:
        assert trust().algorithms is None
        assert trust(algorithms="ES256").algorithms == frozenset({"ES256"})
        several = trust(algorithms=(alg for alg in ("ES256", "RS256", "ES256")))
        assert several.algorithms == frozenset({"ES256", "RS256"})

    @table("profile", ["", "jwt", "AT+JWT", 9068, ["at+jwt"]], ids=repr)
    def test_refuses_a_profile(self, profile: Any) -> None:
        with pytest.raises(ConfigurationError, match="profile must be"):
            trust(profile=profile)

    @pytest.mark.parametrize(
        ("parts", "accepted"),
        [
            pytest.param({}, None, id="neither"),
            pytest.param({"token_type": "at+jwt"}, "at+jwt", id="token_type"),
            pytest.param({"profile": "at+jwt"}, "at+jwt", id="profile"),
            pytest.param({"token_type": "at+jwt", "profile": "at+jwt"}, "at+jwt", id="both"),
        ],
    )
    def test_a_profile_includes_its_type(self, parts: dict[str, Any], accepted: str | None) -> None:
        assert trust(**parts).token_type == accepted

    @table("token_type", ["", "JWT", "AT+JWT", ["at+jwt"]], ids=repr)
    @table("profile", [None, "at+jwt"])
    def test_refuses_a_token_type(self, token_type: Any, profile: Any) -> None:
        with pytest.raises(ConfigurationError, match="token_type must be"):
            trust(token_type=token_type, profile=profile)

    @pytest.mark.parametrize("leeway", [-1, MAX_LEEWAY_SECONDS + 1, True, "5"])
    def test_refuses_a_leeway(self, leeway: Any) -> None:
        with pytest.raises(ConfigurationError, match="leeway_seconds must be"):
            trust(leeway_seconds=leeway)

    @table(
        "keys",
        [
            pytest.param(None, id="none"),
            pytest.param([KEY_A], id="list"),
            pytest.param("https://a.example/keys", id="URL"),
            pytest.param(Key, id="class"),
            pytest.param(KeySet, id="class of a source"),
            pytest.param(Mock(), id="object that has every attribute"),
            pytest.param(SimpleNamespace(current=lambda: KeySet([KEY_A])), id="half a source"),
        ],
    )
    def test_refuses_what_is_no_key_source(self, keys: Any) -> None:
        with pytest.raises(ConfigurationError, match="keys must be"):
            trust(keys=keys)

    def test_shows_whom_it_trusts_and_no_key(self) -> None:
        assert repr(trust(audience=["b", "a"])) == f"<TrustedIssuer {A!r} audience=['a', 'b']>"

    def test_has_no_keys_of_its_own_where_it_only_trusts_others(self) -> None:
        verifier = verifier_of(trust(A))
        with pytest.raises(ConfigurationError, match="no keys of its own"):
            _ = verifier.keys
        with pytest.raises(ConfigurationError, match="no keys of its own"):
            verifier.keys = KeySet([NEW])

    @pytest.mark.parametrize("parts", [{"leeway_seconds": 5}, {"token_type": "at+jwt"}], ids=repr)
    def test_refuses_terms_of_its_own_where_it_only_trusts_others(
        self, parts: dict[str, Any]
    ) -> None:
        # They would be without effect.
        with pytest.raises(ConfigurationError, match=f"{next(iter(parts))} .*each trusted issuer"):
            verifier_of(trust(A), **parts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(CHARACTERS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS), inner, max_size=3)
    ),
    max_leaves=8,
)
ANY_ISSUER = verifier_of(trust(A, keys=Untouchable()))


@given(JSON.filter(lambda issuer: issuer != A))
@example(A + "\ud800")
@example(10**400)
@example([[A]])
def test_any_other_issuer_is_refused(forge: Forge, issuer: object) -> None:
    with pytest.raises(InvalidTokenError):
        ANY_ISSUER.verify(forge(claims_of(issuer), key=KEY_A))

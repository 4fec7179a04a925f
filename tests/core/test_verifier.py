from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from math import inf, nan
from typing import Any
from unittest.mock import Mock, call

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_middleware.core.encoding import encode_base64url
from jwt_middleware.core.issuer import TokenIssuer
from jwt_middleware.core.jws import ALGORITHMS, MAX_TOKEN_CHARS, Header, serialize, split
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.payload import JWTPayload
from jwt_middleware.core.revocation import RevocationSource
from jwt_middleware.core.trust import MAX_KNOWN_HEADERS, MAX_LEEWAY_SECONDS, TrustedIssuer
from jwt_middleware.core.verifier import TokenVerifier, VerifiedToken
from jwt_middleware.errors import (
    AlgorithmNotAllowedError,
    ConfigurationError,
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    InvalidTokenError,
    JWTMiddlewareError,
    MalformedTokenError,
    MissingClaimError,
    RevokedTokenError,
    UnavailableError,
    UnknownKeyError,
)

from ..strategies import CHARACTERS
from ..table import table

NOW = 1_800_000_000
OTHER_KEY = Key.generate("ES256")
OTHER_KEYS = KeySet([OTHER_KEY])


def known_headers(verifier: TokenVerifier) -> dict[bytes, Any]:
    (trusted,) = verifier._trusted.values()
    return trusted._known_headers


Claims = dict[str, Any]
Forge = Callable[..., str]
MakeVerifier = Callable[..., TokenVerifier]


class TestConstruction:
    @table("issuer", ["", None, 5, ["me"], b"me"])
    def test_refuses_an_issuer(self, issuer: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(ConfigurationError, match="issuer must be"):
            make_verifier(issuer=issuer)

    @table("audience", ["", None, [], [""], ["api", ""], ["api", 5], [["api"]], b"api"], ids=repr)
    def test_refuses_an_audience(self, audience: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(ConfigurationError, match="audience must be"):
            make_verifier(audience=audience)

    @table("leeway", [0, 0.0, 0.5, MAX_LEEWAY_SECONDS, float(MAX_LEEWAY_SECONDS)])
    def test_accepts_a_leeway(self, leeway: float, make_verifier: MakeVerifier) -> None:
        make_verifier(leeway_seconds=leeway)

    @table("leeway", [-1, -0.001, MAX_LEEWAY_SECONDS + 1, 300.001, nan, inf, True, None, "5", [5]])
    def test_refuses_a_leeway(self, leeway: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(
            ConfigurationError, match="leeway_seconds must be a number of seconds from 0 to 300"
        ):
            make_verifier(leeway_seconds=leeway)

    @table("token_type", ["", "JWT", "AT+JWT", "application/at+jwt", 5])
    def test_refuses_a_token_type(self, token_type: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(ConfigurationError, match="token_type"):
            make_verifier(token_type=token_type)

    @table("size", [-1, 1.0, True, None, "10"])
    def test_refuses_a_cache_size(self, size: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(ConfigurationError, match="cache_size"):
            make_verifier(cache_size=size)

    def test_refuses_keys_that_cannot_verify(self, make_verifier: MakeVerifier) -> None:
        signing = KeySet([Key.generate().limited_to({"sign"})])
        for keys in (signing, None, [Key.generate()], "secret"):
            with pytest.raises(ConfigurationError, match="KeySet with a key"):
                make_verifier(keys=keys)


class TestGoodTokens:
    def test_returns_claims_header_and_subject(
        self, forge: Forge, claims: Claims, hs256: Key, make_verifier: MakeVerifier
    ) -> None:
        claims |= {"scope": "read write", "roles": ["a"], "nbf": NOW - 1}
        verified = make_verifier().verify(forge(claims))
        assert verified.claims == claims
        assert verified.read_only_claims == claims
        assert verified.header == Header("HS256", hs256.kid, "at+jwt")
        assert verified.subject == "42"
        assert verified.scopes == {"read", "write"}
        assert (verified.valid_from, verified.valid_until) == (NOW - 1, NOW + 60)

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_accepts_what_pyjwt_signs(
        self, alg: str, keys_by_alg: dict[str, Key], claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        keys = KeySet(keys_by_alg.values())
        for headers in ({"kid": alg}, {"kid": alg, "typ": "at+jwt"}, {}):
            token = jwt.encode(claims, keys_by_alg[alg]._signing, algorithm=alg, headers=headers)
            assert make_verifier(keys=keys).verify(token).claims == claims

    @pytest.mark.parametrize(
        ("scope", "scopes"),
        [
            ("read", {"read"}),
            ("read  write ", {"read", "write"}),
            ("", set()),
            (" ", set()),
            ("read\tadmin", {"read\tadmin"}),
            ("read\u00a0admin", {"read\u00a0admin"}),
            (["admin", "x y", "", 1], {"admin", "x y"}),
            ({"admin": {}}, set()),
            (None, set()),
            (5, set()),
        ],
    )
    def test_scopes_are_split_at_spaces_and_never_empty(
        self,
        scope: object,
        scopes: set[str],
        forge: Forge,
        claims: Claims,
        make_verifier: MakeVerifier,
    ) -> None:
        verifier = make_verifier()
        assert verifier.verify(forge(claims | {"scope": scope})).scopes == scopes
        assert verifier.verify(forge(claims)).scopes == set()

    def test_one_of_several_audiences_is_enough(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(audience=iter(["web", "api"]))
        for audience in ("web", "api", ["other", "web"]):
            assert verifier.verify(forge(claims | {"aud": audience})).subject == "42"
        with pytest.raises(InvalidClaimError):
            verifier.verify(forge(claims | {"aud": "other"}))

    def test_a_long_token_is_accepted_up_to_the_bound(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        tokens = [forge(claims | {"x": "x" * length}) for length in range(11_900, 12_300)]
        longest = [token for token in tokens if len(token) <= MAX_TOKEN_CHARS]
        assert 0 < len(longest) < len(tokens)
        assert make_verifier().verify(longest[-1]).subject == "42"
        with pytest.raises(MalformedTokenError):
            make_verifier().verify(tokens[len(longest)])

    def test_nesting_is_accepted_up_to_the_bound(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        def nested(depth: int) -> bytes:
            value = "[" * (depth - 1) + "]" * (depth - 1)  # one level is the claim set itself
            return json.dumps(claims | {"x": 0}).replace('"x": 0', f'"x": {value}').encode()

        assert make_verifier().verify(forge(nested(32))).subject == "42"
        with pytest.raises(MalformedTokenError):
            make_verifier().verify(forge(nested(33)))


class TestSeveralIssuers:
    """Whose keys must have made a signature is read from a payload that is not signed yet."""

    @pytest.fixture
    def verifier(self, make_verifier: MakeVerifier, hs256: Key) -> TokenVerifier:
        other = TrustedIssuer(issuer="https://b.example", audience="api", keys=OTHER_KEYS)
        return make_verifier(trusted=[other])

    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param('{"iss":"https://b.example",%s}', id="plain"),
            pytest.param('{%s, "iss" \t:\n"https://b.example"}', id="white space"),
            pytest.param('{"iss":"https:\\/\\/b.example",%s}', id="escaped slashes"),
            pytest.param('{"iss":"https://\\u0062.example",%s}', id="escaped letter"),
            pytest.param('{"\\u0069ss":"https://b.example",%s}', id="escaped name"),
            pytest.param('{"act":{"iss":"ISSUER"},"iss":"https://b.example",%s}', id="actor first"),
            pytest.param('{"iss":"https://b.example","act":{"iss":"x"},%s}', id="actor last"),
            pytest.param('{"s":"\\"iss\\":\\"x","iss":"https://b.example",%s}', id="in a string"),
            pytest.param('{"f":"FAR","iss":"https://b.example",%s}', id="far from the beginning"),
            pytest.param('{"n":[0FILL],"iss":"https://b.example",%s}', id="after many values"),
            pytest.param('{"\\"iss":"x","iss":"https://b.example",%s}', id="end of a name"),
            pytest.param('{"note":"iss","iss":"https://b.example",%s}', id="as a value"),
            pytest.param('{"iss":"https://b.example","n":[0FILL],%s}', id="many values"),
        ],
    )
    def test_iss_is_read_however_it_is_spelled(
        self, payload: str, forge: Forge, claims: Claims, verifier: TokenVerifier
    ) -> None:
        rest = json.dumps({name: one for name, one in claims.items() if name != "iss"})[1:-1]
        payload = payload.replace("ISSUER", claims["iss"]).replace("FILL", ",0" * 900)
        payload = payload.replace("FAR", "x" * 3_000)
        token = forge((payload % rest).encode(), key=OTHER_KEY)
        assert verifier.verify(token).trusted.issuer == "https://b.example"

    @pytest.mark.parametrize(
        ("payload", "error"),
        [
            pytest.param('{"act":{"iss":"https://b.example"}}', MissingClaimError, id="nested"),
            pytest.param(
                '{"act":{"iss":"https://b.example"},"\\u0069ss":"ISSUER"}',
                InvalidSignatureError,
                id="nested, and an escaped one of another issuer",
            ),
            pytest.param('{"iss":"https://b.example"', MalformedTokenError, id="no JSON"),
            pytest.param('{"iss":"https://b.example",}', MalformedTokenError, id="a comma"),
            pytest.param('{"iss":"ISSUER"}', UnknownKeyError, id="another issuer's"),
            pytest.param('{"iss":null}', InvalidClaimError, id="null"),
            pytest.param('{"iss":["https://b.example"]}', InvalidClaimError, id="a list"),
            pytest.param("{}", MissingClaimError, id="missing"),
            pytest.param("[]", MalformedTokenError, id="no object"),
            pytest.param('{"iss":"\\x"}', MalformedTokenError, id="no such escape"),
            pytest.param('{"iss":"https://b.example","iss":"x"}', MalformedTokenError, id="twice"),
        ],
    )
    def test_what_is_signed_is_read_strictly(
        self,
        payload: str,
        error: type[Exception],
        forge: Forge,
        claims: Claims,
        verifier: TokenVerifier,
    ) -> None:
        token = forge(payload.replace("ISSUER", claims["iss"]).encode(), key=OTHER_KEY)
        with pytest.raises(error) as caught:
            verifier.verify(token)
        assert type(caught.value) is error

    def test_what_is_not_signed_is_not_parsed_beyond_a_bound(
        self, forge: Forge, claims: Claims, verifier: TokenVerifier
    ) -> None:
        named = f'"iss":"{claims["iss"]}"'
        with pytest.raises(MalformedTokenError, match="not strict JSON"):
            verifier.verify(forge(f'{{"n":{{}},{named},{named}}}'.encode()))
        many = ",".join("1" * 300)
        for offset in range(0, 400, 40):
            digits = f'{{"n":{{}},{named},{named},"m":"{"x" * offset}","d":{"1" * 400}}}'
            with pytest.raises(MalformedTokenError, match="number has too many digits"):
                verifier.verify(forge(digits.encode()))
        with pytest.raises(MalformedTokenError, match="more than 64 values"):
            verifier.verify(forge(f'{{"n":{{}},{named},{named},"m":[{many}]}}'.encode()))

    @pytest.mark.parametrize("length", range(3_000, 3_003))
    def test_iss_is_found_in_a_long_payload_at_any_offset(
        self, length: int, forge: Forge, claims: Claims, verifier: TokenVerifier
    ) -> None:
        token = forge({"a": "x" * length} | claims)
        assert verifier.verify(token).claims["iss"] == claims["iss"]
        del claims["iss"]
        with pytest.raises(MissingClaimError):
            verifier.verify(forge({"a": "x" * length} | claims))

    def test_iss_must_be_near_the_beginning_of_a_payload_beyond_a_bound(
        self, forge: Forge, claims: Claims, verifier: TokenVerifier, make_verifier: MakeVerifier
    ) -> None:
        far = {"a": "x" * 4_000} | claims
        with pytest.raises(MalformedTokenError, match="not near the beginning of a long payload"):
            verifier.verify(forge(far))
        assert verifier.verify(forge(claims | {"a": "x" * 10_000})).subject == "42"
        # As Cognito and Auth0 order them.
        groups = {"cognito:groups": ["x" * 40] * 40}
        assert verifier.verify(forge(groups | claims | {"a": "x" * 9_000})).subject == "42"
        assert make_verifier().verify(forge(far)).subject == "42"  # the only issuer

    @pytest.mark.parametrize("value", ["x" * 600, "\\u0078" * 100, "x" * 495 + "\\\\" * 9])
    def test_a_long_iss_is_not_read_before_its_signature_is_checked(
        self, value: str, forge: Forge, claims: Claims, verifier: TokenVerifier
    ) -> None:
        rest = json.dumps(claims)[1:]
        for payload in (f'{{"iss":"{value}"}}', f'{{"a":[],"iss":"{value}"}}', f'{{"iss":"{value}'):
            with pytest.raises(MalformedTokenError, match="iss is longer than 512 bytes"):
                verifier.verify(forge(payload.encode()))
        short = f'{{"iss2":"{value}",{rest}'
        assert verifier.verify(forge(short.encode())).subject == "42"

    def test_a_payload_is_not_parsed_before_its_signature_is_checked(
        self, forge: Forge, claims: Claims, verifier: TokenVerifier
    ) -> None:
        signed = forge(b'{"iss":"%b",nonsense' % claims["iss"].encode())
        with pytest.raises(MalformedTokenError, match="not strict JSON"):
            verifier.verify(signed)
        with pytest.raises(InvalidSignatureError):
            verifier.verify(signed[:-43] + "A" * 43)


class TestTokenType:
    @pytest.mark.parametrize(
        "typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "Application/at+JWT"]
    )
    def test_accepts_both_types_in_any_case(
        self, typ: str, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        token = forge(claims, {"alg": "HS256", "typ": typ})
        assert make_verifier().verify(token).header.typ == typ

    @pytest.mark.parametrize(
        "typ",
        [
            *("", "JOSE", "refresh+jwt", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt"),
            *(" JWT", "JWT ", "at+jwt;v=1", "application/application/jwt", "text/jwt", "at-jwt"),
        ],
    )
    def test_refuses_every_other_type(
        self, typ: str, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        token = forge(claims, {"alg": "HS256", "typ": typ})
        for token_type in (None, "at+jwt"):
            with pytest.raises(MalformedTokenError, match="typ"):
                make_verifier(token_type=token_type).verify(token)

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
    def test_a_narrowed_verifier_accepts_access_tokens(
        self, typ: str, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        token = forge(claims, {"alg": "HS256", "typ": typ})
        assert make_verifier(token_type="at+jwt").verify(token).subject == "42"

    @pytest.mark.parametrize("header", [{"alg": "HS256"}, {"alg": "HS256", "typ": "JWT"}])
    def test_a_narrowed_verifier_refuses_others(
        self, header: dict[str, str], forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(token_type="at+jwt")
        with pytest.raises(MalformedTokenError, match="typ"):
            verifier.verify(forge(claims, header))


class TestBadTokens:
    @pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp"])
    def test_refuses_a_token_without_a_required_claim(
        self, name: str, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        del claims[name]
        with pytest.raises(MissingClaimError) as caught:
            make_verifier().verify(forge(claims))
        assert caught.value.claim == name

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            pytest.param({"iss": "https://auth.example.co"}, InvalidClaimError, id="iss"),
            pytest.param({"aud": "ap"}, InvalidClaimError, id="aud"),
            pytest.param({"sub": ""}, InvalidClaimError, id="sub"),
            pytest.param({"jti": 5}, InvalidClaimError, id="jti"),
            pytest.param({"token_use": "id"}, InvalidClaimError, id="use"),
            pytest.param({"exp": NOW}, ExpiredTokenError, id="exp"),
            pytest.param({"nbf": NOW + 1}, ImmatureTokenError, id="nbf"),
            pytest.param({"iat": NOW + 1}, ImmatureTokenError, id="iat"),
            pytest.param({"exp": 10**400}, InvalidClaimError, id="huge-exp"),
            pytest.param({"exp": nan}, MalformedTokenError, id="nan"),
            pytest.param({"x": "\ud800"}, MalformedTokenError, id="surrogate"),
        ],
    )
    def test_refuses_a_claim(
        self,
        changes: Claims,
        error: type[Exception],
        forge: Forge,
        claims: Claims,
        make_verifier: MakeVerifier,
    ) -> None:
        with pytest.raises(error):
            make_verifier().verify(forge(claims | changes))

    def test_refuses_an_exponent_beyond_a_float(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        payload = json.dumps(claims).replace(str(claims["exp"]), "1e400").encode()
        with pytest.raises(InvalidClaimError, match="exp is not a finite JSON number"):
            make_verifier().verify(forge(payload))

    @table("payload", [b"", b"[]", b'"x"', b"null", b"1", b"{} {}", b"\xff"])
    def test_refuses_a_payload_that_is_no_object(
        self, payload: bytes, forge: Forge, make_verifier: MakeVerifier
    ) -> None:
        with pytest.raises(MalformedTokenError, match="payload"):
            make_verifier().verify(forge(payload))

    def test_looks_at_the_signature_before_any_claim_but_the_issuer(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier, hs256: Key
    ) -> None:
        other = Key.generate(kid=hs256.kid)
        with pytest.raises(InvalidSignatureError):
            make_verifier().verify(forge({"iss": claims["iss"], "exp": 0}, key=other))

    @table(
        "value",
        [None, 5, 1.5, True, b"a.b.c", bytearray(b"a.b.c"), ["a", "b"], {"a": 1}, object(), set()],
        ids=lambda value: type(value).__name__,
    )
    def test_refuses_what_is_no_string(self, value: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(MalformedTokenError):
            make_verifier().verify(value)

    def test_tries_the_keys_of_the_alg_where_there_is_no_kid(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        keys = [Key.generate(kid=str(number)) for number in range(6)]
        verifier = make_verifier(keys=KeySet(keys))
        tokens = [forge(claims, {"alg": "HS256"}, key=key) for key in keys]
        for token in tokens[:4]:
            assert verifier.verify(token).header.kid is None
        for token in tokens[4:]:
            with pytest.raises(InvalidSignatureError):
                verifier.verify(token)
        with pytest.raises(AlgorithmNotAllowedError):
            verifier.verify(forge(claims, {"alg": "HS512"}, key=Key.generate("HS512")))


class TestCache:
    @pytest.mark.parametrize("size", [0, 1, 2, 10_000])
    def test_a_remembered_token_has_the_same_claims(
        self, size: int, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(cache_size=size)
        tokens = {forge(claims | {"sub": str(n)}): str(n) for n in range(5)}
        for token in [*tokens, *tokens, *reversed(tokens)]:
            assert verifier.verify(token).subject == tokens[token]

    def test_a_hit_returns_what_is_remembered(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        token = forge(claims)
        for size, same in ((10, True), (0, False)):
            verifier = make_verifier(cache_size=size)
            assert (verifier.verify(token) is verifier.verify(token)) is same

    @pytest.mark.parametrize("leeway", [0, 30])
    def test_a_remembered_token_expires(
        self,
        leeway: int,
        now: list[float],
        forge: Forge,
        claims: Claims,
        make_verifier: MakeVerifier,
    ) -> None:
        verifier = make_verifier(leeway_seconds=leeway)
        token = forge(claims)
        verifier.verify(token)
        now[0] = claims["exp"] + leeway - 0.001
        assert verifier.verify(token).subject == "42"
        now[0] = claims["exp"] + leeway
        with pytest.raises(ExpiredTokenError):
            verifier.verify(token)

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    @pytest.mark.parametrize("leeway", [0, 30])
    def test_a_remembered_token_is_refused_if_the_clock_goes_back(
        self,
        leeway: int,
        name: str,
        now: list[float],
        forge: Forge,
        claims: Claims,
        make_verifier: MakeVerifier,
    ) -> None:
        verifier = make_verifier(leeway_seconds=leeway)
        token = forge(claims | {name: NOW})
        verifier.verify(token)
        now[0] = NOW - leeway
        assert verifier.verify(token).subject == "42"
        now[0] = NOW - leeway - 0.001
        with pytest.raises(ImmatureTokenError):
            verifier.verify(token)

    def test_what_was_refused_is_not_remembered(
        self, now: list[float], forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        token = forge(claims | {"nbf": NOW + 1})
        with pytest.raises(ImmatureTokenError):
            verifier.verify(token)
        assert len(verifier._cache) == 0
        now[0] = NOW + 1
        assert verifier.verify(token).subject == "42"

    def test_headers_of_forged_tokens_are_not_remembered(
        self, forge: Forge, claims: Claims, hs256: Key, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        header = {"alg": "HS256", "kid": hs256.kid}
        with pytest.raises(InvalidSignatureError):
            verifier.verify(forge(claims, header, key=Key.generate()))
        assert not known_headers(verifier)

    def test_the_number_of_known_headers_is_bounded(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(cache_size=0)
        for number in range(MAX_KNOWN_HEADERS + 5):
            verifier.verify(forge(claims, {"alg": "HS256", "x": number}))
            assert 0 < len(known_headers(verifier)) <= MAX_KNOWN_HEADERS
        assert verifier.verify(forge(claims, {"alg": "HS256", "x": 0})).subject == "42"

    def test_one_spelling_is_remembered(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        token = forge(claims)
        verifier.verify(token)
        for other in (token + "=", token + " ", token + "\n", " " + token, token + "A"):
            with pytest.raises(InvalidTokenError):
                verifier.verify(other)


class TestRotation:
    def test_a_removed_key_is_refused_at_once(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        token = forge(claims)
        verifier.verify(token)
        verifier.keys = KeySet([Key.generate(kid="new")])
        with pytest.raises(UnknownKeyError):
            verifier.verify(token)

    def test_another_key_of_the_same_kid_is_another_key(
        self, forge: Forge, claims: Claims, hs256: Key, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        token = forge(claims)
        verifier.verify(token)
        verifier.keys = KeySet([Key.generate(kid=hs256.kid)])
        with pytest.raises(InvalidSignatureError):
            verifier.verify(token)
        verifier.keys = KeySet([Key.generate("ES256", kid=hs256.kid)])
        with pytest.raises(AlgorithmNotAllowedError):
            verifier.verify(token)

    def test_a_key_that_stays_is_still_good_and_remembered_anew(
        self, forge: Forge, claims: Claims, hs256: Key, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        token = forge(claims)
        before = verifier.verify(token)
        verifier.keys = KeySet([Key.generate(), hs256])
        after = verifier.verify(token)
        assert after is not before
        assert verifier.verify(token) is after

    def test_headers_are_remembered_anew(
        self, forge: Forge, claims: Claims, hs256: Key, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        token = forge(claims)
        verifier.verify(token)
        verifier.keys = KeySet([hs256])
        verifier.verify(token)
        ((keys, *_),) = known_headers(verifier).values()
        assert keys is verifier.keys

    def test_keys_without_use_are_refused_and_the_old_ones_stay(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        with pytest.raises(ConfigurationError):
            verifier.keys = None  # type: ignore[assignment]
        assert verifier.verify(forge(claims)).subject == "42"


class TestRevocation:
    @pytest.mark.parametrize("size", [0, 10])
    def test_is_asked_on_every_call(
        self, size: int, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        revoked: set[object] = set()
        verifier = make_verifier(cache_size=size, is_revoked=lambda c: c["jti"] in revoked)
        token = forge(claims)
        for _ in range(3):
            assert verifier.verify(token).subject == "42"
        revoked.add("id-1")
        for _ in range(2):
            with pytest.raises(RevokedTokenError):
                verifier.verify(token)
        revoked.clear()
        assert verifier.verify(token).subject == "42"

    def test_no_answer_is_unavailable(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        with pytest.raises(UnavailableError, match="returned None"):
            make_verifier(is_revoked=lambda _: None).verify(forge(claims))

    def test_is_asked_last(self, forge: Forge, claims: Claims, make_verifier: MakeVerifier) -> None:
        asked: list[object] = []

        def remember(claims: object) -> bool:
            asked.append(claims)
            return False

        verifier = make_verifier(is_revoked=remember)
        for spoiled in (claims | {"exp": NOW}, claims | {"aud": "x"}):
            with pytest.raises(InvalidClaimError):
                verifier.verify(forge(spoiled))
        assert not asked
        verifier.verify(forge(claims))
        assert asked == [claims]

    def test_cannot_change_the_claims(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        def is_revoked(claims: Any) -> bool:
            claims["sub"] = "admin"
            return False

        verifier = make_verifier(is_revoked=is_revoked)
        with pytest.raises(UnavailableError):
            verifier.verify(forge(claims))

    @pytest.mark.parametrize(
        "error",
        [OSError("down"), ValueError(), KeyError("jti"), AssertionError(), RecursionError()],
    )
    def test_whatever_it_raises_means_unavailable(
        self, error: Exception, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        def is_revoked(_: object) -> bool:
            raise error

        verifier = make_verifier(is_revoked=is_revoked)
        token = forge(claims)
        for _ in range(2):
            with pytest.raises(UnavailableError) as caught:
                verifier.verify(token)
            assert caught.value.__cause__ is error
            assert caught.value.retry_after_seconds == 1

    def test_its_own_unavailable_error_comes_out_as_it_is(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        def is_revoked(_: object) -> bool:
            raise UnavailableError("the store is down", retry_after_seconds=30)

        with pytest.raises(UnavailableError, match="the store is down") as caught:
            make_verifier(is_revoked=is_revoked).verify(forge(claims))
        assert caught.value.retry_after_seconds == 30

    def test_an_answer_without_truth_means_unavailable(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        class Clause:
            def __bool__(self) -> bool:
                raise TypeError("not a value yet")

        with pytest.raises(UnavailableError):
            make_verifier(is_revoked=lambda _: Clause()).verify(forge(claims))

    def test_a_coroutine_lets_nobody_through(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        pending = []

        async def is_revoked(_: object) -> bool:
            return False

        def remember(claims: object) -> object:
            pending.append(is_revoked(claims))
            return pending[0]

        with pytest.raises(RevokedTokenError):
            make_verifier(is_revoked=remember).verify(forge(claims))
        assert asyncio.run(pending[0]) is False


class Source(RevocationSource):
    """A revocation source that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.revoked: set[object] = set()
        self.state: object = object()
        self.error: Exception | None = None

    def current(self) -> object:
        if self.error is not None:
            raise self.error
        return self.state

    def __call__(self, claims: Any) -> bool:
        self.asked += 1
        return claims["jti"] in self.revoked

    def revoke(self, jti: str) -> None:
        self.revoked.add(jti)
        self.state = object()


class TestRevocationSource:
    def test_is_told_by_its_class_and_not_by_an_attribute(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        token = forge(claims)
        mock = Mock(return_value=False)
        verifier = make_verifier(is_revoked=mock)
        for _ in range(2):
            verifier.verify(token)
        assert mock.call_count == 2
        assert mock.mock_calls == [call(claims)] * 2
        mock.return_value = True
        with pytest.raises(RevokedTokenError):
            verifier.verify(token)

        class Blocklist:
            current = "2026-11-25"
            covers = None

            def __call__(self, claims: Any) -> bool:
                return bool(claims["jti"] == "id-2")

        verifier = make_verifier(is_revoked=Blocklist())
        verifier.verify(token)
        with pytest.raises(RevokedTokenError):
            verifier.verify(forge(claims | {"jti": "id-2"}))

    def test_a_check_that_is_false_by_its_length_is_called(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        class Blocklist(list[str]):
            def __call__(self, claims: Any) -> bool:
                return True

        verifier = make_verifier(is_revoked=Blocklist())
        assert verifier.checks_revocation
        with pytest.raises(RevokedTokenError):
            verifier.verify(forge(claims))

    @pytest.mark.parametrize("check", [True, {"id-1"}, "module:function"], ids=repr)
    def test_a_check_must_be_callable(self, check: Any, make_verifier: MakeVerifier) -> None:
        with pytest.raises(ConfigurationError, match="is_revoked must be"):
            make_verifier(is_revoked=check)

    def test_is_asked_once_a_token_while_nothing_changes(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        source = Source()
        verifier = make_verifier(is_revoked=source)
        token = forge(claims)
        for _ in range(3):
            verifier.verify(token)
        assert source.asked == 1
        source.revoke("another")
        for _ in range(3):
            verifier.verify(token)
        assert source.asked == 2
        source.revoke("id-1")
        for _ in range(2):
            with pytest.raises(RevokedTokenError):
                verifier.verify(token)

    def test_what_is_revoked_during_the_check_is_seen_by_the_next(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        class Late(Source):
            def __call__(self, claims: Any) -> bool:
                answer = super().__call__(claims)
                if not self.revoked:
                    self.revoke("id-1")
                return answer

        verifier = make_verifier(is_revoked=Late())
        token = forge(claims)
        verifier.verify(token)
        with pytest.raises(RevokedTokenError):
            verifier.verify(token)

    @pytest.mark.parametrize("error", [OSError("down"), UnavailableError("the store is down")])
    def test_a_state_that_cannot_be_told_lets_nobody_through(
        self, error: Exception, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        source = Source()
        verifier = make_verifier(is_revoked=source)
        token = forge(claims)
        verifier.verify(token)
        source.error = error
        with pytest.raises(UnavailableError):
            verifier.verify(token)
        source.error = None
        verifier.verify(token)


class TestCopies:
    def test_what_one_caller_does_to_the_claims_reaches_no_other(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        claims |= {"roles": ["a", {"deep": ["b"]}], "org": {"ids": [1]}, "flat": "x"}
        verifier = make_verifier()
        token = forge(claims)
        mine = verifier.verify(token).claims
        mine["flat"] = "changed"
        mine["roles"].append("admin")
        mine["roles"][1]["deep"].append("admin")
        mine["org"]["ids"][0] = 2
        del mine["sub"]
        assert verifier.verify(token).claims == claims
        assert verifier.verify(token).read_only_claims == claims

    def test_the_shared_claims_are_read_only(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        shared = make_verifier().verify(forge(claims)).read_only_claims
        with pytest.raises(TypeError):
            shared["sub"] = "admin"  # type: ignore[index]

    def test_threads_get_their_own_claims(
        self, forge: Forge, claims: Claims, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier(cache_size=6, is_revoked=lambda _: False)
        base = {name: claims[name] for name in ("iss", "aud", "exp")}
        tokens = {
            name: forge(base | {"sub": name, "roles": [name, {"of": [name]}]})
            for name in (f"user-{number}" for number in range(24))
        }
        start = threading.Barrier(8)
        wrong: list[object] = []

        def work(first: int) -> None:
            start.wait()
            names = sorted(tokens)[first:] + sorted(tokens)[:first]
            for name in names * 25:
                mine = verifier.verify(tokens[name]).claims
                if mine != base | {"sub": name, "roles": [name, {"of": [name]}]}:
                    wrong.append(mine)
                mine["sub"] = "admin"
                mine["roles"][1]["of"].append("admin")
                mine["roles"].clear()

        threads = [threading.Thread(target=work, args=(first * 3,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


class TestNothingIsTold:
    """No token, secret or key in a ``repr``, an error, or what an error was caused by."""

    def test_by_repr(
        self, forge: Forge, claims: Claims, hs256: Key, make_verifier: MakeVerifier
    ) -> None:
        verifier = make_verifier()
        verified = verifier.verify(forge(claims | {"email": "hunter2"}))
        assert repr(verified) == f"<VerifiedToken sub='42' kid={hs256.kid!r}>"
        assert repr(verifier) == "<TokenVerifier of 'https://auth.example.com'>"

    @table(
        ("header", "payload"),
        [
            pytest.param({"alg": "HS256"}, {"x": "hunter2"}, id="no-claims"),
            pytest.param({"alg": "HS256"}, b'{"x":"hunter2"', id="broken-json"),
            pytest.param({"alg": "HS256"}, b'{"x":"hunter2\xff"}', id="not-utf-8"),
            pytest.param({"alg": "HS256"}, rb'{"x":"hunter2\ud800"}', id="lone-surrogate"),
            pytest.param({"alg": "HS256"}, b'{"hunter2":1,"hunter2":2}', id="duplicate"),
            pytest.param({"alg": "HS256"}, b'{"exp":"hunter2"}', id="exp"),
            pytest.param({"alg": "hunter2"}, {}, id="alg"),
            pytest.param({"alg": "HS256", "typ": "hunter2"}, {}, id="typ"),
            pytest.param({"alg": "HS256", "kid": "hunter2"}, {}, id="kid"),
            pytest.param(b'{"alg":"HS256","x":"hunter2\xff"}', {}, id="header-not-utf-8"),
            pytest.param(rb'{"alg":"HS256","x":"hunter2\ud800"}', {}, id="header-surrogate"),
        ],
    )
    @table("suffix", ["", "\u00e9", "\ud800", "=", ".x", "A"])
    def test_by_errors(
        self,
        suffix: str,
        header: object,
        payload: object,
        forge: Forge,
        make_verifier: MakeVerifier,
    ) -> None:
        token = forge(payload, header) + suffix
        with pytest.raises(InvalidTokenError) as caught:
            make_verifier().verify(token)
        told = "\n".join(chain(caught.value))
        assert "hunter2" not in told
        for segment in token.split("."):
            assert len(segment) < 8 or segment not in told


def chain(error: BaseException | None) -> Iterator[str]:
    """Yield what a log could show of an error and of what is shown as its causes."""
    while error is not None:
        yield from (str(error), repr(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# The properties: whatever comes in, a verified token or one of our errors comes out.

KEY = Key.from_secret("the secret of the properties, 32 bytes", kid="k")
VERIFIER = TokenVerifier(
    keys=KeySet([KEY, Key.generate("ES256", kid="e")]),
    issuer="me",
    audience="api",
    leeway_seconds=1,
    is_revoked=lambda claims: claims.get("jti") == "revoked",
    cache_size=4,
    clock=lambda: NOW,
)
GOOD_HEADER = {"typ": "at+jwt", "alg": "HS256", "kid": "k"}
GOOD_CLAIMS = {"iss": "me", "aud": "api", "sub": "42", "exp": NOW + 60, "nbf": NOW, "jti": "a"}
GOOD = (
    TokenIssuer(keys=VERIFIER.keys, issuer="me", audience="api", clock=lambda: NOW)
    .issue(JWTPayload(42))
    .token
)

raw_numbers = st.sampled_from(["1e400", "-1e400", "9" * 400, "9" * 5000, "1.8e9", "NaN", "-0"])
json_values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(CHARACTERS, max_size=8)),
        st.sampled_from(
            ["\ud800", "at+jwt", "me", "api", NOW, NOW + 1, 10**400, "revoked", "\x00"]
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS), inner, max_size=3)
    ),
    max_leaves=6,
)
claim_names = st.sampled_from([*GOOD_CLAIMS, "iat", "typ", "token_use", "type", "at_hash", "scope"])
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "x"])


def changed(good: dict[str, Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Return documents near *good*: members replaced, dropped, doubled, or written oddly."""
    replaced = st.dictionaries(names, json_values, max_size=2).map(lambda new: good | new)
    dropped = names.map(lambda name: {k: v for k, v in good.items() if k != name})
    doubled = st.tuples(names, json_values).map(
        lambda pair: f"{json.dumps(good)[:-1]},{json.dumps(pair[0])}:{json.dumps(pair[1])}}}"
    )
    odd = st.tuples(names, raw_numbers).map(
        lambda pair: json.dumps(good | {pair[0]: "@"}).replace('"@"', pair[1])
    )
    text = (replaced | dropped | json_values).map(json.dumps) | doubled | odd
    return text.map(str.encode) | st.binary(max_size=20)


def sign(header: bytes, payload: bytes) -> str:
    return serialize(encode_base64url(header), encode_base64url(payload), KEY.sign)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """Return the good token with characters changed or segments dropped, doubled or moved."""
    token = GOOD
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, max(0, len(token) - 1)))
        segments = token.split(".")
        token = draw(
            st.sampled_from(
                [
                    token[:position] + draw(st.characters()) + token[position + 1 :],
                    token[:position] + token[position + 1 :],
                    token[:position] + draw(st.sampled_from("=.-_ \n+/A")) + token[position:],
                    token[:position],
                    ".".join(segments[1:]),
                    ".".join([*segments, draw(st.sampled_from(segments))]),
                    ".".join(draw(st.permutations(segments))),
                ]
            )
        )
    return token


@given(mutations())
def test_a_mutated_token_is_refused(token: str) -> None:
    if token != GOOD:
        with pytest.raises(InvalidTokenError):
            VERIFIER.verify(token)


@given(changed(GOOD_CLAIMS, claim_names))
@example(json.dumps(GOOD_CLAIMS).encode())
def test_any_signed_payload_is_verified_or_refused(payload: bytes) -> None:
    try:
        verified = VERIFIER.verify(sign(json.dumps(GOOD_HEADER).encode(), payload))
    except JWTMiddlewareError:
        return
    accepted = verified.claims
    assert accepted == json.loads(payload)
    assert accepted["iss"] == "me"
    assert accepted["aud"] == "api" or "api" in accepted["aud"]
    assert isinstance(accepted["sub"], str)
    assert accepted["sub"]
    assert NOW - 1 < accepted["exp"] < inf
    assert accepted.get("nbf", 0) <= NOW + 1
    assert accepted.get("iat", 0) <= NOW + 1
    assert accepted.get("jti") != "revoked"


@given(changed(GOOD_HEADER, header_names))
@example(json.dumps(GOOD_HEADER).encode())
def test_any_signed_header_is_verified_or_refused(header: bytes) -> None:
    try:
        verified = VERIFIER.verify(sign(header, json.dumps(GOOD_CLAIMS).encode()))
    except JWTMiddlewareError:
        return
    members = json.loads(header)
    assert members["alg"] == "HS256"
    assert members.get("kid", "k") == "k"
    assert not {"crit", "b64"} & members.keys()
    assert verified.claims == GOOD_CLAIMS


@given(
    st.one_of(
        *(
            st.text(CHARACTERS),
            st.text(alphabet="abcXYZ019-_.=", max_size=60),
            st.binary(),
            json_values,
        ),
        st.lists(st.binary(max_size=20).map(encode_base64url), max_size=5).map(
            lambda segments: b".".join(segments).decode()
        ),
    )
)
@example("." * 1_000_000)
@example("a" * 1_000_000)
@example("\ud800.\ud800.\ud800")
def test_any_other_object_is_refused(token: Any) -> None:
    with pytest.raises(InvalidTokenError):
        VERIFIER.verify(token)


def test_the_good_token_of_the_properties_is_good() -> None:
    assert isinstance(VERIFIER.verify(GOOD), VerifiedToken)
    assert len(split(GOOD)) == 4

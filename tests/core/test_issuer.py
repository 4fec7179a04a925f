from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import jwt
import pytest

from jwt_middleware.core.issuer import IssuedToken, TokenIssuer
from jwt_middleware.core.jws import ALGORITHMS, decode_segment, split
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.payload import JWTPayload
from jwt_middleware.core.trust import TrustedIssuer
from jwt_middleware.core.verifier import TokenVerifier
from jwt_middleware.errors import (
    ConfigurationError,
    ImmatureTokenError,
    MalformedTokenError,
    UnavailableError,
)

from ..table import table

NOW = 1_800_000_000
PAYLOAD = JWTPayload(uid=42, auth="blue", scope="read write", ac_type="email")


def make_issuer(key: Key, **parts: Any) -> TokenIssuer:
    defaults: dict[str, Any] = {"issuer": "me", "audience": "api", "clock": lambda: NOW + 0.9}
    return TokenIssuer(keys=KeySet([key]), **(defaults | parts))


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, in the order in which they stand in *token*."""
    jws = split(token)
    header, claims = (json.loads(decode_segment(part, "x")) for part in (jws.header, jws.payload))
    return header, claims


def test_issues_the_documented_header_and_claims(hs256: Key) -> None:
    issued = make_issuer(hs256).issue(PAYLOAD)
    header, claims = read(issued.token)
    assert header == {"typ": "JWT", "alg": "HS256", "kid": hs256.kid}
    assert claims == {
        "iss": "me",
        "aud": "api",
        "sub": "42",
        "iat": NOW,
        "nbf": NOW - 60,
        "exp": NOW + 7200,
        "jti": issued.jti,
        "uid": 42,
        "auth": "blue",
        "scope": "read write",
        "ac_type": "email",
    }
    assert type(claims["exp"]) is int
    assert issued.expires_in == 7200


@table("alg", ALGORITHMS)
def test_pyjwt_accepts_what_is_issued(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    token = make_issuer(key, clock=lambda: 1_000_000_000.0, lifetime_seconds=10**10).issue(PAYLOAD)
    verified = jwt.decode(
        token.token, key._verifying, algorithms=[alg], audience="api", issuer="me"
    )
    assert verified["uid"] == 42


@table("alg", ALGORITHMS)
def test_our_verifier_accepts_what_is_issued(alg: str, keys_by_alg: dict[str, Key]) -> None:
    key = keys_by_alg[alg]
    issued = make_issuer(key).issue(PAYLOAD)
    verifier = TokenVerifier(keys=KeySet([key]), issuer="me", audience="api", clock=lambda: NOW)
    assert verifier.verify(issued.token).claims == read(issued.token)[1]


@pytest.mark.parametrize(("uid", "sub"), [(0, "0"), (-7, "-7"), ("Zoë", "Zoë"), ("007", "007")])
def test_sub_is_the_text_of_the_uid(uid: int | str, sub: str, hs256: Key) -> None:
    _, claims = read(make_issuer(hs256).issue(JWTPayload(uid)).token)
    assert (claims["sub"], claims["uid"]) == (sub, uid)


@pytest.mark.parametrize("lifetime", [1, 0, -60, 10**9])
def test_one_token_may_have_another_lifetime(lifetime: int, hs256: Key) -> None:
    issued = make_issuer(hs256).issue(PAYLOAD, lifetime_seconds=lifetime)
    assert issued.expires_in == lifetime
    assert read(issued.token)[1]["exp"] == NOW + lifetime


@table("lifetime", [1.0, 1.5, True, "60", float("nan")])
def test_a_lifetime_is_whole_seconds(lifetime: Any, hs256: Key) -> None:
    with pytest.raises(ConfigurationError, match="whole number"):
        make_issuer(hs256).issue(PAYLOAD, lifetime_seconds=lifetime)
    with pytest.raises(ConfigurationError, match="whole number"):
        make_issuer(hs256, lifetime_seconds=lifetime)


def test_the_usual_lifetime_is_at_least_a_second(hs256: Key) -> None:
    assert make_issuer(hs256, lifetime_seconds=1).issue(PAYLOAD).expires_in == 1
    for lifetime in (0, -1):
        with pytest.raises(ConfigurationError, match="at least 1"):
            make_issuer(hs256, lifetime_seconds=lifetime)


@table("name", ["issuer", "audience"])
@table("value", ["", None, 5, [], [""], ["api", None], b"api"])
def test_refuses_an_issuer_or_audience(name: str, value: Any, hs256: Key) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a non-empty string"):
        make_issuer(hs256, **{name: value})


def test_refuses_keys_that_cannot_sign() -> None:
    public = Key.generate("ES256").limited_to({"verify"})
    for keys in (KeySet([public]), None, [Key.generate()], "secret"):
        with pytest.raises(ConfigurationError, match="KeySet with a secret or a private key"):
            TokenIssuer(keys=keys, issuer="me", audience="api")  # type: ignore[arg-type]


def test_signs_with_the_new_keys_once_they_are_assigned(hs256: Key) -> None:
    issuer = make_issuer(hs256)
    keys = issuer.keys = KeySet([Key.generate("ES256", kid="new"), hs256])
    assert issuer.keys is keys
    header, _ = read(issuer.issue(PAYLOAD).token)
    assert (header["alg"], header["kid"]) == ("ES256", "new")
    with pytest.raises(ConfigurationError):
        issuer.keys = None  # type: ignore[assignment]
    assert read(issuer.issue(PAYLOAD).token)[0] == header


def test_jti_is_unique(hs256: Key) -> None:
    issuer = make_issuer(hs256)
    assert len({issuer.issue(PAYLOAD).jti for _ in range(5_000)}) == 5_000


def test_repr_does_not_show_the_token(hs256: Key) -> None:
    issuer = make_issuer(hs256)
    issued = issuer.issue(PAYLOAD)
    assert repr(issued) == f"IssuedToken(expires_in=7200, jti={issued.jti!r})"
    assert repr(IssuedToken("hunter2", 1, "j")) == "IssuedToken(expires_in=1, jti='j')"
    assert repr(issuer) == "<TokenIssuer 'me' audience='api'>"
    assert repr(issuer._signer).endswith(f"object at {id(issuer._signer):#x}>")


class Source:
    """A key source whose keys a test replaces."""

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys

    def current(self) -> KeySet:
        return self.keys

    def refreshed(self, kid: str | None) -> KeySet:
        return self.keys


def test_refuses_an_object_that_has_every_attribute() -> None:
    with pytest.raises(ConfigurationError, match="or a source of one"):
        TokenIssuer(keys=Mock(), issuer="me", audience="api")


def test_a_key_source_is_asked_for_each_token(hs256: Key) -> None:
    source = Source(KeySet([hs256]))
    issuer = TokenIssuer(keys=source, issuer="me", audience="api")
    assert issuer.keys is source
    issuer.issue(PAYLOAD)
    signer = issuer._signer
    issuer.issue(PAYLOAD)
    assert issuer._signer is signer
    source.keys = KeySet([Key.generate("ES256", kid="new"), hs256])
    header, _ = read(issuer.issue(PAYLOAD).token)
    assert (header["alg"], header["kid"]) == ("ES256", "new")


def test_issues_nothing_while_a_source_has_no_key_to_sign_with(hs256: Key) -> None:
    public = KeySet([Key.generate("ES256").limited_to({"verify"})])
    with pytest.raises(ConfigurationError, match="or a source of one"):
        TokenIssuer(keys=Source(public), issuer="me", audience="api")
    source = Source(KeySet([hs256]))
    issuer = TokenIssuer(keys=source, issuer="me", audience="api")
    source.keys = public
    with pytest.raises(UnavailableError, match="none of the keys can sign"):
        issuer.issue(PAYLOAD)
    source.keys = KeySet([hs256])
    assert issuer.issue(PAYLOAD).token


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_a_token_for_a_client_passes_the_own_strict_profile(
    alg: str, keys_by_alg: dict[str, Key]
) -> None:
    key = keys_by_alg[alg]
    strict = TrustedIssuer(issuer="me", audience="api", keys=KeySet([key]), profile="at+jwt")
    verifier = TokenVerifier(trusted=[strict], clock=lambda: NOW)
    named = replace(PAYLOAD, client_id="web", claims={"tenant": "acme"})
    assert verifier.verify(make_issuer(key).issue(named).token).claims["client_id"] == "web"
    usual = make_issuer(key, client_id="app").issue(PAYLOAD)
    assert read(usual.token)[0]["typ"] == "at+jwt"
    assert verifier.verify(usual.token).claims["client_id"] == "app"
    with pytest.raises(MalformedTokenError):
        verifier.verify(make_issuer(key).issue(PAYLOAD).token)


def test_own_claims_stand_beside_the_others(hs256: Key) -> None:
    payload = replace(PAYLOAD, claims={"tenant": "acme", "plan": {"seats": 5}})
    token = make_issuer(hs256).issue(payload, claims={"tenant": "b", "beta": True}).token
    claims = read(token)[1]
    assert (claims["tenant"], claims["plan"], claims["beta"]) == ("b", {"seats": 5}, True)
    assert claims["sub"] == "42"
    with pytest.raises(ValueError, match="reserved"):
        make_issuer(hs256).issue(payload, claims={"exp": 9e9})


def test_several_audiences_are_an_array(hs256: Key) -> None:
    issuer = make_issuer(hs256, audience=["api", "files"])
    assert read(issuer.issue(PAYLOAD).token)[1]["aud"] == ["api", "files"]
    assert read(issuer.issue(replace(PAYLOAD, audience=("files",))).token)[1]["aud"] == "files"


def test_the_payload_may_name_a_lifetime(hs256: Key) -> None:
    payload = replace(PAYLOAD, lifetime_seconds=60)
    assert make_issuer(hs256).issue(payload).expires_in == 60
    assert make_issuer(hs256).issue(payload, lifetime_seconds=5).expires_in == 5


@pytest.mark.parametrize("behind", [1, 59])
def test_a_verifier_that_is_behind_accepts_what_was_just_issued(behind: int, hs256: Key) -> None:
    token = make_issuer(hs256).issue(PAYLOAD).token
    now = NOW - behind
    verifier = TokenVerifier(
        keys=KeySet([hs256]), issuer="me", audience="api", clock=lambda: now, cache_size=0
    )
    assert verifier.verify(token).claims["iat"] == NOW
    now = NOW - 61
    with pytest.raises(ImmatureTokenError):
        verifier.verify(token)


@table("seconds", [-1, 61, 1.5, True, None])
def test_nbf_is_early_by_a_minute_at_most(seconds: Any, hs256: Key) -> None:
    with pytest.raises(ConfigurationError, match="nbf_early_seconds"):
        make_issuer(hs256, nbf_early_seconds=seconds)

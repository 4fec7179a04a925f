"""Tokens bound to a key of their client (RFC 7800), and REMOTE_USER of several issuers."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer, TokenVerifier, TrustedIssuer
from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.errors import ConfigurationError, InvalidClaimError

from ..table import table

NOW = 1_800_000_000
OWN, PARTNER = "https://auth", "https://partner"
KEYS = {name: Key.from_secret(name.encode() * 8, kid=name) for name in (OWN, PARTNER)}


def token(issuer: str, **claims: Any) -> str:
    key = KEYS[issuer]
    header = encode_object({"alg": key.alg, "kid": key.kid})
    found = {"iss": issuer, "aud": "api", "sub": "1", "exp": NOW + 60, **claims}
    return serialize(header, encode_object(found), key.sign)


def trusted(issuer: str = PARTNER, **parts: Any) -> TrustedIssuer:
    return TrustedIssuer(issuer=issuer, audience="api", keys=KeySet([KEYS[issuer]]), **parts)


def verifier(*others: TrustedIssuer, own: bool = True, **parts: Any) -> TokenVerifier:
    if own:
        parts |= {"keys": KeySet([KEYS[OWN]]), "issuer": OWN, "audience": "api"}
    return TokenVerifier(trusted=others, clock=lambda: NOW, **parts)


@table("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, None, "x"])
def test_a_bound_token_is_no_bearer_token_unless_its_issuer_s_may_be(cnf: object) -> None:
    strict = verifier(trusted())
    for issuer in (OWN, PARTNER):
        strict.verify(token(issuer))
        with pytest.raises(InvalidClaimError, match="cnf: the token is sender-constrained"):
            strict.verify(token(issuer, cnf=cnf))
    one = verifier(trusted(accept_sender_constrained=True))
    one.verify(token(PARTNER, cnf=cnf))
    with pytest.raises(InvalidClaimError):
        one.verify(token(OWN, cnf=cnf))
    verifier(trusted(), accept_sender_constrained=True).verify(token(OWN, cnf=cnf))


@table(
    ("parts", "issuer", "remote_user"),
    [
        pytest.param({"own": True}, OWN, "1", id="own"),
        pytest.param({"own": True}, PARTNER, None, id="foreign"),
        pytest.param({"own": True, "to": "partner:{sub}"}, PARTNER, "partner:1", id="mapped"),
        pytest.param({"own": False}, PARTNER, "1", id="single"),
        pytest.param({"own": False, "to": "p/{sub}@x"}, PARTNER, "p/1@x", id="single-mapped"),
    ],
)
def test_remote_user_of_a_foreign_issuer_is_mapped_or_none(
    parts: dict[str, Any], issuer: str, remote_user: str | None
) -> None:
    several = verifier(trusted(remote_user=parts.get("to")), own=parts["own"])
    verified = several.verify(token(issuer))
    assert verified.remote_user == remote_user
    assert verified.subject == "1"


@table("template", ["partner", "{sub}{sub}", "a\n{sub}", "", 7])
def test_an_unusable_mapping_is_refused(template: Any) -> None:
    with pytest.raises(ConfigurationError, match="remote_user must contain"):
        trusted(remote_user=template)


def test_a_subject_of_its_own_is_issued() -> None:
    issuer = TokenIssuer(keys=KeySet([KEYS[OWN]]), issuer=OWN, audience="api", clock=lambda: NOW)
    issued = issuer.issue(JWTPayload(uid=1, subject="ldap:1"))
    claims = verifier().verify(issued.token).claims
    assert (claims["sub"], claims["uid"]) == ("ldap:1", 1)

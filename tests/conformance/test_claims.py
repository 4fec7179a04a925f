"""Cases 42 to 55: truly signed, and still not good."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .support import AUD, ISS, NOW, Refusals, Site, forge, good_claims, good_token


def raw_claims(name: str, json_text: str) -> bytes:
    """Put a JSON text that :func:`json.dumps` would not write in the place of a claim's value."""
    claims = json.dumps(good_claims(**{name: "@@"}))
    return claims.replace('"@@"', json_text).encode()


@pytest.mark.parametrize(
    "exp",
    [
        pytest.param(NOW - 3600, id="past"),
        pytest.param(NOW, id="now"),
        pytest.param(0, id="zero"),
        pytest.param(-1, id="minus-one"),
        pytest.param(..., id="missing"),
        pytest.param(None, id="null"),
        pytest.param(NOW - 0.001, id="a-millisecond-ago"),
        pytest.param(str(NOW + 60), id="string"),
        pytest.param("9" * 30, id="string-of-nines"),
        pytest.param(-(10**400), id="minus-1e400"),
    ],
)
def test_case_42_exp(exp: Any, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, good_token(exp=exp))


@pytest.mark.parametrize("leeway", [0, 1, 30, 300])
def test_case_42_leeway_is_exact(leeway: int, refusals: Refusals) -> None:
    site = Site(leeway_seconds=leeway)
    refusals.r401(site, good_token(exp=NOW - leeway))
    site.accepts(good_token(exp=NOW - leeway + 1))
    refusals.r401(site, good_token(nbf=NOW + leeway + 1))
    site.accepts(good_token(nbf=NOW + leeway))
    refusals.r401(site, good_token(iat=NOW + leeway + 1))
    site.accepts(good_token(iat=NOW + leeway))


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "true", "false", "[]", "{}", '""',
     "[1900000000]", "1" + "0" * 400, "1" + "0" * 5000, "01900000000", "1_900_000_000",
     "1900000000.", "+1900000000", "0x713fb300", "１９００００００００"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_case_43_numeric_date_is_no_finite_number(
    name: str, text: str, site: Site, refusals: Refusals
) -> None:
    refusals.r401(site, forge(payload=raw_claims(name, text)))


@pytest.mark.parametrize("text", [f"{NOW}.5", f"{NOW + 1}.0", "1.8e9001"[:-3] + "1", "1.9E+9"])
def test_case_46_fractional_exp(text: str, site: Site) -> None:
    site.accepts(forge(payload=raw_claims("exp", text)))


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize("value", [NOW + 1, NOW + 0.5, str(NOW), None, True, [NOW], {}])
def test_case_47_from_the_future_or_no_number(
    name: str, value: Any, site: Site, refusals: Refusals
) -> None:
    refusals.r401(site, good_token(**{name: value}))


@pytest.mark.parametrize(
    "aud",
    [["other", "", "b"], [], 1, {"api": 1}, "ap", "apis", "API", "api ", "", None, ..., True,
     [["api"]], ["api", 1], ["api", None], "other api", "a", {"0": "api"}],
    ids=repr,
)  # fmt: skip
def test_case_49_aud_is_not_us(aud: Any, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, good_token(aud=aud))


@pytest.mark.parametrize("aud", [["other", AUD], [AUD], AUD])
def test_case_49_aud_names_us(aud: Any, site: Site) -> None:
    site.accepts(good_token(aud=aud))


@pytest.mark.parametrize(
    "iss",
    [ISS[:-1], ISS + "/", ISS + ".evil.example", [ISS], "", ISS.upper(), ISS + " ", None, ...,
     {"iss": ISS}, True, 1, ISS.replace("https", "http"), ISS + "\0"],
    ids=repr,
)  # fmt: skip
def test_case_51_iss(iss: Any, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, good_token(iss=iss))


@pytest.mark.parametrize(
    "sub",
    [42, None, ..., "", True, ["42"], {}, "4\n2", "4\r2", "\0", "4\x1b2", "4\u20282", "4\x852"],
    ids=repr,
)
def test_case_53_sub(sub: Any, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, good_token(sub=sub))


@pytest.mark.parametrize("sub", ["42", "用户", "a b", "x" * 1000, "alice@example.com"])
def test_case_53_sub_is_any_printable_text(sub: str, site: Site) -> None:
    site.accepts(good_token(sub=sub))
    assert site.calls[-1]["REMOTE_USER"] == sub


@pytest.mark.parametrize("jti", [1, None, ["j"], {}, True], ids=repr)
def test_jti_that_nothing_could_revoke(jti: Any, site: Site, refusals: Refusals) -> None:
    refusals.r401(site, good_token(jti=jti))


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"token_use": "id"}, id="cognito-id"),
        pytest.param({"token_use": "refresh"}, id="cognito-refresh"),
        pytest.param({"typ": "Refresh"}, id="keycloak-refresh"),
        pytest.param({"typ": "ID"}, id="keycloak-id"),
        pytest.param({"typ": "Offline"}, id="keycloak-offline"),
        pytest.param({"token_type": "refresh"}, id="simplejwt-refresh"),
        pytest.param({"token_type": ["access"]}, id="list"),
        pytest.param({"type": "refresh"}, id="flask-jwt-extended-refresh"),
        pytest.param({"at_hash": "x"}, id="oidc-at-hash"),
        pytest.param({"c_hash": "x"}, id="oidc-c-hash"),
    ],
)
def test_case_55_another_kind_of_token_by_its_claims(
    claims: dict[str, Any], site: Site, refusals: Refusals
) -> None:
    refusals.r401(site, good_token(**claims))


@pytest.mark.parametrize(
    "typ", ["rt+jwt", "refresh+jwt", "id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE",
            "application/rt+jwt", "", " at+jwt", "at+jwt\0", None, 1, ["at+jwt"]],
    ids=repr,
)  # fmt: skip
def test_case_55_another_kind_of_token_by_its_type(
    typ: Any, site: Site, refusals: Refusals
) -> None:
    refusals.r401(site, forge({"alg": "HS256", "kid": "k1", "typ": typ}))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_case_55_a_narrowed_verifier_takes_access_tokens_only(typ: str, refusals: Refusals) -> None:
    site = Site(token_type="at+jwt")
    site.accepts(forge({"alg": "HS256", "kid": "k1", "typ": typ}))
    refusals.r401(site, forge({"alg": "HS256", "kid": "k1", "typ": "JWT"}))
    refusals.r401(site, forge({"alg": "HS256", "kid": "k1"}))


def test_case_55_remembered_header_of_a_good_token_does_not_pass_other_claims(
    site: Site, refusals: Refusals
) -> None:
    site.accepts(good_token())
    refusals.r401(site, good_token(token_use="id"))
    refusals.r401(site, good_token(exp=NOW))

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, Key, KeySet, Policy, Rule, TokenVerifier, TrustedIssuer
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.wsgi.environ import ClaimKeys

from ..site import NOW, SECRET, forge, good_claims
from ..table import table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

OTHER = "https://other.example"
KEYS = {
    "HTTP_X_FORWARDED_EMAIL": "email",
    "HTTP_X_FORWARDED_GROUPS": ["groups"],
    "HTTP_X_ROLES": ["realm_access", "roles"],
}


def app_with(seen: dict[str, Any], keys: ClaimKeys) -> TestApp:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.clear()
        seen.update(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    ours = KeySet([Key.from_secret(SECRET, kid="k1")])
    claims = good_claims()
    other = TrustedIssuer(issuer=OTHER, audience=claims["aud"], keys=ours)
    verifier = TokenVerifier(
        keys=ours, issuer=claims["iss"], audience=claims["aud"], trusted=[other], clock=lambda: NOW
    )
    policy = Policy([Rule("/public", access="public"), Rule("/left", access="passthrough")])
    return TestApp(
        JWTMiddleware(app, verifier=verifier, policy=policy, claim_keys=keys), lint=False
    )


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {forge(payload=good_claims(**claims))}"}


@pytest.fixture
def seen() -> dict[str, Any]:
    return {}


@pytest.fixture
def site(seen: dict[str, Any]) -> TestApp:
    keys = ClaimKeys(KEYS, issuer=good_claims()["iss"], trusted={OTHER: {"HTTP_X_MAIL": "email"}})
    return app_with(seen, keys)


class TestClaimKeys:
    def test_hold_the_claims(self, site: TestApp, seen: dict[str, Any]) -> None:
        claims = {"email": "é@a.example", "groups": ["a", "b"], "realm_access": {"roles": ["r"]}}
        site.get("/", headers=bearer(**claims))
        assert seen["HTTP_X_FORWARDED_EMAIL"].encode("latin-1").decode() == "é@a.example"
        assert seen["HTTP_X_FORWARDED_GROUPS"] == "a,b"
        assert seen["HTTP_X_ROLES"] == "r"

    @pytest.mark.parametrize(("path", "headers"), [("/public", {}), ("/left", {}), ("/", bearer())])
    def test_are_removed_from_what_comes_in(
        self, site: TestApp, seen: dict[str, Any], path: str, headers: dict[str, str]
    ) -> None:
        forged = {"X-Forwarded-Email": "root@a", "X_Forwarded_Groups": "admin", "X-Mail": "root"}
        site.get(path, headers={**headers, **forged})
        assert not {*KEYS, "HTTP_X_MAIL"} & set(seen)

    @pytest.mark.parametrize(
        ("claims", "shown"),
        [
            pytest.param({"email": ["a@b", "c@d"]}, None, id="array"),
            pytest.param({"email": "a\nX-Admin: 1"}, None, id="newline"),
            pytest.param({"email": "a\x85b"}, None, id="C1"),
            pytest.param({"email": "a\u2028b"}, None, id="line separator"),
            pytest.param({"email": {"a": 1}}, None, id="object"),
            pytest.param({"email": None}, None, id="null"),
            pytest.param({"email": 7}, "7", id="number"),
            pytest.param({"email": True}, "true", id="flag"),
        ],
    )
    def test_of_one_value(
        self, site: TestApp, seen: dict[str, Any], claims: Any, shown: str | None
    ) -> None:
        site.get("/", headers=bearer(**claims))
        assert seen.get("HTTP_X_FORWARDED_EMAIL") == shown

    @pytest.mark.parametrize("number", ["1e400", "-1e400"])
    def test_leave_out_numbers_without_a_plain_text(
        self, site: TestApp, seen: dict[str, Any], number: str
    ) -> None:
        payload = json.dumps(good_claims(email=0)).replace('"email": 0', f'"email": {number}')
        token = forge(payload=payload.encode())
        site.get("/", headers={"Authorization": f"Bearer {token}"})
        assert "HTTP_X_FORWARDED_EMAIL" not in seen

    def test_leave_out_members_that_could_be_two(self, site: TestApp, seen: dict[str, Any]) -> None:
        site.get("/", headers=bearer(groups=["a,admin", "b", "c\nd", ["e"], 5]))
        assert seen["HTTP_X_FORWARDED_GROUPS"] == "b,5"

    def test_are_of_one_issuer_each(self, site: TestApp, seen: dict[str, Any]) -> None:
        site.get("/", headers=bearer(iss=OTHER, email="a@b", groups=["x"]))
        assert seen["HTTP_X_MAIL"] == "a@b"
        assert not set(KEYS) & set(seen)

    @pytest.mark.parametrize("keeps", [True, False])
    def test_may_come_in_place_of_the_token(
        self,
        seen: dict[str, Any],
        keeps: bool,  # noqa: FBT001
    ) -> None:
        keys = ClaimKeys(KEYS, issuer=good_claims()["iss"], keeps_authorization=keeps)
        site = app_with(seen, keys)
        site.get("/", headers=bearer())
        assert ("HTTP_AUTHORIZATION" in seen) is keeps
        site.get("/left", headers={"Authorization": "Basic x"})
        assert seen["HTTP_AUTHORIZATION"] == "Basic x"

    @table(
        "keys",
        [
            {"X-Email": "email"},
            {"HTTP_EMAIL": "email"},
            {"HTTP_X_FORWARDED_FOR": "email"},
            {"HTTP_X_FORWARDED_PROTO": "email"},
            {"HTTP_X_FORWARDED_SSL": "email"},
            {"HTTP_X_FORWARDED_SCHEME": "email"},
            {"HTTP_X_SCHEME": "email"},
            {"HTTP_X_REAL_IP": "email"},
            {"HTTP_X_FORWARDED": "email"},
            {"HTTP_FORWARDED": "email"},
            {"HTTP_X_ORIGINAL_URL": "email"},
            {"HTTP_X_A": []},
            {"HTTP_X_A": ""},
            {"HTTP_X_A": [1]},
        ],
    )
    def test_are_checked(self, keys: Any) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(keys))):
            ClaimKeys(keys, issuer="i")

    def test_are_none_that_a_token_comes_in(self) -> None:
        keys = KeySet([Key.from_secret(SECRET)])
        partner = TrustedIssuer(issuer=OTHER, audience="a", keys=keys, header="X-Token")
        with pytest.raises(ConfigurationError, match="HTTP_X_TOKEN: tokens come in it"):
            JWTMiddleware(
                print,  # type: ignore[arg-type]
                verifier=TokenVerifier(trusted=[partner]),
                claim_keys=ClaimKeys(trusted={OTHER: {"HTTP_X_TOKEN": "email"}}),
            )

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3

from jwt_middleware import DiscoveredJWKS, JWTMiddleware, TokenVerifier, TrustedIssuer, wrap
from jwt_middleware.errors import InvalidTokenError, UnavailableError, UnknownKeyError
from jwt_middleware.testing import FrozenClock, IssuerServer, TestApp

from .conftest import flask_app


def app_that_trusts(server: IssuerServer, folder: Path) -> JWTMiddleware:
    """Return an app under a ``jwt.toml`` that names this issuer alone."""
    (folder / "jwt.toml").write_text(
        f'[[trusted]]\nissuer = "{server.url}"\naudience = "api"\ndiscovery = true\n'
        "leeway_seconds = 0\n"
    )
    return wrap(folder / "jwt.toml", flask_app())


def test_an_app_trusts_it_by_discovery(jwt_issuer: IssuerServer, tmp_path: Path) -> None:
    client = TestApp(app_that_trusts(jwt_issuer, tmp_path), issuer=jwt_issuer.issuer)
    visitor = client.with_token(jwt_issuer.token("u-1", roles=["a"], iat=...))
    while (answer := visitor.get("/", expect_errors=True)).status_int == 503:
        """The keys are being fetched, which a busy machine takes its time for."""
    claims = answer.json
    assert claims.keys() == {"iss", "sub", "aud", "exp", "roles"}
    assert client.as_account(42).get("/").json["uid"] == 42
    client.check_refuses("/")
    assert jwt_issuer.requests[:2] == ["/.well-known/openid-configuration", "/jwks"]


def test_a_rotation_is_followed_and_the_key_before_it_kept(jwt_issuer: IssuerServer) -> None:
    clock = FrozenClock(0)
    verifier = trusting(jwt_issuer, clock)
    old = jwt_issuer.token("1")
    verifier.verify(old)
    jwt_issuer.rotate()
    clock.shift(60)  # the cool-down between two looks
    verifier.verify(jwt_issuer.token("2"))
    verifier.verify(old)
    jwt_issuer.rotate(keep=0)
    clock.shift(60)
    verifier.verify(jwt_issuer.token("3"))
    with pytest.raises(UnknownKeyError):
        verifier.verify(old)


def trusting(server: IssuerServer, clock: FrozenClock | None = None) -> TokenVerifier:
    """Return a verifier that fetches keys in the thread that asks for them."""
    source = DiscoveredJWKS(server.url, clock=clock or FrozenClock(0), spawn=lambda work: work())
    trusted = TrustedIssuer(issuer=server.url, audience="api", keys=source, leeway_seconds=0)
    return TokenVerifier(trusted=[trusted])


def test_an_outage_is_one(jwt_issuer: IssuerServer) -> None:
    with jwt_issuer.outage(), pytest.raises(UnavailableError):
        trusting(jwt_issuer).verify(jwt_issuer.token("1"))
    assert trusting(jwt_issuer).verify(jwt_issuer.token("1")).subject == "1"
    assert urllib3.request("GET", f"{jwt_issuer.url}/other", retries=False).status == 404


def test_its_tokens_have_its_time(jwt_issuer: IssuerServer, jwt_clock: FrozenClock) -> None:
    jwt_clock.shift(-3600)
    with pytest.raises(InvalidTokenError, match="exp"):
        trusting(jwt_issuer).verify(jwt_issuer.token("1"))

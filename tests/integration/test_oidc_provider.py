"""Tokens of an OpenID provider that is not ours: npm's oauth2-mock-server, a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, TokenVerifier
from jwt_middleware.config import load
from jwt_middleware.core.trust import TrustedIssuer
from jwt_middleware.errors import InvalidClaimError, InvalidSignatureError, MissingClaimError
from jwt_middleware.keysources.remote.discovery import DiscoveredJWKS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from tests.conftest import Serving

PROVIDER = "oauth2-mock-server@8.2.3"
INSTALL_SECONDS = 60
# By itself it puts no sub into what it gives to clients; RFC 9068 §2.2 wants the client there.
SERVE = """
import { OAuth2Server } from "oauth2-mock-server";
const server = new OAuth2Server();
for (const alg of ["RS256", "ES256"]) await server.issuer.keys.generate(alg);
server.service.on("beforeTokenSigning", (token, request) => {
  if (request.body.client_id) token.payload.sub = request.body.client_id;
});
await server.start(0, "127.0.0.1");
console.log(`http://127.0.0.1:${server.address().port}`);
"""
CONFIG = """
[[trusted]]
issuer = "{issuer}"
audience = "api"
discovery = true
"""

Grant = Callable[..., str]

pytestmark = pytest.mark.slow  # and the only test that needs npm and the network


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = [
        "npm", "install", "--prefix", str(folder), "--engine-strict", "--ignore-scripts",
        "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0", PROVIDER,
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {PROVIDER} within {INSTALL_SECONDS} s")
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").splitlines()
        reasons = [line for line in lines if line.startswith("npm error")] or lines or ["no reason"]
        pytest.skip(f"npm cannot install {PROVIDER}: {reasons[0]}")
    (folder / "serve.mjs").write_text(SERVE)
    return folder


@pytest.fixture(scope="module")
def provider(installed: Path, serving: Serving) -> Iterator[str]:
    """Return its issuer."""
    with serving(["node", "serve.mjs"], cwd=installed) as running:
        yield running.url.replace("127.0.0.1", "localhost")


@pytest.fixture
def grant(provider: str) -> Grant:
    """Return a function that asks for a token with the client credentials grant."""

    def grant(**parameters: str) -> str:
        form = {"grant_type": "client_credentials", "aud": "api", "client_id": "robot"}
        body = urllib.parse.urlencode(form | parameters).encode()
        with urllib.request.urlopen(f"{provider}/token", body, timeout=60) as answer:  # noqa: S310
            return str(json.load(answer)["access_token"])

    return grant


@pytest.fixture
def verifier(provider: str) -> TokenVerifier:
    keys = DiscoveredJWKS(provider, wait_seconds=10)
    return TokenVerifier(trusted=[TrustedIssuer(issuer=provider, audience="api", keys=keys)])


def tampered(token: str, other: str) -> str:
    """Return *token* with the signature of another."""
    return ".".join([*token.split(".")[:2], other.split(".")[2]])


def test_verifies_by_discovery(verifier: TokenVerifier, grant: Grant, provider: str) -> None:
    verified = verifier.verify(grant(scope="read"))
    assert (verified.claims["iss"], verified.subject) == (provider, "robot")
    assert verified.scopes == {"read"}


def test_verifies_with_each_of_its_keys(verifier: TokenVerifier, grant: Grant) -> None:
    kids = {verifier.verify(grant()).header.kid for _ in range(4)}
    assert len(kids) == 2


def test_rejects_the_signature_of_another_token(verifier: TokenVerifier, grant: Grant) -> None:
    # It signs with its keys in turn: this is the one that signed the first.
    token, _, other = grant(), grant(), grant(scope="admin")
    with pytest.raises(InvalidSignatureError):
        verifier.verify(tampered(token, other))


def test_rejects_a_token_for_another_audience(verifier: TokenVerifier, grant: Grant) -> None:
    with pytest.raises(InvalidClaimError, match="aud does not name"):
        verifier.verify(grant(aud="shop"))


def test_rejects_a_token_without_subject(verifier: TokenVerifier, grant: Grant) -> None:
    with pytest.raises(MissingClaimError, match="sub"):
        verifier.verify(grant(client_id=""))


@pytest.fixture
def app(provider: str, tmp_path: Path) -> TestApp:
    (tmp_path / "jwt.toml").write_text(CONFIG.format(issuer=provider))

    def whoami(environ: WSGIEnvironment, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REMOTE_USER"].encode()]

    protected: JWTMiddleware = load(tmp_path / "jwt.toml").protect(whoami)
    return TestApp(protected)


def test_configured_app_accepts_its_tokens_and_no_others(app: TestApp, grant: Grant) -> None:
    token = grant()
    app.authorization = ("Bearer", token)
    assert app.get("/").text == "robot"
    for bad in (tampered(token, grant(scope="x")), grant(aud="shop")):
        app.authorization = ("Bearer", bad)
        app.get("/", status=401)

"""Tokens that joserfc and Authlib mint, for an app that jwt.toml tells to trust their issuer."""

from __future__ import annotations

import importlib
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from webtest import TestApp

from jwt_middleware import Key, wrap

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ISSUER = "https://login.example.org"
CONFIG = """
[[trusted]]
issuer = "{issuer}"
audience = ["api", "shop"]
algorithms = ["{alg}"]
{source}
"""
ALGS = ("RS256", "ES256", "EdDSA")


class Minted(NamedTuple):
    """A key set as the library writes it, and a function that signs claims with its one key."""

    jwks: dict[str, Any]
    sign: Callable[[dict[str, Any]], str]


def joserfc(alg: str) -> Minted:
    make: dict[str, Callable[[], Any]] = {
        "RS256": lambda: RSAKey.generate_key(2048, {"kid": "theirs"}),
        "ES256": lambda: ECKey.generate_key("P-256", {"kid": "theirs"}),
        "EdDSA": lambda: OKPKey.generate_key("Ed25519", {"kid": "theirs"}),
    }
    key = make[alg]()
    return Minted(
        dict(KeySet([key]).as_dict(private=False)),
        lambda claims: joserfc_jwt.encode(
            {"alg": alg, "kid": "theirs"}, claims, key, algorithms=[alg]
        ),
    )


def authlib(alg: str) -> Minted:
    jose = importlib.import_module("authlib.jose")
    # Not generated there: it drops leading zeros of a coordinate, against RFC 7518 §6.2.1.2.
    key = jose.JsonWebKey.import_key(Key.generate(alg, kid="theirs").private_jwk())
    return Minted(
        jose.KeySet([key]).as_dict(is_private=False),
        lambda claims: jose.JsonWebToken([alg]).encode({"alg": alg, "kid": "theirs"}, claims, key),
    )


@pytest.fixture(scope="module", params=[joserfc, authlib], ids=lambda mint: mint.__name__)
def library(request: pytest.FixtureRequest) -> Callable[[str], Minted]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def publish() -> Iterator[Callable[[bytes], str]]:
    """Return a function that serves a document on loopback, and returns its URL."""
    documents: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.end_headers()
            self.wfile.write(documents[-1])

        def log_message(self, *_: object) -> None:
            pass

    def publish(document: bytes) -> str:
        documents.append(document)
        return f"http://127.0.0.1:{server.server_port}/jwks.json"

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield publish
        server.shutdown()
        thread.join()


def whoami(environ: WSGIEnvironment, start_response: Callable[..., object]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode()]


@pytest.mark.parametrize("source", ["jwks_file", "jwks_url"])
@pytest.mark.parametrize("alg", ALGS)
def test_configured_app_accepts_tokens_of(
    library: Callable[[str], Minted],
    alg: str,
    source: str,
    publish: Callable[[bytes], str],
    tmp_path: Path,
) -> None:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": ["shop"], "sub": "ann", "exp": now + 60}
    # RFC 9864 has another name for EdDSA; and Authlib recommends joserfc, whatever the filter.
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        theirs, others = library(alg), library(alg)
        good = text(theirs.sign(claims))
        bad = [
            text(others.sign(claims)),
            text(theirs.sign(claims | {"aud": "else"})),
            text(theirs.sign(claims | {"exp": now - 31})),  # more than the default leeway
            text(theirs.sign(claims | {"iss": "https://evil.example.org"})),
        ]
    document = json.dumps(theirs.jwks).encode()
    (tmp_path / "their.json").write_bytes(document)
    where = "their.json" if source == "jwks_file" else publish(document)
    config = tmp_path / "jwt.toml"
    config.write_text(CONFIG.format(issuer=ISSUER, alg=alg, source=f'{source} = "{where}"'))
    app = TestApp(wrap(config, whoami))
    app.authorization = ("Bearer", good)
    assert app.get("/").text == "ann"
    for token in bad:
        app.authorization = ("Bearer", token)
        app.get("/", status=401)


def text(token: str | bytes) -> str:
    return token if isinstance(token, str) else token.decode()

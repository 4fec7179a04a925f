"""
The providers' hosts, behind a proxy on loopback: real discovery, TLS and key documents.

The configuration is that of the documentation, but for *ca_file*: the certificates are our own.
"""

from __future__ import annotations

import datetime
import json
import os
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry
from webtest import TestApp

from jwt_middleware import wrap
from jwt_middleware.cli.init.providers import PROVIDERS
from jwt_middleware.wsgi.environ import get_scopes

from ..tls import Authority
from .shapes import Neighbour, Shape

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
K8S_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
BEARER = "the.cluster.token"
DAY = datetime.timedelta(days=1)


def certificate(
    key: Any,
    signer: Any,
    name: x509.Name | None = None,
    *,
    expired: bool = False,
) -> bytes:
    """Return a certificate of *key* that is valid now, or was a day ago."""
    now = datetime.datetime.now(datetime.UTC) - (2 * DAY if expired else 0 * DAY)
    name = name or x509.Name([])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


class Hosts(socketserver.ThreadingTCPServer):
    """
    A proxy (CONNECT) that is itself every https host, and answers for those that it is told of.

    Attributes:
        documents: URL to what is there.
        hits: The URLs asked for.
        authorizations: The bearer tokens sent, by URL.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, authority: Authority) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.authority = authority
        self.documents: dict[str, object] = {}
        self.hits: list[str] = []
        self.authorizations: dict[str, str] = {}

    def handle_error(self, *_: object) -> None:
        """Say nothing when a client has gone."""


class _Tunnel(socketserver.BaseRequestHandler):
    server: Hosts

    def handle(self) -> None:
        host = _head(self.request)[0].split()[1].rpartition(":")[0]
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        context = self.server.authority.context(host)
        with context.wrap_socket(self.request, server_side=True) as tls:
            request, *headers = _head(tls)
            url = f"https://{host}{request.split()[1]}"
            self.server.hits.append(url)
            for header in headers:
                if header.lower().startswith("authorization: "):
                    self.server.authorizations[url] = header.split(": ", 1)[1]
            body = json.dumps(self.server.documents.get(url)).encode()
            status = b"200 OK" if url in self.server.documents else b"404 Not Found"
            length = str(len(body)).encode()
            tls.sendall(
                b"HTTP/1.1 " + status + b"\r\nContent-Length: " + length + b"\r\n\r\n" + body
            )


def _head(sock: Any) -> list[str]:
    octets = b""
    while b"\r\n\r\n" not in octets:
        part = sock.recv(65_536)
        if not part:
            raise ConnectionError
        octets += part
    return str(octets.partition(b"\r\n\r\n")[0].decode("latin-1")).split("\r\n")


class World:
    """
    Keys, and the hosts that publish them.

    Args:
        folder: Where files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = Hosts(Authority(folder))
        self.keys: dict[str, dict[str, Any]] = {
            "theirs": {
                "RS256": RSAKey.generate_key(2048),
                "ES256": ECKey.generate_key("P-256"),
                "HS256": OctKey.import_key(SECRET),
            },
            "another's": {
                "RS256": RSAKey.generate_key(2048),
                "ES256": ECKey.generate_key("P-256"),
                "HS256": OctKey.import_key(SECRET[::-1]),
            },
        }
        (folder / "token").write_text(BEARER + "\n")

    def publish(self, shape: Shape) -> None:
        """Have the hosts answer what *shape* says."""
        self.hosts.documents = {
            url: self._document(what, shape) for url, what in shape.documents.items()
        }

    def app(self, shape: Shape) -> TestApp:
        """Return an app under the documented configuration for *shape*."""
        provider = PROVIDERS[shape.provider]
        text = provider.table + provider.rule
        for word, value in sorted(shape.values.items(), key=lambda item: -len(item[0])):
            text = text.replace(word, value)
        if shape.provider == "kubernetes":
            text = text.replace(f"{K8S_FOLDER}/ca.crt", "ca.pem")
            text = text.replace(f"{K8S_FOLDER}/token", "token")
        elif shape.documents:
            text = text.replace("[[trusted]]\n", '[[trusted]]\nca_file = "ca.pem"\n')
        (self.folder / "jwt.toml").write_text(text)
        return TestApp(wrap(self.folder / "jwt.toml", show))

    def token(self, shape: Shape, neighbour: Neighbour | None = None) -> str:
        """Return a token of *shape*, or of one beside it."""
        neighbour = neighbour or Neighbour("none")
        now = int(time.time())
        claims: dict[str, Any] = {"iat": now, "exp": now + shape.lifetime_seconds}
        claims |= dict(shape.claims) | dict(neighbour.claims)
        header = {"alg": shape.alg} | dict(shape.header) | dict(neighbour.header)
        return str(
            jwt.encode(
                header,
                {name: value for name, value in claims.items() if value is not ...},
                self.keys[neighbour.key][shape.alg],
                algorithms=[shape.alg],
                registry=JWSRegistry(strict_check_header=False),  # Clerk has one of its own
            )
        )

    def _document(self, what: object, shape: Shape) -> object:
        key, other = self.keys["theirs"][shape.alg], self.keys["another's"]
        if what == "certificates":  # by kid, an expired one among them
            return {
                "old": certificate(
                    other["RS256"].private_key, other["RS256"].private_key, expired=True
                ).decode(),
                "k1": certificate(key.private_key, key.private_key).decode(),
            }
        if what not in ("jwks", "cloudflare"):
            return what
        public = key.as_dict(private=False) | {"use": "sig", "alg": shape.alg, "kid": "k1"}
        second = ECKey.generate_key("P-384").as_dict(private=False) | {"kid": "k0"}
        for_encryption = other["RS256"].as_dict(private=False)
        keys = [
            for_encryption | {"kid": "enc", "use": "enc", "alg": "RSA-OAEP"},
            second,
            public | dict(shape.jwk),
        ]
        if what == "jwks":
            return {"keys": keys}
        # Cloudflare adds the same keys as certificates, which are not looked at.
        return {"keys": keys, "public_cert": {"kid": "k1"}, "public_certs": []}


def show(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer with who is asking."""
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {"user": environ["REMOTE_USER"], "scopes": sorted(get_scopes(environ))}
    return [json.dumps(seen).encode()]


def headers_with(token: str, shape: Shape, neighbour: Neighbour | None = None) -> dict[str, str]:
    """Return the request headers that *token* comes in."""
    if neighbour is not None and neighbour.sent_in is not None:
        return {name: value.format(*[token] * 2) for name, value in neighbour.sent_in.items()}
    scheme = "Bearer " if shape.sent_in == "Authorization" else ""
    return {shape.sent_in: scheme + token}


@contextmanager
def open_world(
    setenv: Callable[[str, str], object] = os.environ.__setitem__,
) -> Iterator[World]:
    """Run the hosts, and have the environment name their proxy."""
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name))
        with world.hosts as hosts:
            thread = threading.Thread(target=hosts.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            setenv("HTTPS_PROXY", f"http://127.0.0.1:{hosts.server_address[1]}")
            setenv("NO_PROXY", "")
            setenv("SUPABASE_JWT_SECRET", SECRET)
            try:
                yield world
            finally:
                hosts.shutdown()
                thread.join()


def judged(world: World, shape: Shape) -> Mapping[str, Any]:
    """Return what the documented configuration makes of *shape* and its neighbours."""
    world.publish(shape)
    app = world.app(shape)
    token = world.token(shape)
    headers = headers_with(token, shape)
    seen = app.get("/", headers=headers, expect_errors=True)
    answers = {
        one.label: app.get(
            shape.path if one.status == 403 else "/",
            headers=headers_with(world.token(shape, one), shape, one),
            expect_errors=True,
        ).status_int
        for one in shape.neighbours
    }
    return {
        "status": seen.status_int,
        "user": seen.json.get("user"),
        "scopes": seen.json.get("scopes"),
        "rule": app.get(shape.path, headers=headers, expect_errors=True).status_int,
        "neighbours": answers,
    }

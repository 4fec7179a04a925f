"""An identity provider on loopback, for apps that trust other issuers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from ..core.issuer import TokenIssuer
from ..core.jws import encode_object, serialize
from ..core.keys import Key, KeySet
from ..keysources.jwks import public_jwks

JWKS: Final = "/jwks"
METADATA: Final = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
LIFETIME_SECONDS: Final = 3600


class IssuerServer:
    """
    An issuer that publishes its keys and metadata on a port of 127.0.0.1.

    ::

        with IssuerServer(audience="api") as server:
            verifier = TokenVerifier(
                trusted=[
                    TrustedIssuer(
                        issuer=server.url, audience="api", keys=DiscoveredJWKS(server.url)
                    )
                ]
            )
            verifier.verify(server.token("42", scope="read"))

    In a ``jwt.toml`` its *url* is the ``issuer`` of a ``[[trusted]]`` with ``discovery = true``.

    Args:
        audience: The *aud* of its tokens.
        alg: The algorithm of its keys, an asymmetric one.
        clock: Returns seconds since the Unix epoch.

    Attributes:
        url: Its URL, the *iss* of its tokens.
        issuer: The token issuer, to pass to :class:`~jwt_middleware.testing.TestApp` as *issuer*.
        requests: The requested paths, in order.
    """

    def __init__(
        self,
        *,
        audience: str = "api",
        alg: str = "ES256",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.answer = self._answer
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._alg = alg
        self._clock = clock
        self._is_down = False
        self.requests: list[str] = []
        self.url: str = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer: TokenIssuer = TokenIssuer(
            keys=KeySet([Key.generate(alg)]), issuer=self.url, audience=audience, clock=clock
        )

    def __enter__(self) -> Self:
        """Answer requests until the end of the block."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop and free the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def keys(self) -> KeySet:
        """The published keys; the first one that can sign is used."""
        return self.issuer.keys.current()

    @keys.setter
    def keys(self, keys: KeySet) -> None:
        self.issuer.keys = keys

    def rotate(self, *, keep: int = 1) -> Key:
        """
        Publish a new key and sign with it from now on.

        Args:
            keep: How many earlier keys stay published, so that their tokens stay valid.

        Returns:
            The new key.
        """
        key = Key.generate(self._alg)
        self.keys = KeySet([key, *list(self.keys)[:keep]])
        return key

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Answer every request with 503 until the end of the block."""
        self._is_down = True
        try:
            yield
        finally:
            self._is_down = False

    def token(self, sub: str, **claims: Any) -> str:
        """
        Return a token with any claims.

        Args:
            sub: The subject.
            claims: Additional claims, or replacements for *iss*, *aud*, *iat* and *exp*; ``...``
                leaves one out.
        """
        now = int(self._clock())
        members = {
            "iss": self.url,
            "sub": sub,
            "aud": self.issuer.audience,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        } | claims
        present = {name: value for name, value in members.items() if value is not ...}
        key = next(key for key in self.keys if key.can_sign)
        header = encode_object({"typ": "JWT", "alg": key.alg, "kid": key.kid})
        return serialize(header, encode_object(present), key.sign)

    def _answer(self, path: str) -> tuple[int, dict[str, object]]:
        self.requests.append(path)
        if self._is_down:
            return 503, {}
        if path == JWKS:
            return 200, dict(public_jwks(self.keys))
        if path in METADATA:
            return 200, {"issuer": self.url, "jwks_uri": self.url + JWKS}
        return 404, {}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for the threads
    answer: Callable[[str], tuple[int, dict[str, object]]]

    def handle_error(self, *_: object) -> None:
        """Ignore clients that have disconnected."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, document = self.server.answer(self.path)
        octets = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

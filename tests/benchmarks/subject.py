"""What every measurement has in common: one secret, one set of claims, tokens, a request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from wsgiref.util import setup_testing_defaults

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer, TokenVerifier
from jwt_middleware.core.jws import encode_object, serialize

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECRET: Final = "the secret that all parties to this benchmark share"
ISSUER: Final = "https://auth.example.com"
AUDIENCE: Final = "api"
PAYLOAD: Final = JWTPayload(uid=42, scope="read write")
KEYS: Final = KeySet([Key.from_secret(SECRET, kid="2026-11")])

# What a browser and a proxy add to a request.
_HEADERS: Final = {
    "HTTP_ACCEPT": "application/json",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
    "HTTP_ACCEPT_LANGUAGE": "en-GB,en;q=0.9",
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)",
    "HTTP_X_FORWARDED_FOR": "192.0.2.1",
}


def issuer_for(keys: KeySet = KEYS, **parts: Any) -> TokenIssuer:
    """Return what issues the tokens."""
    return TokenIssuer(keys=keys, issuer=ISSUER, audience=AUDIENCE, **parts)


def verifier_for(keys: KeySet = KEYS, **parts: Any) -> TokenVerifier:
    """Return a new verifier, which knows no token yet."""
    return TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, **parts)


def new_tokens(count: int, keys: KeySet = KEYS) -> Sequence[str]:
    """Return different tokens of eleven claims."""
    issuer = issuer_for(keys)
    return [issuer.issue(PAYLOAD).token for _ in range(count)]


def request_with(token: str, path: str = "/area49/page") -> WSGIEnvironment:
    """Return the environ of a request as a server makes it: every string is a new one."""
    environ: WSGIEnvironment = dict(_HEADERS)
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = path.encode().decode("latin-1")
    environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return environ


def bare_app(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    """Answer nothing, at no cost."""
    return ()


def ignore(_status: str, _headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
    """Start a response that is not read."""


def token_for_all() -> str:
    """Return a token with the claims that one or another of the peers insists on."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "42",
        "iat": now,
        "nbf": now,
        "exp": now + 7200,
        "jti": "UiIuZF0VRaSGMdJI5GVzRQ",
        "scope": "read write",
        "client_id": "benchmark",  # Authlib, as RFC 9068
        "token_type": "access",  # simplejwt
        "user_id": "42",  # simplejwt
    }
    header = encode_object({"typ": "at+jwt", "alg": "HS256", "kid": "2026-11"})
    key = Key.from_secret(SECRET)
    return serialize(header, encode_object(claims), key.sign)

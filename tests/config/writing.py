"""Configurations written into a folder, and keys and tokens to go with them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer
from jwt_middleware.config import Settings
from jwt_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECRET = "a secret of thirty-two bytes or more"
PAYLOAD = JWTPayload(uid=42, scope="read", ac_type="email")
EC_KEY = ec.generate_private_key(ec.SECP256R1())
NO_ENCRYPTION = serialization.NoEncryption()
HEAD = 'issuer = "https://auth.example.com"\naudience = "api"\n'
KEYS = '[keys]\nsecret_file = "secret"\n'
RING = HEAD + '[keys]\ndirectory = "ring"\n'
LOGIN_ISSUER = "https://login.example.org"
TRUSTED = f"[[trusted]]\nissuer = '{LOGIN_ISSUER}'\naudience = 'api'\n"
TRUSTED_FILE = TRUSTED + "jwks_file = 'jwks.json'\n"
TRUSTED_KEY = Key.generate("ES256", kid="first")
ACCOUNTS = '[accounts]\nurl = "sqlite:///accounts.db"\nmin_secret_chars = 1\n'
LOGIN = {"account": "ann@example.com", "secret": "right", "type": "email"}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def private_pem(encryption: serialization.KeySerializationEncryption = NO_ENCRYPTION) -> bytes:
    return EC_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def public_pem() -> bytes:
    return EC_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def write(folder: Path, text: str) -> Path:
    """Write a configuration; without issuer and audience or [keys] of its own it gets ours."""
    file = folder / "jwt.toml"
    top = re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    head = "" if re.search(r"\b(issuer|audience) ?=", top) else HEAD
    keys = "" if re.search(r"\[keys\]|^\s*keys =", text, re.MULTILINE) else KEYS
    file.write_text(f"{head}{text}\n{keys}", encoding="utf-8")
    return file


def write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def issuer_of(key: Key) -> TokenIssuer:
    return TokenIssuer(keys=KeySet([key]), issuer="https://auth.example.com", audience="api")


def token(secret: str | bytes = SECRET) -> str:
    return issuer_of(Key.from_secret(secret)).issue(PAYLOAD).token


def keys_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> KeySet:
    own = settings.build_own(environ)
    assert own is not None
    return own.keys.current()


def jwks(*keys: Key) -> str:
    return json.dumps({"keys": [key.public_jwk() for key in keys]})


def bearer_of(key: Key, issuer: str = LOGIN_ISSUER) -> dict[str, str]:
    issued = TokenIssuer(keys=KeySet([key]), issuer=issuer, audience="api").issue(PAYLOAD)
    return {"Authorization": f"Bearer {issued.token}"}


def assert_one_line(error: ConfigurationError, parts: Iterable[str]) -> None:
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert part in message


def verify_ldap(account: str, secret: str) -> object:
    return {"uid": account, "scope": ""}

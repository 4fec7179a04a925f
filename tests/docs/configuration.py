"""Builds the configurations of a page, and what they name."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from jwt_middleware.config import load
from jwt_middleware.keysources.ring import rotation

from ..tls import Authority

_SETTINGS: Final = {
    "issuer": 'issuer = "https://auth.example.com"\n',
    "audience": 'audience = "api"\n',
}
_TABLES: Final = {
    "keys": '[keys]\nsecret_file = "secret"\n',
    "endpoint": "[endpoint]\n",
    "accounts": '[accounts]\nurl = "sqlite:///accounts.db"\n',
    "sessions": '[sessions]\nurl = "sqlite:///sessions.db"\n',
}


def completed(text: str) -> str:
    """Return a configuration that has what the fragment *text* lacks."""
    given = tomllib.loads(text)
    if "trusted" in given and not given.keys() & {"keys", "endpoint"}:
        return text
    present = {*given, *(["accounts"] if "verifiers" in given.get("endpoint", {}) else [])}
    settings = "".join(line for name, line in _SETTINGS.items() if name not in present)
    tables = "".join(lines for name, lines in _TABLES.items() if name not in present)
    return f"{settings}{text}\n{tables}"


def build(text: str, folder: Path) -> None:
    """
    Build all of the configuration *text*, with what it names in *folder*.

    Raises:
        ConfigurationError: It is not one.
    """
    text = re.sub(r'"/(?=(?:run|var)/)', f'"{folder}/', text)
    environ = _provide(tomllib.loads(text), folder)
    (folder / "jwt.toml").write_text(text, encoding="utf-8")
    settings = load(folder / "jwt.toml")
    settings.protect(lambda *_: [b""], environ)


def _provide(table: Mapping[str, Any], folder: Path, parent: str = "") -> dict[str, str]:
    """Make the files and folders that settings name, and return the environment variables."""
    environ: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, str):
            if name.endswith("_env"):
                environ[value] = _secret(value)
            elif name.endswith("_file"):
                _make_file(folder / value, name)
            elif name == "directory":
                _make_directory(folder / value, is_ring=parent == "keys")
        for one in value if isinstance(value, list) else [value]:
            environ |= _provide(one, folder, name) if isinstance(one, dict) else {}
    return environ


def _make_file(file: Path, setting: str) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        if setting == "ca_file":
            Authority(file.parent).ca_file.rename(file)
        else:
            file.write_text(_jwk_set() if setting == "jwks_file" else _secret(file.name))


def _jwk_set() -> str:
    public = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
    return f'{{"keys": [{public}]}}'


def _secret(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _make_directory(directory: Path, *, is_ring: bool) -> None:
    if is_ring:
        rotation.create(directory, alg="ES256", now=time.time())
    else:
        directory.mkdir(parents=True)

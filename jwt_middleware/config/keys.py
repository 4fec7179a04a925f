"""``[keys]``: sources of secrets and keys."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..core.jws import ALGORITHMS
from ..core.keys import Key, KeySet
from ..errors import ConfigurationError
from ..events import logger
from ..files import diagnose, may_be_secret, read_regular
from .reading import Place, Section, choice, setting, tables, text

if TYPE_CHECKING:
    from ..keysources.ring.ring import KeyRing


_SOURCES: Final = ("secret_env", "secret_file", "private_key_file", "public_key_file", "jwk_file")


class KeySettings(Section):
    """
    ``[[keys.previous]]``: keys that still verify until the last token they signed has expired.

    They do not sign.  Set exactly one of the sources; the file has names and paths, never the
    secret itself.

    Attributes:
        secret_env: Environment variable with an HMAC secret.
        secret_file: File with an HMAC secret of at least 32 bytes for HS256, 48 for HS384, 64 for
            HS512; a final newline is ignored.
        private_key_file: PEM of a private key; needs ``alg``.
        public_key_file: PEM of a public key or a certificate, for an app that only verifies; needs
            ``alg``.
        jwk_file: One JWK: a secret, a private or a public key.
        password_env: Environment variable with the password of an encrypted ``private_key_file``.
        alg: Algorithm of the key; by default ``HS256`` for a secret, and the JWK's own for a JWK.
        kid: Name of the key in token headers; by default derived from the key.
    """

    secret_env: str | None = setting(text, None)
    secret_file: str | None = setting(text, None)
    private_key_file: str | None = setting(text, None)
    public_key_file: str | None = setting(text, None)
    jwk_file: str | None = setting(text, None)
    password_env: str | None = setting(text, None)
    alg: str | None = setting(choice(*ALGORITHMS, "Ed25519"), None)
    kid: str | None = setting(text, None)

    def build_key(self, environ: Mapping[str, str]) -> Key:
        """
        Build the key.

        Raises:
            ConfigurationError: There is not exactly one source, or it is missing or unusable.
        """
        source = self._source()
        self._check_companions(source)
        place = self.place.member(source)
        origin: str = getattr(self, source)
        if source in {"secret_env", "secret_file"}:
            material = read_secret_source(source, origin, place, environ)
        else:
            material = _read_file(origin, place)
        password = None
        if self.password_env is not None:
            password_place = self.place.member("password_env")
            password = _read_environment(self.password_env, password_place, environ)
        with place.named():
            key = self._make(source, material, password)
        if source in {"private_key_file", "jwk_file"} and key.can_sign:
            _warn_if_exposed(origin, place)
        return key

    def _source(self) -> str:
        given = [source for source in _SOURCES if getattr(self, source) is not None]
        if not given:
            raise self.place.error(f"has no key: add one of {', '.join(_SOURCES)}, directory")
        if len(given) > 1:
            raise self.place.error(f"{' and '.join(given)} exclude each other: keep one")
        return given[0]

    def _check_companions(self, source: str) -> None:
        if self.password_env is not None and source != "private_key_file":
            raise self.place.member("password_env").error(
                f"is for an encrypted private_key_file, not for {source}: leave it out"
            )
        if self.alg is None and source in {"private_key_file", "public_key_file"}:
            raise self.place.member("alg").error(
                f'is missing: {source} needs it, as in alg = "RS256"'
            )

    def _make(self, source: str, material: bytes, password: bytes | None) -> Key:
        if source in {"secret_env", "secret_file"}:
            return Key.from_secret(material, alg=self.alg or "HS256", kid=self.kid)
        if source == "jwk_file":
            return Key.from_jwk(material, alg=self.alg, kid=self.kid)
        key = Key.from_pem(material, alg=self.alg or "", kid=self.kid, password=password)
        if source == "private_key_file" and not key.can_sign:
            raise ConfigurationError("has a public key: use public_key_file")
        if source == "public_key_file" and key.can_sign:
            raise ConfigurationError(
                "has a private key: use private_key_file, or keep only its public half"
            )
        return key


class KeySetSettings(KeySettings):
    """
    ``[keys]``: the key that signs and verifies, or a key ring.

    Attributes:
        directory: Folder of a key ring, instead of all other settings; see docs/keys.md.
    """

    directory: str | None = setting(text, None)
    previous: tuple[KeySettings, ...] = setting(tables(KeySettings), ())

    def build(self, environ: Mapping[str, str]) -> KeySet | KeyRing:
        """
        Build the keys.

        Raises:
            ConfigurationError: One of them is missing or unusable, or two have the same *kid*.
        """
        if self.directory is not None:
            return self._build_ring(self.directory)
        keys = [self.build_key(environ)]
        for one in self.previous:
            key = one.build_key(environ)
            with one.place.named():
                keys.append(key.limited_to({"verify"}))
        with Place(self.place.file).named_by_member():
            return KeySet(keys)

    def _build_ring(self, directory: str) -> KeyRing:
        from ..keysources.ring.ring import KeyRing  # noqa: PLC0415  only where it is used

        place = self.place.member("directory")
        others = (*_SOURCES, "alg", "kid", "password_env", "previous")
        given = [name for name in others if getattr(self, name)]
        if given:
            raise place.error(f"and {' and '.join(given)} exclude each other: keep one")
        with place.named():
            return KeyRing(place.file.parent / directory)


def read_secret_source(source: str, origin: str, place: Place, environ: Mapping[str, str]) -> bytes:
    """
    Read an HMAC secret.

    Args:
        source: ``secret_env`` or ``secret_file``.
        origin: Name of the variable or file; one trailing newline of a file is removed.
        place: For errors.
        environ: Environment variables.

    Raises:
        ConfigurationError: It cannot be read, or begins or ends with white space, quotes or a BOM.
    """
    if source == "secret_env":
        secret = _read_environment(origin, place, environ)
    else:
        # Most editors and `echo` end a file with a line break.
        secret = _read_file(origin, place).removesuffix(b"\n").removesuffix(b"\r")
        _warn_if_exposed(origin, place)
    _check_edges(secret, place)
    return secret


def _check_edges(secret: bytes, place: Place) -> None:
    """Refuse white space or quotes around a secret, and a BOM: other software strips them."""
    if secret.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise place.error("the secret begins with a byte order mark: save it without")
    if secret != secret.strip(b" \t\r\n\v\f"):
        raise place.error("the secret begins or ends with white space: remove it")
    if len(secret) > 1 and secret[:1] == secret[-1:] and secret[:1] in {b'"', b"'"}:
        raise place.error("the secret is in quotes, which would be part of it: remove them")


def _read_environment(name: str, place: Place, environ: Mapping[str, str]) -> bytes:
    value = environ.get(name)
    if value:
        return os.fsencode(value)
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        # It may be the secret itself, so it is not quoted.
        raise place.error("must be the name of an environment variable that is set, not its value")
    raise place.error(f"the environment variable {name} is not set: set it for this process")


def _read_file(name: str, place: Place) -> bytes:
    path = place.file.parent / name
    try:
        return read_regular(path)[1]
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said, fix = diagnose(error, fix="paths are relative to the configuration file")
        if may_be_secret(name, error):
            raise place.error("must be the name of an existing file, not its content") from None
        raise place.error(f"{str(path)!r} cannot be read ({said}): {fix}") from error


def _warn_if_exposed(name: str, place: Place) -> None:
    # A warning only: orchestrators mount secrets read-only with mode 0444.
    path = place.file.parent / name
    if os.name == "posix" and path.stat().st_mode & stat.S_IROTH:
        logger.warning(
            "%s: %s: every user of this machine can read %r: chmod 600",
            place.file,
            place.name,
            str(path),
        )

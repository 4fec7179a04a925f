"""Keys.  An alg belongs to the key, never to the token (RFC 8725 §3.1)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from ...errors import AlgorithmNotAllowedError, ConfigurationError, UnknownKeyError
from ..jws import ALGORITHMS, Header, signature_check
from . import material
from .jwk import export_jwk, parse_jwk, thumbprint

MAX_TRIES_WITHOUT_KID: Final = 4
"""How many keys of its alg a token without kid is tried against, in the set's order."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """
    One key: its *kid*, the one *alg* it is for, and material that no ``repr`` shows.

    Made by :meth:`from_secret`, :meth:`from_pem`, :meth:`from_jwk` or :meth:`generate`, which
    raise :class:`ConfigurationError` for whatever is too short, of another kind or not for
    signatures.  Without *kid* an asymmetric key gets its RFC 7638 thumbprint, and a secret an
    identifier derived from it under HMAC.
    """

    kid: str
    alg: str
    _signing: Any = field(repr=False)
    _verifying: Any = field(repr=False)
    _check: Callable[[bytes, bytes], bool] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.kid, str) or not 0 < len(self.kid) <= 255:
            raise ConfigurationError("kid must be a string of 1 to 255 characters")
        if not self.kid.isprintable():
            raise ConfigurationError("kid must be printable")
        if self.can_verify:
            object.__setattr__(self, "_check", signature_check(self.alg, self._verifying))

    @property
    def can_sign(self) -> bool:
        """Whether there is a secret or private half, and it may sign."""
        return self._signing is not None

    @property
    def can_verify(self) -> bool:
        """Whether the key may verify."""
        return self._verifying is not None

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*; only for a key that :attr:`can_sign`."""
        return ALGORITHMS[self.alg].sign(message, self._signing)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether *signature* is this key's for *message*; only if it :attr:`can_verify`."""
        return self._check(message, signature)

    def limited_to(self, operations: Collection[str]) -> Self:
        """
        Return this key for only those of *sign* and *verify* that *operations* names.

        Raises:
            ConfigurationError: Nothing is left that it could do.
        """
        limited = replace(
            self,
            _signing=self._signing if "sign" in operations else None,
            _verifying=self._verifying if "verify" in operations else None,
        )
        if not limited.can_sign and not limited.can_verify:
            raise ConfigurationError("use or key_ops allow the key neither to sign nor to verify")
        return limited

    @property
    def is_symmetric(self) -> bool:
        """Whether it is a secret: who can verify with it can sign, so it is never published."""
        return self.alg in material.SECRET_BYTES

    def is_secret(self, octets: bytes) -> bool:
        """Tell whether *octets* are the secret that it is."""
        return self.is_symmetric and hmac.compare_digest(self._verifying or b"", octets)

    def public_jwk(self) -> dict[str, str]:
        """
        Return the JWK (RFC 7517) by which others verify what this key signed.

        Raises:
            ConfigurationError: It is a secret, or may not verify.
        """
        if self.is_symmetric or not self.can_verify:
            raise ConfigurationError(f"the {self.alg} key has no public half to show")
        return export_jwk(self.alg, self.kid, self._verifying)

    def private_jwk(self) -> dict[str, str]:
        """
        Return the JWK with all that signing takes: to be stored, never to be shown.

        Raises:
            ConfigurationError: The key cannot sign.
        """
        if not self.can_sign:
            raise ConfigurationError("the key only verifies: there is no private JWK of it")
        return export_jwk(self.alg, self.kid, self._signing)

    @classmethod
    def from_secret(
        cls, secret: str | bytes, *, alg: str = "HS256", kid: str | None = None
    ) -> Self:
        """
        Make an HMAC key.

        Args:
            secret: At least as many bytes as the hash: 32, 48 or 64 (RFC 7518 §3.2).  Text is
                taken as UTF-8.  The text of a PEM, an SSH key or a JWK is refused: it is no secret.
            alg: ``HS256``, ``HS384`` or ``HS512``.
            kid: Name of the key in token headers.
        """
        octets = material.read_secret(secret, alg)
        return cls(material.secret_kid(octets) if kid is None else kid, alg, octets, octets)

    @classmethod
    def from_pem(
        cls,
        pem: str | bytes,
        *,
        alg: str,
        kid: str | None = None,
        password: str | bytes | None = None,
    ) -> Self:
        """
        Make a key from a PEM, private (signs and verifies) or public (verifies).

        Args:
            pem: PKCS#8, PKCS#1, SEC 1 or SubjectPublicKeyInfo.
            alg: RS*, PS*, ES* or EdDSA; must fit the key's type and curve.
            kid: Name of the key in token headers.
            password: Of an encrypted private key.
        """
        return cls._asymmetric(material.read_pem(pem, password), alg, kid)

    @classmethod
    def from_jwk(
        cls, jwk: Mapping[str, Any] | str | bytes, *, alg: str | None = None, kid: str | None = None
    ) -> Self:
        """
        Make a key from a JWK (RFC 7517): oct, RSA, EC or OKP with Ed25519.

        ``use``, ``key_ops`` and ``alg`` of the JWK are honoured: a key that is not for signatures
        is refused, and one that may only verify never signs.

        Args:
            jwk: Members, or their JSON text.
            alg: For a JWK that names none; a curve implies it, RSA and oct do not.
            kid: Overrides the JWK's own.
        """
        parsed = parse_jwk(jwk, alg=alg)
        name = parsed.kid if kid is None else kid
        if parsed.alg in material.SECRET_BYTES:
            key = cls.from_secret(parsed.material, alg=parsed.alg, kid=name)
            return key.limited_to(parsed.operations)
        key = cls._asymmetric(parsed.material, parsed.alg, name)
        # What the private half may sign, the public half may verify.
        return key.limited_to(parsed.operations | ({"verify"} if parsed.operations else set()))

    @classmethod
    def generate(cls, alg: str = "HS256", *, kid: str | None = None) -> Self:
        """Make a random key: a secret as long as the hash, 2048-bit RSA, or on the alg's curve."""
        made = material.generate(alg)
        if isinstance(made, bytes):
            return cls.from_secret(made, alg=alg, kid=kid)
        return cls._asymmetric(made, alg, kid)

    @classmethod
    def _asymmetric(cls, either: Any, alg: str, kid: str | None) -> Self:
        private = hasattr(either, "public_key")
        public = either.public_key() if private else either
        material.check_fits(public, alg)
        name = thumbprint(alg, public) if kid is None else kid
        return cls(name, alg, either if private else None, public)


class KeySet:
    """
    Keys in order: the first that can sign signs, all that can verify verify.

    A set never changes.  To rotate, assign a new set to ``verifier.keys`` and ``issuer.keys``: its
    identity is its generation, and tokens remembered under another set are verified again.

    Args:
        keys: At least one; no two with the same *kid*.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)
        if not self._keys or not all(isinstance(key, Key) for key in self._keys):
            raise ConfigurationError(
                "keys must be one or more Key objects, as in KeySet([Key.from_secret(...)])"
            )
        self._by_kid = {key.kid: key for key in self._keys}
        if len(self._by_kid) != len(self._keys):
            raise ConfigurationError("keys: two keys have the same kid, give each its own")

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self._keys)!r})"

    @property
    def signing_key(self) -> Key | None:
        """The first key that can sign, if any."""
        return next((key for key in self._keys if key.can_sign), None)

    def current(self) -> Self:
        """Return the set itself: it is a key source that never changes."""
        return self

    def refreshed(self, kid: str | None) -> Self:
        """Return the set itself: there is nowhere to look for more."""
        return self

    def candidates(self, header: Header) -> tuple[Key, ...]:
        """
        Return the keys that may have signed a token with this header, at least one.

        A *kid* names one key, and that key's alg must be the header's.  Without *kid* the keys
        for the header's alg are tried in order, :data:`MAX_TRIES_WITHOUT_KID` of them at most.

        Raises:
            UnknownKeyError: No key has this kid, or it may not verify.
            AlgorithmNotAllowedError: The key, or without kid every key, is for another alg.
        """
        if header.kid is None:
            fitting = [key for key in self._keys if key.can_verify and key.alg == header.alg]
            if not fitting:
                raise AlgorithmNotAllowedError("no key is for this alg")
            return tuple(fitting[:MAX_TRIES_WITHOUT_KID])
        key = self._by_kid.get(header.kid)
        if key is None or not key.can_verify:
            raise UnknownKeyError("no key has this kid", kid=header.kid)
        if key.alg != header.alg:
            raise AlgorithmNotAllowedError(f"the key is for {key.alg}")
        return (key,)

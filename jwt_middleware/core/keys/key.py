"""Keys.  An alg belongs to the key, never to the token (RFC 8725 §3.1)."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from ...errors import AlgorithmNotAllowedError, ConfigurationError, UnknownKeyError
from ..jws import ALGORITHMS, Header, canonical_alg, signature_check
from . import material
from .jwk import export_jwk, parse_jwk, thumbprint

MAX_CANDIDATES: Final = 4
"""
Maximum number of keys that a token is verified with, in the set's order.

They have its alg, and its kid if it names one.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """
    A key: its *kid*, its only *alg*, and material that the ``repr`` does not show.

    Made by :meth:`from_secret`, :meth:`from_pem`, :meth:`from_jwk` or :meth:`generate`, which raise
    :class:`ConfigurationError` for a key that is too short, of another kind or not for signatures.
    Without *kid* an asymmetric key gets its RFC 7638 thumbprint, and a secret an identifier derived
    from it under HMAC.

    Attributes:
        kid: Its *kid* in token headers.
        alg: Its JWA name; Ed25519 keys are for ``EdDSA``.
        issuer: The only *iss* that it is for, if its JWK has one.  Entra ID publishes keys of many
            tenants in one set, with ``{tenantid}``.
        valid_from: Start of its certificate's validity; seconds since the epoch.
        valid_until: Expiry of its certificate.  Without certificate a key has no dates.
        is_limited: Whether it has an issuer or dates.
    """

    kid: str
    alg: str
    _signing: Any = field(repr=False)
    _verifying: Any = field(repr=False)
    _check: Callable[[bytes, bytes], bool] = field(init=False, repr=False)
    is_limited: bool = field(init=False, repr=False)
    issuer: str | None = field(default=None, kw_only=True, repr=False)
    valid_from: float = field(default=-math.inf, kw_only=True, repr=False)
    valid_until: float = field(default=math.inf, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.kid, str) or not 0 < len(self.kid) <= 255:
            raise ConfigurationError("kid must be a string of 1 to 255 characters")
        if not self.kid.isprintable():
            raise ConfigurationError("kid must be printable")
        limited = self.issuer is not None or self.valid_until != math.inf
        object.__setattr__(self, "is_limited", limited)
        if self.can_verify:
            object.__setattr__(self, "_check", signature_check(self.alg, self._verifying))

    @property
    def can_sign(self) -> bool:
        """Whether it has a secret or private half that may sign."""
        return self._signing is not None

    @property
    def can_verify(self) -> bool:
        """Whether the key may verify."""
        return self._verifying is not None

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*; requires :attr:`can_sign`."""
        return ALGORITHMS[self.alg].sign(message, self._signing)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* of *message* is valid; requires :attr:`can_verify`."""
        return self._check(message, signature)

    def limited_to(self, operations: Collection[str]) -> Self:
        """
        Return this key limited to *operations*, of *sign* and *verify*.

        Raises:
            ConfigurationError: No operation is left.
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
        """Whether it is a secret, which can also sign and is never published."""
        return self.alg in material.SECRET_BYTES

    def is_secret(self, octets: bytes) -> bool:
        """Return whether *octets* are the key's secret."""
        return self.is_symmetric and hmac.compare_digest(self._verifying or b"", octets)

    def public_jwk(self) -> dict[str, str]:
        """
        Return the public JWK (RFC 7517).

        Raises:
            ConfigurationError: The key is a secret, or may not verify.
        """
        if self.is_symmetric or not self.can_verify:
            raise ConfigurationError(f"the {self.alg} key has no public half to show")
        return export_jwk(self.alg, self.kid, self._verifying)

    def private_jwk(self) -> dict[str, str]:
        """
        Return the private JWK, for storage; it is secret.

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
        Create an HMAC key.

        Args:
            secret: At least as many bytes as the hash: 32, 48 or 64 (RFC 7518 §3.2).  Text is
                encoded as UTF-8.  The text of a PEM, an SSH key or a JWK is refused.
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
        Create a key from a PEM: private (signs and verifies), public or a certificate (verify).

        A certificate must not have expired; after its expiry the key no longer verifies.

        Args:
            pem: PKCS#8, PKCS#1, SEC 1, SubjectPublicKeyInfo or an X.509 certificate.
            alg: RS*, PS*, ES* or EdDSA; must fit the key's type and curve.
            kid: Name of the key in token headers.
            password: Password of an encrypted private key.
        """
        return cls._from_pem(material.read_pem(pem, password), canonical_alg(alg), kid)

    @classmethod
    def all_from_pem(
        cls,
        pem: str | bytes,
        *,
        algorithms: Iterable[str],
        kid: str | None = None,
        public_only: bool = False,
    ) -> list[Self]:
        """
        Create a key for each of *algorithms* that fits the PEM: for RSA there can be several.

        Args:
            pem: As for :meth:`from_pem`, without password.
            algorithms: JWA names, in the order of the result.
            kid: Name of the key in token headers.
            public_only: Whether a private key is read as its public half.
        """
        read = material.read_pem(pem, None)
        private = _is_private(read.material)
        public = read.material.public_key() if private else read.material
        if private and public_only:
            read = material.PEMKey(public)
        accepted, possible = tuple(algorithms), material.algs_of(public)
        if not set(possible).intersection(accepted):
            raise ConfigurationError(f"the key is not for {' or '.join(accepted)}")
        return [cls._from_pem(read, alg, kid) for alg in accepted if alg in possible]

    @classmethod
    def from_jwk(
        cls,
        jwk: Mapping[str, Any] | str | bytes,
        *,
        alg: str | None = None,
        kid: str | None = None,
        public_only: bool = False,
    ) -> Self:
        """
        Create a key from a JWK (RFC 7517): oct, RSA, EC or OKP with Ed25519.

        ``use``, ``key_ops`` and ``alg`` of the JWK apply: a key that is not for signatures is
        refused, and one that may only verify never signs.

        Args:
            jwk: Members, or their JSON text.
            alg: The alg for a JWK without one; a curve implies it, RSA and oct do not.
            kid: Overrides the JWK's kid.
            public_only: Whether a private key is read as its public half: for RSA 100 times faster,
                since primes are not checked.
        """
        parsed = parse_jwk(
            jwk, alg=None if alg is None else canonical_alg(alg), public_only=public_only
        )
        name = parsed.kid if kid is None else kid
        if parsed.alg in material.SECRET_BYTES:
            key = cls.from_secret(parsed.material, alg=parsed.alg, kid=name)
            return key.limited_to(parsed.operations)
        key = replace(cls._asymmetric(parsed.material, parsed.alg, name), issuer=parsed.issuer)
        # If the private half may sign, the public half may verify.
        return key.limited_to(parsed.operations | ({"verify"} if parsed.operations else set()))

    @classmethod
    def generate(cls, alg: str = "HS256", *, kid: str | None = None) -> Self:
        """Create a random key: a secret as long as the hash, 2048-bit RSA, or the alg's curve."""
        alg = canonical_alg(alg)
        made = material.generate(alg)
        if isinstance(made, bytes):
            return cls.from_secret(made, alg=alg, kid=kid)
        return cls._asymmetric(made, alg, kid)

    @classmethod
    def _from_pem(cls, read: material.PEMKey, alg: str, kid: str | None) -> Self:
        key = cls._asymmetric(read.material, alg, kid)
        if read.valid_until <= time.time():
            raise ConfigurationError("the certificate has expired: replace it")
        return replace(key, valid_from=read.valid_from, valid_until=read.valid_until)

    @classmethod
    def _asymmetric(cls, either: Any, alg: str, kid: str | None) -> Self:
        private = _is_private(either)
        public = either.public_key() if private else either
        material.check_fits(public, alg)
        name = thumbprint(alg, public) if kid is None else kid
        return cls(name, alg, either if private else None, public)


def _is_private(either: Any) -> bool:
    return hasattr(either, "public_key")


class KeySet:
    """
    Ordered keys: the first that can sign signs, all that can verify are accepted.

    A set is immutable.  To rotate, assign a new set to ``verifier.keys`` and ``issuer.keys``:
    tokens cached under another set object are verified again.

    Args:
        keys: At least one.
        allow_shared_kids: Whether several keys may have the same *kid*, as in sets of other issuers
            (RFC 7517 §4.5).  In your own set this is a mistake and refused.
    """

    def __init__(self, keys: Iterable[Key], *, allow_shared_kids: bool = False) -> None:
        self._keys = tuple(keys)
        if not self._keys or not all(isinstance(key, Key) for key in self._keys):
            raise ConfigurationError(
                "keys must be one or more Key objects, as in KeySet([Key.from_secret(...)])"
            )
        if not allow_shared_kids and len({key.kid for key in self._keys}) != len(self._keys):
            raise ConfigurationError("keys: two keys have the same kid, give each its own")
        verifying = [key for key in self._keys if key.can_verify]
        self._kids = frozenset(key.kid for key in verifying)
        self._candidates: dict[tuple[str | None, str], tuple[Key, ...]] = {}
        for key in verifying:
            for names in ((key.kid, key.alg), (None, key.alg)):
                found = self._candidates.get(names, ())
                self._candidates[names] = (*found, key)[:MAX_CANDIDATES]

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
        """Return the set itself, which is a constant key source."""
        return self

    def refreshed(self, kid: str | None) -> Self:
        """Return the set itself, which is a constant key source."""
        return self

    def candidates(self, header: Header) -> tuple[Key, ...]:
        """
        Return the keys that may have signed a token with this header, at least one.

        They have its alg and, if present, its *kid*; at most :data:`MAX_CANDIDATES`, in the set's
        order.

        Raises:
            UnknownKeyError: No key that may verify has this kid.
            AlgorithmNotAllowedError: The keys with this kid (without kid: all) have other algs.
        """
        found = self._candidates.get((header.kid, header.alg))
        if found is not None:
            return found
        if header.kid is not None and header.kid not in self._kids:
            raise UnknownKeyError("no key has this kid", kid=header.kid)
        raise AlgorithmNotAllowedError("no key that may have signed the token is for its alg")

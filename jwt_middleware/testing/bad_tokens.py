"""Tokens that are invalid in one way each, and the response that each must get."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from ..core.encoding import decode_base64url
from ..core.issuer import TokenIssuer
from ..core.jws import decode_object, encode_object, serialize, split
from ..core.keys import Key
from ..core.payload import JWTPayload
from ..errors import (
    AlgorithmNotAllowedError,
    AuthError,
    ConfigurationError,
    ExpiredTokenError,
    ImmatureTokenError,
    InsufficientScopeError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    MissingClaimError,
    RevokedTokenError,
    UnknownKeyError,
)

HOUR: Final = 3600
ATTACKER: Final = "https://attacker.example"


class Draft(NamedTuple):
    """A valid token and its parts."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: Key
    token: str

    def signed(self, key: Key | None = None, **header: Any) -> str:
        """Return the token signed with its key or another, with header members replaced."""
        sign = (key or self.key).sign
        return serialize(encode_object(self.header | header), encode_object(self.claims), sign)


Spoil = Callable[[Draft], str]


class Answer(Protocol):
    """A response of WebTest, Flask, Django, Werkzeug or Requests."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are case-insensitive."""


def _claims(**changes: Any) -> Spoil:
    """Return a function that changes claims: dates are seconds from now, ``...`` removes one."""

    def spoil(draft: Draft) -> str:
        now = draft.claims["iat"]
        for name, change in changes.items():
            if change is ...:
                draft.claims.pop(name, None)
            elif isinstance(change, int):
                draft.claims[name] = now + change
            else:
                draft.claims[name] = change
        return draft.signed()

    return spoil


def _tampered(draft: Draft) -> str:
    header, _, signature = draft.token.split(".")
    payload = encode_object(draft.claims | {"scope": "admin", "sub": "1"}).decode()
    return f"{header}.{payload}.{signature}"


def _header(**members: Any) -> Spoil:
    return lambda draft: draft.signed(**members)


def _signed_by_another(draft: Draft) -> str:
    return draft.signed(Key.generate(draft.key.alg))


def _without_signature(draft: Draft) -> str:
    return draft.token.rpartition(".")[0]


def _padded(draft: Draft) -> str:
    return f"{draft.token}="


def _unsigned(draft: Draft) -> str:
    return serialize(
        encode_object(draft.header | {"alg": "none"}), encode_object(draft.claims), lambda _: b""
    )


def _confused(draft: Draft) -> str:
    """Sign by HMAC with the public key; for a secret, with another hash than its own."""
    if draft.key.is_symmetric:
        secret = decode_base64url(draft.key.private_jwk()["k"].encode())
        name = "HS256" if draft.key.alg != "HS256" else "HS384"
    else:
        secret, name = _public_pem(draft.key), "HS256"
    return serialize(
        encode_object(draft.header | {"alg": name}),
        encode_object(draft.claims),
        lambda message: hmac.digest(secret, message, f"sha{name[2:]}"),
    )


def _public_pem(key: Key) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  rarely needed
        Encoding,
        PublicFormat,
    )

    pem: bytes = key._verifying.public_bytes(  # noqa: SLF001  of this package
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def _with_own_key(draft: Draft) -> str:
    key = Key.generate("ES256", kid="attacker")
    return draft.signed(key, alg=key.alg, kid=key.kid, jwk=key.public_jwk())


class BadToken(Enum):
    """
    A token that is invalid in one way and otherwise valid.

    ::

        @pytest.mark.parametrize("bad", BadToken)
        def test_me_refuses(bad):
            bad.check(client.get("/me", headers={"Authorization": f"Bearer {bad.token(issuer)}"}))

    ``REVOKED`` needs :meth:`Tokens.bad`, which revokes the token in the session store.
    ``UNDER_SCOPED`` is refused only where a scope is needed.

    Attributes:
        error: The error that the middleware raises.
    """

    EXPIRED = ExpiredTokenError, _claims(iat=-2 * HOUR, nbf=-2 * HOUR, exp=-HOUR)
    IMMATURE = ImmatureTokenError, _claims(nbf=HOUR, exp=2 * HOUR)
    ISSUED_IN_FUTURE = ImmatureTokenError, _claims(nbf=..., iat=HOUR, exp=2 * HOUR)
    WRONG_ISSUER = InvalidClaimError, _claims(iss=ATTACKER)
    WRONG_AUDIENCE = InvalidClaimError, _claims(aud=ATTACKER)
    WRONG_SIGNATURE = InvalidSignatureError, _signed_by_another
    TAMPERED = InvalidSignatureError, _tampered
    UNKNOWN_KID = UnknownKeyError, _header(kid="unknown")
    ALG_NONE = AlgorithmNotAllowedError, _unsigned
    ALG_CONFUSION = AlgorithmNotAllowedError, _confused
    KEY_IN_HEADER = UnknownKeyError, _with_own_key
    CRITICAL_EXTENSION = MalformedTokenError, _header(crit=["x"], x=1)
    NO_ISSUER = MissingClaimError, _claims(iss=...)
    NO_AUDIENCE = MissingClaimError, _claims(aud=...)
    NO_SUBJECT = MissingClaimError, _claims(sub=...)
    NO_EXPIRY = MissingClaimError, _claims(exp=...)
    EXPIRY_AS_TEXT = InvalidClaimError, _claims(exp="9999999999")
    ID_TOKEN = InvalidClaimError, _claims(at_hash="x")
    MALFORMED = MalformedTokenError, _without_signature
    PADDED = MalformedTokenError, _padded
    REVOKED = RevokedTokenError, None
    UNDER_SCOPED = InsufficientScopeError, _claims(scope="")

    def __init__(self, error: type[AuthError], spoil: Spoil | None) -> None:
        self.error = error
        self._spoil = spoil

    def token(self, issuer: TokenIssuer, *, uid: int | str = 42, scope: str = "") -> str:
        """
        Return a token of this kind.

        Args:
            issuer: An issuer whose tokens the app accepts.
            uid: The uid in the token.
            scope: The scope in the token.

        Raises:
            ConfigurationError: It is :attr:`REVOKED`.
        """
        if self._spoil is None:
            raise ConfigurationError("REVOKED: use Tokens(app).bad(BadToken.REVOKED)")
        token = issuer.issue(JWTPayload(uid, scope=scope)).token
        jws = split(token)
        header = decode_object(jws.header, "header")
        key = next(
            key for key in issuer.keys.current() if key.can_sign and key.kid == header["kid"]
        )
        return self._spoil(Draft(header, decode_object(jws.payload, "payload"), key, token))

    @property
    def status(self) -> int:
        """The HTTP status of the response: 401, or 403 for a missing scope."""
        return 403 if self is BadToken.UNDER_SCOPED else 401

    @property
    def bearer_error(self) -> str:
        """The ``error`` of the challenge (RFC 6750 §3.1)."""
        return "insufficient_scope" if self is BadToken.UNDER_SCOPED else "invalid_token"

    def check(self, answer: Answer) -> None:
        """
        Check that a request with such a token got the right response.

        Raises:
            AssertionError: The status or the challenge is different.
        """
        challenge = answer.headers.get("WWW-Authenticate", "")
        sentence = self.error.sentence.removesuffix(".")  # a hint may follow
        expected = f'error="{self.bearer_error}", error_description="{sentence}'
        if answer.status_code != self.status or expected not in challenge:
            raise AssertionError(
                f"{self.name}: expected {self.status} and {expected}, got {answer.status_code} and "
                f"WWW-Authenticate: {challenge or 'nothing'}"
            )

"""Refresh tokens: opaque, 384 random bits, stored only as a hash."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Final, Self

from ..core.encoding import decode_base64url, encode_base64url
from ..errors import InvalidGrantError

SALT_BYTES: Final = 16

_HANDLE_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_TOKEN_CHARS: Final = (_HANDLE_BYTES + _SECRET_BYTES) * 4 // 3


class RefreshToken:
    """
    A refresh token: a handle shared by all tokens of its session, and its own 256-bit secret.

    The session's *sid* is a hash of the handle: a *sid* from an access token or a log does not
    reveal the handle.  So a token with the right handle and any secret but the latest is a replay,
    however old, and a session is one row, however often it is refreshed.

    The hash includes the issuer, so that issuers sharing a store do not accept each other's tokens.

    Attributes:
        sid: The session it belongs to.
        digest: SHA-256 of the whole token; only this is stored.
    """

    __slots__ = ("_handle", "_secret", "digest", "sid")

    def __init__(self, handle: bytes, secret: bytes, *, sid: str) -> None:
        self._handle = handle
        self._secret = secret
        self.sid = sid
        self.digest: bytes = sha256(handle + secret).digest()

    @classmethod
    def generate(cls, *, issuer: str) -> Self:
        """
        Make the first token of a new session.

        Args:
            issuer: The *iss* of the session's access tokens.
        """
        handle, secret = secrets.token_bytes(_HANDLE_BYTES), secrets.token_bytes(_SECRET_BYTES)
        return cls(handle, secret, sid=_sid(handle, issuer))

    @classmethod
    def parse(cls, text: str, *, issuer: str) -> Self:
        """
        Parse a token that a client sent.

        Args:
            text: Any string.
            issuer: As for :meth:`generate`.

        Raises:
            InvalidGrantError: It does not have the format of a refresh token.
        """
        if len(text) != _TOKEN_CHARS or not text.isascii():
            raise InvalidGrantError("not the format of a refresh token")
        try:
            octets = decode_base64url(text.encode("ascii"))
        except ValueError:
            octets = b""
        if not octets:
            raise InvalidGrantError("not the format of a refresh token")
        handle, secret = octets[:_HANDLE_BYTES], octets[_HANDLE_BYTES:]
        return cls(handle, secret, sid=_sid(handle, issuer))

    def successor(self, salt: bytes) -> Self:
        """
        Return the token that follows this one, derived with the random salt of its use.

        It takes this token and the stored salt: two uses of one token derive the same successor, of
        which only a hash is stored.
        """
        secret = hmac.digest(self._secret, salt, "sha256")
        return type(self)(self._handle, secret, sid=self.sid)

    def reveal(self) -> str:
        """Return the token's text for the client."""
        return encode_base64url(self._handle + self._secret).decode("ascii")

    def __repr__(self) -> str:
        return f"<RefreshToken sid={self.sid!r}>"


def _sid(handle: bytes, issuer: str) -> str:
    # The prefix separates this use of SHA-256 from the digest.
    named = sha256(b"sid" + handle + issuer.encode("utf-8", "surrogatepass"))
    return encode_base64url(named.digest()[:16]).decode("ascii")

"""Good and bad tokens for load.py, of a key ring and of a trusted issuer."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from jwt_middleware import JWTPayload, TokenIssuer
from jwt_middleware.core.jws import encode_object, serialize
from jwt_middleware.core.keys import Key
from jwt_middleware.keysources.ring.ring import KeyRing

OWN = "https://own.example.org"
TRUSTED = "https://login.example.org"
AUDIENCE = "api"
LIFETIME_SECONDS = 7200
REPLAYED = 500


class Sample(NamedTuple):
    """A token, and its line in the table."""

    kind: str
    token: str

    @property
    def good(self) -> bool:
        """Whether it is to be accepted."""
        return self.kind.startswith("good")


def forge(iss: str, kid: str, key: Key, *, aud: str = AUDIENCE, lifetime: int = 3600) -> str:
    """Return a token that says what it is told to, signed with a key that may be another's."""
    now = int(time.time())
    claims = {"iss": iss, "aud": aud, "sub": "7", "exp": now + lifetime}
    claims |= {"iat": now - 60, "jti": secrets.token_urlsafe(8)}
    header = {"typ": "at+jwt", "alg": key.alg, "kid": kid}
    return serialize(encode_object(header), encode_object(claims), key.sign)


class Tokens:
    """
    Makes tokens, for many threads.

    Args:
        ring: The ring that good tokens are issued through, whatever key it has made active.
        retired: A key that was once of the ring.
        signing: The trusted issuer's key; assign another to rotate.
    """

    def __init__(self, ring: KeyRing, *, retired: Key, signing: Key) -> None:
        self.signing = signing
        self._ring = ring
        self._retired = retired
        self._issuer = TokenIssuer(
            keys=ring, issuer=OWN, audience=AUDIENCE, lifetime_seconds=LIFETIME_SECONDS
        )
        self._outsiders = {alg: Key.generate(alg) for alg in (self._active.alg, signing.alg)}
        self._issued = {iss: deque([fresh()], REPLAYED) for iss, fresh in self._fresh.items()}
        self._bad: tuple[Callable[[], Sample], ...] = (
            self._other_signature,
            self._expired,
            self._key_of_the_other_issuer,
            self._key_of_an_outsider,
            self._unknown_kid,
            self._retired_kid,
            self._other_audience,
        )

    def good(self) -> Sample:
        """Return a fresh token, or just as often one of the last that were."""
        iss = secrets.choice((OWN, TRUSTED))
        issued = self._issued[iss]
        name = "ring" if iss == OWN else "trusted"
        if secrets.randbelow(2):
            return Sample(f"good, {name}, again", issued[secrets.randbelow(len(issued))])
        token = self._fresh[iss]()
        issued.append(token)
        return Sample(f"good, {name}, fresh", token)

    def bad(self) -> Sample:
        """Return a token that is wrong in one way."""
        return secrets.choice(self._bad)()

    @property
    def _active(self) -> Key:
        key = self._ring.current().signing_key
        assert key is not None
        return key

    @property
    def _fresh(self) -> dict[str, Callable[[], str]]:
        return {
            OWN: lambda: self._issuer.issue(JWTPayload(uid=7)).token,
            TRUSTED: lambda: forge(TRUSTED, self.signing.kid, self.signing),
        }

    def _either(self) -> tuple[str, Key]:
        return secrets.choice(((OWN, self._active), (TRUSTED, self.signing)))

    def _other_signature(self) -> Sample:
        issued = secrets.choice((*self._issued.values(),))
        signed, _, _ = issued[-1].rpartition(".")
        iss, key = self._either()
        _, _, signature = forge(iss, key.kid, key).rpartition(".")
        return Sample("bad, other signature", f"{signed}.{signature}")

    def _expired(self) -> Sample:
        iss, key = self._either()
        return Sample("bad, expired", forge(iss, key.kid, key, lifetime=-1))

    def _other_audience(self) -> Sample:
        iss, key = self._either()
        return Sample("bad, other audience", forge(iss, key.kid, key, aud="shop"))

    def _key_of_the_other_issuer(self) -> Sample:
        iss, key = self._either()
        other = TRUSTED if iss == OWN else OWN
        return Sample("bad, key of the other issuer", forge(other, key.kid, key))

    def _key_of_an_outsider(self) -> Sample:
        iss, key = self._either()
        outsider = self._outsiders[key.alg]
        return Sample("bad, known kid, outsider's key", forge(iss, key.kid, outsider))

    def _unknown_kid(self) -> Sample:
        iss, key = self._either()
        token = forge(iss, secrets.token_urlsafe(8), self._outsiders[key.alg])
        return Sample("bad, unknown kid", token)

    def _retired_kid(self) -> Sample:
        return Sample("bad, retired key", forge(OWN, self._retired.kid, self._retired))

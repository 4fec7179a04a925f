"""What a token was verified to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from .claims import scopes_of

if TYPE_CHECKING:
    from .jws import Header
    from .keys import KeySet
    from .trust import TrustedIssuer

_CONTAINERS: Final = frozenset({dict, list})


class VerifiedToken:
    """
    What a token was verified to.  Shared between requests; what it says never changes.

    Attributes:
        header: The members of its JOSE header that decided.
        trusted: Its issuer.
        keys: The key set that it was verified under.
        subject: The claim *sub*.
        remote_user: What ``REMOTE_USER`` is for it; ``None`` for none.
        valid_from: Seconds since the epoch; earlier the token must be checked again.
        valid_until: Seconds since the epoch; from then on the token has expired.
        cleared_under: What stood for all that is revoked when it was last found not to be.
    """

    __slots__ = (
        *("_claims", "_nested", "_scopes", "header", "keys", "remote_user", "subject", "trusted"),
        *("cleared_under", "valid_from", "valid_until"),
    )

    def __init__(
        self,
        header: Header,
        claims: dict[str, Any],
        # Not keyword-only: that would take a third of the time that it takes to make one.
        trusted: TrustedIssuer,
        keys: KeySet,
        valid_from: float,
        valid_until: float,
    ) -> None:
        self.header = header
        self.trusted = trusted
        self.keys = keys
        self.subject: str = claims["sub"]
        self.remote_user: str | None = self.subject
        self.valid_from = valid_from
        self.valid_until = valid_until
        self.cleared_under: object = None
        self._claims = claims
        self._scopes: frozenset[str] | None = None
        self._nested: Sequence[str] | None = None

    @property
    def claims(self) -> dict[str, Any]:
        """The claims, name to JSON value: a new copy each time, the caller's own to change."""
        claims = self._claims.copy()
        if self._nested is None:
            self._nested = _names_of_containers(claims)
        for name in self._nested:  # most tokens have none, and then a copy is one call
            claims[name] = _copy_json(claims[name])
        return claims

    @property
    def read_only_claims(self) -> Mapping[str, Any]:
        """The claims without a copy, for who only looks."""
        return MappingProxyType(self._claims)

    @property
    def scopes(self) -> frozenset[str]:
        """The members of the claim *scope*, read when they are first asked for."""
        if self._scopes is None:
            self._scopes = scopes_of(self._claims)
        return self._scopes

    def __repr__(self) -> str:
        return f"<VerifiedToken sub={self.subject!r} kid={self.header.kid!r}>"


def _names_of_containers(claims: Mapping[str, Any]) -> Sequence[str]:
    if _CONTAINERS.isdisjoint(map(type, claims.values())):
        return ()
    return [name for name, value in claims.items() if type(value) in _CONTAINERS]


def _copy_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copy_json(item) for item in value]
    return value

"""The identity of an account, and the seam by which an application says whose a secret is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ..bounds import did_you_mean
from ..core.payload import check_account, check_lifetime, checked_claims

DEFAULT_AUTH = "blue"
MAX_SECRET_CHARS: Final = 1024  # at four bytes a character, 4,096 of UTF-8


class AccountVerifier(Protocol):
    """
    Any callable that checks an account's secret: a function, a bound method, a class method.

    Args:
        account: As the client sent it.
        secret: As the client sent it; not empty.
        further: Where its client type has a form of its own, the further fields, by name.

    Returns:
        The identity: a mapping or an object that :meth:`Identity.of` can read.

    Raises:
        BadCredentialsError: Account and secret do not belong together, for whatever reason; to
            return ``None`` says the same.
        UnavailableError: The accounts are unavailable.  Anything else that is raised is logged and
            answered in the same way.
    """

    # To type checkers, Any twice is whatever the callable takes.
    def __call__(self, account: str, secret: str, /, *_: Any, **further: Any) -> object:
        """Return the identity, or raise."""
        ...


class AccountLookup(Protocol):
    """
    Any callable that finds an account by its uid, without a secret.

    It is called whenever a session is refreshed, long after its login.

    Args:
        uid: As the account's verifier gave it.

    Returns:
        The identity as it is now: a mapping or an object that :meth:`Identity.of` can read;
        ``None`` for an account that is unknown, or may not log in any more.

    Raises:
        UnavailableError: The accounts are unavailable.
    """

    def __call__(self, uid: int | str, /) -> object | None:
        """Return the identity, or ``None``."""
        ...


class NumberedAccounts:
    """Base of accounts whose uids are ints, in one namespace for all client types."""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What a successful login establishes, and a token is issued for.

    Attributes:
        uid: The account's identifier: an int, or a str that is not empty.
        scope: Scopes separated by single spaces; may be empty.
        auth: The kind of authority, the token's ``auth`` claim.
        credential: Changes whenever the account's secret does, so that sessions that began with
            an earlier secret end; verifier and lookup return the same one.  A version number, the
            time of the change or a hash of the stored hash will do.  No secret, and not shown all
            the same.
        claims: Claims of one's own for its tokens, as :class:`JWTPayload` has them; at a refresh,
            what the lookup says counts.
        lifetime_seconds: Of its access tokens; ``None`` for that of its client type.
        refresh_lifetime_seconds: Of its refresh tokens; ``None`` for that of its client type.

    Raises:
        TypeError: An attribute is none that an account can have.  Values are not shown.
    """

    uid: int | str
    scope: str = ""
    auth: str = DEFAULT_AUTH
    credential: str = field(default="", repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    lifetime_seconds: int | None = None
    refresh_lifetime_seconds: int | None = None

    def __post_init__(self) -> None:
        try:
            check_account(self.uid, scope=self.scope, auth=self.auth)
        except ValueError as error:
            raise _wrong(str(error)) from error
        if not isinstance(self.credential, str):
            raise _wrong(f"credential is of type {_kind(self.credential)}")
        try:
            object.__setattr__(self, "claims", checked_claims(self.claims))
            for name in ("lifetime_seconds", "refresh_lifetime_seconds"):
                check_lifetime(name, getattr(self, name))
        except ValueError as error:
            raise _wrong(str(error)) from None

    @classmethod
    def of(cls, value: object) -> Identity:
        """
        Read what an account verifier or a lookup returned.

        Args:
            value: A mapping with the key, or an object with the attribute, ``uid`` and optionally
                the other attributes of this class.  ``None`` for one of those is as good as absent.

        Raises:
            TypeError: It is neither, or a mapping with another key.  The verifier's developer is at
                fault, not the client, so this is none of the errors that a client gets an answer
                for.
        """
        if isinstance(value, cls):
            return value
        members: Mapping[Any, Any]  # whatever they are, __post_init__ checks them
        if isinstance(value, Mapping):
            members = value
        else:
            found = {name: getattr(value, name, _ABSENT) for name in _KEYS}
            members = {name: one for name, one in found.items() if one is not _ABSENT}
        if "uid" not in members:
            raise _wrong(f"a value of type {_kind(value)} has no uid")
        check_keys(members)
        others = {name: one for name, one in members.items() if one is not None}
        return cls(**{"uid": members["uid"]} | others)


_ABSENT = object()
_KEYS: Final = (
    *("uid", "scope", "auth", "credential"),
    *("claims", "lifetime_seconds", "refresh_lifetime_seconds"),
)


def check_keys(keys: Iterable[object]) -> None:
    """
    Reject keys that a mapping from an account verifier or a lookup cannot have.

    Raises:
        TypeError: One is unknown; it would have no effect.
    """
    for key in keys:
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS, "claims hold what tokens shall say")
            raise _wrong(f"its key {str(key)[:80]!a} is unknown: {hint}")


def _kind(value: object) -> str:
    return type(value).__name__


def _wrong(found: str) -> TypeError:
    return TypeError(
        "an account verifier must return a mapping or an object with uid (an int, or a str that is"
        " not empty), and optionally scope, auth and credential (each a str), claims (a mapping),"
        f" lifetime_seconds and refresh_lifetime_seconds (each an int): {found}"
    )

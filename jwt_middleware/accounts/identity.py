"""The identity of an account, and the interface to an application's own accounts."""

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
    A callable that verifies an account's secret: a function or a method.

    Args:
        account: As the client sent it.
        secret: As the client sent it; not empty.
        further: The additional fields of the client type's custom form, by name.

    Returns:
        The identity: a mapping or an object that :meth:`Identity.of` can read.

    Raises:
        BadCredentialsError: Account and secret do not match; returning ``None`` means the same.
        UnavailableError: The accounts are unavailable.  Any other exception is logged and handled
            the same way.
    """

    # For type checkers, *_: Any and **further: Any match any further parameters.
    def __call__(self, account: str, secret: str, /, *_: Any, **further: Any) -> object:
        """Return the account's identity, or raise."""
        ...


class AccountLookup(Protocol):
    """
    A callable that finds an account by its uid, without a secret.

    It is called at each refresh of a session, long after its login.

    Args:
        uid: As returned by the account verifier.

    Returns:
        The identity as it is now: a mapping or an object that :meth:`Identity.of` can read;
        ``None`` for an unknown or disabled account.

    Raises:
        UnavailableError: The accounts are unavailable.
    """

    def __call__(self, uid: int | str, /) -> object | None:
        """Return the account's identity, or ``None``."""
        ...


class NumberedAccounts:
    """Base class of accounts with int uids in one namespace for all client types."""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    An account as its verifier or lookup returns it; tokens are issued for it.

    Attributes:
        uid: The account's identifier: an int or a non-empty str.
        scope: Scopes separated by single spaces; may be empty.
        auth: The account's kind of authority, the token's ``auth`` claim.
        credential: Changes with the account's secret, so that sessions started with an earlier
            secret end; verifier and lookup return the same value.  For example a version number,
            the time of the change or a hash of the stored hash.  Not a secret, but not shown in the
            repr.
        claims: Custom claims for its tokens, as in :class:`JWTPayload`; at a refresh, those of the
            lookup apply.
        lifetime_seconds: Lifetime of its access tokens; ``None`` for its client type's.
        refresh_lifetime_seconds: Lifetime of its refresh tokens; ``None`` for its client type's.

    Raises:
        TypeError: An attribute is invalid.  Values are not shown.
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
        Convert the return value of an account verifier or lookup.

        Args:
            value: A mapping with the key, or an object with the attribute, ``uid`` and optionally
                the other attributes of this class.  ``None`` for one of those counts as absent.

        Raises:
            TypeError: It is neither, or a mapping with an unknown key.  This is a bug in the
                application, not an error of the client.
        """
        if isinstance(value, cls):
            return value
        members: Mapping[Any, Any]  # __post_init__ checks the values
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
    Reject unknown keys in a mapping from an account verifier or a lookup.

    Raises:
        TypeError: A key is unknown and would be ignored.
    """
    for key in keys:
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS, "custom claims go into claims")
            raise _wrong(f"its key {str(key)[:80]!a} is unknown: {hint}")


def _kind(value: object) -> str:
    return type(value).__name__


def _wrong(found: str) -> TypeError:
    return TypeError(
        "an account verifier must return a mapping or an object with uid (an int or a non-empty"
        " str), and optionally scope, auth and credential (each a str), claims (a mapping),"
        f" lifetime_seconds and refresh_lifetime_seconds (each an int): {found}"
    )

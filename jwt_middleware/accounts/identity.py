"""Who somebody turned out to be, and the seam that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

DEFAULT_AUTH = "blue"


class AccountVerifier(Protocol):
    """
    Any callable that checks an account's secret: a function, a bound method, a class method.

    Args:
        account: As the client sent it.
        secret: As the client sent it; not empty.

    Returns:
        The identity: a mapping or an object that :meth:`Identity.of` can read.

    Raises:
        BadCredentialsError: Account and secret do not belong together, for whatever reason.
        UnavailableError: Whoever knows cannot be asked.
    """

    def __call__(self, account: str, secret: str, /) -> object:
        """Return the identity, or raise."""
        ...


class AccountLookup(Protocol):
    """
    Any callable that knows an account by its uid, and asks for no secret.

    It is asked whenever a session goes on, long after its login.

    Args:
        uid: As the account's verifier gave it.

    Returns:
        The identity as it is now: a mapping or an object that :meth:`Identity.of` can read;
        ``None`` for an account that is unknown, or may not log in any more.

    Raises:
        UnavailableError: Whoever knows cannot be asked.
    """

    def __call__(self, uid: int | str, /) -> object | None:
        """Return the identity, or ``None``."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What a successful login establishes, and a token is issued for.

    Attributes:
        uid: The account's identifier: an int, or a str that is not empty.
        scope: Scopes separated by spaces; may be empty.
        auth: The kind of authority, the token's ``auth`` claim.
        credential: Changes whenever the account's secret does, so that what an earlier secret
            began ends; the verifier and the lookup of an account say the same.  No secret, and
            not shown all the same.

    Raises:
        TypeError: An attribute is of another type.  Values are not shown.
    """

    uid: int | str
    scope: str = ""
    auth: str = DEFAULT_AUTH
    credential: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        # bool is an int, but True is nobody's uid
        if isinstance(self.uid, bool) or not isinstance(self.uid, (int, str)) or self.uid == "":
            raise _wrong(f"its uid is {_kind(self.uid)}")
        if not isinstance(self.scope, str):
            raise _wrong(f"its scope is {_kind(self.scope)}")
        if not isinstance(self.auth, str):
            raise _wrong(f"its auth is {_kind(self.auth)}")
        if not isinstance(self.credential, str):
            raise _wrong(f"its credential is {_kind(self.credential)}")

    @classmethod
    def of(cls, value: object) -> Identity:
        """
        Read what an account verifier or a lookup returned.

        Args:
            value: A mapping with the key, or an object with the attribute, ``uid`` and optionally
                ``scope``, ``auth`` and ``credential``.  ``None`` for one of these three is as good
                as absent.

        Raises:
            TypeError: It is neither.  The verifier's developer is at fault, not the client, so
                this is none of the errors that a client gets an answer for.
        """
        if isinstance(value, cls):
            return value
        uid = _read(value, "uid")
        if uid is _ABSENT:
            raise _wrong(f"{_kind(value)} has no uid")
        others = {name: _read(value, name) for name in ("scope", "auth", "credential")}
        given = {name: one for name, one in others.items() if one is not _ABSENT}
        return cls(uid, **{name: one for name, one in given.items() if one is not None})


_ABSENT = object()


def _read(value: object, name: str) -> Any:  # whatever it is, __post_init__ checks it
    if isinstance(value, Mapping):
        return value.get(name, _ABSENT)
    return getattr(value, name, _ABSENT)


def _kind(value: object) -> str:
    return "an empty str" if value == "" else f"of type {type(value).__name__}"


def _wrong(found: str) -> TypeError:
    return TypeError(
        "an account verifier must return a mapping or an object with uid (an int, or a str that is"
        f" not empty), and optionally scope, auth and credential (each a str): {found}"
    )

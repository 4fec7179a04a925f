"""The payload of issued tokens: subject, scope and custom claims."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from math import isfinite
from typing import Any, Final, Self

from ..errors import ConfigurationError, InvalidClaimError
from .claims import check_use, has_control_characters
from .scope import is_scope

MAX_CLAIMS_BYTES: Final = 4096
"""Maximum size of a token's custom claims as JSON: servers limit header lines to 8 KiB."""
MAX_CLAIMS_DEPTH: Final = 8

RESERVED_CLAIMS: Final = frozenset(
    {
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti"),  # RFC 7519 §4.1
        *("uid", "auth", "scope", "ac_type", "sid", "client_id"),  # of this package
        *("scp", "cnf", "act", "may_act"),  # used by verifiers: RFC 7800, RFC 8693
        *("typ", "token_type", "token_use", "at_hash", "c_hash", "events"),  # see check_use
        "active",  # RFC 7662 §2.2
    }
)
"""Names that custom claims cannot have: verifiers use them."""


class ClientType(str, Enum):  # noqa: UP042  the value of a StrEnum is its text
    """
    The client types with a numeric code in login forms.

    A member equals its name, which is used in ``ac_type`` and in the keys of ``verifiers``; its
    value is the number that a form may send as ``type``.
    """

    EMAIL = "email", 100
    MOBILE = "mobile", 101
    USERNAME = "username", 102
    SERVICE = "service", 200
    USER_EMAIL = "email", 100  # noqa: PIE796  aliases
    USER_MOBILE = "mobile", 101  # noqa: PIE796

    _value_: int

    def __new__(cls, label: str | int, code: int = 0) -> Self:
        """Create the member of *code*, which equals *label*; called with one of them, find it."""
        member = str.__new__(cls, label)
        member._value_ = code
        return member

    __str__ = str.__str__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"

    def __int__(self) -> int:
        return self._value_

    @property
    def label(self) -> str:
        """The name, in lower case, as a plain string: ``"email"``."""
        return str.__str__(self)

    @classmethod
    def _missing_(cls, value: object) -> ClientType | None:
        return next((member for member in cls if str.__eq__(member, value) is True), None)

    @classmethod
    def named(cls, label: str) -> ClientType:
        """
        Return the member with this label.

        Raises:
            ValueError: The label is unknown.
        """
        for member in cls:
            if member.label == label:
                return member
        raise ValueError(f"client types are {', '.join(member.label for member in cls)}")


ClientTypeEnum = ClientType
"""Alias, the name in the well-known recipe."""


@dataclass(frozen=True, slots=True)
class JWTPayload:
    """
    The subject, scope and lifetimes of a token.

    ``None`` means the default.  An int as *scope* becomes its digits; a code of a
    :class:`ClientType` as *ac_type* becomes its name.

    Attributes:
        uid: The account's identifier.
        auth: Free text on how the account was authenticated.
        scope: Scopes, separated by single spaces (RFC 8693 §4.2); empty for none.
        ac_type: Name of the account's client type.
        subject: The claim *sub*, if it is not ``str(uid)``.
        claims: Custom claims: name to JSON value, at most 4096 bytes of JSON and 8 levels, without
            :data:`RESERVED_CLAIMS`.
        client_id: The OAuth client that the token is issued to (RFC 9068 §2.2), if any.
        audience: The *aud* of the token; empty for the issuer's.
        lifetime_seconds: Lifetime of an access token; ``None`` for the issuer's.
        refresh_lifetime_seconds: Lifetime of a refresh token; ``None`` for the sessions'.

    Raises:
        ConfigurationError: A member is invalid; see :func:`check_account`.
    """

    uid: int | str
    auth: str = "blue"
    scope: str = ""
    ac_type: str = "email"
    subject: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    client_id: str | None = None
    audience: tuple[str, ...] = ()
    lifetime_seconds: int | None = None
    refresh_lifetime_seconds: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "auth", "blue" if self.auth is None else self.auth)
        if type(self.scope) is not str:
            object.__setattr__(self, "scope", _scope(self.scope))
        if type(self.ac_type) is not str:
            object.__setattr__(self, "ac_type", _label(self.ac_type))
        check_account(self.uid, scope=self.scope, auth=self.auth)
        _check_text("ac_type", self.ac_type)
        _check_text("subject", self.subject)
        if self.client_id is not None:
            _check_text("client_id", self.client_id)
        object.__setattr__(self, "claims", checked_claims(self.claims))
        object.__setattr__(self, "audience", tuple(self.audience))
        check_lifetime("lifetime_seconds", self.lifetime_seconds)
        check_lifetime("refresh_lifetime_seconds", self.refresh_lifetime_seconds)

    @property
    def sub(self) -> str:
        """The claim *sub*."""
        return self.subject or str(self.uid)

    @classmethod
    def of(cls, value: JWTPayload | Mapping[str, Any]) -> JWTPayload:
        """
        Return *value*, or convert a mapping; its unknown members become custom claims.

        Raises:
            ConfigurationError: It is neither, or invalid as for the class.
        """
        if isinstance(value, JWTPayload):
            return value
        if not isinstance(value, Mapping) or "uid" not in value:
            raise ConfigurationError("payload must be a JWTPayload, or a mapping with at least uid")
        own = {name: value[name] for name in _MEMBERS if name in value}
        further = {name: one for name, one in value.items() if name not in own}
        return cls(**own | {"claims": {**(own.get("claims") or {}), **further}})

    def to_json(self) -> dict[str, Any]:
        """
        Return JSON values for ``JWTPayload(**members)``.

        Newer members are left out if empty, so that stored payloads stay small and readable by
        older versions.
        """
        members: dict[str, Any] = {name: getattr(self, name) for name in _MEMBERS[:4]}
        return members | {name: value for name in _LATER if (value := getattr(self, name))}


_MEMBERS: Final = ("uid", "auth", "scope", "ac_type", "claims", "client_id")
_LATER: Final = tuple(one.name for one in fields(JWTPayload)[4:])


def checked_claims(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Check and copy custom claims as plain JSON values; ``None`` becomes empty.

    Raises:
        ConfigurationError: A name is reserved or invalid, a value is not JSON, or they are too
            long.
    """
    if claims is None or claims == {}:
        return {}
    if not isinstance(claims, Mapping):
        raise ConfigurationError("claims must be a mapping of names and JSON values")
    copied: dict[str, Any] = _copy_json(claims, "claims", MAX_CLAIMS_DEPTH)
    for name in copied:
        if not name or has_control_characters(name):
            raise ConfigurationError("claims must have names without control characters")
        if name in RESERVED_CLAIMS:
            raise ConfigurationError(
                f"claims must not hold {name!r}: the name is reserved, choose another"
            )
    try:
        octets = json.dumps(copied, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        check_use(copied)
    except UnicodeEncodeError:  # the error's repr contains the claims
        raise ConfigurationError("claims must not hold lone surrogates") from None
    except InvalidClaimError as error:
        raise ConfigurationError(
            f"claims must not say that this is another kind of token: {error}"
        ) from None
    if len(octets) > MAX_CLAIMS_BYTES:
        raise ConfigurationError(
            f"claims take {len(octets)} bytes of JSON, more than {MAX_CLAIMS_BYTES}"
        )
    return copied


def check_lifetime(name: str, seconds: object) -> None:
    """
    Check a lifetime, which may be ``None``.

    Raises:
        ConfigurationError: It is not a whole number of at least 1.
    """
    if seconds is not None and (type(seconds) is not int or not 0 < seconds <= _MAX_SECONDS):
        raise ConfigurationError(f"{name} must be a whole number, at least 1")


_MAX_SECONDS: Final = 2**31


def _copy_json(value: object, where: str, depth: int) -> Any:
    if isinstance(value, Mapping):
        if depth == 0 or not all(isinstance(name, str) for name in value):
            raise ConfigurationError(
                f"{where} is nested too deeply, or has a name that is no string"
            )
        return {str(name): _copy_json(one, where, depth - 1) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        if depth == 0:
            raise ConfigurationError(f"{where} is nested too deeply")
        return [_copy_json(one, where, depth - 1) for one in value]
    if isinstance(value, bool | None):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and abs(value) < 2**64:
        return int(value)
    if isinstance(value, float) and isfinite(value):
        return float(value)
    raise ConfigurationError(
        f"{where} holds a value of type {type(value).__name__}: JSON has none, or no "
        "number so large"
    )


def _scope(scope: object) -> object:
    if scope is None:
        return ""
    return str(scope) if type(scope) is int else scope


def _label(ac_type: object) -> object:
    if ac_type is None:
        return "email"
    if isinstance(ac_type, ClientType):
        return ac_type.label
    if type(ac_type) is not int:
        return ac_type
    for member in ClientType:
        if int(member) == ac_type:
            return member.label
    raise ConfigurationError(f"ac_type {ac_type} is not a client type's code: write its name")


def check_account(uid: object, *, scope: object, auth: object) -> None:
    """
    Check the uid, scope and auth of an account.

    Raises:
        ConfigurationError: *uid* is not an int or a non-empty string, *scope* is not scopes
            separated by single spaces (RFC 6749 §3.3), or *uid* or *auth* holds control characters.
            Values are not shown.
    """
    if isinstance(uid, bool) or not isinstance(uid, int | str):
        raise ConfigurationError(
            f"uid is of type {type(uid).__name__}: it must be an int or a string"
        )
    if uid == "":
        raise ConfigurationError("uid is an empty str: it must hold something")
    try:
        text = str(uid)
    except ValueError as error:  # more digits than Python converts
        raise ConfigurationError("uid has too many digits") from error
    _check_text("uid", text)
    _check_text("auth", auth)
    if not isinstance(scope, str):
        raise ConfigurationError(f"scope is of type {type(scope).__name__}: it must be a string")
    if scope and not is_scope(scope):
        raise ConfigurationError(
            "scope must be scopes separated by single spaces, of printable ASCII without quotes"
            " and backslashes"
        )


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} is of type {type(text).__name__}: it must be a string")
    if not text.isprintable() and has_control_characters(text):
        raise ConfigurationError(f"{name} must not hold control characters")

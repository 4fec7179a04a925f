"""The claims of our own tokens beside the registered ones."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError
from .claims import has_control_characters
from .scope import is_scope


@dataclass(frozen=True, slots=True)
class JWTPayload:
    """
    The subject of a token, and what it allows.

    Attributes:
        uid: The account's identifier.
        auth: Free text on how the account was authenticated.
        scope: Scopes, separated by single spaces (RFC 8693 §4.2); empty for none.
        ac_type: Name of the client type of the account.
        subject: The claim *sub*, if it is another than ``str(uid)``.

    Raises:
        ConfigurationError: A member is none that a token can have; see :func:`check_account`.
    """

    uid: int | str
    auth: str = "blue"
    scope: str = ""
    ac_type: str = "email"
    subject: str = ""

    def __post_init__(self) -> None:
        check_account(self.uid, scope=self.scope, auth=self.auth)
        for name in ("ac_type", "subject"):
            _check_text(name, getattr(self, name))

    @property
    def sub(self) -> str:
        """The claim *sub*."""
        return self.subject or str(self.uid)


def check_account(uid: object, *, scope: object, auth: object) -> None:
    """
    Check what an account says of itself, wherever it comes from.

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
    if has_control_characters(text):
        raise ConfigurationError(f"{name} must not hold control characters")

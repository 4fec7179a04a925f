"""The claims of our own tokens beside the registered ones."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError
from .claims import has_control_characters


@dataclass(frozen=True, slots=True)
class JWTPayload:
    """
    The subject of a token, and what it allows.

    Attributes:
        uid: The account's identifier; ``str(uid)`` becomes *sub*.
        auth: Free text on how the account was authenticated.
        scope: Scopes, separated by single spaces (RFC 8693 §4.2); empty for none.
        ac_type: Name of the client type of the account.

    Raises:
        ConfigurationError: *uid* is not an int or a non-empty string, a text is not a string, or
            one of them contains control characters.
    """

    uid: int | str
    auth: str = "blue"
    scope: str = ""
    ac_type: str = "email"

    def __post_init__(self) -> None:
        if isinstance(self.uid, bool) or not isinstance(self.uid, int | str):
            raise ConfigurationError("uid must be an int or a string")
        try:
            subject = str(self.uid)
        except ValueError as error:  # more digits than Python converts
            raise ConfigurationError("uid has too many digits") from error
        if not subject or has_control_characters(subject):
            raise ConfigurationError("uid must not be empty or hold control characters")
        for name in ("auth", "scope", "ac_type"):
            text = getattr(self, name)
            if not isinstance(text, str) or has_control_characters(text):
                raise ConfigurationError(f"{name} must be a string without control characters")

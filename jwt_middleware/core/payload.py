"""What this package puts into its own tokens beside the registered claims."""

from __future__ import annotations

from dataclasses import dataclass

from .claims import has_control_characters


@dataclass(frozen=True, slots=True)
class JWTPayload:
    """
    Who a token is for, and what it allows.

    Attributes:
        uid: The account's identifier; ``str(uid)`` becomes *sub*.
        auth: Free mark of how or as what the account was authenticated.
        scope: Scopes, separated by single spaces (RFC 8693 §4.2); empty for none.
        ac_type: Name of the client type the account logged in by.

    Raises:
        ValueError: *uid* is not an int or a non-empty string, or a text is not a string, or one
            of them holds control characters.
    """

    uid: int | str
    auth: str = "blue"
    scope: str = ""
    ac_type: str = "email"

    def __post_init__(self) -> None:
        if isinstance(self.uid, bool) or not isinstance(self.uid, int | str):
            raise ValueError("uid must be an int or a string")
        subject = str(self.uid)
        if not subject or has_control_characters(subject):
            raise ValueError("uid must not be empty or hold control characters")
        for name in ("auth", "scope", "ac_type"):
            text = getattr(self, name)
            if not isinstance(text, str) or has_control_characters(text):
                raise ValueError(f"{name} must be a string without control characters")

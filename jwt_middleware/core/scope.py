"""Scopes asked for, against scopes granted (RFC 6749 §3.3)."""

from __future__ import annotations

import re
from typing import Final

from ..errors import InvalidScopeError

# scope       = scope-token *( SP scope-token )                              RFC 6749 §3.3
# scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*")


def is_scope(text: str) -> bool:
    """Tell whether *text* is scopes separated by single spaces."""
    return _SCOPE.fullmatch(text) is not None


def valid_scopes(text: str) -> str:
    """Return *text* without what is no scope by its form; version 0.1 has stored any text."""
    return text if is_scope(text) else " ".join(filter(is_scope, text.split(" ")))


def narrow(requested: str | None, *, to: str) -> str:
    """
    Return *requested*, if *to* allows all of it; *to* itself if nothing is requested.

    Args:
        requested: Scopes separated by single spaces, or ``None`` or empty.
        to: Scopes that may be had.

    Raises:
        InvalidScopeError: It is malformed, or more than may be had.
    """
    if not requested:
        return to
    if not is_scope(requested):
        raise InvalidScopeError("scope is not scopes separated by single spaces")
    wanted = dict.fromkeys(requested.split(" "))
    if not wanted.keys() <= set(to.split(" ")):
        raise InvalidScopeError("scope goes beyond what was granted")
    return " ".join(wanted)

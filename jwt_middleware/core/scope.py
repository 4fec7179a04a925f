"""Split, narrow and join scope strings (RFC 6749 §3.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..errors import InvalidScopeError

# scope       = scope-token *( SP scope-token )                              RFC 6749 §3.3
# scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_MEMBER: Final = r"[\x21\x23-\x5B\x5D-\x7E]+"

is_scope: Final = re.compile(f"{_MEMBER}(?: {_MEMBER})*").fullmatch
"""Return a match if a text is scopes separated by single spaces; else ``None``."""


def valid_scopes(text: str) -> str:
    """Return *text* without invalid scopes, which version 0.1 could store."""
    return text if is_scope(text) else " ".join(filter(is_scope, text.split(" ")))


def split(scope: str) -> list[str]:
    """Return the scopes in *scope* in order, without duplicates."""
    return [one for one in dict.fromkeys(scope.split(" ")) if one]


def join(scopes: Iterable[str]) -> str:
    """Return *scopes* as one string, without duplicates."""
    return " ".join(dict.fromkeys(scopes))


def common(scope: str, granted: str) -> str:
    """Return the scopes of *scope* that are also in *granted*, in order."""
    allowed = set(split(granted))
    return join(one for one in split(scope) if one in allowed)


def narrow(requested: str | None, *, to: str) -> str:
    """
    Return *requested* if *to* includes it; *to* if nothing is requested.

    Args:
        requested: Scopes separated by single spaces, or ``None`` or empty.
        to: The scopes that may be granted.

    Raises:
        InvalidScopeError: It is malformed or exceeds *to*.
    """
    if not requested:
        return to
    if not is_scope(requested):
        raise InvalidScopeError("scope is not scopes separated by single spaces")
    wanted = split(requested)
    if not set(wanted) <= set(split(to)):
        raise InvalidScopeError("scope exceeds what was granted")
    return join(wanted)

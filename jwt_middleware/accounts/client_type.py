"""Client types, and the normal form of account names."""

from __future__ import annotations

import re
import unicodedata

from ..core.payload import ClientType as ClientType
from ..errors import ConfigurationError, InvalidAccountError

MAX_ACCOUNT_CHARS = 255

_EMAIL = ClientType.EMAIL.label
_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,31}")

# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt) outside the categories Cf and
# Cn, and blank glyphs that are not spaces: U+2800, U+1D159.
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x2800, 0x3164, 0xFFA0, 0x1D159}
    | {*range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)


def check_client_type(client_type: str) -> None:
    """
    Reject a client type that is not a lower-case label.

    Raises:
        ConfigurationError: It is not a label.  ``"Email"`` next to ``"email"`` would make two
            accounts of one name.
    """
    if not _LABEL.fullmatch(client_type):
        raise ConfigurationError(
            "a client type is 1 to 32 of a-z, 0-9, '_', '.' and '-', starting with a letter:"
            f" 'email', not {client_type!r}"
        )


def normalise_account(account: str, client_type: str) -> str:
    """
    Return the normal form of an account's name.

    Unicode NFKC, white space stripped and collapsed to single spaces; for ``email`` also
    case-folded. Normalising twice changes nothing.  Names that look like another are refused, not
    repaired: those with control, format, private, unassigned or invisible characters, or with a
    separator other than the space.  Look-alikes of different scripts (Latin and Cyrillic "a")
    remain different names.

    Args:
        account: The name, in any spelling.
        client_type: Label of a :class:`ClientType` or of a custom type.  All but ``email`` keep
            their case.

    Raises:
        InvalidAccountError: The name is empty, longer than 255 characters before or after, or has a
            refused character.  It is a :class:`ValueError`.
    """
    # Also before normalising: that is quadratic in a run of combining characters.
    _check_length(account)
    name, previous = account, None
    while name != previous:
        name, previous = _normalise_once(name, fold=client_type == _EMAIL), name
    _check_length(name)
    if not (name.isascii() and name.isprintable()):
        for char in name:
            _check_char(char)
    return name


def fold_account(account: str) -> str:
    """
    Return the key that all spellings of a name share, however loosely a verifier compares names.

    Ignores compatibility forms, case, accents, white space and ignorable characters, as common
    database collations do, so that login limits count accounts and not spellings.
    """
    if account.isascii() and account.isprintable():  # the usual case, faster
        return account.lower().replace(" ", "")
    text = unicodedata.normalize("NFKD", account).casefold()
    text = unicodedata.normalize("NFKD", text)
    return "".join(char for char in text if not _is_ignorable(char))


def _is_ignorable(char: str) -> bool:
    """Return whether a verifier may ignore *char*: white space, invisible or an accent."""
    is_accent = unicodedata.combining(char) != 0
    return is_accent or unicodedata.category(char)[0] in "CZ" or ord(char) in _INVISIBLE


def _normalise_once(name: str, *, fold: bool) -> str:
    name = unicodedata.normalize("NFKC", name).strip()
    name = " ".join(part for part in name.split(" ") if part)
    # NFKC last: case-folding decomposes some letters (U+1FB6), NFKC composes them.
    return unicodedata.normalize("NFKC", name.casefold()) if fold else name


def _check_length(name: str) -> None:
    if not 1 <= len(name) <= MAX_ACCOUNT_CHARS:
        raise InvalidAccountError(
            f"an account's name has 1 to {MAX_ACCOUNT_CHARS} characters, not {len(name)}"
        )


def _check_char(char: str) -> None:
    # C*: control, format, surrogate, private, and unassigned (a later Unicode may change its normal
    # form).  Z*: separators, most of which NFKC has turned into spaces.
    if (unicodedata.category(char)[0] in "CZ" and char != " ") or ord(char) in _INVISIBLE:
        raise InvalidAccountError(f"an account's name cannot contain U+{ord(char):04X}")

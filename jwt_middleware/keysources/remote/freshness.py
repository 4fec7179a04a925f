"""How long an answer says it is good for (RFC 9111)."""

from __future__ import annotations

import re
from typing import Final

LONGEST_SECONDS: Final = 2**31
"""What a larger number of seconds is taken as.  Source: RFC 9111 §1.2.2."""

# Cache-Control   = [ cache-directive *( OWS "," OWS cache-directive ) ]        RFC 9111 §5.2
# cache-directive = token [ "=" ( token / quoted-string ) ]
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9a-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",]*)))?""")


def max_age_seconds(cache_control: str | None, age: str | None = None) -> int | None:
    """
    Return for how long an answer stays fresh.

    *max-age* less the time that the answer has spent in caches; 0 for *no-store*, *no-cache* and a
    *max-age* that is no number (RFC 9111 §4.2.1).  *s-maxage* is for shared caches.

    Args:
        cache_control: The header's value; several joined by commas.
        age: Value of the header *Age*, seconds.

    Returns:
        Seconds, at least 0; ``None`` if the answer does not say.
    """
    directives: dict[str, str] = {}
    for name, quoted, token in _DIRECTIVE.findall((cache_control or "").lower()):
        directives.setdefault(name, quoted or token)  # RFC 9111 §4.2.1: the first occurrence
    if "no-store" in directives or "no-cache" in directives:
        return 0
    if "max-age" not in directives:
        return None
    return max(0, _seconds(directives["max-age"]) - _seconds(age or ""))


def _seconds(text: str) -> int:
    # delta-seconds = 1*DIGIT                                                       §1.2.2
    if not (text.isascii() and text.isdecimal()):
        return 0
    return min(int(text), LONGEST_SECONDS) if len(text) <= 10 else LONGEST_SECONDS

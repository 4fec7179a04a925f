"""Keys as others may see them."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.keys import Key


def public_jwks(keys: Iterable[Key]) -> dict[str, list[dict[str, str]]]:
    """
    Return the JWK set (RFC 7517 §5) by which others verify what *keys* sign.

    Announced keys are in it, so that they are known before their first token.  Secrets are not, nor
    private halves.

    Args:
        keys: A :class:`~jwt_middleware.core.keys.KeySet`, or any keys, in the order to show.
    """
    shown = (key for key in keys if key.can_verify and not key.is_symmetric)
    return {"keys": [key.public_jwk() for key in shown]}

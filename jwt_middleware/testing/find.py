"""Find the middleware in an app."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ..errors import ConfigurationError
from ..wsgi.middleware import JWTMiddleware

# Attributes where WSGI middleware and frameworks (Flask, ProxyFix, others) keep the wrapped app.
_BEHIND: Final = ("middleware", "tokens", "wsgi_app", "app", "application", "_app")
_LOOKED_AT_MOST: Final = 100


def find_middleware(app: object) -> JWTMiddleware:
    """
    Return the middleware that protects *app*.

    Args:
        app: The middleware, or a WSGI app with it as its ``wsgi_app``, ``app``, ``application`` or
            one of its ``mounts``, at any depth: a Flask app, ``ProxyFix``,
            ``DispatcherMiddleware``.

    Raises:
        ConfigurationError: No middleware was found.
    """
    for one in _apps(app):
        if isinstance(one, JWTMiddleware):
            return one
    raise ConfigurationError(
        f"no JWTMiddleware was found in the {type(app).__name__}: pass the protected app, or the "
        "middleware itself as middleware="
    )


def _apps(app: object) -> Iterator[object]:
    waiting, seen = [app], set[int]()
    while waiting and len(seen) < _LOOKED_AT_MOST:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.append(getattr(one, "__self__", None))  # the owner of a bound method
        waiting.extend(vars(one).get(name) for name in _BEHIND if hasattr(one, "__dict__"))
        mounts = getattr(one, "mounts", None)
        waiting.extend(mounts.values() if isinstance(mounts, Mapping) else ())

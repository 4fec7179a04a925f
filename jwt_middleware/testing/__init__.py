"""
Test helpers for apps that this package protects.

::

    app = TestApp(wrap("jwt.toml", "myapp:app"))
    app.get("/me", status=401)
    assert app.as_account(42, scope="read").get("/me").json["uid"] == 42
    app.check_refuses("/me", scope="read")  # every kind of bad token

``TestApp`` needs the extra ``testing``.  For the pytest fixtures of
:mod:`jwt_middleware.testing.plugin` set ``pytest_plugins = ["jwt_middleware.testing.plugin"]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import TestApp as TestApp
    from .bad_tokens import BadToken as BadToken
    from .clock import FrozenClock as FrozenClock
    from .clock import frozen as frozen
    from .find import find_middleware as find_middleware
    from .issuer_server import IssuerServer as IssuerServer
    from .tokens import Tokens as Tokens
else:
    _ON_DEMAND = {
        "BadToken": ".bad_tokens",
        "FrozenClock": ".clock",
        "IssuerServer": ".issuer_server",
        "TestApp": ".app",
        "Tokens": ".tokens",
        "find_middleware": ".find",
        "frozen": ".clock",
    }

    def __getattr__(name):
        if name in _ON_DEMAND:
            return getattr(import_module(_ON_DEMAND[name], __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *_ON_DEMAND})


__all__ = [
    "BadToken",
    "FrozenClock",
    "IssuerServer",
    "TestApp",
    "Tokens",
    "find_middleware",
    "frozen",
]

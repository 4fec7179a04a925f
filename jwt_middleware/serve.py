"""
The protected app for servers that take an import path: ``jwt_middleware.serve:application``.

``JWT_MIDDLEWARE_CONFIG`` names the configuration file, ``JWT_MIDDLEWARE_APP`` the app to protect::

    export JWT_MIDDLEWARE_CONFIG=jwt.toml JWT_MIDDLEWARE_APP=myapp:app
    waitress-serve --port 8000 jwt_middleware.serve:application

Raises:
    ConfigurationError: At import, if one of them is missing or wrong.
"""

from __future__ import annotations

from .config import from_environment
from .wsgi.middleware import JWTMiddleware

application: JWTMiddleware = from_environment()

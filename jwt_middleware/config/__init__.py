"""
Build the middleware from a TOML file, with the same objects as Python code.

``reading`` turns tables into objects with an attribute for each setting, ``settings`` and the
modules it imports define the settings and build the parts, ``loading`` finds the file and the app.
"""

from .loading import from_environment, load, wrap
from .settings import Settings

__all__ = ["Settings", "from_environment", "load", "wrap"]

"""
Build the middleware and its parts from a TOML file.

``reading`` turns tables into objects with an attribute for each setting, ``settings`` and the
modules that it names say which there are and build the parts, ``loading`` finds the file and the
app.
"""

from .loading import from_environment, load, wrap
from .settings import Settings

__all__ = ["Settings", "from_environment", "load", "wrap"]

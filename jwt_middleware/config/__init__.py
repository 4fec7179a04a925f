"""
A TOML file -> the same objects that Python code builds.

``reading`` turns tables into frozen dataclasses, ``settings``, ``tokens`` and the modules that they
name say which settings there are and build the objects, ``loading`` finds the file and the app.
"""

from .loading import from_environment, load, wrap
from .settings import Settings

__all__ = ["Settings", "from_environment", "load", "wrap"]

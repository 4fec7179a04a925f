"""Where keys come from: files, the own key ring, remote sets, discovery."""

from .discovery import DiscoveredJWKS
from .files import KeyFile
from .remote import RemoteJWKS
from .ring import KeyRing

__all__ = ["DiscoveredJWKS", "KeyFile", "KeyRing", "RemoteJWKS"]

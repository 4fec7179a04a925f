"""Where keys come from: files, the own key ring, remote sets, discovery."""

from .file.keyfile import KeyFile
from .remote.discovery import DiscoveredJWKS
from .remote.remote import RemoteJWKS
from .ring.ring import KeyRing

__all__ = ["DiscoveredJWKS", "KeyFile", "KeyRing", "RemoteJWKS"]

"""Key sources: files, the key ring, remote JWK sets, discovery."""

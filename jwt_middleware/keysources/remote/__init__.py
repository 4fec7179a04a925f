"""Keys that are fetched: a JWK set at a URL, or by discovery."""

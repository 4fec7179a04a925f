"""Tokens, keys and claims: no environ, no HTTP, no I/O."""
